"""One drop: its loop. It looks, what is ripe is taken, file by file or unit by unit, and waits.

Looks decide, hints only say where to look (house 1.1). Settling is `core.settle`, the two ways of
taking are `file_intake` and `unit_intake`.
"""

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field

import anyio
from anyio.abc import TaskStatus

from watcher.core.errors import MissingPlaceError, StorageError
from watcher.core.policy import Drop, Identify
from watcher.core.settle import Waiting
from watcher.io.ignore import RECEIPTS
from watcher.io.workers import Workers
from watcher.stages import pending
from watcher.stages.bell import Bell
from watcher.stages.file_intake import Files
from watcher.stages.filing import Filer
from watcher.stages.holding import Holding
from watcher.stages.hop import Hop
from watcher.stages.landing import Lander
from watcher.stages.lists import HOPES, pending_of, review
from watcher.stages.looking import Looker
from watcher.stages.outcomes import Tally
from watcher.stages.parts import Parts
from watcher.stages.patience import Patience, Speed
from watcher.stages.unit_intake import IDLE, Units

OURS = f"{RECEIPTS}/".encode()


@dataclass
class Intake:
    """The stage of one drop."""

    parts: Parts
    drop: Drop
    rules: Identify
    workers: Workers
    filer: Filer
    lander: Lander
    thread: Hop  # the threads that file what this drop gives
    speed: Speed
    filed: Callable[[], None]  # rung when a session may have changed
    low: Callable[[], bool] = lambda: False  # whether the prearchive's disk is too full
    tally: Tally = field(default_factory=Tally)

    def __post_init__(self) -> None:
        """The eyes of this drop, what takes its files and units, and what wakes it."""
        self.bell = Bell()
        self.looker = Looker(self.parts, self.drop, self.speed, Hop(2))
        self.settler = self.looker.settler
        self.holding = Holding(self.parts, self.drop, self.looker, self.speed)
        self.units = Units(
            parts=self.parts,
            drop=self.drop,
            lander=self.lander,
            looker=self.looker,
            holding=self.holding,
            speed=self.speed,
            tally=self.tally,
            filed=self.filed,
            woken=self.bell.ring,
            ready=self._is_ready,
        )
        self.files = Files(
            parts=self.parts,
            drop=self.drop,
            rules=self.rules,
            workers=self.workers,
            filer=self.filer,
            thread=self.thread,
            speed=self.speed,
            looker=self.looker,
            holding=self.holding,
            tally=self.tally,
            filed=self.filed,
            packed=self.units.pack,
        )
        self._idle = False  # nothing can be taken for now
        self._stuck: list[Waiting] = []  # not said yet
        self._released: list[bytes] = []

    # -- the loop -----------------------------------------------------------------------------

    def hint(self, path: bytes | None) -> None:
        """Something may have happened here; None: anywhere. What is in our RECEIPTS we wrote."""
        if path is not None and path.startswith(OURS):
            return
        self.looker.hint(path)
        self.bell.ring()

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Look, take, wait; for ever. Says started when the first look is under way."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.units.run)
            task_status.started()
            while True:
                try:
                    await self.step()
                except (StorageError, MissingPlaceError):
                    self._idle = True  # the ledger or a store failed; `disk` says which, and when
                await self.bell.wait(self._pause())

    async def drain(self) -> None:
        """One full look, and whatever becomes whole meanwhile (`run --once`)."""
        if self.looker.gathering:
            self.looker.gathering.rest = self.speed.quiet
        await self._step_and_land()
        patience = Patience(self.speed, len(self.settler))
        while self._hopes() and not self._idle and patience.left > 0:
            pause = min(self._pause(), self.units.pause())
            await self.bell.wait(pause)
            await self._step_and_land()
            patience.spend(pause, self.waiting())
        await self.looker.look_fully()
        await self.looker.thread(self.looker.prune, math.inf)
        left = self.units.left() if self.looker.gathering else self.settler.waiting()
        pending.tell_left(self.parts, self.drop, left)

    async def _step_and_land(self) -> None:
        await self.step()
        if not self._idle:
            await self.units.work()

    def _hopes(self) -> bool:
        return bool(self.settling()) or self.units.hopeful()

    def settling(self) -> set[bytes]:
        """The folders of files that may still become whole by themselves, and hold sessions."""
        if self.looker.gathering:
            return set()  # what is not complete belongs to no session yet
        waiting = (each.path for each in self.settler.waiting() if each.reason in HOPES)
        return set(map(os.path.dirname, waiting)) | self.looker.later

    def holding_folders(self) -> set[bytes]:
        """The folders of pending files, that hold the timers of sessions fed from there."""
        if self.looker.gathering:
            return set()
        return self.settler.holding_folders() | self.looker.later

    def _pause(self) -> float:
        if self._idle:
            return IDLE
        return max(0.01, self.looker.next_due() - self.parts.clock.monotonic())

    def _is_there(self) -> bool:
        return all(map(self.parts.storage.is_there, ("state", "prearchive")))

    def _is_ready(self) -> bool:
        return self._is_there() and not self.low()

    async def step(self) -> None:
        """One round: everything that is due now, but for the units, which land beside it."""
        there = self._is_there()
        self._idle = not there or self.low()
        if not there:
            return
        async with self.units.eyes:
            full = await self.looker.look()
        if full:
            self.holding.trouble.keep_only({each.path for each in self.settler.waiting()})
            await self._review_lists()
            self.filed()
        await self._tell_stuck()
        if not self.low():
            await self._take()
        now = self.parts.clock.monotonic()
        if self.looker.met.emptied.is_due(now):
            await self.looker.thread(self.looker.prune, now)

    async def _take(self) -> None:
        if self.filer.left_in_hand:
            await self.thread(self.filer.settle)
        await self.workers.warm(len(self.settler))
        if self.looker.gathering is None:
            await self.files.take()
        self.units.step()

    async def _review_lists(self) -> None:
        gradual = self.drop.mode == "gradual"
        waiting = pending_of(self.settler.waiting()) if gradual else ()
        if self.looker.available:
            await self.looker.thread(review, self.parts, self.drop, waiting)

    # -- telling ------------------------------------------------------------------------------

    async def _tell_stuck(self) -> None:
        """In a thread, as each is a commit, and they may be thousands; the rest if that fails."""
        self._released += self.settler.released()
        self._stuck += self.settler.stuck(self.parts.clock.monotonic())
        if self._released or self._stuck:
            said = {each.path for each in self._stuck}
            await self.thread(self._tell_each)
            for path in said - {each.path for each in self.waiting() if each.stuck}:
                self.looker.met.release(path)  # it went meanwhile
            self.filed()
        self.holding.trouble.tell(self.settler)

    def _tell_each(self) -> None:
        met = self.looker.met
        while self._released:
            met.release(self._released[-1])
            self._released.pop()
        while self._stuck:
            pending.tell_stuck(self.parts, self.drop, met.key(self._stuck[0].path), self._stuck[0])
            del self._stuck[0]

    def waiting(self) -> list[Waiting]:
        """What is pending here."""
        return list(self.settler.waiting())
