"""A promised unit is carried to its end, from wherever it stands.

Its members are filed in batches from the staging folder; then its sessions are let go in one
commit, what is no DICOM is set aside, the sources leave the drop, and the promise is struck. Each
step can be repeated: a member that is filed is its own duplicate at the next try.
"""

import errno
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from watcher.core.errors import (
    DocumentError,
    HeldError,
    MissingPlaceError,
    StorageError,
    WatcherError,
)
from watcher.core.file import Candidate, Fingerprint, Refusal, RefusalCode
from watcher.core.muster import Part
from watcher.io import sources
from watcher.io.desk import Incoming
from watcher.io.lease import session_key
from watcher.stages import unit_promise
from watcher.stages.filing import Filer
from watcher.stages.hop import Hop
from watcher.stages.lists import Examine, note_list
from watcher.stages.outcomes import Outcome, Result, sops_of
from watcher.stages.parting import remove_source
from watcher.stages.parts import Parts, Stopped
from watcher.stages.presence import check_mount
from watcher.stages.quarantine import supersede
from watcher.stages.refusing import supersede_unit
from watcher.stages.strays import Stray, set_strays_aside
from watcher.stages.unit_promise import folder_of, members
from watcher.stages.unit_record import Member, Promise

PASSES: Final = 5  # at a batch: a twin within it is known for one in the second
Remains = dict[bytes, Fingerprint | None]


@dataclass
class Carried:
    """What became of a unit: its sources and markers as they lie in the drop, and its members."""

    remains: Remains = field(default_factory=dict)
    filed: int = 0
    duplicates: int = 0
    set_aside: int = 0


@dataclass(frozen=True)
class Carrier:
    """What carries units; `thread` is that of their drop."""

    parts: Parts
    filer: Filer
    examine: Examine
    thread: Hop

    async def carry(self, made: Promise, *, far: bool) -> Carried:
        """Carry a unit to its end; gives what became of it.

        far: whether the drop is touched. If not, its sources are recorded as taken, for the eyes
        of the drop to remove, and strays that lie there are left to them. StorageError,
        MissingPlaceError, HeldError: not now, to be tried again. Stopped: the program ends.
        """
        carried = Carried()
        there = far and await self.thread(is_there, self.parts, made)
        if not made.filed:
            await self._file_all(made, carried)
            await self._note_lists(made, far=there)
            made = await self.thread(unit_promise.mark_filed, self.parts, made)
        await self.thread(self._let_go, made)
        await self.thread(self._set_aside, made, carried, there)
        if far:
            await self.thread(self._remove, made, carried)
        await self.thread(unit_promise.strike, self.parts, made)
        return carried

    # -- filing -----------------------------------------------------------------------------------

    async def _file_all(self, made: Promise, carried: Carried) -> None:
        waiting = members(self.parts, made, Part.INSTANCE)
        while batch := await self.thread(next, waiting, None):
            self.parts.check_stop()
            wanted = [unit_promise.incoming_of(made, each) for each in batch]
            for _ in range(PASSES):
                wanted = await self._file(made, wanted, carried)
                if not wanted:
                    break
            else:
                raise StorageError("a file of a unit is in hand still", number=errno.EAGAIN)

    async def _file(
        self, made: Promise, wanted: Sequence[Incoming], carried: Carried
    ) -> list[Incoming]:
        """File a batch; gives what is to be filed once more."""
        outcomes: list[Outcome] = await self.thread(self.filer.file, made.drop, wanted)
        for one in outcomes:
            carried.filed += one.result is Result.FILED
            carried.duplicates += one.result is Result.DUPLICATE
            if one.error is not None:
                raise one.error
        await self.thread(supersede, self.parts, sops_of(outcomes))
        return [one.incoming for one in outcomes if one.result is Result.LATER]

    async def _note_lists(self, made: Promise, *, far: bool) -> None:
        waiting = members(self.parts, made, Part.LIST)
        while batch := await self.thread(next, waiting, None):
            for each in (one for one in batch if far or one.staged):
                file = self._file_of(made, each)
                await note_list(self.parts, self.examine, self.thread, made.drop, each.path, file)

    def _file_of(self, made: Promise, each: Member) -> str:
        if each.staged:
            return os.path.join(folder_of(self.parts, made.id), each.staged)
        return os.path.join(made.root, os.fsdecode(each.path))

    # -- its end ----------------------------------------------------------------------------------

    def _let_go(self, made: Promise) -> None:
        """Its sources are known as taken; its sessions are complete, and go their way."""
        drop = made.unit.drop
        for batch in self._taken(made):
            taken = {Candidate(drop, path, seen): seen for path, seen in batch}
            self.parts.receiving.record([], taken)
        let_go(self.parts, made.id)
        supersede_unit(self.parts, made.unit)

    def _taken(self, made: Promise) -> Iterator[list[tuple[bytes, Fingerprint]]]:
        """The sources whose content is filed, or stays where it is for good; and the markers."""
        yield [*made.unit.sources, *made.unit.markers]
        if not made.is_archive:
            wanted = (Part.INSTANCE, *((Part.LIST,) if made.after == "keep" else ()))
            for batch in members(self.parts, made, *wanted):
                yield [(each.path, each.print) for each in batch]

    def _set_aside(self, made: Promise, carried: Carried, far: bool) -> None:  # noqa: FBT001  a hop passes by position
        """What is no DICOM; and lists, lest they are lost with what they came with."""
        wanted = [Part.STRAY, *([Part.LIST] if made.after == "remove" or made.is_archive else [])]
        for batch in members(self.parts, made, *wanted):
            here = [each for each in batch if each.staged or (far and self._lies(made, each))]
            seen = tuple((each.path, each.print) for each in here)
            unit = replace(made.unit, sources=seen)
            strays = [self._stray(made, each) for each in here]
            gone: Remains = {each.path: None for each in batch if not each.staged}
            carried.remains |= gone
            if strays:
                carried.remains |= set_strays_aside(self.parts, made.drop, unit, strays)
            carried.set_aside += len(strays)

    def _lies(self, made: Promise, each: Member) -> bool:
        """Whether a stray lies in the drop as it was read: else it is set aside, or another."""
        found = sources.print_in(made.root, each.path)
        return found is not None and found.same_content(each.print)

    def _stray(self, made: Promise, each: Member) -> Stray:
        code = RefusalCode.DICOMDIR if each.part is Part.LIST else RefusalCode.NOT_DICOM
        refusal = Refusal(code, each.text)
        return Stray(each.path, refusal, self._file_of(made, each) if each.staged else "")

    def _remove(self, made: Promise, carried: Carried) -> None:
        """The sources leave the drop, if they can; what stays is known as taken."""
        there = made.after == "remove" and is_there(self.parts, made)
        for batch in self._taken(made):
            self.parts.check_stop()
            for path, seen in batch:
                gone = there and remove_source(self.parts, made.drop, path, seen)
                carried.remains[path] = None if gone else seen
            gone_now = [path for path, _ in batch if carried.remains[path] is None]
            self.parts.receiving.forget_taken(made.unit.drop, gone_now)


