"""What a DICOM file says of itself: the gathered raw bytes, decoded; and whether it is ours.

pydicom gives the character sets and the dictionary, where a file needs them: it takes a tenth of a
second to import, and most files say their VRs, in ASCII. `Any` and its warnings (which show values)
end here. ASCII bytes mean the same in every character set of PS3.3 C.12.1.1.2.
"""

import codecs
import logging
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from functools import lru_cache
from struct import Struct
from types import MappingProxyType
from typing import Final

from watcher.core.file import Header, Refusal, RefusalCode
from watcher.core.tags import KEYWORDS
from watcher.dicom.structure import Raw, Walk

SHORT: Final = 256  # bytes; of a value that is worth remembering

_CHARACTER_SET: Final = 0x00080005
_NO_CHARACTER_SET: Final = Raw("CS", b"")
_DIRECTORY_RECORDS: Final = 0x00041220
_MEDIA_CLASS: Final = 0x00020002
_MEDIA_DIRECTORY: Final = "1.2.840.10008.1.3.10"
_UIDS: Final = (0x00080016, 0x00080018, 0x0020000D, 0x0020000E)
_UID: Final = re.compile(r"[0-9.]{1,64}")

# Which VRs the character set governs, and what resets it inside a value (PS3.5 6.1.2.5.3).
_TEXT: Final = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
_LEADING: Final = frozenset({"LT", "ST", "UC", "UR", "UT"})  # leading spaces mean something
_SINGLE: Final = frozenset({"LT", "ST", "UR", "UT"})  # a backslash is text
_PLAIN: Final = frozenset({"AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI", "UR"})
_TERM: Final = re.compile(r"[A-Za-z0-9_ .:-]{0,32}")
_OTHERS: Final = ("ascii", *(f"cp125{number}" for number in range(9)))
_LINES: Final = {0x0A, 0x0C, 0x0D, 0x09}
_NAME: Final = {0x5E}
_NUMBERS: Final[Mapping[str, str]] = MappingProxyType(
    {"US": "H", "SS": "h", "UL": "I", "SL": "i", "UV": "Q", "SV": "q", "FL": "f", "FD": "d"}
)


def header_of(walk: Walk) -> tuple[Header, tuple[int, ...]]:
    """What the file says of itself, and the tags of which the value can't be read.

    Group 0002 is left out: it speaks of the file, not of the data set.
    """
    character_set = walk.raw.get(_CHARACTER_SET, _NO_CHARACTER_SET).value
    order = "<" if walk.little_endian else ">"
    values: dict[int, str] = {}
    unread: list[int] = []
    for tag, raw in walk.raw.items():
        if tag >> 16 == 0x0002 or raw.vr == "SQ":
            continue
        known = len(raw.value) + len(character_set) <= SHORT
        text = (_known if known else _value)(tag, raw, character_set, order)
        if text is None:
            unread.append(tag)
        elif text:
            values[tag] = text
    return Header(values), tuple(unread)


def _value(tag: int, raw: Raw, character_set: bytes, order: str) -> str | None:
    vr = raw.vr if raw.vr not in {None, "UN"} else _dictionary(tag)
    if vr in _PLAIN:
        return _stripped(vr, raw.value.decode("latin-1"))
    if vr in _TEXT:
        return _stripped(vr, _decoded(vr, raw.value, character_set))
    return _numbers(vr, raw.value, order)


# the files of a series say the same in all but a few of their values
_known: Final = lru_cache(maxsize=4096)(_value)


def _dictionary(tag: int) -> str:
    """The VR of PS3.6; UN for a private tag. `US or SS` is read as the first."""
    from pydicom.datadict import dictionary_VR  # noqa: PLC0415  see above

    try:
        return dictionary_VR(tag)[:2]
    except KeyError:
        return "UN"


def _stripped(vr: str, text: str) -> str:
    """Text without padding (PS3.5 table 6.2-1: which spaces mean nothing)."""
    if vr in _SINGLE:
        return text.rstrip(" \0")
    if vr in _LEADING:
        return "\\".join(part.rstrip(" \0") for part in text.split("\\"))
    end = " \0=" if vr == "PN" else " \0"  # empty component groups at the end (PS3.5 6.2.1.2)
    return "\\".join(part.lstrip(" \0").rstrip(end) for part in text.split("\\"))


