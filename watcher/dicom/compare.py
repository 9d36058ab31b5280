"""Whether two DICOM files say the same, element by element, and where they differ.

Preamble and group 0002 speak of the file and are left aside (PS3.10 section 7.1). So are group
lengths and trailing padding, which a writer works out anew (PS3.5 section 7.2, annex A.5), the
padding of text, and the byte order. Tags are told, values never.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, zip_longest
from typing import Final

from watcher.dicom.elements import (
    Element,
    Elements,
    Source,
    blocks_of,
    elements,
    is_sound,
)
from watcher.dicom.essence import PIXELS
from watcher.dicom.stream import LONGEST, UNDEFINED, HostileError, TornError
from watcher.dicom.structure import Walk, preface

__all__ = ["Compared", "Source", "compare"]

MOST: Final = 20  # tags told

# Of these the pixels are stored plainly, in the byte order of the data set.
_NATIVE: Final = frozenset({"", "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"})
_UNKNOWN: Final = frozenset({b"", b"UN"})
_TEXT: Final = frozenset(b"AE AS CS DA DS DT IS LO LT PN SH ST TM UC UI UR UT".split())
_WIDTHS: Final[Mapping[bytes, int]] = {
    **dict.fromkeys(b"AT OW SS US".split(), 2),
    **dict.fromkeys(b"FL OF OL SL UL".split(), 4),
    **dict.fromkeys(b"FD OD OV SV UV".split(), 8),
}
# VRs under which the same bytes are the same value; SQ, and each of a width, is only like itself.
_ALIKE: Final = (_TEXT, {b"OB", b"OW"}, {b"SQ"}, *({vr} for vr in _WIDTHS))


@dataclass(frozen=True, slots=True)
class Compared:
    """What two data sets have in common; None where it can't be told.

    `tags` are the top-level elements that differ, by keyword or as `(gggg,eeee)`: sorted, at most
    twenty. A sequence is one element. `same_pixels` is None also where neither has pixels. `text`
    says which limit was passed, if one was.
    """

    same: bool | None
    same_pixels: bool | None = None
    tags: tuple[str, ...] = ()
    text: str = ""


UNTOLD: Final = Compared(None)


def compare(one: Source, other: Source) -> Compared:
    """Whether two files hold the same data set.

    It can't be told of what is no DICOM, torn, beyond the limits of `structure.walk`, deflated to
    other bytes, or compressed in another way. An error of `fetch` passes through.
    """
    heads = [preface(source.fetch, source.size) for source in (one, other)]
    if not all(map(is_sound, heads)):
        return Compared(None, text=next((head.hostile for head in heads if head.hostile), ""))
    try:
        if any(head.deflated for head in heads):
            return Compared(True) if _same_rest((one, heads[0]), (other, heads[1])) else UNTOLD
        return _compared(elements(one), elements(other))
    except TornError:
        return UNTOLD
    except HostileError as error:
        return Compared(None, text=str(error))


def _same_rest(*files: tuple[Source, Walk]) -> bool:
    """Whether all that follows group 0002 is the same, in the same transfer syntax."""
    syntaxes = {head.transfer_syntax for _, head in files}
    rests = (blocks_of(file.fetch, head.start, file.size - head.start) for file, head in files)
    return len(syntaxes) == 1 and _equal(*rests)


def _equal(one: Iterator[bytes], other: Iterator[bytes]) -> bool:
    return all(block == block2 for block, block2 in zip_longest(one, other))


def _compared(one: Elements, other: Elements) -> Compared:
    verdicts = _verdicts(one, other, 0)
    differing = {_name(tag) for tag, same in verdicts.items() if same is False}
    pixels = [same for tag, same in verdicts.items() if tag in PIXELS]
    return Compared(
        same=_all(verdicts.values()),
        same_pixels=_all(pixels) if pixels else None,
        tags=tuple(sorted(differing)[:MOST]),
    )


def _verdicts(one: Elements, other: Elements, depth: int) -> dict[int, bool | None]:
    """Of each element of either side whether both have it and say the same."""
    verdicts: dict[int, bool | None] = dict.fromkeys(one.keys() ^ other.keys(), False)
    for tag in one.keys() & other.keys():
        verdicts[tag] = _same(one[tag], other[tag], depth)
    return verdicts


def _all(verdicts: Iterable[bool | None]) -> bool | None:
    """False outweighs None, and None True."""
    found = set(verdicts)
    return False if False in found else None if None in found else True


def _name(tag: int) -> str:
    from pydicom.datadict import keyword_for_tag  # noqa: PLC0415  as in `header`

    return keyword_for_tag(tag) or f"({tag >> 16:04x},{tag & 0xFFFF:04x})"


def _same(one: Element, other: Element, depth: int) -> bool | None:
    """Whether two elements of one tag say the same."""
    if one.tag in PIXELS and not _same_storage(one, other):
        return None
    if _same_bytes(one, other):
        return True
    if one.fragmented or other.fragmented:
        return _same_fragments(one, other)
    if not any({one.vr, other.vr} - _UNKNOWN <= alike for alike in _ALIKE):
        return None
    vr = _vr(one, other)
    if vr == b"SQ" or UNDEFINED in {one.length, other.length}:
        return _same_items(one, other, depth)
    return _same_values(one, other, vr)


def _same_storage(one: Element, other: Element) -> bool:
    """Whether pixels are stored in the same way, byte order aside."""
    syntaxes = {one.side.syntax, other.side.syntax}
    return len(syntaxes) == 1 or syntaxes <= _NATIVE


def _same_bytes(one: Element, other: Element) -> bool:
    """Whether it need not be looked into: the same bytes, and they mean the same."""
    alike = one.side.encoding == other.side.encoding and one.vr == other.vr
    return (
        alike and one.end - one.at == other.end - other.at and _equal(one.blocks(), other.blocks())
    )


def _same_fragments(one: Element, other: Element) -> bool | None:
    """Whether the fragments are the same; the offset table before them may not be."""
    if not (one.fragmented and other.fragmented):
        return None
    parts = (islice(each.parts(each.side.encoding), 1, None) for each in (one, other))
    for part, part2 in zip_longest(*parts, fillvalue=(0, -1)):
        blocks = blocks_of(one.side.stream.fetch, *part)
        if part[1] != part2[1] or not _equal(blocks, blocks_of(other.side.stream.fetch, *part2)):
            return False
    return True


def _same_items(one: Element, other: Element, depth: int) -> bool | None:
    """Whether two sequences have the same items; None where one can't be read as a sequence."""
    try:
        items = zip_longest(one.items(depth + 1), other.items(depth + 1))
        return _all(
            _all(_verdicts(item, item2, depth + 1).values())
            if item is not None and item2 is not None
            else False
            for item, item2 in items
        )
    except TornError:
        return None


def _vr(one: Element, other: Element) -> bytes:
    """The VR as either says, else as the dictionary does; `US or SS` is read as the first."""
    from pydicom.datadict import dictionary_has_tag, dictionary_VR  # noqa: PLC0415  as in `header`

    said = [each.vr for each in (one, other) if each.vr not in _UNKNOWN]
    if said or not dictionary_has_tag(one.tag):
        return said[0] if said else b""
    return dictionary_VR(one.tag)[:2].encode()


def _same_values(one: Element, other: Element, vr: bytes) -> bool | None:
    if vr in _TEXT and max(one.length, other.length) <= LONGEST:
        return one.text() == other.text()
    if one.length != other.length:
        return False
    if one.side.encoding.little == other.side.encoding.little:
        return _equal(one.blocks(), other.blocks())
    little, big = (one, other) if one.side.encoding.little else (other, one)
    width = _WIDTHS.get(big.vr, 1)
    same = one.length % width == 0 and _equal(little.blocks(), big.blocks(width))
    return same or (None if big.vr == b"UN" else False)
