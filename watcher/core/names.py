"""Keys to parts of a path: the only maker of file names.

Names follow XNAT (its file name template and hash, its timestamps, its catalog names), so that an
XNAT and this archive call a file alike. What goes in is hostile; what comes out is ASCII, holds no
slash, is never empty, never `.` or `..`.
"""

import hashlib
import re
import unicodedata
from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from watcher.core.file import Header

LABEL_LENGTH: Final = 64
FOLDERS: Final = ("DICOM", "secondary")  # a scan's resources whose files are instances
NAME_LENGTH: Final = 255  # bytes; NAME_MAX of every file system we write to
DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"

_NOT_LABEL: Final = re.compile(r"[^A-Za-z0-9_-]")
_NOT_NAME: Final = re.compile(r"[^A-Za-z0-9_.-]")
_SCAN_NUMBER: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}")
_LABEL: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TIMESTAMP: Final = re.compile(r"[0-9]{8}_[0-9]{6}(?:[0-9]{3})?")
# Vowel signs and accents are parts of letters; a lone surrogate is a byte of a name that is not
# UTF-8, and may have been one.
_PARTS_OF_LETTERS: Final = frozenset({"Mn", "Mc", "Cs"})


def label(raw: str, taken: Collection[str] = ()) -> str:
    """A label of XNAT's alphabet, `[A-Za-z0-9_-]{1,64}`, made from any text.

    Other characters become `_`, as in XNAT. Where that, a cut, or a file system that ignores case
    could make one label of two, `-` and six hex digits of the original's SHA-256 are added.
    `taken` are the labels it must not be confused with; its own text among them is itself.
    """
    if not taken and _LABEL.fullmatch(raw):
        return raw
    text = _NOT_LABEL.sub("_", raw) or "_"
    lossy = len(text) > LABEL_LENGTH or _loses_letters(raw)
    if not lossy and (text in taken or text.lower() not in {name.lower() for name in taken}):
        return text
    mark = hashlib.sha256(raw.encode("utf-8", "surrogatepass")).hexdigest()[:6]
    return f"{text[: LABEL_LENGTH - 7]}-{mark}"


def _loses_letters(raw: str) -> bool:
    return not raw.isascii() and any(map(_is_letter, raw))


def _is_letter(char: str) -> bool:
    if char.isascii():
        return False
    return char.isalnum() or unicodedata.category(char) in _PARTS_OF_LETTERS


def file_name(header: Header) -> str:
    """The name of a filed instance: XNAT's default template, with `.dcm`, at most 255 bytes.

    `${StudyInstanceUID}-${SeriesNumber}-${InstanceNumber}-${HashSOPClassUIDWithSOPInstanceUID}`
    (XNAT, preference `dicomFileNameTemplate`). Only 32 bits tell instances apart: two may share
    a name, and the second is given a `suffixed` one.
    """
    keywords = ("StudyInstanceUID", "SeriesNumber", "InstanceNumber")
    stem = "-".join(header[word].strip() or f"no-value-for-{word}" for word in keywords)
    tail = f"-{_base36(_java_list_hash(header.sop_class, header.sop_instance))}.dcm"
    return _NOT_NAME.sub("_", stem).lstrip(".")[: NAME_LENGTH - len(tail)] + tail


def suffixed(name: str, digest: str) -> str:
    """The name for other content where `name` (of `file_name`) is taken: `X-<8 of digest>.dcm`."""
    tail = f"-{digest[:8]}.dcm"
    stem = name.removesuffix(".dcm")
    return stem[: NAME_LENGTH - len(tail)] + tail


def spare(name: str, digest: str) -> Iterator[str]:
    """The names a file may have, in order: its own, the suffixed one, then others made from it."""
    yield name
    while True:
        yield suffixed(name, digest)
        digest = hashlib.sha256(digest.encode()).hexdigest()


def scan_folder(header: Header) -> str:
    """The folder of an instance's scan before the build: its SeriesNumber, else its series UID.

    XNAT's rule, except that a number may not start with a dot. `NA` where both are missing.
    """
    number = header["SeriesNumber"]
    if _SCAN_NUMBER.fullmatch(number):
        return number
    return label(header.series or "NA")


def catalog_name(scan_id: str, folder: Literal["DICOM", "secondary"]) -> str:
    """The name of the catalog in a scan's resource, as XNAT's builder gives it."""
    middle = "" if folder == "DICOM" else "_secondary"
    return f"scan_{scan_id}{middle}_catalog.xml"


def catalog_path(scan_id: str, folder: Literal["DICOM", "secondary"]) -> str:
    """Where that catalog lies, relative to the session's folder: beside the files it lists."""
    return f"SCANS/{scan_id}/{folder}/{catalog_name(scan_id, folder)}"


def experiment_id(project: str, session_label: str) -> str:
    """The experiment `ID`: `W_E` and 12 hex of SHA-256 over `project/label` in UTF-8.

    Neither part can hold a slash, so no two pairs give one text.
    """
    pair = f"{project}/{session_label}"
    return "W_E" + hashlib.sha256(pair.encode()).hexdigest()[:12]


def timestamp(moment: datetime) -> str:
    """A session id, `yyyyMMdd_HHmmssSSS`, of a moment in the zone it carries (XNAT: local)."""
    return f"{moment:%Y%m%d_%H%M%S}{moment.microsecond // 1000:03d}"


def next_timestamp(text: str) -> str:
    """The session id one millisecond later, for making one unique."""
    # The zone only makes the sum well-defined: session ids are compared as text.
    moment = datetime.strptime(text, "%Y%m%d_%H%M%S%f").replace(tzinfo=UTC)
    return timestamp(moment + timedelta(milliseconds=1))


def is_timestamp(text: str) -> bool:
    """Whether a name has the shape of a session id (XNAT's 18 characters, or its older 15)."""
    return _TIMESTAMP.fullmatch(text) is not None


def is_moment(text: str) -> bool:
    """Whether a name that somebody gave may be a session id: of its shape, and a true moment."""
    if not is_timestamp(text):
        return False
    try:
        datetime.strptime(text[:15], "%Y%m%d_%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return False
    return True


def is_label(text: str) -> bool:
    """Whether a text is of XNAT's alphabet, as every project, subject and session label is."""
    return _LABEL.fullmatch(text) is not None


def is_part(text: str) -> bool:
    """Whether a text names something in a folder: one part of a path that leads nowhere else."""
    return text not in {"", ".", ".."} and "/" not in text and "\0" not in text


def _java_string_hash(text: str) -> int:
    """`String.hashCode` of Java, over UTF-16 units, unsigned."""
    units = memoryview(text.encode("utf-16-le", "surrogatepass"))
    value = 0
    for at in range(0, len(units), 2):
        value = (31 * value + units[at] + 256 * units[at + 1]) & 0xFFFFFFFF
    return value


def _java_list_hash(*texts: str) -> int:
    """`List.hashCode` of Java over strings, unsigned."""
    value = 1
    for text in texts:
        value = (31 * value + _java_string_hash(text)) & 0xFFFFFFFF
    return value


def _base36(number: int) -> str:
    digits = ""
    while number >= 36:
        number, digit = divmod(number, 36)
        digits = DIGITS[digit] + digits
    return DIGITS[number] + digits
