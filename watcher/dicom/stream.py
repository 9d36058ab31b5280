"""A bounded walk over the element headers of a DICOM stream (PS3.5 section 7).

What has a defined length is stepped over, not entered; the raw bytes of wanted top-level
elements are kept on the way. `structure.py` says what it means.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from struct import Struct
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias

from watcher.dicom.essence import ESSENTIAL, PIXELS

Buffer: TypeAlias = bytes | bytearray
Fetch: TypeAlias = Callable[[int, int], bytes]  # (offset, count) -> bytes, fewer at the end

UNDEFINED: Final = 0xFFFFFFFF
WINDOW: Final = 64 * 1024  # bytes fetched at a time from a file that is not in memory
LONGEST: Final = 64 * 1024  # bytes; a longer value is no header text and is not gathered
FRAGMENTS: Final = 2_000_000  # a whole-slide image has a tenth of it

ITEM: Final = 0xFFFEE000
ITEM_END: Final = 0xFFFEE00D
SEQUENCE_END: Final = 0xFFFEE0DD
# What the rules here and in header.judge read: SOP class, directory records, image geometry.
OWN: Final = ESSENTIAL | {
    *(0x00041220, 0x00080016, 0x00280002, 0x00280004, 0x00280008, 0x00280010, 0x00280011),
    0x00280100,
}
_SHORT: Final = frozenset(
    b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split()
)  # PS3.5 table 7.1-2: a length of 16 bits; every other VR has 32
_LONG: Final = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_NAMES: Final = {vr: vr.decode() for vr in _SHORT | _LONG}


class Raw(NamedTuple):
    """An attribute as it stands in the file. `vr` is None under implicit VR, or if unknown."""

    vr: str | None
    value: bytes


class TornError(Exception):
    """Bytes are missing, or make no element."""


class HostileError(Exception):
    """A limit is exceeded."""


class Encoding(NamedTuple):
    """How element headers are written."""

    implicit: bool
    little: bool
    head: Struct
    pair: Struct  # tag and 32-bit length: items, implicit VR
    length: Struct

    def tag(self, key: int) -> int:
        """A tag from the integer its four bytes make; the halves of a little-endian one swap."""
        return (key & 0xFFFF) << 16 | key >> 16 if self.little else key


def _encoding(order: str, *, implicit: bool) -> Encoding:
    pair = Struct(order + "II")
    head = pair if implicit else Struct(order + "I2sH")
    return Encoding(implicit, order == "<", head, pair, Struct(order + "I"))


def is_vr(two: bytes) -> bool:
    """Whether two bytes look like a VR."""
    return len(two) == 2 and 0x41 <= two[0] <= 0x5A and 0x41 <= two[1] <= 0x5A


IMPLICIT: Final = _encoding("<", implicit=True)
EXPLICIT: Final = _encoding("<", implicit=False)
BIG: Final = _encoding(">", implicit=False)
_NONE: Final[Mapping[int, int]] = MappingProxyType({})
_STOPS: Final = frozenset({0, 0xE000FFFE, 0xE00DFFFE, 0xE0DDFFFE})  # keys of implicit VR


@lru_cache(maxsize=16)
def keys(wanted: frozenset[int], encoding: Encoding) -> Mapping[int, int]:
    """What to look out for in a data set of that encoding: key -> tag."""
    return {encoding.tag(tag): tag for tag in wanted | OWN}


def _reader(data: Buffer) -> Fetch:
    if isinstance(data, bytes):
        return lambda at, count: data[at : at + count]
    return lambda at, count: bytes(data[at : at + count])


class Stream:
    """A window on the bytes, and what was found. `at` is always an offset in the whole stream."""

    __slots__ = ("base", "buf", "data", "depth", "ends", "fetch", "left", "limit", "raw", "size")

    def __init__(self, data: Buffer | Fetch, size: int, depth: int, limit: int) -> None:
        self.size, self.depth, self.limit = size, depth, limit
        self.data: Buffer = b"" if callable(data) else data
        self.fetch: Fetch = data if callable(data) else _reader(data)
        self.reset({})

    def reset(self, raw: Mapping[int, Raw]) -> None:
        """Back to the beginning; what was found is forgotten, `raw` is kept."""
        self.base, self.buf = 0, self.data
        self.raw = dict(raw)
        self.ends: dict[int, int] = {}  # length of each element of ESSENTIAL
        self.left = self.limit

    def need(self, at: int, count: int) -> int:
        """Offset of `at` in the window, which then holds `count` bytes from there."""
        if at + count > self.size:
            raise TornError("the file ends inside an element header")
        if at + count > self.base + len(self.buf):
            self.base, self.buf = at, self.fetch(at, WINDOW)
            if len(self.buf) < count:
                raise TornError("the file became shorter while it was read")
        return at - self.base

    def note(self, tag: int, vr: bytes, at: int, length: int) -> None:
        """Keep a wanted element."""
        if tag in ESSENTIAL:
            self.ends[tag] = length
        elif vr == b"SQ" or tag == 0x00041220:
            self.raw[tag] = Raw("SQ", b"")
        elif length <= LONGEST:
            self.raw[tag] = Raw(_NAMES.get(vr), self.fetch(at, length))

    def elements(self, at: int, encoding: Encoding, wanted: Mapping[int, int], depth: int) -> int:
        """Step over elements to the end of the stream or of the item; gives the offset after."""
        plain = self._plain_implicit if encoding.implicit else self._plain_explicit
        while at < self.size:
            at = plain(at, encoding, wanted)
            if at >= self.size:
                break
            key, vr, length, body = self.header(at, encoding)
            tag = encoding.tag(key)
            if tag == ITEM_END and depth:
                return body
            if key in wanted:
                self.note(tag, vr, body, length)
            at = self.step(tag, vr, length, body, encoding=encoding, depth=depth)
        if at > self.size:
            raise TornError("an element is longer than what is left of the file")
        if depth:
            raise TornError("an item has no delimiter")
        return at

    def _plain_explicit(self, at: int, encoding: Encoding, wanted: Mapping[int, int]) -> int:
        """The fast way over elements of known VR and length; stops at the first other."""
        buf, base, short, long = self.buf, self.base, _SHORT, _LONG
        unpack, count = encoding.head.unpack_from, encoding.length.unpack_from
        last, left = base + len(buf) - 12, self.left
        while at <= last and left > 0:
            key, vr, length = unpack(buf, at - base)
            at += 8
            if vr not in short:
                (length,) = count(buf, at - base)
                if vr not in long or length == UNDEFINED:
                    at -= 8
                    break
                at += 4
            if key in wanted:
                self.note(wanted[key], vr, at, length)
            at += length
            left -= 1
        self.left = left
        return at

    def _plain_implicit(self, at: int, encoding: Encoding, wanted: Mapping[int, int]) -> int:
        """The fast way over implicit elements; stops at items, zeros and undefined lengths."""
        buf, base, unpack = self.buf, self.base, encoding.pair.unpack_from
        last, left = base + len(buf) - 8, self.left
        while at <= last and left > 0:
            key, length = unpack(buf, at - base)
            if length == UNDEFINED or key in _STOPS:
                break
            if key in wanted:
                self.note(wanted[key], b"", at + 8, length)
            at += 8 + length
            left -= 1
        self.left = left
        return at

    def header(self, at: int, encoding: Encoding) -> tuple[int, bytes, int, int]:
        """Any element header: key, VR, length, offset of the value."""
        self.left -= 1
        if self.left < 0:
            raise HostileError("it has more elements than the limit")
        first = self.need(at, 8)
        key, length = encoding.pair.unpack_from(self.buf, first)
        if encoding.implicit or encoding.tag(key) >> 16 == 0xFFFE:
            return key, b"", length, at + 8
        vr = bytes(self.buf[first + 4 : first + 6])
        if vr in _SHORT:
            return key, vr, encoding.head.unpack_from(self.buf, first)[2], at + 8
        if not is_vr(vr):
            raise TornError("bytes that make no element header follow")
        first = self.need(at, 12)  # may move the window
        (length,) = encoding.length.unpack_from(self.buf, first + 8)
        return key, vr, length, at + 12

    def step(
        self, tag: int, vr: bytes, length: int, body: int, *, encoding: Encoding, depth: int
    ) -> int:
        """Offset after one element, of which the header was read."""
        if tag == 0:  # a file laid out in advance and not yet filled
            raise TornError("zeros follow the last element")
        if length != UNDEFINED:
            return body + length
        if tag in PIXELS or vr in {b"OB", b"OW"}:
            return self.fragments(body, encoding)
        return self.items(body, encoding, depth + 1)

    def items(self, at: int, encoding: Encoding, depth: int) -> int:
        """Offset after a sequence of undefined length (PS3.5 section 7.5)."""
        if depth > self.depth:
            raise HostileError("its sequences are nested deeper than the limit")
        while True:
            key, _vr, length, at = self.header(at, encoding)
            tag = encoding.tag(key)
            if tag == SEQUENCE_END:
                return at
            if tag != ITEM:
                raise TornError("a sequence has no delimiter")
            at = at + length if length != UNDEFINED else self.item(at, encoding, depth)

    def item(self, at: int, encoding: Encoding, depth: int) -> int:
        """Offset after an item of undefined length; in UN it is implicit (PS3.5 6.2.2, note 4)."""
        if not encoding.implicit:
            first = self.need(at, 8)
            delimited = encoding.tag(encoding.length.unpack_from(self.buf, first)[0]) >> 16
            if delimited != 0xFFFE and not is_vr(bytes(self.buf[first + 4 : first + 6])):
                encoding = IMPLICIT
        return self.elements(at, encoding, _NONE, depth)

    def fragments(self, at: int, encoding: Encoding) -> int:
        """Offset after encapsulated pixel data (PS3.5 annex A.4)."""
        unpack = encoding.pair.unpack_from
        for _ in range(FRAGMENTS):
            first = self.need(at, 8)  # may move the window
            key, length = unpack(self.buf, first)
            tag = encoding.tag(key)
            if tag == SEQUENCE_END:
                return at + 8
            if tag != ITEM or length == UNDEFINED:
                raise TornError("encapsulated pixel data has no delimiter")
            at += 8 + length
        raise HostileError("its pixel data has more fragments than the limit")
