"""A program that carries out command lines, each in a child that may be killed at its N-th effect.

As `trip_wire`, but with `words` as typed instead of `do`: history and quarantine have no other way
in. Effects below an open folder (`/proc/self/fd/...`) count as well.
"""

import json
import os
import sys
import traceback

from faults.trip_wire import Wire

from watcher.cli import call


class Everywhere(Wire):
    """Sees through the descriptors of folders."""

    def changed(self, name, arguments):
        at = 1 if name in {"os.link", "os.rename"} else 0
        path = arguments[at]
        if isinstance(path, str) and path.startswith("/proc/self/fd/"):
            folder, base = os.path.split(path)
            path = os.path.join(os.path.realpath(folder), base)
            arguments = (*arguments[:at], path, *arguments[at + 1 :])
        return super().changed(name, arguments)


def child(job, report):
    """Never returns."""
    code = 70
    os.setsid()
    try:
        below = os.path.dirname(job["config"])
        output = os.open(f"{below}/output", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        Everywhere(job, below, report).install()
        code = call([*job["words"], "--config", job["config"]])
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    os._exit(code)


def main():
    for line in sys.stdin:
        job = json.loads(line)
        ours, theirs = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(ours)
            child(job, theirs)
        os.close(theirs)
        with os.fdopen(ours) as report:
            told = [text.rstrip("\n").split(" ", 1)[1] for text in report]
        _, status = os.waitpid(pid, 0)
        effects = [text for text in told if text != "TRIPPED"]
        print(json.dumps({"code": os.waitstatus_to_exitcode(status), "effects": effects}))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