def _numbers(vr: str, value: bytes, order: str) -> str | None:
    """Binary numbers as plain decimal text; None for other VRs and broken lengths."""
    if vr not in _NUMBERS:
        return None
    struct = Struct(order + _NUMBERS[vr])
    if len(value) % struct.size:
        return None
    return "\\".join(_plain(number) for (number,) in struct.iter_unpack(value))


def _plain(number: float) -> str:
    return format(Decimal(repr(number)), "f").removesuffix(".0")


def _decoded(vr: str, value: bytes, character_set: bytes) -> str:
    """Bytes to text by the file's own character sets."""
    if value.isascii() and b"\x1b" not in value:
        return value.decode("ascii")
    with _silence():
        from pydicom.charset import convert_encodings, decode_bytes  # noqa: PLC0415  see above

        encodings = convert_encodings(_terms(character_set))
        if vr == "PN":
            groups = (decode_bytes(part, encodings, _NAME) for part in value.split(b"="))
            return "=".join(groups)
        return decode_bytes(value, encodings, _LINES)


@contextmanager
def _silence() -> Iterator[None]:
    """Neither warnings nor log lines of pydicom leave here: they show values."""
    logger = logging.getLogger("pydicom")
    before, logger.disabled = logger.disabled, True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = before


def _terms(character_set: bytes) -> list[str]:
    terms = character_set.decode("latin-1").strip(" \0").split("\\")
    return [term if _is_text(term) else "" for term in (term.strip(" \0") for term in terms)]


@lru_cache(maxsize=64)
def _is_text(term: str) -> bool:
    """Whether pydicom may look for a character set under this name.

    What PS3.3 C.12.1.1.2 does not define it takes for one of Python's codecs, as files in the wild
    mean it that say `utf-8`; but among those are `zip`, `punycode` and `unicode_escape`.
    """
    from pydicom.charset import python_encoding  # noqa: PLC0415  see above

    if not _TERM.fullmatch(term):
        return False
    try:
        name = codecs.lookup(term).name
    except LookupError:
        return True  # a term of DICOM's, or none: pydicom mends it, or takes the default
    return name in {codecs.lookup(each).name for each in (*python_encoding.values(), *_OTHERS)}


def judge(walk: Walk, header: Header, *, filed: bool = False) -> Refusal | None:
    """Why a walked file is not to be filed, or None. Texts name tags, never values (spec 5).

    filed: it was filed before, so nothing more is asked of its kind.
    """
    if not walk.is_dicom:
        return Refusal(RefusalCode.NOT_DICOM, "It is not a DICOM file.")
    if _is_directory(walk, header):
        return Refusal(RefusalCode.DICOMDIR, "It is a DICOMDIR: a list of files, not an image.")
    if walk.hostile:
        return Refusal(RefusalCode.UNREADABLE, f"It can't be read safely: {walk.hostile}.")
    if torn := walk.torn or ("" if filed else walk.lacking):
        hint = "Wait for the transfer to end, or copy the file again."
        return Refusal(RefusalCode.TORN, f"It is not whole: {torn}.", hint)
    return _uids(header)


def _is_directory(walk: Walk, header: Header) -> bool:
    media = walk.raw.get(_MEDIA_CLASS, Raw(None, b"")).value.decode("latin-1").strip(" \0")
    return _MEDIA_DIRECTORY in {media, header.sop_class} or _DIRECTORY_RECORDS in walk.raw


def _uids(header: Header) -> Refusal | None:
    """The four UIDs a filed file must have, and their form."""
    sop = header.sop_instance if _UID.fullmatch(header.sop_instance) else ""
    missing = [KEYWORDS[tag] for tag in _UIDS if tag not in header.values]
    if missing:
        hint = "Send it again from where it was made, with its UIDs."
        return Refusal(RefusalCode.MISSING_UID, f"It has no {', '.join(missing)}.", hint, sop)
    bad = [KEYWORDS[tag] for tag in _UIDS if not _UID.fullmatch(header.values[tag])]
    if bad:
        hint = "A UID has digits and dots only, at most 64 characters."
        return Refusal(RefusalCode.BAD_UID, f"Not a UID: {', '.join(bad)}.", hint, sop)
    return None
