"""A program that carries out jobs, each in a child that may be killed just before its N-th effect.

One JSON line on stdin is one job, one line on stdout its end:

    {"config": "w.toml", "do": "run", "at": 17}      ->  {"code": -9, "effects": [...]}

`do`: "run" (run --once), "send" (files go ahead), or a person's decision and its `options`; or, in
its place, `words`: a command line as typed. `at`: the number of the effect before which the child
sends itself `signal` (SIGKILL); `match`: instead of a number, a part of the effect's text; `hang`:
a link to make then, to its pid, before it waits for ever as on a dead mount; `links`: false where
no file system knows links; `patience`: seconds after which the program ends itself by force where
its stop hangs. An effect is a change below the configuration's folder (its archive may be a link to
elsewhere), or a commit of the ledger. The children are forked, so that the imports are paid for
once.
"""

import contextlib
import errno
import json
import os
import signal
import sys
import threading
import traceback

from sqlalchemy import Engine, event

from watcher import assembly, daemon, signals
from watcher.cli import call
from watcher.core.session import Status
from watcher.io import agenda
from watcher.settings import load
from watcher.stages import ahead, decide
from watcher.stages.recover import carry_on

CHANGING = ("os.link", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "open")
OPEN = "/proc/self/fd/"
WRITES = os.O_WRONLY | os.O_RDWR


class Wire:
    """Counts the effects of this process, and trips at one of them."""

    def __init__(self, job, below, report):
        self.below = below
        self.at = job.get("at", 0)
        self.match = job.get("match")
        self.signal = job.get("signal", signal.SIGKILL)
        self.hang = job.get("hang", "")
        self.archive = os.path.realpath(f"{below}/store/archive")
        self.links = job.get("links", True)
        self.report = report
        self.count = 0
        self.tripped = False
        self.lock = threading.RLock()

    def install(self):
        sys.addaudithook(self.audit)
        event.listen(Engine, "commit", lambda _connection: self.effect("commit"))

    def audit(self, name, arguments):
        if name in CHANGING and (path := self.changed(name, arguments)):
            if name == "os.link" and not self.links and not self.exists(path):
                raise PermissionError(errno.EPERM, "no links here")
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
        path = self.named(os.fsdecode(path))
        if not os.path.isabs(path) and folder >= 0:
            path = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), path)
        if path.startswith(f"{self.archive}/"):
            path = f"{self.below}/store/archive{path.removeprefix(self.archive)}"
        inside = os.path.abspath(path).removeprefix(f"{self.below}/")
        return "" if os.path.isabs(inside) else inside

    def exists(self, path):
        return os.path.lexists(f"{self.below}/{path}")

    def named(self, path):
        """A path below an open folder by its name."""
        folder, base = os.path.split(path)
        return os.path.join(os.path.realpath(folder), base) if folder.startswith(OPEN) else path

    def effect(self, text):
        with self.lock:
            self.count += 1
            os.write(self.report, f"{text}\n".encode())
            if self.tripped or not self.is_here(text):
                return
            self.tripped = True
            # to this thread: a stop reaches it before it goes on to its effect
            signal.pthread_kill(threading.get_ident(), self.signal)
            if self.hang:
                os.symlink(str(os.getpid()), self.hang)
        if self.hang:
            threading.Event().wait()

    def is_here(self, text):
        return self.match in text if self.match else self.count == self.at


def carry_out(job):
    if "words" in job:
        return call([*job["words"], "--config", job["config"]])
    settings = load(job["config"])
    if job["do"] == "run":
        return daemon.run(settings, once=True)
    with assembly.command_parts(settings) as parts:
        if job["do"] == "send":
            return send(parts)
        session = parts.ledger.sessions()[0]
        work = getattr(decide, job["do"])
        with parts.leases.hold(parts.keys(session), parts.clock.now()):
            work(parts, session.id, **job.get("options", {}))
    return 0


def send(parts):
    """What the stage does while files come: they go into the archive ahead."""
    for session in parts.ledger.sessions((Status.BUILDING,)):
        with parts.leases.hold(parts.keys(session), parts.clock.now()):
            carry_on(parts, session.id)
    for session, _ in agenda.sendable(parts.ledger):
        with parts.leases.hold(parts.keys(session), parts.clock.now()):
            ahead.send(parts, session.id)
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
        Wire(job, below, report).install()
        signals.PATIENCE = job.get("patience", signals.PATIENCE)
        code = carry_out(job)
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
            effects = [text.rstrip("\n") for text in report]
        _, status = os.waitpid(pid, 0)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        answer = {"code": os.waitstatus_to_exitcode(status), "effects": effects}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
