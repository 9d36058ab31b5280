"""What becomes of every file when a session is archived (spec 11).

Nothing is overwritten: a name that is taken makes the newcomer's longer. Of two files that differ
under the same UIDs none is chosen here: a policy says which stays, or that nobody has decided.
Which file meets which: match.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import count

from watcher.core import match
from watcher.core.archived import Archived
from watcher.core.match import Comparison, Known, Label, Meeting, suspects, twins
from watcher.core.names import NAME_LENGTH, suffixed
from watcher.core.outcome import (
    UNKNOWN,
    Add,
    Aside,
    Differs,
    Duplicate,
    Merge,
    OtherClass,
    Same,
)
from watcher.core.session import Instance, Place, Policy, Scan, ScanResource

__all__ = [
    "Add",
    "Aside",
    "Differs",
    "Duplicate",
    "Merge",
    "OtherClass",
    "Same",
    "merge",
    "suspects",
    "twins",
]

Taken = Callable[[str, Instance], bool]


def merge(
    scans: Sequence[Scan],
    archived: Archived | None,
    *,
    compared: Mapping[str, Comparison],
    taken: Taken,
    policy: Callable[[Instance], Policy] = lambda _: "",
    staying: Collection[str] = (),
) -> Merge:
    """What to do with every incoming file.

    `compared` answers `suspects` (and `twins`, by the second) by the newcomer's place; no answer
    and one that can't tell count as differing. `taken` tells whether a path, relative to the
    archived session's folder, is another file's than this instance's. `policy` is what was decided
    for a newcomer that differs. `staying` are the IDs of the session's other scans, which stay.
    """
    meetings = match.meet(scans, archived, staying=staying)
    sorter = _Sorter(meetings, compared, taken, policy)
    for arrival in match.by_arrival(match.files(meetings)):
        sorter.sort(*arrival)
    return sorter.result(meetings)


class _Sorter:
    """Takes the files in order of arrival and puts each on one list.

    There may be tens of thousands, nearly all of them new: of such a one as little as can be is
    kept. A newcomer that is an Add holds its SOP UID, as a new file or in an archived one's place.
    """

    def __init__(
        self,
        meetings: Sequence[Meeting],
        compared: Mapping[str, Comparison],
        taken: Taken,
        policy: Callable[[Instance], Policy],
    ) -> None:
        self._meetings = meetings
        self._compared = compared
        self._is_taken = taken
        self._policy = policy
        self._repeated = match.repeated(each for _, _, each in match.files(meetings))
        self._names: defaultdict[str, set[str]] = defaultdict(set)  # given here, by folder
        self._adds: dict[Place, Add] = {}  # by where it lies
        self._holders: dict[str | tuple[str, str], Add] = {}  # by `_key`, of repeated SOP UIDs
        self._copies: defaultdict[Place, list[str]] = defaultdict(list)  # dropped for this one
        self._replaced: dict[str, str | None] = {}  # archived path: SOP UID in its place, if any
        self._same: dict[str, Same] = {}  # by source
        self._differs: list[Differs] = []
        self._duplicates: list[Duplicate] = []
        self._other_class: list[OtherClass] = []
        self._aside: list[Aside] = []

    def sort(self, meeting: Meeting, label: Label, instance: Instance) -> None:
        """Decides one file."""
        known = self._met(meeting, label, instance)
        holder = self._holders.get(_key(instance, known))
        if holder:
            self._beside(meeting, label, instance, holder)
        elif known:
            self._against(meeting, instance, known)
        else:
            self._add(meeting, label, instance)

    def _met(self, meeting: Meeting, label: Label, instance: Instance) -> Known | None:
        """The archived file it meets, unless another instance is to take that one's place."""
        known = meeting.find(instance, label)
        uid = instance.header.sop_instance
        return known if known and self._replaced.get(known.path, uid) == uid else None

    def _against(self, meeting: Meeting, instance: Instance, known: Known) -> None:
        """One that the archive may have."""
        source, entry = instance.place.path, known.entry
        comparison = self._compared.get(source, UNKNOWN)
        relation = match.relation(instance, entry)
        if relation == match.OTHER_CLASS:
            self._other_class.append(OtherClass(source, known.path, instance, entry))
        elif relation == match.SAME or comparison.same:
            size = instance.size if relation == match.SAME else entry.size
            self._same[source] = Same(source, known.path, instance, size=size)
        else:
            policy = self._policy(instance)
            differs = Differs(
                source, known.path, instance, entry, meeting.scan.id, comparison, policy
            )
            self._differs.append(differs)
            if policy == "overwrite":
                self._add(meeting, known.resource.label, instance, replaces=known)
            elif policy == "keep":
                self._aside.append(Aside(source, instance, policy))

    def _beside(self, meeting: Meeting, label: Label, instance: Instance, add: Add) -> None:
        """One whose SOP UID another newcomer has."""
        source = instance.place.path
        comparison = self._comparison(meeting, label, instance, add)
        relation = match.relation(instance, add.entry)
        if relation == match.OTHER_CLASS:
            self._other_class.append(OtherClass(source, add.target, instance, add.entry))
        elif relation == match.SAME or comparison.same:
            self._same[source] = Same(source, add.target, instance, listed=False)
            self._copies[add.instance.place].append(source)
        else:
            policy = self._policy(instance)
            scans = (self._scans[add.source], meeting.scan.id)
            pair = Duplicate(add.instance, instance, scans, comparison, policy)
            self._duplicates.append(pair)
            if policy == "overwrite":
                self._take_over(meeting, label, instance, add)
            elif policy == "keep":
                self._aside.append(Aside(source, instance, policy))

    @cached_property
    def _scans(self) -> Mapping[str, str]:
        """The incoming scan's ID of every file, by source."""
        every = match.files(self._meetings)
        return {each.place.path: meeting.scan.id for meeting, _, each in every}

    @cached_property
    def _first(self) -> Mapping[tuple[str, str], str]:
        """The source of what came first, by SOP and class UID."""
        arrivals = match.by_arrival(match.files(self._meetings))
        return {_uids(each): each.place.path for _, _, each in reversed(arrivals)}

    def _comparison(
        self, meeting: Meeting, label: Label, instance: Instance, add: Add
    ) -> Comparison:
        """What is known of it and the holder: it was compared with what came first of its UIDs.

        A suspect was compared with the archived file, which tells nothing of the holder.
        """
        known = meeting.find(instance, label)
        suspect = known is not None and match.relation(instance, known.entry) == match.SUSPECT
        if suspect or self._first[_uids(instance)] != add.source:
            return UNKNOWN
        return self._compared.get(instance.place.path, UNKNOWN)

    def _take_over(self, meeting: Meeting, label: Label, instance: Instance, old: Add) -> None:
        """The latest stays: what held the UID so far goes to the history, its copies with it."""
        place = old.instance.place
        del self._adds[place]
        copies = [self._same.pop(source).instance for source in self._copies.pop(place, ())]
        self._aside += [Aside(i.place.path, i, "overwrite") for i in (old.instance, *copies)]
        self._add(meeting, old.folder if old.replaces else label, instance, replaces=old.replaces)

    def _add(
        self, meeting: Meeting, label: str, instance: Instance, replaces: Known | None = None
    ) -> None:
        within, uid = meeting.within(label), instance.header.sop_instance
        name = next(
            name
            for name in _names(instance.place.name, instance.digest)
            if not self._is_in_use(meeting, within, name, instance)
        )
        add = Add(within, name, meeting.id, label, instance, replaces)
        self._names[within].add(name)
        self._adds[instance.place] = add
        if replaces:
            self._replaced[replaces.path] = uid or None  # blank UIDs never meet
        if uid in self._repeated and uid:
            self._holders[_key(instance, replaces)] = add

    def _is_in_use(self, meeting: Meeting, within: str, name: str, instance: Instance) -> bool:
        target = within + name
        used = name in self._names[within] or meeting.lists(target)
        return used or self._is_taken(target, instance)

    def result(self, meetings: Sequence[Meeting]) -> Merge:
        """Everything decided, with what it means for scans and catalogs."""
        gains = [(meeting, gain) for meeting in meetings if (gain := self._gain(meeting))]
        ordered = (self._adds.get(instance.place) for _, _, instance in match.files(meetings))
        return Merge(
            adds=tuple(add for add in ordered if add),
            same=tuple(self._same.values()),
            differs=tuple(self._differs),
            duplicates=tuple(self._duplicates),
            other_class=tuple(self._other_class),
            aside=tuple(self._aside),
            renamed=_moves(meeting for meeting in meetings if not meeting.old),
            joined=_moves(meeting for meeting in meetings if meeting.old),
            new_scans=tuple(
                replace(meeting.scan, id=meeting.id, resources=gain)
                for meeting, gain in gains
                if not meeting.old
            ),
            touched=tuple(dict.fromkeys(self._touched(meetings))),
            new_resources=tuple(_new_resources(gains)),
        )

    def _gain(self, meeting: Meeting) -> tuple[ScanResource, ...]:
        resources = (
            ScanResource(resource.label, tuple(self._placed(resource)))
            for resource in meeting.scan.resources
        )
        return tuple(resource for resource in resources if resource.instances)

    def _placed(self, resource: ScanResource) -> Iterator[Instance]:
        for instance in resource.instances:
            add = self._adds.get(instance.place)
            if add and add.folder == resource.label:
                place = Place(add.scan, resource.label, add.name)
                yield instance if instance.place == place else replace(instance, place=place)

    def _touched(self, meetings: Sequence[Meeting]) -> Iterator[tuple[str, str]]:
        """Catalogs that gain or lose an entry, and those that have to be made again first."""
        gained = {(add.scan, add.folder) for add in self._adds.values()}
        for meeting in meetings:
            for resource in meeting.old.resources if meeting.old else ():
                if resource.fault or (meeting.id, resource.label) in gained:
                    yield meeting.id, resource.label


