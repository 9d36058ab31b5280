"""The words: the values that travel between floors. All frozen, none knows a clock or a disk."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, Protocol

from watcher.core.tags import TAGS

UNASSIGNED = "Unassigned"


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


@dataclass(frozen=True, slots=True)
class SessionKey:
    """What files must share to lie in one prearchive session (spec 6, *Find or create*)."""

    project: str | None  # None: Unassigned
    study: str
    label: str


@dataclass(frozen=True, slots=True)
class Identity:
    """Where a file belongs, and which rule said so (`origins`: project, subject, session, AA)."""

    key: SessionKey
    subject: str
    auto_archive: bool | None
    origins: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file lies inside its session: `SCANS/<scan>/<folder>/<name>`."""

    scan: str
    folder: Literal["DICOM", "secondary"]
    name: str

    @property
    def path(self) -> str:
        """Relative to the session's folder, with forward slashes."""
        return f"SCANS/{self.scan}/{self.folder}/{self.name}"


@dataclass(frozen=True, slots=True)
class Instance:
    """One filed DICOM file of a prearchive session, as the ledger knows it."""

    place: Place
    digest: str
    size: int  # bytes
    header: Header
    arrived: float  # seconds since the epoch
    drop: str = ""
    source: bytes = b""  # where it lay in the drop


class Status(StrEnum):
    """The statuses of a session (spec 9); ARCHIVED and DELETED are ends."""

    RECEIVING = "RECEIVING"
    BUILDING = "BUILDING"
    READY = "READY"
    CONFLICT = "CONFLICT"
    ERROR = "ERROR"
    ARCHIVING = "ARCHIVING"
    MOVING = "MOVING"
    DELETING = "DELETING"
    ARCHIVED = "ARCHIVED"
    DELETED = "DELETED"


class Severity(StrEnum):
    """How much a finding weighs; CONFLICT gives way to a person, FAIL to none."""

    INFO = "INFO"
    WARN = "WARN"
    CONFLICT = "CONFLICT"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Finding:
    """One result of validation (spec 10), both sides shown."""

    code: str
    xnat: tuple[int, ...]
    severity: Severity
    text: str
    scope: str  # "session", "scan <id>" or "file <path>"
    incoming: Mapping[str, object] = field(default_factory=dict)
    archived: Mapping[str, object] = field(default_factory=dict)
    evidence: Mapping[str, object] = field(default_factory=dict)
    resolve: tuple[str, ...] = ()

    @property
    def blocks(self) -> bool:
        """Whether the session ends in CONFLICT because of it."""
        return self.severity in {Severity.CONFLICT, Severity.FAIL}


Destination = Literal["prearchive", "archive"]

Policy = Literal["", "overwrite", "keep"]
"""Of two differing files with one identity: undecided, the newcomer stays, the first stays."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person decided of a session, and what it overrode."""

    when: float  # seconds since the epoch
    who: str  # login user
    command: str  # archive, move, relabel, delete, ...
    reason: str
    passed: tuple[str, ...] = ()  # codes of the findings passed
    study: str = ""  # the study it was decided for
    key_from: tuple[str | None, str] | None = None  # (project, label) before
    key_to: tuple[str | None, str] | None = None  # and after
    subject: str = ""  # the subject after
    studies: tuple[str, ...] = ()  # every study the session held then; `passed` is for these only
    policy: Policy = ""  # what becomes of files that differ and arrived before


