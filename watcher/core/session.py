"""The words of a session: its key, its files and scans, findings and decisions. All frozen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from watcher.core.file import Header

UNASSIGNED = "Unassigned"


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

    @classmethod
    def of(cls, path: str) -> "Place | None":
        """The place of such a path; None for any other."""
        match path.split("/"):
            case ["SCANS", scan, ("DICOM" | "secondary") as folder, name]:
                return cls(scan, "DICOM" if folder == "DICOM" else "secondary", name)
            case _:
                return None


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
