"""The memory of a process and its children, at its highest."""

import os
import threading
from contextlib import contextmanager

DAEMON = 400  # MiB that the daemon may take at its highest, hostile files or not
READER = 1024  # MiB of address space that a reader may have
EVERY = 0.02  # seconds between two looks at the children


@contextmanager
def peaks(pid):
    """MiB of resident memory at their highest, by name: `daemon`, and `reader` for the children."""
    found = {"daemon": 0, "reader": 0}
    ended = threading.Event()
    looking = threading.Thread(target=_look, args=(pid, found, ended))
    looking.start()
    try:
        yield found
    finally:
        ended.set()
        looking.join()


def _look(pid, found, ended):
    while not ended.wait(EVERY):
        found["daemon"] = max(found["daemon"], _highest(pid))
        for child in _children(pid):
            found["reader"] = max(found["reader"], _highest(child))


def _children(pid):
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
        return [c for t in tasks for c in _text(f"/proc/{pid}/task/{t}/children").split()]
    except OSError:
        return []


def _highest(pid):
    for line in _text(f"/proc/{pid}/status").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) >> 10
    return 0


def _text(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError:  # it ended meanwhile
        return ""
