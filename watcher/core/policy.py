"""What the configuration asks for, as values the stages are given. `settings.py` makes them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

DEEPEST: Final = 100  # sequences in one another; each takes four calls of Python's thousand


@dataclass(frozen=True, slots=True)
class Rule:
    """One of XNAT's routing rules: `(gggg,eeee):regex[:group][ t:target r:replacement]`."""

    tag: int
    pattern: str
    group: int = 1
    target: str | None = None
    replacement: str | None = None


@dataclass(frozen=True, slots=True)
class Template:
    """`{PatientID}_{StudyDate}`: text with DICOM keywords; fails where one is missing."""

    text: str
    tags: Mapping[str, int]  # every keyword in the text, with its tag


@dataclass(frozen=True, slots=True)
class Identify:
    """Rules tried before the built-in chain."""

    project: tuple[Rule | Template, ...] = ()
    subject: tuple[Rule | Template, ...] = ()
    session: tuple[Rule | Template, ...] = ()

    @property
    def tags(self) -> frozenset[int]:
        """Every tag the rules read."""
        found: set[int] = set()
        for rule in (*self.project, *self.subject, *self.session):
            found.update(rule.tags.values() if isinstance(rule, Template) else (rule.tag,))
        return frozenset(found)


@dataclass(frozen=True, slots=True)
class Drop:
    """One watched directory. Durations in seconds; `settle` None: auto."""

    name: str
    path: str
    watch: Literal["auto", "native", "poll"] = "auto"
    rescan_interval: float = 30.0
    settle: float | None = None
    stuck_after: float = 900.0
    mode: Literal["gradual", "transactional"] = "gradual"
    dest: Literal["prearchive", "archive"] = "prearchive"
    after: Literal["remove", "keep"] = "remove"
    strict: bool = False
    mount: bool = False
    project: str | None = None
    layout: tuple[str, ...] = ()  # one part per directory: "{project}", "*", a literal
    ignore: tuple[str, ...] = ()
    inactivity: float | None = None
    receipts: bool = True
    contact: str = ""


@dataclass(frozen=True, slots=True)
class Project:
    """One project's policy."""

    id: str
    aliases: tuple[str, ...] = ()
    auto_archive: bool = True
    overwrite: bool = False
    allow: frozenset[str] = frozenset()
    hold: frozenset[str] = frozenset()
    inactivity: float | None = None


@dataclass(frozen=True, slots=True)
class Projects:
    """All known projects, found by id or alias, ignoring case."""

    known: Mapping[str, Project] = field(default_factory=dict)  # by id

    def find(self, name: str) -> Project | None:
        """The project a candidate name means, or None."""
        wanted = name.casefold()
        for project in self.known.values():
            if wanted in {project.id.casefold(), *(a.casefold() for a in project.aliases)}:
                return project
        return None


@dataclass(frozen=True, slots=True)
class Stores:
    """The storage directories, absolute."""

    root: str
    prearchive: str
    archive: str
    quarantine: str
    history: str
    state: str
    status: str


@dataclass(frozen=True, slots=True)
class SessionRules:
    """How long a session rests, and how long it may stay open, in seconds."""

    inactivity: float = 300.0
    max_open: float = 43200.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on archive files (entries, bytes unpacked, ratio) and on sequences in one another."""

    entries: int = 100_000
    bytes: int = 50 * 2**30
    ratio: int = 200
    depth: int = 32