def is_there(parts: Parts, made: Promise) -> bool:
    """Whether the drop can be looked at: nothing is concluded from its absence."""
    try:
        check_mount(parts, made.drop)
    except MissingPlaceError:
        return False
    return os.path.isdir(made.root)


def let_go(parts: Parts, unit_id: str) -> int:
    """The sessions in which a unit landed are let go; gives how many. HeldError.

    Under their leases: nobody takes one up before its record says so. One after the other: units
    of two drops may have landed in one session.
    """
    owners = parts.receiving.fed_by(unit_id)
    keys = [session_key(each) for each in owners]
    with parts.leases.exclusive("landing"), parts.leases.hold(keys, parts.clock.now()):
        parts.receiving.landed(unit_id, parts.clock.now())
        for each in owners:
            parts.publish(each)
    return len(owners)


async def carry_all(parts: Parts, examine: Examine, thread: Hop) -> int:
    """At a start: carry every promised unit, and free sessions of units that are nowhere.

    Gives how many were carried. What can't be done now is tried again by the `Lander`.
    """
    number = 0
    carrier = Carrier(parts, Filer(parts), examine, thread)
    promised = await thread(unit_promise.promised, parts)
    known = set(promised)  # what this start does not come to holds its sessions all the same
    for unit_id in promised:
        try:
            made = await thread(_read, parts, unit_id, known)
            await carrier.carry(made, far=False)
            number += 1
        except Stopped:
            break
        except (StorageError, MissingPlaceError, HeldError, WatcherError) as error:
            parts.emit("daemon.recovered", count=1, text=LANDING, outcome="postponed", error=error)
    freed = await thread(_free, parts, known)
    if freed:
        text = "sessions of units whose copies are gone"
        parts.emit("daemon.recovered", count=freed, text=text, outcome="freed")
    return number


LANDING: Final = "units that were landing"


def _read(parts: Parts, unit_id: str, known: set[str]) -> Promise:
    """A promise; one that is damaged is never carried, and its sessions are not known by it."""
    try:
        return unit_promise.read(parts, unit_id)
    except DocumentError:
        known.discard(unit_id)
        raise


def _free(parts: Parts, known: set[str]) -> int:
    return sum(let_go(parts, each) for each in sorted(parts.receiving.landing() - known))