@dataclass(frozen=True, slots=True)
class Session:
    """One prearchive session: a row of the ledger, and `LABEL.json` beside its folder."""

    id: str  # timestamp yyyyMMdd_HHmmssSSS, unique in the store
    project: str | None
    subject: str
    label: str
    study: str
    status: Status
    opened: float  # seconds since the epoch
    receiving_since: float  # last entry into RECEIVING
    last_arrival: float
    inactivity: float  # seconds, of the drop that filed last
    generation: int = 0  # counts files taken; a build holds only for its own
    revision: int = 0  # counts changes of the row that `LABEL.json` carries
    auto_archive: bool | None = None  # None: as the project says
    hold_auto: bool = False  # a rebuild by hand never archives
    drops: tuple[str, ...] = ()
    origins: Mapping[str, str] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    decisions: tuple[Decision, ...] = ()
    scan_ids: Mapping[str, str] = field(default_factory=dict)  # by SeriesInstanceUID, once built
    target: tuple[str | None, str, str] | None = None  # project, label, subject while MOVING
    error: str = ""  # what the machine could not do, in status ERROR
    partly: bool = False  # in CONFLICT: scans that no finding holds have still to go in
    dest: Destination = "prearchive"  # archive: every drop that fed it says so (spec 7)
    place: Destination = "prearchive"  # archive: all its files lie in the archived session too
    landing: str = ""  # the units that are being filed into it: meanwhile it stays RECEIVING
    whole: bool = False  # fed by a transactional unit: findings hold all of it or nothing

    @property
    def key(self) -> SessionKey:
        """Its key."""
        return SessionKey(self.project, self.study, self.label)

    @property
    def shown(self) -> str:
        """`PROJECT/TIMESTAMP/LABEL`, as people see it."""
        return f"{self.project or UNASSIGNED}/{self.id}/{self.label}"

    @property
    def folder(self) -> str:
        """Its folder, relative to the prearchive; Unassigned sessions have no project level."""
        head = f"{self.project}/" if self.project else ""
        return f"{head}{self.id}/{self.label}"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a catalog (cat:dcmEntry). Empty where an old catalog does not say."""

    uri: str
    uid: str  # SOPInstanceUID
    digest: str
    size: int | None
    class_uid: str = ""  # SOPClassUID
    instance_number: int | None = None
    id: str = ""
    created: str = ""  # xs:dateTime
    path: str = ""  # its file, relative to the session's folder, where the URI is no plain one


@dataclass(frozen=True, slots=True)
class ArchivedResource:
    """One resource of an archived scan, as its catalog tells.

    `entries` may be only those that matter for the files at hand; `files` and `size` count all.
    """

    label: str
    catalog: str  # path relative to the session's folder
    entries: tuple[Entry, ...] = ()
    files: int = 0
    size: int = 0  # bytes
    fault: str = ""  # why its catalog could not be used; the entries are read from the files then


@dataclass(frozen=True, slots=True)
class ArchivedScan:
    """One scan of an archived session."""

    id: str
    uid: str  # SeriesInstanceUID, may be empty
    type: str  # xsi:type, "xnat:mrScanData"
    modality: str
    resources: tuple[ArchivedResource, ...] = ()


@dataclass(frozen=True, slots=True)
class Archived:
    """An archived session, as its XML and catalogs tell."""

    project: str
    label: str
    subject: str
    id: str  # experiment ID
    study: str
    accepted: tuple[str, ...]  # other studies a person let in
    type: str  # root element without prefix: "MRSession"
    scans: tuple[ArchivedScan, ...]
    fields: Mapping[str, str] = field(default_factory=dict)  # patient id, name, ... as evidence


@dataclass(frozen=True, slots=True)
class ScanResource:
    """One resource of a scan about to be catalogued."""

    label: Literal["DICOM", "secondary"]
    instances: tuple[Instance, ...]  # sorted by InstanceNumber, then name


@dataclass(frozen=True, slots=True)
class Scan:
    """One series of a session, with the ID it has or is given."""

    id: str
    uid: str  # SeriesInstanceUID
    type: str  # xsi:type, "xnat:mrScanData"
    modality: str
    resources: tuple[ScanResource, ...]
    note: str | None = None  # what seems missing (core/complete.py); None: that can't be told

    @property
    def instances(self) -> Sequence[Instance]:
        """All its files."""
        return [instance for resource in self.resources for instance in resource.instances]
