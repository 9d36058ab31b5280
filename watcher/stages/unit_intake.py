"""Taking unit by unit: what is complete is looked at once more, taken in hand, and landed (spec 7).

One unit of a drop at a time, beside its looks; the archive files of a gradual drop come by here
too. When a unit is complete is `core.gathering`'s to say, what becomes of it the lander's.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace

import anyio

from watcher.core.errors import AlreadyRunningError, LedgerError, StorageError
from watcher.core.file import Candidate, Fingerprint, Refusal, RefusalCode
from watcher.core.gathering import SIGN, Gathering, spoken_of, unit_of
from watcher.core.policy import Drop
from watcher.core.settle import Quiet, Settler, Waiting
from watcher.core.unit import Kind, Unit, is_packed
from watcher.stages.bell import Bell
from watcher.stages.holding import Holding
from watcher.stages.landing import Landed, Lander
from watcher.stages.looking import Looker
from watcher.stages.outcomes import Tally
from watcher.stages.parts import Parts
from watcher.stages.patience import Speed

PAUSES = (1.0, 60.0)  # seconds: the first and the longest until a unit is tried again
IDLE = 5.0  # seconds between two tries while nothing can be landed
OWED = "landing"  # what was promised, as work that a store may refuse
NO_UNIT = "It says that a unit is complete which is not there."
PART = "It is complete, and waits for the rest of its unit."


@dataclass
class Units:
    """What lands the units of one drop."""

    parts: Parts
    drop: Drop
    lander: Lander
    looker: Looker
    holding: Holding
    speed: Speed
    tally: Tally
    filed: Callable[[], None]  # rung when a session may have changed
    woken: Callable[[], None]  # rung when there is something to look at
    ready: Callable[[], bool]  # whether anything can be written now
    landing: bytes = b""  # the name of the unit that lands
    bell: Bell = field(default_factory=Bell)

    def __post_init__(self) -> None:
        """Nothing lands yet."""
        self.eyes = anyio.Lock()  # no result is told while a look is under way: it has seen before
        self._one = anyio.Lock()
        self._packed: deque[tuple[Unit, Quiet]] = deque()
        self.lander.serve(self.drop.name)

    @property
    def _gathering(self) -> Gathering | None:
        return self.looker.gathering

    @property
    def _settler(self) -> Settler:
        return self.looker.settler

    # -- when ---------------------------------------------------------------------------------

    def pack(self, candidate: Candidate) -> None:
        """An archive file of a gradual drop, in hand: a unit of its own."""
        path, pending = candidate.path, self._settler.pending(candidate.path)
        quiet = pending[1] if pending else Quiet.FULL
        unit = Unit(self.drop.name, path, Kind.ARCHIVE, ((path, candidate.print),))
        self._packed.append((unit, quiet))
        self.bell.ring()

    def step(self) -> None:
        """After each look: what it found may be complete."""
        if self._gathering:
            for path in self._gathering.lonely(self._now()):
                self._hold_lonely(path)
        self.bell.ring()

    async def run(self) -> None:
        """Land, and wait; for ever."""
        while True:
            try:
                await self.work()
                pause = self.pause()
            except StorageError:
                pause = IDLE  # the ledger or a store failed; `disk` says which, and when
            await self.bell.wait(pause)

    async def work(self) -> None:
        """Land everything that is complete now, one unit after the other."""
        async with self._one:
            if self.lander.owes and self.ready():
                await self._carry_on()
            while (self._packed or self._gathering) and self.ready():
                if (found := await self._next()) is None:
                    break
                await self._land(*found)

    async def _carry_on(self) -> None:
        """What was promised and could not be done; `disk` says what a store refuses."""
        async with self.eyes:
            self.looker.leaving = True
        try:
            fared = await self.lander.settle(self.drop.name)
        finally:
            self.looker.leaving = False
        async with self.eyes:
            for each in fared:
                self._tell(each, "prearchive")
        errors = [error for each in fared for error in each.errors.values()]
        refused = next((each for each in errors if isinstance(each, StorageError)), None)
        if refused is not None:
            self.parts.failing.met((OWED, self.drop.name), refused, self._now(), IDLE)
        elif not errors:
            self.parts.failing.over((OWED, self.drop.name))
        self.filed()

    def pause(self) -> float:
        """Seconds until something may be complete without a look."""
        due = self._gathering.next_due(self._now()) if self._gathering else None
        if due is None or not self.ready():
            return IDLE
        return min(max(0.01, due - self._now()), IDLE)

    def hopeful(self) -> bool:
        """Whether something is to be landed, or may become complete by itself."""
        return bool(self._packed) or bool(self._gathering and self._gathering.hopeful())

    def open(self) -> int:
        """How many units are there that have not landed, the one that does among them."""
        if self._gathering:
            return self._gathering.units()
        return len(self._packed) + bool(self.landing)

    def left(self) -> Iterator[Waiting]:
        """The files that wait for something, and one for all those that only wait for these."""
        told: set[bytes] = set()
        for each in self._settler.waiting():
            name = unit_of(each.path)
            if each.reason or spoken_of(each.path):
                yield each
            elif name not in told:
                told.add(name)
                yield replace(each, path=name, reason=RefusalCode.UNIT.value, text=PART)

    # -- one unit -----------------------------------------------------------------------------

    async def _next(self) -> tuple[Unit, Quiet] | None:
        """The next unit, its files in hand."""
        if self._packed:
            return self._packed.popleft()
        gathering = self._gathering
        while gathering and self.looker.available and (name := gathering.complete(self._now())):
            if found := await self._confirmed(gathering, name):
                return found
        return None

    async def _confirmed(self, gathering: Gathering, name: bytes) -> tuple[Unit, Quiet] | None:
        """The unit, if a look at all of it finds what was there before, and nothing else."""
        async with self.eyes:
            found = await self.looker.look_into(name)
            if found is None:
                gathering.put_off(name, self._now(), *PAUSES)
                return None
            met = {seen.path for seen in found.found}
            if gathering.count(name) != sum(self._is_of(path, name) for path in met):
                self._forget(name, met)
            return self._taken(name, met) if gathering.is_complete(name, self._now()) else None

    def _is_of(self, path: bytes, name: bytes) -> bool:
        pending = unit_of(path) == name and not spoken_of(path)
        return pending and self._settler.pending(path) is not None

    def _forget(self, name: bytes, met: Collection[bytes]) -> None:
        for path in [each.path for each in self._settler.waiting()]:
            if path not in met and self._is_of(path, name):
                self.looker.met.vanished(path)

    def _taken(self, name: bytes, met: Collection[bytes]) -> tuple[Unit, Quiet]:
        sources: list[tuple[bytes, Fingerprint]] = []
        quietest = Quiet.LONG
        for path in met:
            pending = self._settler.pending(path)
            if pending and self._is_of(path, name) and self._settler.take(path):
                sources.append((path, pending[0].print))
                quietest = min(quietest, pending[1])
        kind = _kind(name, loose=sources[0][0] == name)
        unit = Unit(self.drop.name, name, kind, tuple(sorted(sources)), self._markers(name))
        return unit, quietest

    def _markers(self, name: bytes) -> tuple[tuple[bytes, Fingerprint], ...]:
        found: list[tuple[bytes, Fingerprint]] = []
        if self.looker.met.signs and name in self.looker.met.signs.given:
            found.append((name + b"/" + SIGN, self.looker.met.signs.given[name]))
        if beside := self._settler.pending(name + SIGN):
            found.append((name + SIGN, beside[0].print))
        return tuple(found)

    async def _land(self, unit: Unit, quiet: Quiet) -> None:
        """The one error border of this stage, round one unit."""
        async with self.eyes:
            self.landing, self.looker.leaving = unit.name, True
        try:
            landed = await self.lander.land(self.drop, unit, quiet)
        except (AlreadyRunningError, LedgerError):
            raise  # this run is over
        except Exception as error:  # whatever it is, it is this unit's: the others go on
            self.parts.fault(error, "unit")
            landed = Landed("waits", errors={unit.sources[0][0]: error})
        finally:
            self.landing, self.looker.leaving = b"", False
        async with self.eyes:
            self._settle(unit, landed)
        self.filed()

    def _tell(self, landed: Landed, store: str) -> None:
        """Count what landed, and tell the eyes what is done with; `store` took it."""
        self.tally.filed += landed.filed
        self.tally.duplicates += landed.duplicates
        self.tally.quarantined += landed.quarantined
        for path, remains in landed.remains.items():
            self.holding.trouble.over(path, store, "state")
            self.looker.met.finish(path, remains)

    def _settle(self, unit: Unit, landed: Landed) -> None:
        self._tell(landed, "quarantine" if landed.result == "refused" else "prearchive")
        if landed.result == "waits":
            self._wait(unit, landed)
        self.looker.hint(unit.name)  # what came meanwhile is another unit
        self.woken()

    def _wait(self, unit: Unit, landed: Landed) -> None:
        """The files that are not whole wait as any; the others for them."""
        prints = {path: seen for path, seen in unit.sources if path not in landed.remains}
        reasons: dict[bytes, Refusal | Exception] = {**landed.held, **landed.errors}
        for path, why in reasons.items():
            self.holding.wait(Candidate(self.drop.name, path, prints[path]), why)
        after = 0.0 if reasons else self.speed.quick
        self.holding.again(prints.keys() - reasons.keys(), after)
        if self._gathering:
            self._gathering.put_off(unit.name, self._now(), *PAUSES)

    # -- markers ------------------------------------------------------------------------------

    def _hold_lonely(self, path: bytes) -> None:
        """A `NAME.complete` without its unit waits, and is stuck in the end."""
        if (pending := self._settler.pending(path)) is not None:
            candidate = Candidate(self.drop.name, path, pending[0].print)
            self.holding.wait(candidate, Refusal(RefusalCode.UNIT, NO_UNIT))

    def _now(self) -> float:
        return self.parts.clock.monotonic()


def _kind(name: bytes, *, loose: bool) -> Kind:
    if not loose:
        return Kind.FOLDER
    return Kind.ARCHIVE if is_packed(name) else Kind.FILE
