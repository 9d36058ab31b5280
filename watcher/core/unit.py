"""A unit: what a transactional drop takes whole or not at all (spec 7)."""

from dataclasses import dataclass
from enum import StrEnum

from watcher.core.model import Fingerprint


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
