"""An archive file as bytes, as the standard library's readers want it, and no more than is bounded.

They ask for as much as a file says it has. Here they get what is there, up to a bound.
"""

import os
from collections.abc import Callable, Iterator
from typing import Final

from watcher.core.members import BrokenError, HostileError
from watcher.io.opening import doing, read_at

__all__ = ["BLOCK", "Source", "Stream"]

BLOCK: Final = 1 << 20  # bytes read or written at a time
LISTS: Final = 128 << 20  # bytes that a list of entries may have
HEADERS: Final = 256 << 10  # bytes of headers before a member: names, attributes
_LONG: Final = "What it says about its members is too long."
_BLANK: Final = bytes(512)


class Source:
    """The archive file itself. place: the drop.

    FailedError where the machine fails: no reader of archives takes that for damage.
    """

    def __init__(self, file: int, size: int, place: str) -> None:
        self._file = file
        self._size = size
        self._place = place
        self._at = 0

    def read(self, count: int = -1) -> bytes:
        """From where it stands. HostileError: it is more than anybody needs at once."""
        left = max(0, self._size - self._at)
        count = left if count < 0 else min(count, left)
        if count > LISTS:
            raise HostileError(_LONG)
        data = self.at(self._at, count)
        self._at += len(data)
        return data

    def at(self, start: int, count: int) -> bytes:
        """So many bytes from there; fewer at the end."""
        with doing("reading a file of a drop", self._place):
            return read_at(self._file, start, count)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Where it stands now. OSError before the beginning, as of any file."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise OSError("before the beginning")
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        """Where it stands."""
        return self._at

    def pieces(self, start: int, count: int) -> Iterator[bytes]:
        """So many bytes from there, in blocks; fewer at the end."""
        while count > 0 and (piece := self.at(start, min(BLOCK, count))):
            yield piece
            start += len(piece)
            count -= len(piece)


class Stream:
    """Bytes that come in order and only once, perhaps unpacked on the way: what a tar is read from.

    Nobody may seek: going back would mean to unpack from the beginning. `member`: whose bytes come,
    for BrokenError; `last`: what was read as a header last.
    """

    def __init__(self, read: Callable[[int], bytes], broken: tuple[type[Exception], ...]) -> None:
        self._read = read
        self._broken = broken
        self._at = 0
        self._headers = 0
        self.member = ""
        self.last = b""

    def read(self, count: int = -1, /) -> bytes:
        """A header, or what follows it. HostileError: they are too long."""
        self._headers += count
        if count < 0 or self._headers > HEADERS:
            raise HostileError(_LONG)
        self.last = b"".join(self.content(count))
        return self.last

    def content(self, count: int) -> Iterator[bytes]:
        """So many bytes, in blocks; fewer at the end, which no header follows then."""
        while count > 0:
            try:
                block = self._read(min(BLOCK, count))
            except self._broken as error:
                raise BrokenError(self.member) from error
            if not block:
                return
            count -= len(block)
            self._at += len(block)
            yield block

    def tell(self) -> int:
        """How many bytes came so far."""
        return self._at

    def begin(self, member: str) -> None:
        """The headers of a member were read."""
        self.member, self._headers = member, 0

    @property
    def is_plain(self) -> bool:
        """Whether the last header stands alone, and none announced it."""
        return self._headers == len(_BLANK)

    def ended(self) -> bool:
        """Whether the last header was the mark of the end, 512 zeros (POSIX.1, pax)."""
        return self.last == _BLANK

    def rest(self) -> Iterator[bytes]:
        """What is left."""
        return self.content(1 << 62)
