"""Another process: Python that says one line when it is where the test wants it."""

import subprocess
import sys
from contextlib import contextmanager


@contextmanager
def process(code, *arguments, says="there"):
    """Runs `code`; its line is in. At the end it is killed (kill -9) if it still runs."""
    with subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        try:
            assert says == child.stdout.readline().rstrip("\n")
            yield child
        finally:
            child.kill()


def run(code, *arguments, **options):
    """Runs `code` to its end and gives what it printed."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout
