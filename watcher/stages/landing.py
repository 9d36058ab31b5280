"""A unit lands: all of it is filed, or none (spec 7).

Its members are staged and examined (`mustering`); what they come to is `core.muster`'s verdict. A
unit that goes is promised, and lands from then on whatever happens: see `unit_promise` and
`unit_carrying`.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

import anyio

from watcher.core.errors import (
    DocumentError,
    HeldError,
    LedgerError,
    MissingPlaceError,
    StorageError,
    WorkerError,
)
from watcher.core.file import Fingerprint, Refusal
from watcher.core.policy import Drop, Identify, Limits
from watcher.core.settle import Quiet
from watcher.core.unit import Unit
from watcher.io.workers import Workers
from watcher.stages import pending, unit_promise
from watcher.stages.filing import Filer
from watcher.stages.hop import Hop
from watcher.stages.mustering import Mustering
from watcher.stages.parts import Parts, Stopped
from watcher.stages.refusing import refuse
from watcher.stages.unit_carrying import Carried, Carrier
from watcher.stages.unit_promise import folder_of
from watcher.stages.unit_record import Promise

# a unit that was promised is carried on later, any other is still in its drop
NOT_NOW: Final = (StorageError, MissingPlaceError, DocumentError, HeldError, WorkerError)


Result: TypeAlias = Literal["landed", "waits", "refused"]


@dataclass(frozen=True, slots=True)
class Landed:
    """How a unit fared. Paths are those of its sources in the drop, in bytes.

    `remains` are the sources and markers that are done with, whatever the result: None where one
    is gone (or another file now), else as it lies there still. landed, refused: all of the unit's.
    waits: `held` are the sources that make it wait, and why; `errors` those that the machine failed
    on: try again after a pause. Neither: look again soon.
    """

    result: Result
    remains: Mapping[bytes, Fingerprint | None] = field(default_factory=dict)
    held: Mapping[bytes, Refusal] = field(default_factory=dict)
    errors: Mapping[bytes, Exception] = field(default_factory=dict)
    filed: int = 0
    duplicates: int = 0
    quarantined: int = 0


class Lander:
    """Lands units, one of a drop at a time; every drop's intake shares it."""

    def __init__(
        self, parts: Parts, rules: Identify, limits: Limits, workers: Workers, filer: Filer
    ) -> None:
        self._parts = parts
        self._rules = rules
        self._limits = limits
        self._workers = workers
        self._filer = filer
        self._hops: dict[str, Hop] = {}  # by drop: one that hangs stops no other
        self._locks: dict[str, anyio.Lock] = {}
        self._served: set[str] = set()
        self.owes = True  # something was promised that is not done, as far as this run knows

    async def land(self, drop: Drop, unit: Unit, quiet: Quiet = Quiet.FULL) -> Landed:
        """Land one unit, whole; `quiet`: how quiet its files have been, at the least.

        Give its `remains` to the looker. What the machine refused is in `errors`, under the name of
        the first source where it concerns the unit. AlreadyRunningError,
        LedgerError: this run is over. Once it is promised it lands, now or at a later `settle`.
        """
        try:
            async with self._lock(drop.name):
                return await self._land(drop, unit, quiet)
        except LedgerError:
            raise
        except Stopped:
            return Landed("waits")
        except NOT_NOW as error:
            if isinstance(error, WorkerError):
                pending.tell_readers(self._parts, error)
            return Landed("waits", errors={unit.sources[0][0]: error})

    def serve(self, drop: str) -> None:
        """This drop has hands of its own: nobody else's touch it, which may hang."""
        self._served.add(drop)

    async def settle(self, drop: str) -> list[Landed]:
        """Carry on what was promised and could not be done: call it while `owes`, now and then.

        `drop`: for which; units of drops that nobody serves are carried too, and those drops are
        not touched. Gives how those fared that were tried; what waits still is tried again at the
        next call. StorageError: nothing could be looked up.
        """
        near, self.owes = Hop(1), False  # first: what is promised meanwhile is owed
        fared: list[Landed] = []
        for unit_id in await near(unit_promise.promised, self._parts):
            try:
                made = await near(unit_promise.read, self._parts, unit_id)
                fared += await self._settle(made, drop)
            except LedgerError:
                self.owes = True
                raise
            except (*NOT_NOW, Stopped) as error:
                self.owes = True
                fared.append(Landed("waits", errors={os.fsencode(unit_id): error}))
        return fared

    async def _settle(self, made: Promise, drop: str) -> list[Landed]:
        """Carry one; nothing where its drop lands a unit now, or has hands of its own."""
        name = made.unit.drop
        carrier, lock = self._carrier(name), self._lock(name)
        if lock.locked() or (name != drop and name in self._served):
            self.owes = True
            return []
        async with lock:
            if made.id not in await carrier.thread(unit_promise.promised, self._parts):
                return []
            return [_landed(await carrier.carry(made, far=name == drop), "landed")]

    def _lock(self, drop: str) -> anyio.Lock:
        return self._locks.setdefault(drop, anyio.Lock())

    def _carrier(self, drop: str) -> Carrier:
        hop = self._hops.setdefault(drop, Hop(2))
        return Carrier(self._parts, self._filer, self._workers.examine, hop)

    # -- one unit ---------------------------------------------------------------------------------

    async def _land(self, drop: Drop, unit: Unit, quiet: Quiet) -> Landed:
        carrier = self._carrier(drop.name)
        hop = carrier.thread
        made = await hop(unit_promise.promised_of, self._parts, drop.name, unit.name)
        if made is None:
            unit_id = await hop(unit_promise.begin, self._parts, unit)
            try:
                settled = await self._prepare(hop, drop, unit, unit_id, quiet)
            except Stopped:
                raise  # there is no time: the next start sweeps it
            except Exception:  # nothing is promised
                await hop(unit_promise.discard, folder_of(self._parts, unit_id))
                raise
            if isinstance(settled, Landed):
                await hop(unit_promise.discard, folder_of(self._parts, unit_id))
                return settled
            made = settled
        return await self._carried(carrier, unit, made)

    async def _prepare(
        self, hop: Hop, drop: Drop, unit: Unit, unit_id: str, quiet: Quiet
    ) -> Promise | Landed:
        """Stage and judge a unit: the promise, or why it does not land."""
        mustering = Mustering(
            self._parts,
            self._rules,
            self._limits,
            self._workers,
            hop,
            drop,
            unit,
            unit_id,
            quiet,
        )
        muster = await mustering.run()
        if muster.verdict == "waits":
            return Landed("waits", held=muster.held, errors=muster.errors)
        if muster.verdict == "refused":
            left = await hop(refuse, self._parts, drop, unit, muster.reasons)
            return Landed("refused", left, quarantined=len(unit.sources))
        return await hop(unit_promise.promise, self._parts, unit_id, drop, unit)

    async def _carried(self, carrier: Carrier, unit: Unit, made: Promise) -> Landed:
        self.owes = True
        carried: Carried = await carrier.carry(made, far=True)
        paths = {path for path, _ in (*unit.sources, *unit.markers)}
        return _landed(carried, "landed" if paths <= carried.remains.keys() else "waits")


def _landed(carried: Carried, result: Result) -> Landed:
    return Landed(
        result,
        remains=carried.remains,
        filed=carried.filed,
        duplicates=carried.duplicates,
        quarantined=carried.set_aside,
    )