_Gains = Sequence[tuple[Meeting, tuple[ScanResource, ...]]]


def _key(instance: Instance, known: Known | None) -> str | tuple[str, str]:
    """What one file alone may hold: its SOP UID, in the place of an archived file or in none."""
    uid = instance.header.sop_instance
    return (uid, known.path) if known else uid


def _uids(instance: Instance) -> tuple[str, str]:
    return instance.header.sop_instance, instance.header.sop_class


def _moves(meetings: Iterator[Meeting]) -> dict[str, tuple[str, str]]:
    return {m.scan.uid or m.scan.id: (m.scan.id, m.id) for m in meetings if m.id != m.scan.id}


def _new_resources(gains: _Gains) -> Iterator[tuple[str, Scan]]:
    for meeting, gain in gains:
        new = tuple(resource for resource in gain if not meeting.resource(resource.label))
        if meeting.old and new:
            yield meeting.id, replace(meeting.scan, id=meeting.id, resources=new)


def _names(name: str, digest: str) -> Iterator[str]:
    """The name, the name with the digest's head, then that with -2, -3 ..."""
    yield name
    longer = suffixed(name, digest)
    yield longer
    stem, _, extension = longer.rpartition(".")
    tails = (f"-{n}.{extension}" for n in count(2))
    yield from (stem[: NAME_LENGTH - len(tail)] + tail for tail in tails)
