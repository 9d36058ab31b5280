"""A program that carries out jobs, each in a child that may be killed just before its N-th effect.

One JSON line on stdin is one job, one line on stdout its end:

    {"config": "w.toml", "do": "run", "at": 17}      ->  {"code": -9, "effects": [...]}

`do`: "run" (run --once), or a person's command and its `options`. `at`: the number of the effect
before which the child sends itself `signal` (SIGKILL); `match`: instead of a number, a part of the
effect's text; `hang`: a link to make then, to its pid, before it waits for ever as on a dead
mount. An effect is a change below the configuration's folder, or a commit of the ledger. The
children are forked, so that the imports are paid for once.
"""

import contextlib
import json
import os
import signal
import sys
import threading
import time
import traceback

from sqlalchemy import Engine, event

from watcher import assembly, daemon
from watcher.settings import load
from watcher.stages import decide

CHANGING = ("os.link", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "open")
WRITES = os.O_WRONLY | os.O_RDWR


class Wire:
    """Counts the effects of this process, and trips at one of them."""

    def __init__(self, job, below, report):
        self.below = below
        self.at = job.get("at", 0)
        self.match = job.get("match")
        self.signal = job.get("signal", signal.SIGKILL)
        self.hang = job.get("hang", "")
        self.report = report
        self.count = 0
        self.tripped = False
        self.lock = threading.RLock()

    def install(self):
        sys.addaudithook(self.audit)
        event.listen(Engine, "commit", lambda _connection: self.effect("commit"))

    def audit(self, name, arguments):
        if name in CHANGING and (path := self.changed(name, arguments)):
            self.effect(f"{name} {path}")

    def changed(self, name, arguments):
        """What is about to change, below our folder; empty for everything else."""
        path, folder = arguments[0], -1
        if name == "open":
            flags = arguments[2]
            if not isinstance(path, str | bytes) or not flags & WRITES:
                return ""
            new = flags & os.O_CREAT and not os.path.lexists(path)
            if not (new or flags & (os.O_TRUNC | os.O_APPEND)):
                return ""  # a lock file
        elif name in {"os.link", "os.rename"}:
            path, folder = arguments[1], arguments[3]
        elif len(arguments) > 1:
            folder = arguments[-1]
        path = os.fsdecode(path)
        if not os.path.isabs(path) and folder >= 0:
            path = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), path)
        inside = os.path.abspath(path).removeprefix(f"{self.below}/")
        return "" if os.path.isabs(inside) else inside

    def effect(self, text):
        with self.lock:
            self.count += 1
            os.write(self.report, f"{time.monotonic()} {text}\n".encode())
            if self.tripped or not self.is_here(text):
                return
            self.tripped = True
            os.write(self.report, f"{time.monotonic()} TRIPPED\n".encode())
            os.kill(os.getpid(), self.signal)
            if self.hang:
                os.symlink(str(os.getpid()), self.hang)
        if self.hang:
            threading.Event().wait()

    def is_here(self, text):
        return self.match in text if self.match else self.count == self.at


def carry_out(job, settings):
    if job["do"] == "run":
        return daemon.run(settings, once=True)
    with assembly.command_parts(settings) as parts:
        session = parts.ledger.sessions()[0]
        work = getattr(decide, job["do"])
        with parts.leases.hold(parts.keys(session), parts.clock.now()):
            work(parts, session.id, **job.get("options", {}))
    return 0


def child(job, report):
    """Never returns."""
    code = 70
    os.setsid()  # its readers die with it, as those of a service or a container do
    try:
        below = os.path.dirname(job["config"])
        output = os.open(f"{below}/output", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        settings = load(job["config"])
        Wire(job, below, report).install()
        code = carry_out(job, settings)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    os._exit(code)


def main():
    sys.stdout.flush()
    for line in sys.stdin:
        job = json.loads(line)
        ours, theirs = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(ours)
            child(job, theirs)
        os.close(theirs)
        with os.fdopen(ours) as report:
            told = [text.rstrip("\n").split(" ", 1) for text in report]
        _, status = os.waitpid(pid, 0)
        ended = time.monotonic()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        tripped = [float(at) for at, text in told if text == "TRIPPED"]
        answer = {
            "code": os.waitstatus_to_exitcode(status),
            "effects": [text for _, text in told if text != "TRIPPED"],
            "seconds": ended - tripped[0] if tripped else None,
        }
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
