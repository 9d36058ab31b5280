"""A program that starts command lines at given moments, each in a child of its own.

One JSON line on stdin is one race, one line on stdout its end:

    {"start": [[0.1, ["archive", "ID"]], [0.2, ["delete", "ID"]]]}  ->  [[0, ""], [4, "watcher: …"]]

The moments are seconds from now; the answer has each one's exit code and its errors. The children
are forked, so that the imports are paid for once and two commands come within milliseconds.
"""

import json
import os
import pkgutil
import sys
import tempfile
import time

import watcher.commands
from watcher import assembly
from watcher.cli import call


def child(moment, words, errors):
    """Never returns."""
    code = 70
    try:
        os.dup2(errors, 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        time.sleep(max(0.0, moment - time.monotonic()))
        code = call(words)
    finally:
        sys.stderr.flush()
        os._exit(code)


def race(start):
    now, begun = time.monotonic(), []
    for after, words in start:
        errors = tempfile.TemporaryFile()  # noqa: SIM115  closed when its child has ended
        pid = os.fork()
        if pid == 0:
            child(now + after, words, errors.fileno())
        begun.append((pid, errors))
    for pid, errors in begun:
        _, status = os.waitpid(pid, 0)
        with errors:
            errors.seek(0)
            yield os.waitstatus_to_exitcode(status), errors.read().decode()


def main():
    assert assembly
    for module in pkgutil.iter_modules(watcher.commands.__path__):
        __import__(f"watcher.commands.{module.name}")
    print("there", flush=True)
    for line in sys.stdin:
        print(json.dumps(list(race(json.loads(line)["start"]))), flush=True)


if __name__ == "__main__":
    main()
