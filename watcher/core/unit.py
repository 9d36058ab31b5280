"""A unit: what a transactional drop takes whole or not at all (spec 7)."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from watcher.core.file import Fingerprint, RefusalCode

ARCHIVES: Final = (b".zip", b".tar", b".tar.gz", b".tgz")
"""The endings of archive files, in upper or lower case."""


def is_packed(name: bytes) -> bool:
    """Whether it is an archive file, by its name."""
    return name.lower().endswith(ARCHIVES)


class Kind(StrEnum):
    """What a unit is."""

    FOLDER = "folder"  # a top-level directory of a transactional drop
    FILE = "file"  # a loose DICOM file there
    ARCHIVE = "archive"  # a .zip .tar .tar.gz .tgz in any drop


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit as it was seen when it was complete. Paths are relative to the drop, in bytes."""

    drop: str
    name: bytes  # the directory, or the one file
    kind: Kind
    sources: tuple[tuple[bytes, Fingerprint], ...]  # its files, without markers
    markers: tuple[tuple[bytes, Fingerprint], ...] = ()  # `.complete` files that speak of it


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason why a unit is refused whole."""

    code: RefusalCode
    path: bytes  # of the member within the unit; empty: the unit itself
    text: str  # one sentence
