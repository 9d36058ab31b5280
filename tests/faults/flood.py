"""Files by the hundred, each a whole DICOM instance of its own, made in microseconds."""

import hashlib
import os
import tempfile
from pathlib import Path

from faults.waiting import WAIT, wait_until
from makers import make_dicom
from world import md5

LAST = "1.2.3.9.100000000"  # a SOP UID whose digits are counted up


class Flood:
    """A sender: the digests of what it sent are in `sent`."""

    def __init__(self):
        with tempfile.TemporaryDirectory() as folder:
            path = make_dicom(f"{folder}/one", sop=LAST, rows=4, columns=4)
            self._text = Path(path).read_bytes()
        self.sent = []

    def put(self, *paths):
        """A file under each of these names, written in one go."""
        for path in paths:
            sop = str(int(LAST.rpartition(".")[2]) + len(self.sent) + 1).encode()
            data = self._text.replace(LAST.rpartition(".")[2].encode(), sop)
            self.sent.append(hashlib.md5(data).hexdigest())
            fd = made(path)
            os.write(fd, data)
            os.close(fd)

    def fill(self, folder, many):
        """So many files in a folder, made where it is not there."""
        os.makedirs(folder, exist_ok=True)
        self.put(*(os.path.join(os.fsdecode(folder), f"i{number}") for number in range(many)))


def made(path):
    """A new file, open; its folder is made again where the daemon emptied and removed it."""
    while True:
        try:
            return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(path), exist_ok=True)


def archived(world, flood, seconds=WAIT, tell=lambda: ""):
    """Wait until all that was sent is archived, and nothing is staged any more."""

    def reached():
        there = count(world.root / "archive") >= len(flood.sent)
        return there and not count(world.root / "prearchive")

    wait_until(reached, seconds, tell)


def count(store):
    """How many instances a store holds; folders may go meanwhile."""
    return sum(name.endswith(".dcm") for _, _, names in os.walk(store) for name in names)


def judged(row, world, flood, *drops):
    """The verdict of the table: all that was sent is archived once, byte for byte."""
    row.judge(flood.sent, world.root, drops or [world.drop], md5)


def said(daemon, event, **fields):
    """How often a line was said."""
    lines = list(daemon.events)
    return sum(1 for one in lines if one["event"] == event and fields.items() <= one.items())
