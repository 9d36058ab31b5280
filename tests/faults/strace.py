"""The real program under strace: every call that changes something, and a kill before one of them.

strace counts the calls of each thread for itself, and kills at the first that reaches N: a path
makes the others visible. A killed reader takes the program with it, as in a service.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass

from faults import aftermath, scenes

TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CALLS = (
    *("openat", "write", "pwrite64", "fsync", "fdatasync", "ftruncate"),
    *("rename", "renameat", "renameat2", "link", "linkat", "unlink", "unlinkat"),
    *("mkdir", "mkdirat", "rmdir", "chmod", "fchmod"),
)
PATIENCE = 240.0  # seconds: strace makes a run slow, and so does a busy machine
LINE = re.compile(r"(\d+) +(\w+)\((.*)")


@dataclass(frozen=True)
class Point:
    """Before the `number`-th `call` of a thread, counted where its path is this one (or any)."""

    call: str
    number: int
    path: str = ""  # below the root

    def __str__(self):
        return f"{self.call} {self.number} {self.path}".rstrip()


def once(root, *before, **more):
    """`watcher run --once`, as a process in a group of its own; these words before the command."""
    with open(f"{root}/output", "ab") as output:
        return subprocess.Popen(
            [
                *before,
                sys.executable,
                "-m",
                "watcher",
                "run",
                "--once",
                "--config",
                f"{root}/w.toml",
            ],
            stdout=output,
            stderr=output,
            cwd=TREE,
            env=scenes.environment(),
            start_new_session=True,
            **more,
        )


def points(root):
    """Every point of an undisturbed run, which is carried out to find them."""
    log = f"{root}/calls"
    words = ("strace", "-f", "-y", "-q", "--seccomp-bpf", "-e", f"trace={','.join(CALLS)}")
    assert once(root, *words, "-e", "signal=none", "-o", log).wait(PATIENCE) in {0, 3}
    with open(log, encoding="utf-8", errors="replace") as lines:
        matches = (LINE.match(line) for line in lines)
        return _points(f"{root}/", [match.groups() for match in matches if match])


def _points(below, calls):
    found, counts = {}, {}
    for thread, call, text in calls:
        paths = re.findall(re.escape(below) + r'([^">]+)', text)
        number = counts[thread, call] = counts.get((thread, call), 0) + 1
        if not paths or paths[0] == "output":
            continue
        if call != "openat":
            found[Point(call, number)] = None
        elif "O_CREAT" in text and not aftermath.MOMENT.search(paths[0]):
            number = counts[thread, paths[0]] = counts.get((thread, paths[0]), 0) + 1
            found[Point(call, number, paths[0])] = None
    return list(found)


def kill(root, point):
    """The run killed at this point; whether it came to it."""
    end, out = os.pipe()
    words = ["strace", "-f", "-q", "--seccomp-bpf", "-e", f"trace={point.call}"]
    words += ["-e", f"inject={point.call}:signal=SIGKILL:when={point.number}"]
    words += ["-P", f"{root}/{point.path}"] if point.path else []
    process = once(root, *words, "-o", f"/proc/self/fd/{out}", pass_fds=[out])
    os.close(out)
    killed = False
    with os.fdopen(end, encoding="utf-8", errors="replace") as told:
        for line in told:
            if "+++ killed by SIGKILL" in line:
                killed = True
                _end_children(process.pid)
    process.wait(PATIENCE)
    return killed


def _end_children(pid):
    """The program, where it was a reader that met the point; strace ends when all have ended."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as children:
        for child in children.read().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)
