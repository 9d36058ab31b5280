"""What an archive file may hold, and what refuses it whole (spec 7): names, kinds, counts.

An archive is hostile until it was read to its end. Nothing here trusts a size that it declares.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from typing import Final

from watcher.core.policy import Limits
from watcher.core.unit import ARCHIVES

DEEP: Final = 32  # folders above a member
LONGEST: Final = 255, 4096  # bytes of a part of a name, and of all of it (Linux)
REASONS: Final = 20
HARMLESS: Final = 1 << 20  # bytes: what unpacks to less is no bomb, whatever its ratio
HEAD: Final = 512  # bytes that tell what an archive file or a member is

NOT_ARCHIVE: Final = "It is not an archive: neither zip, nor tar, nor a tar packed with gzip."
_ENDINGS: Final = tuple(ending.decode() for ending in ARCHIVES)
ZIP: Final = (b"PK\3\4", b"PK\5\6", b"PK\7\10")
GZIP: Final = b"\x1f\x8b"
_DICOM: Final = b"DICM"  # at 128


class Sort(StrEnum):
    """What an entry of an archive is."""

    FILE = "file"
    FOLDER = "folder"
    LINK = "link"
    HARD_LINK = "hard-link"
    DEVICE = "device"
    SPARSE = "sparse"
    ENCRYPTED = "encrypted"
    METHOD = "method"
    OTHER = "other"


_REFUSED: Final = {
    Sort.LINK: "It is a symbolic link.",
    Sort.HARD_LINK: "It is a hard link.",
    Sort.DEVICE: "It is a device, a FIFO or a socket.",
    Sort.SPARSE: "It is a sparse file, packed without its holes.",
    Sort.ENCRYPTED: "It is encrypted.",
    Sort.METHOD: "It is packed by a method other than store, deflate, bzip2 and lzma.",
    Sort.OTHER: "It is neither a file nor a folder.",
}
_NESTED: Final = "It is an archive file within the archive file."
_TWICE: Final = "Another member has the same name."
_BOTH: Final = "Its name is that of a file and of a folder as well."


class HostileError(Exception):
    """The archive is refused; reading on is of no use. `member`: which one; empty: all of it."""

    def __init__(self, text: str, member: str = "") -> None:
        super().__init__(text)
        self.text, self.member = text, member


class BrokenError(Exception):
    """It is damaged, or not all here yet. `member`: where; empty: of the whole."""

    def __init__(self, member: str = "") -> None:
        super().__init__(member)
        self.member = member


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as the archive tells of it. `blocks` is its content, to be read at once or not."""

    name: str
    sort: Sort
    mtime: float | None  # seconds of the epoch
    blocks: Iterator[bytes]


@dataclass(frozen=True, slots=True)
class Why:
    """One reason to refuse: a member as the archive names it, or empty; and a sentence."""

    member: str
    text: str


def _parts(name: str) -> list[str]:
    return [part for part in name.split("/") if part not in {"", "."}]


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _is_long(name: str) -> bool:
    part, whole = LONGEST
    return _size(name) > whole or any(_size(each) > part for each in name.split("/"))


_FAULTS: Final[tuple[tuple[Callable[[str], object], str], ...]] = (
    (lambda name: "\0" in name, "Its name has a NUL in it."),
    (lambda name: name.startswith("/"), "Its name is absolute."),
    (lambda name: re.match(r"[A-Za-z]:", name), "Its name begins with a drive letter."),
    (lambda name: "\\" in name, "Its name has a backslash in it."),
    (lambda name: ".." in name.split("/"), "Its name leads out of its folder."),
    (_is_long, "Its name is too long: 255 bytes a part, 4096 in all."),
    (lambda name: len(_parts(name)) > DEEP + 1, f"It lies deeper than {DEEP} folders."),
)


def fault_of(name: str) -> str:
    """What is wrong with the name of an entry, as a sentence; empty: nothing."""
    return next((text for is_so, text in _FAULTS if is_so(name)), "")


