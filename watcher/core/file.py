"""The words of one file on its way in: looked at, read once, or refused and why. All frozen."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeVar, overload

from watcher.core.tags import TAGS, tag_of

T = TypeVar("T")
SHORT = 10  # characters


class Stat(Protocol):
    """What of an `os.stat_result` makes a fingerprint."""

    @property
    def st_dev(self) -> int: ...  # noqa: D102  as os.stat_result
    @property
    def st_ino(self) -> int: ...  # noqa: D102  as os.stat_result
    @property
    def st_size(self) -> int: ...  # noqa: D102  as os.stat_result
    @property
    def st_mtime_ns(self) -> int: ...  # noqa: D102  as os.stat_result
    @property
    def st_ctime_ns(self) -> int: ...  # noqa: D102  as os.stat_result


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A file at one look. Two equal ones, `settle` apart: nobody wrote (spec 5, *Quiet*)."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, stat: Stat) -> "Fingerprint":
        """The fingerprint in a stat result."""
        return cls(stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)

    @property
    def numbers(self) -> list[int]:
        """All of it, in the order in which `Fingerprint(*numbers)` takes it."""
        return [self.device, self.inode, self.size, self.mtime_ns, self.ctime_ns]

    def same_content(self, other: "Fingerprint") -> bool:
        """Whether nothing but links, owner or mode changed (those move only ctime)."""
        return (self.device, self.inode, self.size, self.mtime_ns) == (
            other.device,
            other.inode,
            other.size,
            other.mtime_ns,
        )


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file seen in a drop. `path` is relative to the drop, in the file system's own bytes."""

    drop: str
    path: bytes
    print: Fingerprint

    def __hash__(self) -> int:
        """By its path alone, whose hash Python keeps: it is asked for ten times a file."""
        return hash(self.path)


@dataclass(frozen=True, slots=True)
class Header:
    """What a DICOM file says of itself: text by tag, several values joined by a backslash.

    Absent and empty attributes are both absent from `values`. Text is decoded by the file's own
    SpecificCharacterSet and stripped of DICOM padding.
    """

    values: Mapping[int, str]

    def __getitem__(self, keyword: str) -> str:
        """The text of an attribute of `tags.TAGS`; empty where the file has none."""
        return self.values.get(TAGS[keyword], "")

    @property
    def sop_class(self) -> str:
        """SOPClassUID."""
        return self["SOPClassUID"]

    @property
    def sop_instance(self) -> str:
        """SOPInstanceUID."""
        return self["SOPInstanceUID"]

    @property
    def study(self) -> str:
        """StudyInstanceUID."""
        return self["StudyInstanceUID"]

    @property
    def series(self) -> str:
        """SeriesInstanceUID."""
        return self["SeriesInstanceUID"]


class Alike(Mapping[int, str]):
    """The values of one header of many: those of a `first`, and the `texts` where it differs.

    The files of a series differ in two values of fifty. `at`: where among the texts those of its
    own tags stand, which many have in common too. An empty text: it has none.
    """

    __slots__ = ("_at", "_first", "_texts")

    def __init__(
        self, first: Mapping[int, str], at: Mapping[int, int], texts: tuple[str, ...]
    ) -> None:
        self._first = first
        self._at = at
        self._texts = texts

    @overload
    def get(self, key: int, /) -> str | None: ...
    @overload
    def get(self, key: int, /, default: str | T) -> str | T: ...
    def get(self, key: int, default: object = None) -> object:
        """As of any mapping; a third of the time that one takes."""
        at = self._at.get(key)
        return self._first.get(key, default) if at is None else self._texts[at] or default

    def __getitem__(self, key: int) -> str:
        text = self.get(key)
        if text is None:
            raise KeyError(key)
        return text

    def __iter__(self) -> Iterator[int]:
        return (key for key in {**self._first, **self._at} if key in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Headers:
    """Makes headers of what many files say; those of one series share what is the same."""

    def __init__(self) -> None:
        self._said: dict[str, Mapping[str, str]] = {}  # by series: what its first file says
        self._first: dict[str, Mapping[int, str]] = {}  # the same by tag
        self._at: dict[tuple[str, ...], Mapping[int, int]] = {}  # for the tags of `Alike`
        self._same: dict[str, str] = {}  # numbers: those of one series are those of another

    def header(self, series: str, said: Mapping[str, str]) -> Header:
        """The header that says so: text by tag, eight hexadecimal digits."""
        first = self._said.setdefault(series, said)
        if first is said:
            self._first[series] = {tag_of(tag): text for tag, text in said.items()}
        own = {tag: text for tag, text in said.items() if first.get(tag) != text}
        if not first.keys() <= said.keys():
            own |= dict.fromkeys(sorted(first.keys() - said.keys()), "")
        tags = tuple(own)
        if tags not in self._at:
            self._at[tags] = {tag_of(tag): at for at, tag in enumerate(tags)}
        texts = (
            self._same.setdefault(text, text) if len(text) < SHORT else text
            for text in own.values()
        )
        return Header(Alike(self._first[series], self._at[tags], tuple(texts)))


class RefusalCode(StrEnum):
    """Why a file was not filed at this look."""

    # it waits where it lies
    EMPTY = "empty"
    TORN = "torn"
    BUSY = "busy"  # a writer still has it open
    UNLEASED = "unleased"  # no lease can be had: wants the longer quiet
    HOLLOW = "hollow"  # it has holes: laid out in advance, wants the longest quiet
    CHANGED = "changed"  # it changed while it was read
    GONE = "gone"
    DENIED = "denied"  # the daemon may not read it
    UNIT = "unit"  # the unit it belongs to, or speaks of, is not complete
    # it stays, said once
    NOT_REGULAR = "not-regular"
    DICOMDIR = "dicomdir"
    # it goes to quarantine
    NOT_DICOM = "not-dicom"
    MISSING_UID = "missing-uid"
    BAD_UID = "bad-uid"
    UNREADABLE = "unreadable"
    CRASHED_READER = "crashed-reader"
    OTHER_CLASS = "other-class"
    ARCHIVE_FILE = "archive-file"  # a unit that may not be unpacked, or is refused whole


QUARANTINED = frozenset(
    {
        RefusalCode.NOT_DICOM,
        RefusalCode.MISSING_UID,
        RefusalCode.BAD_UID,
        RefusalCode.UNREADABLE,
        RefusalCode.CRASHED_READER,
        RefusalCode.OTHER_CLASS,
        RefusalCode.ARCHIVE_FILE,
    }
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A file that was not taken: the code, one sentence, and what to do about it."""

    code: RefusalCode
    text: str
    hint: str = ""
    sop: str = ""  # SOPInstanceUID, where the file has a sound one


@dataclass(frozen=True, slots=True)
class Examined:
    """A whole DICOM file, read once.

    `temp` names the copy made while reading (a bare name in the store's incoming folder), or is
    empty where the file may be linked into place.
    """

    print: Fingerprint
    digest: str  # MD5, lower-case hex, of the whole file
    header: Header
    temp: str = ""
