"""The elements of a DICOM file, found where they lie; nothing of them is decoded here."""

from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, NamedTuple, TypeAlias

from watcher.dicom.essence import PIXELS
from watcher.dicom.stream import (
    BIG,
    EXPLICIT,
    IMPLICIT,
    ITEM,
    ITEM_END,
    SEQUENCE_END,
    UNDEFINED,
    Encoding,
    Fetch,
    HostileError,
    Stream,
    TornError,
)
from watcher.dicom.structure import Walk, walk

BLOCK: Final = 1 << 20  # bytes read at a time; a multiple of every width
DEPTH: Final = 32
HEADERS: Final = 1_000_000  # read in one file: nested ones are met at every level

_PADDING: Final = 0xFFFCFFFC
_CODES: Final = {2: "H", 4: "I", 8: "Q"}


class Source(NamedTuple):
    """A file's bytes: `fetch(offset, count)` gives fewer only at the end, which is at `size`."""

    fetch: Fetch
    size: int


def blocks_of(fetch: Fetch, at: int, length: int) -> Iterator[bytes]:
    """So many bytes, a block at a time. Raises TornError where there are fewer."""
    for done in range(0, length, BLOCK):
        count = min(BLOCK, length - done)
        block = fetch(at + done, count)
        if len(block) < count:
            raise TornError("the file became shorter while it was read")
        yield block


@dataclass(frozen=True, slots=True)
class Side:
    """One of the files, and how its data set, or that of an item, is encoded."""

    stream: Stream
    encoding: Encoding
    syntax: str

    def back(self, at: int) -> Stream:
        """The stream, ready to read on from an offset it may have passed: its window moves on."""
        if at < self.stream.base:
            self.stream.base, self.stream.buf = 0, self.stream.data
        return self.stream

    def elements(self, at: int, end: int, *, delimited: bool = False) -> "Elements":
        """The elements up to an offset, or of an item up to its delimiter."""
        found: dict[int, Element] = {}
        while at < end:
            key, vr, length, body = self.back(at).header(at, self.encoding)
            tag = self.encoding.tag(key)
            if delimited and tag == ITEM_END:
                return found
            at = self.stream.step(tag, vr, length, body, encoding=self.encoding, depth=0)
            if tag in found or at > end:
                raise TornError("an element is there twice, or longer than what holds it")
            if tag & 0xFFFF and tag != _PADDING:
                found[tag] = Element(self, tag, vr, body, length, at)
        return found


class Element(NamedTuple):
    """An element where it lies: the offsets of its value and of what follows."""

    side: Side
    tag: int
    vr: bytes  # empty under implicit VR
    at: int
    length: int
    end: int

    @property
    def fragmented(self) -> bool:
        """Whether its value is encapsulated (PS3.5 annex A.4)."""
        return self.length == UNDEFINED and (self.tag in PIXELS or self.vr in {b"OB", b"OW"})

    def blocks(self, width: int = 1) -> Iterator[bytes]:
        """What lies there; words of `width` bytes turned round."""
        blocks = blocks_of(self.side.stream.fetch, self.at, self.end - self.at)
        return blocks if width == 1 else map(partial(_turned, width), blocks)

    def text(self) -> bytes:
        """Its value without padding."""
        return b"".join(self.blocks()).rstrip(b" \0")

    def items(self, depth: int) -> Iterator["Elements"]:
        """Its items; those in UN have implicit VR (PS3.5 6.2.2, note 4)."""
        if depth > DEPTH:
            raise HostileError("its sequences are nested deeper than the limit")
        side = replace(self.side, encoding=IMPLICIT) if self.vr == b"UN" else self.side
        for at, length in self.parts(side.encoding):
            delimited = length == UNDEFINED
            end = self.end if delimited else at + length
            yield side.elements(at, end, delimited=delimited)

    def parts(self, encoding: Encoding) -> Iterator[tuple[int, int]]:
        """Offset and length of each item or fragment."""
        side, at = self.side, self.at
        while at < self.end:
            key, _vr, length, at = side.back(at).header(at, encoding)
            tag = encoding.tag(key)
            if tag == SEQUENCE_END and at == self.end:
                return
            if tag != ITEM or (length != UNDEFINED and at + length > self.end):
                raise TornError("a sequence holds something else than whole items")
            yield at, length
            at = at + length if length != UNDEFINED else side.back(at).item(at, encoding, 1)


Elements: TypeAlias = Mapping[int, Element]


def elements(source: Source) -> Elements:
    """The top-level elements of a file, but group lengths and trailing padding.

    Raises TornError or HostileError where it is not whole or beyond the limits.
    """
    found = walk(source.fetch, source.size, frozenset(), depth=DEPTH)
    if found.hostile:
        raise HostileError(found.hostile)
    if not is_sound(found):
        raise TornError(found.torn)
    encoding = IMPLICIT if found.implicit else EXPLICIT if found.little_endian else BIG
    stream = Stream(source.fetch, source.size, DEPTH, HEADERS)
    side = Side(stream, encoding, found.transfer_syntax)
    return side.elements(found.start, source.size)


def is_sound(found: Walk) -> bool:
    """Whether what was walked is DICOM, whole and harmless."""
    return found.is_dicom and not found.torn and not found.hostile


def _turned(width: int, block: bytes) -> bytes:
    words = array(_CODES[width], block)
    words.byteswap()
    return words.tobytes()
