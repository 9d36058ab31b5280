"""What becomes of each file of a session that is archived, as values (spec 11). Decided: plan."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from watcher.core.archived import Entry
from watcher.core.listing import entry_of
from watcher.core.match import Comparison, Known
from watcher.core.session import Instance, Policy, Scan

UNKNOWN: Final = Comparison()


@dataclass(frozen=True, slots=True)
class Add:
    """A file to link into the archive, and into the catalog of resource `folder`.

    There may be tens of thousands: paths are made when they are asked for.
    """

    within: str  # the path of the folder it goes to, with a slash after it, if it is any
    name: str
    scan: str
    folder: str  # the resource's label
    instance: Instance
    replaces: Known | None = None  # the archived file that goes to the history for it

    @property
    def source(self) -> str:
        """Where it lies, relative to the prearchive session's folder."""
        return self.instance.place.path

    @property
    def target(self) -> str:
        """Where it goes, relative to the archived session's folder."""
        return self.within + self.name

    @property
    def entry(self) -> Entry:
        """Its line in the catalog."""
        return entry_of(self.instance, self.name)


@dataclass(frozen=True, slots=True)
class Same:
    """A newcomer that `target` holds already: it is dropped."""

    source: str
    target: str
    instance: Instance
    listed: bool = True  # the archive has it; False: it comes with this very merge
    size: int | None = None  # bytes that the archived file must have; None: it was read


@dataclass(frozen=True, slots=True)
class Differs:
    """A newcomer with the UIDs of `target` and another data set. `scan` is the incoming ID."""

    source: str
    target: str
    instance: Instance
    entry: Entry
    scan: str
    comparison: Comparison = UNKNOWN
    policy: Policy = ""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Two newcomers with the same UIDs and different data sets; scans are the incoming IDs."""

    first: Instance  # came first
    second: Instance
    scans: tuple[str, str]  # of the first and of the second
    comparison: Comparison = UNKNOWN
    policy: Policy = ""


@dataclass(frozen=True, slots=True)
class OtherClass:
    """A newcomer with the SOP UID of `target` and another class UID: it is ignored."""

    source: str
    target: str
    instance: Instance
    entry: Entry


@dataclass(frozen=True, slots=True)
class Aside:
    """A newcomer that a policy sends to the history."""

    source: str
    instance: Instance
    policy: Policy


@dataclass(frozen=True, slots=True)
class Merge:
    """What archiving would do. All lists are in the order of the scans, or of arrival.

    `differs` and `duplicates` are all there are, decided or not. `new_scans` and `new_resources`
    (of archived scans, by ID) stand as they will in the archive: final IDs, places and only the
    files that are added.
    """

    adds: tuple[Add, ...] = ()
    same: tuple[Same, ...] = ()
    differs: tuple[Differs, ...] = ()
    duplicates: tuple[Duplicate, ...] = ()
    other_class: tuple[OtherClass, ...] = ()
    aside: tuple[Aside, ...] = ()
    renamed: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # series: from, to
    joined: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # series: from, to
    new_scans: tuple[Scan, ...] = ()
    touched: tuple[tuple[str, str], ...] = ()  # archived scan, resource: catalogs that change
    new_resources: tuple[tuple[str, Scan], ...] = ()
