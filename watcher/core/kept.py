"""Which files of a drop need nothing more, in a few dozen bytes each (spec 5, `after = "keep"`).

A table in plain bytes, with open addressing: a million files as objects would be gigabytes. Path
and content stand in it as 128 bits of BLAKE2b each, so that no other file is taken for a known one.
It is in parts that grow one by one: growing wants room for one of them only.
"""

from hashlib import blake2b
from typing import Final

from watcher.core.file import Fingerprint

WIDTH: Final = 16  # bytes of a digest
SLOT: Final = 2 * WIDTH  # the path's digest, then the content's
PARTS: Final = 64
LOOKS: Final = 250  # numbers of looks, used over and over
_FREE, _GONE, _FIRST = 0, 1, 2  # marks of a slot: never used, given up, met in the first look


def name_of(path: bytes) -> bytes:
    """What stands for a path."""
    return blake2b(path, digest_size=WIDTH).digest()


def content_of(seen: Fingerprint) -> bytes:
    """What stands for size, mtime and inode (spec 5), not device: that of a mount changes."""
    return blake2b(b"%d %d %d" % (seen.size, seen.mtime_ns, seen.inode), digest_size=WIDTH).digest()


class Kept:
    """The files of one drop, each as it was when nothing more was to be done with it.

    A file is *met* where a look asked for it since `begin`, or where it was added since.
    """

    def __init__(self) -> None:
        self._parts = [_Part() for _ in range(PARTS)]
        self._look = _FIRST
        self.unmet = 0  # files not met since `begin`

    def __len__(self) -> int:
        return sum(part.used for part in self._parts)

    @property
    def room(self) -> int:
        """What the table takes, in bytes."""
        return sum(len(part.slots) + len(part.marks) for part in self._parts)

    def begin(self) -> None:
        """A look begins: nothing is met yet."""
        self._look = (self._look - _FIRST + 1) % LOOKS + _FIRST
        self.unmet = len(self)

    def add(self, path: bytes, seen: Fingerprint) -> None:
        """A file as it is; what was known under its path is replaced."""
        name = name_of(path)
        part = self._part(name)
        at = part.find(name)
        if at < 0:
            at = part.take(name)
        elif part.marks[at] != self._look:
            self.unmet -= 1
        part.slots[at * SLOT + WIDTH : (at + 1) * SLOT] = content_of(seen)
        part.marks[at] = self._look

    def knows(self, path: bytes) -> bool:
        """Whether there is a file of this path, whatever it was; it is met."""
        name = name_of(path)
        part = self._part(name)
        return self._meet(part, part.find(name))

    def has(self, path: bytes, seen: Fingerprint) -> bool:
        """Whether there is this very file; it is met. Another one under its path is forgotten."""
        name = name_of(path)
        part = self._part(name)
        at = part.find(name)
        if not self._meet(part, at):
            return False
        if part.slots[at * SLOT + WIDTH : (at + 1) * SLOT] == content_of(seen):
            return True
        part.drop(at)
        return False

    def was_met(self, path: bytes) -> bool:
        """Whether there is a file of this path, and it was met; nothing changes."""
        name = name_of(path)
        part = self._part(name)
        at = part.find(name)
        return at >= 0 and part.marks[at] == self._look

    def drop(self, path: bytes) -> None:
        """Forget a path."""
        name = name_of(path)
        part = self._part(name)
        at = part.find(name)
        if at >= 0:
            self.unmet -= part.marks[at] != self._look
            part.drop(at)

    def keep_met(self) -> None:
        """Forget all that was not met since `begin`."""
        for part in self._parts:
            for at, mark in enumerate(part.marks):
                if mark not in {_FREE, _GONE, self._look}:
                    part.drop(at)
        self.unmet = 0

    def _part(self, name: bytes) -> "_Part":
        return self._parts[name[0] % PARTS]

    def _meet(self, part: "_Part", at: int) -> bool:
        if at < 0:
            return False
        if part.marks[at] != self._look:
            part.marks[at] = self._look
            self.unmet -= 1
        return True


class _Part:
    """One part of the table: at most three quarters of its slots are not free."""

    def __init__(self) -> None:
        self.used = 0
        self._room = 8
        self._filled = 0  # with those given up
        self.slots = bytearray(self._room * SLOT)
        self.marks = bytearray(self._room)

    def find(self, name: bytes) -> int:
        """The slot of a name; -1 where there is none."""
        slots, marks, room = self.slots, self.marks, self._room
        at = int.from_bytes(name[1:8], "little") % room
        while mark := marks[at]:
            if mark != _GONE and slots[at * SLOT : at * SLOT + WIDTH] == name:
                return at
            at = (at + 1) % room
        return -1

    def take(self, name: bytes) -> int:
        """A slot for a name that has none; its mark and content are the caller's to set."""
        if (self._filled + 1) * 4 > self._room * 3:
            self._grow()
        self.used += 1
        self._filled += 1
        return self._put(name)

    def drop(self, at: int) -> None:
        """Give a slot up."""
        self.marks[at] = _GONE
        self.used -= 1

    def _put(self, name: bytes) -> int:
        at = int.from_bytes(name[1:8], "little") % self._room
        while self.marks[at]:
            at = (at + 1) % self._room
        self.slots[at * SLOT : at * SLOT + WIDTH] = name
        return at

    def _grow(self) -> None:
        """Room for twice what it holds; slots given up are left behind."""
        slots, marks = self.slots, self.marks
        self._room = max(8, self.used * 2)
        self._filled = self.used
        self.slots, self.marks = bytearray(self._room * SLOT), bytearray(self._room)
        for old, mark in enumerate(marks):
            if mark > _GONE:
                at = self._put(bytes(slots[old * SLOT : old * SLOT + WIDTH]))
                self.slots[at * SLOT : (at + 1) * SLOT] = slots[old * SLOT : (old + 1) * SLOT]
                self.marks[at] = mark
