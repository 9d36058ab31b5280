"""What a DICOMDIR lists: the files of a medium that should come, and where each would lie.

SOP UIDs decide whether a file has come. File IDs are only told: media are copied with other cases
and without the version that ISO 9660 adds (`IM000001;1`).
"""

import re
from typing import Final, NamedTuple

LONGEST: Final = 1024  # bytes of a file's place; a file ID has 8 parts of 8 characters (PS3.10 8.2)

_VERSION: Final = re.compile(rb"\.?(?:;[0-9]{1,5})?\Z")
_UID: Final = re.compile(r"[0-9.]{1,64}")


class Listed(NamedTuple):
    """One file of the list. `file` is its file ID, as parts of a path below the list's folder."""

    study: str
    series: str
    sop: str
    file: tuple[str, ...]


def file_parts(file_id: str) -> tuple[str, ...]:
    r"""The parts of a ReferencedFileID (`DICOM\IM1`); none where it leads out of its folder."""
    parts = tuple(part for part in re.split(r"[\\/]", file_id) if part not in {"", "."})
    outside = ".." in parts or "\0" in file_id or len(file_id.encode()) > LONGEST
    return () if outside else parts


def is_sound(each: Listed) -> bool:
    """Whether it says which file of which study and series it is."""
    return bool(each.file) and all(map(_UID.fullmatch, (each.study, each.series, each.sop)))


def place(folder: bytes, parts: tuple[str, ...]) -> bytes:
    """Where a listed file would lie in the drop, below the folder its list lies in."""
    return b"/".join((*filter(None, [folder]), *(part.encode() for part in parts)))


def plain(path: bytes) -> bytes:
    """A path of a drop with what copies of a medium change left out: case and version."""
    return _VERSION.sub(b"", path.lower(), count=1)