def is_dicom(head: bytes) -> bool:
    """Whether a file that begins so is DICOM by its mark, whatever its preamble looks like."""
    return head[128:132] == _DICOM


def is_nested(name: str, head: bytes) -> bool:
    """Whether a member is an archive file by its name, and no DICOM file.

    Not by how it begins: office documents and compressed images are zip or gzip too. What has
    another name is never unpacked, and set aside like anything that is not DICOM.
    """
    return name.lower().endswith(_ENDINGS) and not is_dicom(head)


class Members:
    """The entries of one archive so far, against its limits. `packed`: bytes of the archive file.

    `skips(parts of a path, is_folder)` tells names that are never input. Memory: 16 bytes for each
    name, however long.
    """

    def __init__(
        self, limits: Limits, packed: int, skips: Callable[[Sequence[str], bool], bool]
    ) -> None:
        self._limits = limits
        self._packed = packed
        self._skips = skips
        self._entries = 0
        self._files: set[bytes] = set()
        self._folders: set[bytes] = set()
        self.reasons: list[Why] = []
        self.ignored = 0
        self.bytes = 0

    @property
    def full(self) -> bool:
        """Whether more reasons are of no use."""
        return len(self.reasons) >= REASONS

    def refuse(self, member: str, text: str) -> None:
        """One reason more, while there is room."""
        if not self.full:
            self.reasons.append(Why(member, text))

    def admit(self, name: str, sort: Sort) -> str:
        """The path of an entry, normalised, if it is a file to unpack; else empty.

        HostileError: there are too many.
        """
        self._entries += 1
        if self._entries > self._limits.entries:
            raise HostileError(f"It has more than {self._limits.entries} entries (limits.entries).")
        parts = _parts(name)
        if fault := fault_of(name):
            self.refuse(name, fault)
        elif not parts and sort is not Sort.FOLDER:
            self.refuse(name, "It has no name.")
        elif parts and self._skips(parts, sort is Sort.FOLDER):
            self.ignored += sort is not Sort.FOLDER
        else:
            return self._judged(name, parts, sort)
        return ""

    def _judged(self, name: str, parts: list[str], sort: Sort) -> str:
        """The same for an entry whose name is sound."""
        if text := _REFUSED.get(sort) or self._clash(parts, sort):
            self.refuse(name, text)
            return ""
        return "" if sort is Sort.FOLDER else "/".join(parts)

    def _clash(self, parts: list[str], sort: Sort) -> str:
        """What stands against a path beside those before it; it is one of them from now on."""
        mark, above = _mark(parts), self._above(parts)
        if sort is Sort.FOLDER:
            above.add(mark)
        elif mark in self._files:
            return _TWICE
        elif mark in self._folders:
            return _BOTH
        self._folders |= above
        if not self._files.isdisjoint(above):
            return _BOTH
        if sort is not Sort.FOLDER:
            self._files.add(mark)
        return ""

    def _above(self, parts: list[str]) -> set[bytes]:
        """The folders above a path that were not there before it."""
        found: set[bytes] = set()
        for end in range(len(parts) - 1, 0, -1):
            mark = _mark(parts[:end])
            if mark in self._folders:
                break
            found.add(mark)
        return found

    def looked_at(self, name: str, head: bytes) -> None:
        """A member begins so."""
        if is_nested(name, head):
            self.refuse(name, _NESTED)

    def count(self, size: int) -> None:
        """So many bytes more came out of it. HostileError: they are too many."""
        self.bytes += size
        most, ratio = self._limits.bytes, self._limits.ratio
        if self.bytes > most:
            raise HostileError(f"It holds more than {most} bytes (limits.bytes).")
        if self.bytes > max(HARMLESS, self._packed * ratio):
            raise HostileError(f"It holds more than {ratio} times its own size (limits.ratio).")


def _mark(parts: list[str]) -> bytes:
    """A path in few bytes. Names that look the same are the same (Unicode NFC)."""
    path = unicodedata.normalize("NFC", "/".join(parts))
    return blake2b(path.encode("utf-8", "surrogatepass"), digest_size=16).digest()
