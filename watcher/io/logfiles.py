"""The log's file as it is read: its lines, the rotated files before it, and what is added to it."""

import gzip
import os
import re
import select
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import BinaryIO, Final, TextIO

from watcher.core.errors import storage_error

LONGEST: Final = 1 << 20  # bytes of a line that are read; the rest of it is passed over
Identity = tuple[int, int]
"""Device and inode."""
_BLOCK: Final = 1 << 16
_DOING: Final = "reading the log"


@dataclass
class Cut:
    """Blocks of bytes cut into lines; a line that is too long is cut short."""

    _rest: bytes = b""
    _is_long: bool = False  # the rest of such a line is passed over

    def lines(self, block: bytes) -> Iterator[bytes]:
        """The lines that end in the block, without their newline."""
        *whole, self._rest = (self._rest + block).split(b"\n")
        for line in whole:
            if not self._is_long:
                yield line[:LONGEST]
            self._is_long = False
        if len(self._rest) > LONGEST:
            if not self._is_long:
                yield self._rest[:LONGEST]
            self._rest, self._is_long = b"", True

    def end(self) -> Iterator[bytes]:
        """The last line, where no newline ends it."""
        if self._rest and not self._is_long:
            yield self._rest
        self._rest, self._is_long = b"", False


def lines_of(read: Callable[[int], bytes]) -> Iterator[bytes]:
    """Every line that `read` gives, as `read(2)` does."""
    cut = Cut()
    while block := read(_BLOCK):
        yield from cut.lines(block)
    yield from cut.end()


def lines_from(stream: TextIO) -> Iterator[bytes]:
    """The same of a stream, each as soon as it is there."""
    return lines_of(partial(os.read, stream.fileno()))


def rotated(path: str) -> list[str]:
    """The older files beside it, the oldest first: `name.2.gz`, `name.1`, also `name-20260619`.

    None where the folder is not there, for now perhaps.
    """
    folder, name = os.path.split(path)
    wanted = re.compile(rf"{re.escape(name)}[.-](\d+)(?:\.gz)?")
    try:
        found = [
            (hit, each) for each in os.listdir(folder or ".") if (hit := wanted.fullmatch(each))
        ]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise storage_error(error, _DOING) from error
    ordered = sorted(found, key=lambda one: _age(one[0][1]))
    return [os.path.join(folder, each) for _, each in ordered]


def _age(number: str) -> int:
    """Dates grow with time; the numbers of a rotation with age, and are of files after those."""
    return int(number) - 10**17 if len(number) >= 8 else -int(number)


def older(path: str, since: float, before: Identity | None) -> Iterator[bytes]:
    """The lines of the rotated files written to since then, in seconds since the epoch.

    Not those of the file `before`, and of newer ones. All are opened first: none is missed where
    they are rotated meanwhile.
    """
    with ExitStack() as held:
        try:
            files = list(_older(path, since, before, held))
            for name, file in files:
                yield from _gunzipped(file) if name.endswith(".gz") else lines_of(file.read)
        except OSError as error:
            raise storage_error(error, _DOING) from error


def _older(
    path: str, since: float, before: Identity | None, held: ExitStack
) -> list[tuple[str, BinaryIO]]:
    found: dict[Identity, tuple[str, BinaryIO]] = {}
    for name in rotated(path)[::-1]:  # the newest first: who is renamed meanwhile is met twice
        file = _opened(name)
        if file is None:
            continue
        held.enter_context(file)
        status = os.fstat(file.fileno())
        if (status.st_dev, status.st_ino) == before:
            found.clear()
        elif status.st_mtime >= since:
            found.setdefault((status.st_dev, status.st_ino), (name, file))
    return list(found.values())[::-1]


def _opened(path: str) -> BinaryIO | None:
    try:
        return open(path, "rb", 0)
    except FileNotFoundError:
        return None  # rotated away since it was listed


def _gunzipped(file: BinaryIO) -> Iterator[bytes]:
    cut = Cut()
    try:
        with gzip.GzipFile(fileobj=file) as packed:
            while block := packed.read1(_BLOCK):
                yield from cut.lines(block)
    except (OSError, EOFError, zlib.error):
        yield b"(a compressed file of the log is damaged: the rest of it can't be read)"
    yield from cut.end()


@dataclass
class Tail:
    """What is added to a file, through rotation, truncation, and while it is not there."""

    path: str
    _file: BinaryIO | None = None
    _cut: Cut = field(default_factory=Cut)

    def open(self) -> Identity | None:
        """Begin with the file as it is there; which one that is."""
        try:
            self._file = _opened(self.path)
            if self._file is None:
                return None
            found = os.fstat(self._file.fileno())
        except OSError as error:
            raise storage_error(error, _DOING) from error
        return found.st_dev, found.st_ino

    def more(self) -> Iterator[bytes]:
        """The whole lines that have come since."""
        try:
            yield from self._rest()
            for each in self._next():
                yield from self._cut.end()
                self.close()
                self._file = _opened(each)
                yield from self._rest()
        except OSError as error:
            raise storage_error(error, _DOING) from error

    def last(self) -> Iterator[bytes]:
        """The last line, where nothing ends it yet."""
        return self._cut.end()

    def close(self) -> None:
        """Close it."""
        if self._file:
            self._file.close()
            self._file = None

    def _rest(self) -> Iterator[bytes]:
        if self._file is None:
            return
        if os.fstat(self._file.fileno()).st_size < self._file.tell():  # emptied, to be used again
            self._file.seek(0)
            self._cut = Cut()
        while block := self._file.read(_BLOCK):
            yield from self._cut.lines(block)

    def _next(self) -> list[str]:
        """The files that came after the one that is open, the oldest first."""
        names = [self.path, *rotated(self.path)[::-1]]
        if self._file is None:
            return names[:1]
        mine, found = os.fstat(self._file.fileno()), list[str]()
        for name in names:
            there = _identity(name)
            if there == (mine.st_dev, mine.st_ino):
                return found[::-1]
            found += [name] if there and not name.endswith(".gz") else []
        return names[:1] if _identity(self.path) else []  # it was removed: what is there is new


def _identity(path: str) -> Identity | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def pause(stream: TextIO, seconds: float) -> None:
    """Wait; BrokenPipeError at once where nobody reads what is written to the stream any more."""
    asked = select.poll()
    asked.register(stream, 0)  # only what can't be masked: that the reader is gone
    if any(state & (select.POLLERR | select.POLLHUP) for _, state in asked.poll(seconds * 1000)):
        raise BrokenPipeError
