"""What validation looks at, and the codes of what it may find (spec 10).

Codes are words; XNAT's numbers (PrearcSessionValidator, xnat-facts 6.6) are their aliases.
"""

from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from watcher.core.archived import Archived
from watcher.core.complete import Gap
from watcher.core.plan import Merge
from watcher.core.scans import studies
from watcher.core.session import Finding, Instance, Scan, Session, Severity

FEW: Final = 5  # files named in a finding

CODES: Final[Mapping[str, tuple[int, ...]]] = MappingProxyType(
    {
        "session-exists": (1,),
        "study-elsewhere": (2, 3),
        "subject-changed": (4,),
        "study-uid-mismatch": (5,),
        "mixed-studies": (),
        "no-project": (6,),
        "schema-invalid": (13,),
        "modality-changed": (19,),
        "same-instance": (14, 16),
        "instance-differs": (14, 22),
        "instance-other-class": (),
        "duplicate-in-session": (22,),
        "scan-number-taken": (17,),
        "scan-uid-elsewhere": (18,),
        "stray-file": (20,),
        "catalog-missing": (21,),
        "unreadable-file": (),
        "label-shared": (),
        "incomplete": (),
        "maybe-incomplete": (),
    }
)


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """An archived session that holds this study; `archived`, where it was read, is evidence."""

    project: str
    label: str
    study: str
    archived: Archived | None = None


@dataclass(frozen=True, slots=True)
class Awaited:
    """Files that a DICOMDIR lists and that have not come; the first few, as paths in their drop."""

    count: int = 0
    files: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """What lies on disk and in the drops besides what the ledger tells. Paths are text.

    `strays` and `unreadable` (by scan ID) are relative to the session's folder, `stuck` to a drop.
    """

    strays: Sequence[str] = ()
    unreadable: Mapping[str, Sequence[str]] = field(default_factory=dict)
    stuck: Sequence[str] = ()
    awaited: Awaited = Awaited()


@dataclass(frozen=True, slots=True)
class Case:
    """Everything a rule may look at."""

    session: Session
    scans: Sequence[Scan]
    archived: Archived | None
    merge: Merge
    elsewhere: Sequence[Elsewhere]
    label_shared: Sequence[str]
    document_fault: str
    seen: Seen
    gaps: Sequence[Gap]

    @property
    def instances(self) -> list[Instance]:
        """All incoming files."""
        return [instance for scan in self.scans for instance in scan.instances]

    @property
    def studies(self) -> tuple[str, ...]:
        """Those in the files, most frequent first; the session's own where they say none."""
        found = tuple(study for study in studies(self.instances) if study)
        return found or tuple(filter(None, [self.session.study]))

    @property
    def strangers(self) -> tuple[str, ...]:
        """The studies that the archived session neither has nor was made to accept."""
        if self.archived is None:
            return self.studies
        at_home = {self.archived.study, *self.archived.accepted}
        return tuple(study for study in self.studies if study not in at_home)

    @property
    def at_home(self) -> bool:
        """Whether the archived session holds every study of this one: they were let in before."""
        return self.archived is not None and not self.strangers

    @property
    def mismatch(self) -> bool:
        """Whether the study of most files is a stranger; a missing UID on a side is none."""
        known = self.archived is not None and bool(self.archived.study)
        return known and self.studies[:1] == self.strangers[:1] != ()

    def command(self, text: str) -> str:
        """A command on this session, as typed."""
        verb, _, rest = text.partition(" ")
        return f"watcher {verb} {self.session.id} {rest}".rstrip()

    @property
    def force(self) -> str:
        """The command that passes what a person may pass."""
        return self.command('archive --force --reason "..."')


def counted(things: Sized | int, what: str = "file") -> str:
    """How many: `1 file`, `3 files`."""
    number = things if isinstance(things, int) else len(things)
    return f"{number} {what}{'s'[: number != 1]}"


def finding(
    code: str, severity: Severity, text: str, *resolve: str, scope: str = "session"
) -> Finding:
    """A finding with the aliases of its code; `resolve` are commands as typed."""
    return Finding(code, CODES[code], severity, text, scope, resolve=resolve)
