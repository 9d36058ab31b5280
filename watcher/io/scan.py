"""A look at a drop: all that lies there, or in and below some of its directories.

A look decides what is there; events only say where to look (stack facts 1.4, R1). Measured:
100 000 files with their fingerprints take well under a second on a warm local disk.
"""

import errno
import os
from collections.abc import Callable, Collection, Sequence, Sized
from dataclasses import dataclass, field
from typing import Final, Protocol

from watcher.core.file import Fingerprint
from watcher.io.aside import LEAVING
from watcher.io.descent import FOLDER, VANISHED, Seen, descended, opened, parts_of
from watcher.io.ignore import SIGN, Ignore

DEPTH = 100
"""Directories below one another. Each level holds a descriptor; 1024 is the usual limit of all."""


class Known(Protocol):
    """The files that need nothing more: left out of what a look gives, in the thread that looks."""

    names: bool
    """Whether names alone will do."""

    def inside(self, folder: bytes, listing: int) -> Sequence[str] | None:
        """The directories in one where nothing else was new at this listing; None: it is read."""

    def note(self, folder: bytes, listing: int, inside: tuple[str, ...]) -> None:
        """A directory was read, and nothing in it was new, but perhaps for directories."""

    def skips(self, path: bytes) -> bool:
        """Whether its name alone will do: it is not even looked at."""

    def has(self, path: bytes, found: Fingerprint) -> bool:
        """Whether this very file needs nothing more."""


class _Nothing:
    """Every file is new."""

    names = False

    def inside(self, folder: bytes, listing: int) -> None:
        """Nothing is known of any directory."""

    def note(self, folder: bytes, listing: int, inside: tuple[str, ...]) -> None:
        """Nor is anything kept."""

    def skips(self, path: bytes) -> bool:  # noqa: ARG002  as Known has it
        return False

    def has(self, path: bytes, found: Fingerprint) -> bool:  # noqa: ARG002  as Known has it
        return False


NOTHING: Final = _Nothing()


@dataclass(frozen=True, slots=True)
class Look:
    """What a look found. All paths are relative to the root; `b""` is the root itself."""

    identity: tuple[int, int]  # device and inode of the root: other ones, another directory
    found: list[Seen] = field(default_factory=list)
    folders: list[bytes] = field(default_factory=list)  # looked into, parents before children
    failed: list[tuple[bytes, int]] = field(default_factory=list)  # directory, errno
    signs: list[bytes] = field(default_factory=list)  # the `.complete` files
    aside: list[bytes] = field(default_factory=list)  # what a crash kept from being removed
    minded: list[Seen] = field(
        default_factory=list
    )  # other ignored files, where they are asked for

    @property
    def complete(self) -> bool:
        """Whether everything asked for was seen; else nothing follows from what is absent."""
        return not self.failed


def look(
    root: str,
    *,
    ignore: Ignore,
    below: Collection[bytes] | None = None,
    beat: Callable[[], None] = lambda: None,
    known: Known = NOTHING,
    mind: bool = False,
) -> Look:
    """All that lies in `root`, or in and below the directories `below` it, but for `known` files.

    Mounts inside are entered, links are not. What vanishes meanwhile is left out. A directory
    that can't be read stands in `failed`, the rest goes on. MissingPlaceError where root is not
    there or is no directory, StorageError where it can't be opened. `beat` is called for each
    directory and name that was met. `mind`: files with ignored names stand in `minded`.
    """
    starts = _outermost((b"",) if below is None else below)
    with opened(root) as top:
        status = os.fstat(top)
        walk = _Walk(ignore, beat, known, mind=mind)
        for parts in starts:
            walk.start(top, parts)
        identity = (status.st_dev, status.st_ino)
    failed = list(walk.failed.items())
    return Look(identity, walk.found, walk.folders, failed, walk.signs, walk.aside, walk.minded)


@dataclass(slots=True)
class _Frame:
    """A directory being walked: open, with the names of the directories still to enter."""

    fd: int
    path: bytes
    names: list[str] = field(default_factory=list)


