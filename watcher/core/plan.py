"""What becomes of every file when a session is archived (spec 11).

Nothing is overwritten: a name that is taken makes the newcomer's longer. What the archived session
does not list, and what is not named as present, is not known here. Which file meets which: match.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import chain, count
from typing import Final

from watcher.core import match
from watcher.core.match import Label, Meeting, Suspect, Twin, suspects, twins
from watcher.core.model import Archived, Entry, Instance, Place, Scan, ScanResource
from watcher.core.names import suffixed
from watcher.core.scans import instance_number

__all__ = [
    "Add",
    "Differs",
    "Merge",
    "OtherClass",
    "Same",
    "Suspect",
    "Twin",
    "merge",
    "suspects",
    "twins",
]

NAME_MAX: Final = 255  # bytes of one file name; names are ASCII


@dataclass(frozen=True, slots=True)
class Add:
    """A file to link into the archive, and its line in the catalog of resource `folder`.

    `source` is relative to the prearchive session's folder, `target` to the archived one's.
    """

    source: str
    target: str
    scan: str
    folder: Label
    instance: Instance
    entry: Entry


@dataclass(frozen=True, slots=True)
class Same:
    """A newcomer that `target` holds already: it is dropped."""

    source: str
    target: str
    instance: Instance
    listed: bool = True  # the archive has it; False: it comes with this very merge
    size: int | None = None  # bytes of the archived file, where its catalog says


@dataclass(frozen=True, slots=True)
class Differs:
    """A newcomer with the UIDs of `target` and another data set. `scan` is the incoming ID."""

    source: str
    target: str
    instance: Instance
    entry: Entry
    scan: str
    same_pixels: bool | None = None  # None: not compared


@dataclass(frozen=True, slots=True)
class OtherClass:
    """A newcomer with the SOP UID of `target` and another class UID: it is ignored."""

    source: str
    target: str
    instance: Instance
    entry: Entry


@dataclass(frozen=True, slots=True)
class Merge:
    """What archiving would do. All lists are in the order of the scans, or of arrival.

    `new_scans` and `new_resources` (of archived scans, by ID) stand as they will in the archive:
    final IDs, places and only the files that are added.
    """

    adds: tuple[Add, ...] = ()
    same: tuple[Same, ...] = ()
    differs: tuple[Differs, ...] = ()
    other_class: tuple[OtherClass, ...] = ()
    duplicates: tuple[Twin, ...] = ()  # twins of files that are added; not added
    renamed: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # series: from, to
    joined: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # series: from, to
    new_scans: tuple[Scan, ...] = ()
    touched: tuple[tuple[str, str], ...] = ()  # archived scan, resource: catalogs that gain
    new_resources: tuple[tuple[str, Scan], ...] = ()
    overwrite: bool = False
    keep: bool = False


def merge(
    scans: Sequence[Scan],
    archived: Archived | None,
    *,
    same_data: Mapping[str, bool | None],
    present: Mapping[str, frozenset[str]],
    overwrite: bool = False,
    keep: bool = False,
) -> Merge:
    """What to do with every incoming file.

    `same_data` answers `suspects` (and `twins`, by the second) by the newcomer's place; no answer
    and None count as differing. `present` are the names on disk by folder, relative to the
    archived session's, catalogued or not.
    """
    meetings = match.meet(scans, archived)
    sorter = _Sorter(same_data, _taken(archived, present))
    for meeting, label, instance in match.by_arrival(meetings):
        sorter.sort(meeting, label, instance)
    return sorter.result(meetings, overwrite=overwrite, keep=keep)


class _Sorter:
    """Takes the files in order of arrival and puts each on one list."""

    def __init__(self, same_data: Mapping[str, bool | None], taken: set[str]) -> None:
        self._same_data = same_data
        self._taken = taken
        self._adds: dict[str, Add] = {}  # by source
        self._first: dict[str, Add] = {}  # by SOP UID
        self._same: list[Same] = []
        self._differs: list[Differs] = []
        self._other_class: list[OtherClass] = []
        self._duplicates: list[Twin] = []

    def sort(self, meeting: Meeting, label: Label, instance: Instance) -> None:
        """Decides one file."""
        known = meeting.find(instance, label)
        uid = instance.header.sop_instance
        if known:
            self._against(meeting, instance, known.entry, known.path, None)
        elif uid and (first := self._first.get(uid)):
            self._against(meeting, instance, first.entry, first.target, first.instance)
        else:
            self._add(meeting, label, instance)

    def _against(
        self,
        meeting: Meeting,
        instance: Instance,
        entry: Entry,
        target: str,
        first: Instance | None,  # the holder of the UID, where it is a newcomer itself
    ) -> None:
        source = instance.place.path
        relation = match.relation(instance, entry)
        if relation == match.OTHER_CLASS:
            self._other_class.append(OtherClass(source, target, instance, entry))
        elif relation == match.SAME or self._same_data.get(source):
            listed = first is None
            size = entry.size if listed else None
            self._same.append(Same(source, target, instance, listed, size))
        elif first:
            self._duplicates.append(Twin(first, instance, meeting.scan.id))
        else:
            self._differs.append(Differs(source, target, instance, entry, meeting.scan.id))

    def _add(self, meeting: Meeting, label: Label, instance: Instance) -> None:
        name = next(
            name
            for name in _names(instance.place.name, instance.digest)
            if meeting.target(label, name) not in self._taken
        )
        target = meeting.target(label, name)
        source = instance.place.path
        add = Add(source, target, meeting.id, label, instance, _entry(instance, name))
        self._taken.add(target)
        self._adds[source] = add
        self._first[instance.header.sop_instance] = add

    def result(self, meetings: Sequence[Meeting], *, overwrite: bool, keep: bool) -> Merge:
        """Everything decided, with what it means for scans and catalogs."""
        gains = [(meeting, gain) for meeting in meetings if (gain := self._gain(meeting))]
        ordered = (self._adds.get(instance.place.path) for _, _, instance in match.files(meetings))
        adds = tuple(add for add in ordered if add)
        return Merge(
            adds=adds,
            same=tuple(self._same),
            differs=tuple(self._differs),
            other_class=tuple(self._other_class),
            duplicates=tuple(self._duplicates),
            renamed=_moves(meeting for meeting in meetings if not meeting.old),
            joined=_moves(meeting for meeting in meetings if meeting.old),
            new_scans=tuple(
                replace(meeting.scan, id=meeting.id, resources=gain)
                for meeting, gain in gains
                if not meeting.old
            ),
            touched=_touched(gains),
            new_resources=tuple(_new_resources(gains)),
            overwrite=overwrite,
            keep=keep,
        )

    def _gain(self, meeting: Meeting) -> tuple[ScanResource, ...]:
        resources = (
            ScanResource(resource.label, tuple(self._placed(resource)))
            for resource in meeting.scan.resources
        )
        return tuple(resource for resource in resources if resource.instances)

    def _placed(self, resource: ScanResource) -> Iterator[Instance]:
        for instance in resource.instances:
            if add := self._adds.get(instance.place.path):
                yield replace(instance, place=Place(add.scan, add.folder, add.entry.uri))


_Gains = Sequence[tuple[Meeting, tuple[ScanResource, ...]]]


def _moves(meetings: Iterator[Meeting]) -> dict[str, tuple[str, str]]:
    return {m.scan.uid or m.scan.id: (m.scan.id, m.id) for m in meetings if m.id != m.scan.id}


def _touched(gains: _Gains) -> tuple[tuple[str, str], ...]:
    pairs = ((m.id, r.label) for m, gain in gains for r in gain if m.resource(r.label))
    return tuple(dict.fromkeys(pairs))


def _new_resources(gains: _Gains) -> Iterator[tuple[str, Scan]]:
    for meeting, gain in gains:
        new = tuple(resource for resource in gain if not meeting.resource(resource.label))
        if meeting.old and new:
            yield meeting.id, replace(meeting.scan, id=meeting.id, resources=new)


def _taken(archived: Archived | None, present: Mapping[str, frozenset[str]]) -> set[str]:
    on_disk = (f"{folder}/{name}" for folder, names in present.items() for name in names)
    listed = (
        match.path_in(resource, entry.uri)
        for scan in (archived.scans if archived else ())
        for resource in scan.resources
        for entry in resource.entries
    )
    return set(chain(on_disk, listed))


def _names(name: str, digest: str) -> Iterator[str]:
    """The name, the name with the digest's head, then that with -2, -3 ..."""
    yield name
    longer = suffixed(name, digest)
    yield longer
    stem, _, extension = longer.rpartition(".")
    tails = (f"-{n}.{extension}" for n in count(2))
    yield from (stem[: NAME_MAX - len(tail)] + tail for tail in tails)


def _entry(instance: Instance, name: str) -> Entry:
    return Entry(
        uri=name,
        uid=instance.header.sop_instance,
        digest=instance.digest,
        size=instance.size,
        class_uid=instance.header.sop_class,
        instance_number=instance_number(instance),
        id=name,
        created=datetime.fromtimestamp(instance.arrived, UTC).isoformat(timespec="milliseconds"),
    )