class _Walk:
    """One look in progress: depth first, by loop; descriptors are bounded by DEPTH."""

    def __init__(
        self, ignore: Ignore, beat: Callable[[], None], known: Known, *, mind: bool
    ) -> None:
        self.ignore = ignore
        self.beat = beat
        self.known = known
        self.mind = mind
        self.minded: list[Seen] = []
        self.found: list[Seen] = []
        self.folders: list[bytes] = []
        self.signs: list[bytes] = []
        self.aside: list[bytes] = []
        self.failed: dict[bytes, int] = {}

    def start(self, top: int, parts: tuple[bytes, ...]) -> None:
        """Walk from a directory below `top`, unless it is gone or ignored."""
        ignored = self.ignore.ignored
        if any(ignored(part, is_dir=True, top=not at) for at, part in enumerate(parts)):
            return
        path = b"/".join(parts)
        try:
            with descended(top, parts) as folder:
                frames = [_Frame(os.dup(folder), path)]
        except OSError as error:
            self.fail(path, error)
            return
        if parts:
            self.folders.append(path)
        try:
            self.walk(frames, len(parts))
        finally:
            for frame in frames:
                os.close(frame.fd)

    def walk(self, frames: list[_Frame], above: int) -> None:
        """Read the one directory in `frames`, then what it leads to, until nothing is left."""
        self.read(frames[0])
        while frames:
            frame = frames[-1]
            if not frame.names:
                os.close(frames.pop().fd)
                continue
            child = self.enter(frame, frame.names.pop(), above + len(frames))
            if child is not None:
                frames.append(child)
                self.read(child)

    def enter(self, frame: _Frame, name: str, depth: int) -> _Frame | None:
        """The directory `name`, opened; None where it is gone, closed to us, or too deep."""
        path = _join(frame.path, name)
        if depth > DEPTH:
            self.failed[path] = errno.ENAMETOOLONG
            return None
        try:
            child = os.open(name, FOLDER, dir_fd=frame.fd)
        except OSError as error:
            self.fail(path, error)
            return None
        self.beat()
        self.folders.append(path)
        return _Frame(child, path)

    def read(self, frame: _Frame) -> None:
        """List one directory: files to `found`, directories to the frame."""
        try:
            inside = self.known.inside(frame.path, _listing(frame.fd)) if self.known.names else None
            frame.names = self.listed(frame) if inside is None else [*inside]
        except OSError as error:
            self.fail(frame.path, error)

    def listed(self, frame: _Frame) -> list[str]:
        """The directories in one, to enter; what else is in it is taken down."""
        before, listing, inside = self.taken_down(), 0, []
        with os.scandir(frame.fd) as entries:
            for entry in entries:
                listing += hash(entry.name)
                if self.leads(entry, frame.path):
                    inside.append(entry.name)
        if before == self.taken_down():
            self.known.note(frame.path, listing, tuple(inside))
        return inside

    def taken_down(self) -> int:
        """How much was."""
        given: tuple[Sized, ...] = (self.found, self.signs, self.aside, self.minded, self.failed)
        return sum(map(len, given))

    def leads(self, entry: os.DirEntry[str], path: bytes) -> bool:
        """Whether an entry is a directory to enter; anything else is taken down."""
        name = entry.name
        self.beat()
        try:
            folder = entry.is_dir(follow_symlinks=False)
            if self.ignore.skips(name, is_dir=folder, top=not path):
                self.note(entry, path, folder=folder)
                return False
            if folder:
                return True
            where = _join(path, name)
            if self.known.skips(where):
                return False
            status = entry.stat(follow_symlinks=False)
        except OSError as error:  # of one file; said of its directory, once
            self.fail(path, error)
            return False
        seen = Seen.of(where, status)
        if seen and not (seen.kind == "file" and self.known.has(where, seen.print)):
            self.found.append(seen)
        return seen is None  # it became a directory since it was listed

    def note(self, entry: os.DirEntry[str], path: bytes, *, folder: bool) -> None:
        """Take down an ignored name that means something."""
        name = entry.name
        if name == SIGN and not folder:
            self.signs.append(_join(path, name))
        elif name.startswith(LEAVING) and not folder:
            self.aside.append(_join(path, name))
        elif self.mind and entry.is_file(follow_symlinks=False):
            seen = Fingerprint.of(entry.stat(follow_symlinks=False))
            self.minded.append(Seen(_join(path, name), seen, "file"))

    def fail(self, path: bytes, error: OSError) -> None:
        """Note what could not be looked at; what vanished is not worth a note."""
        if error.errno not in VANISHED:
            self.failed.setdefault(path, error.errno or errno.EIO)


def _outermost(below: Collection[bytes]) -> list[tuple[bytes, ...]]:
    """The directories of `below` in parts, without those that lie inside another."""
    kept: list[tuple[bytes, ...]] = []
    for parts in sorted({parts_of(path) for path in below}):
        if not kept or parts[: len(kept[-1])] != kept[-1]:
            kept.append(parts)
    return kept


def _listing(folder: int) -> int:
    """What stands for the names in an open directory, in this process only.

    Their hashes are keyed, and of 64 bits: no more is asked of it, as not all looks go by names.
    """
    with os.scandir(folder) as entries:
        return sum(hash(entry.name) for entry in entries)


def _join(path: bytes, name: str) -> bytes:
    """`name` in the directory `path`."""
    return path + b"/" + os.fsencode(name) if path else os.fsencode(name)
