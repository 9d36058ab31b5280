"""One drop: hint -> looked at -> settled -> read -> identified -> filed.

Looks decide, hints only say where to look (house 1.1). No rule is in here: settling is
`core.settle`, identity `core.route`, refusals `dicom.header`, filing `stages.filing`.
"""

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import anyio
from anyio.abc import TaskStatus

from watcher.core.errors import AlreadyRunningError, MissingPlaceError, StorageError, WorkerError
from watcher.core.model import QUARANTINED, Candidate, Fingerprint, Refusal, RefusalCode
from watcher.core.policy import Drop, Identify
from watcher.core.route import identify
from watcher.core.settle import Quiet, Waiting
from watcher.io.files import make_folder
from watcher.io.reserve import Incoming
from watcher.io.workers import Workers
from watcher.stages import pending, reading
from watcher.stages.bell import Bell
from watcher.stages.filing import Filer
from watcher.stages.hop import Hop
from watcher.stages.looking import Looker, Speed
from watcher.stages.outcomes import Outcome, Result, Tally, remove_copied, sops_of
from watcher.stages.parts import Parts
from watcher.stages.patience import Patience
from watcher.stages.quarantine import put_aside, supersede
from watcher.stages.trouble import Trouble

BATCH = 256  # files: each batch costs three commits and one sync of every folder it fills
BYTES = 128 << 20  # of a batch, unless one file has more: it is one step, and ends as a whole
LANES = 4  # batches under way: two are read, one is filed, one is ready for it
IDLE = 5.0  # seconds between two tries while nothing can be written
READING = 2  # batches of one drop that are read at a time
Ripe = tuple[bytes, Fingerprint, Quiet]  # path, as it was seen, how quiet it has been


@dataclass
class Intake:
    """The stage of one drop."""

    parts: Parts
    drop: Drop
    rules: Identify
    workers: Workers
    filer: Filer
    thread: Hop  # the threads that file what this drop gives
    speed: Speed
    filed: Callable[[], None]  # rung when a session may have changed
    low: Callable[[], bool] = lambda: False  # whether the prearchive's disk is too full
    tally: Tally = field(default_factory=Tally)

    def __post_init__(self) -> None:
        """The eyes of this drop, and what wakes it."""
        self.bell = Bell()
        self.looker = Looker(self.parts, self.drop, self.speed, Hop(2))
        self.settler = self.looker.settler
        self._copy: set[bytes] = set()  # a link would not do, as was found out
        self._idle = False  # nothing can be taken for now
        self._trouble = Trouble(self.parts, self.drop, self.settler)
        self._reading = anyio.Semaphore(READING)

    # -- the loop -----------------------------------------------------------------------------

    def hint(self, path: bytes | None) -> None:
        """Something may have happened here; None: anywhere."""
        self.looker.hint(path)
        self.bell.ring()

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Look, take, wait; for ever. Says started when the first look is under way."""
        task_status.started()
        while True:
            try:
                await self.step()
            except (StorageError, MissingPlaceError):
                self._idle = True  # the ledger or a store failed; `disk` says which, and when
            await self.bell.wait(self._pause())

    async def drain(self) -> None:
        """One full look, and whatever becomes whole meanwhile (`run --once`)."""
        await self.step()
        patience = Patience(self.speed, len(self.settler))
        while self.settling() and not self._idle and patience.left > 0:
            pause = self._pause()
            await self.bell.wait(pause)
            await self.step()
            patience.spend(pause, self.waiting())
        await self.looker.look_fully()
        await self.looker.thread(self.looker.prune, math.inf)
        pending.tell_left(self.parts, self.drop, self.settler.waiting())

    def settling(self) -> set[bytes]:
        """The folders of files that may still become whole by themselves."""
        hopes = ("", RefusalCode.BUSY.value, RefusalCode.HOLLOW.value)
        return {
            os.path.dirname(each.path) for each in self.settler.waiting() if each.reason in hopes
        }

    def _pause(self) -> float:
        if self._idle:
            return IDLE
        return max(0.01, self.looker.next_due() - self.parts.clock.monotonic())

    async def step(self) -> None:
        """One round: everything that is due now."""
        there = all(map(self.parts.storage.is_there, ("state", "prearchive")))
        self._idle = not there or self.low()
        if not there:
            return
        if await self.looker.look():
            self._trouble.keep_only({each.path for each in self.settler.waiting()})
            self.filed()
        self._tell_stuck()
        if not self.low():
            if self.filer.left_in_hand:
                await self.thread(self.filer.settle)
            await self.workers.warm(len(self.settler))
            await self._take()
        await self.looker.thread(self.looker.prune, self.parts.clock.monotonic())

    # -- taking -------------------------------------------------------------------------------

    async def _take(self) -> None:
        """Everything that is ripe, in batches: while one is filed, the next are read."""
        free = anyio.Semaphore(LANES)
        async with anyio.create_task_group() as lanes:
            await free.acquire()
            while chosen := self._choose():
                lanes.start_soon(self._lane, free, chosen)
                await free.acquire()

    async def _lane(self, free: anyio.Semaphore, chosen: Sequence[Ripe]) -> None:
        await self._read(chosen)
        free.release()

    def _choose(self) -> list[Ripe]:
        """The next batch; what is in it is in hand from here on."""
        chosen: list[Ripe] = []
        room, alone = BYTES, self._trouble.is_stalled
        for path, seen, quiet in self.settler.ripe(self.parts.clock.monotonic(), BATCH):
            room -= seen.size
            if chosen and (room < 0 or alone(path) or alone(chosen[-1][0])):
                break
            if self.settler.take(path):
                chosen.append((path, seen, quiet))
        return chosen

    async def _read(self, chosen: Sequence[Ripe]) -> None:
        """Read one batch, then file what is whole; one thread or process hop each."""
        requests = [
            reading.request(
                self.parts.storage.incoming,
                self.drop,
                Candidate(self.drop.name, path, seen),
                tags=self.rules.tags,
                quiet=quiet,
                copy=path in self._copy,
            )
            for path, seen, quiet in chosen
        ]
        left = [path for path, _, _ in chosen]  # whom a fault concerns from here on
        try:
            await self.thread(self._make_incoming)
            async with self._reading:  # a drop that hangs has no more of the readers waiting
                replies = await self.workers.examine(requests)
            pending.tell_readers(self.parts, None)
            incoming: list[Incoming] = []
            for (path, seen, _), reply in zip(chosen, replies, strict=True):
                candidate = Candidate(self.drop.name, path, seen)
                answer = reading.answer(candidate, reply)
                if isinstance(answer, reading.Whole):
                    incoming.append(self._identified(answer))
                else:
                    await self._refused(candidate, answer)
            left = [each.candidate.path for each in incoming]
            outcomes = await self.thread(self.filer.file, self.drop, incoming)
            for outcome in outcomes:
                self._settle(outcome)
            await self.thread(supersede, self.parts, sops_of(outcomes))
            await self._remove(outcomes)
        except (StorageError, MissingPlaceError, WorkerError) as error:
            if isinstance(error, WorkerError):
                pending.tell_readers(self.parts, error)
            for path in left:
                self._trouble.met(path, error)
        except AlreadyRunningError:
            raise  # another host has the store: this run is over
        except Exception as error:  # whatever it is, it is these files': the others go on
            for path in left:
                self._trouble.met(path, error, level="error")
        self.filed()

    async def _remove(self, outcomes: Sequence[Outcome]) -> None:
        """The sources of copies go, in the threads that look: who hangs there is not there."""
        own = self.looker.thread
        for path in await own(remove_copied, self.parts, self.drop, outcomes, own.beat):
            self.looker.finish(path, None)

    def _make_incoming(self) -> None:
        self.parts.storage.require("prearchive")
        make_folder(self.parts.storage.incoming)

    def _identified(self, whole: reading.Whole) -> Incoming:
        identity = identify(
            whole.examined.header,
            drop=self.drop,
            path=whole.candidate.path,
            identify=self.rules,
            projects=self.parts.projects,
        )
        project = self.parts.projects.known.get(identity.key.project or "")
        rest = self.drop.inactivity or (project.inactivity if project else None)
        return Incoming(
            whole.candidate, whole.examined, identity, rest or self.parts.rules.inactivity
        )

    async def _refused(self, candidate: Candidate, refusal: Refusal | StorageError) -> None:
        path, now = candidate.path, self.parts.clock.monotonic()
        if isinstance(refusal, StorageError):
            self._trouble.met(path, refusal)
        elif refusal.code in {RefusalCode.UNLEASED, RefusalCode.HOLLOW}:
            self.settler.unproven(path, candidate.print, refusal)
        elif refusal.code is RefusalCode.DENIED:  # leave may be given without changing the file
            self._trouble.met(path, refusal)
        elif refusal.code is RefusalCode.BUSY:
            self.settler.busy(path, now)
        elif refusal.code in {RefusalCode.GONE, RefusalCode.CHANGED}:
            self.settler.retry(path, now, self.speed.quick)
        elif refusal.code in {RefusalCode.DICOMDIR, RefusalCode.NOT_REGULAR}:
            self.looker.leave(path, candidate.print)
        elif refusal.code in QUARANTINED and not reading.is_archive(candidate, refusal):
            await self._quarantine(candidate, refusal)
        else:
            self._hold(candidate, refusal)

    def _hold(self, candidate: Candidate, refusal: Refusal) -> None:
        self._trouble.over(candidate.path)
        text = reading.why_it_waits(candidate, refusal)
        self.settler.hold(candidate.path, candidate.print, refusal.code.value, text)
        where = {"drop": self.drop.name, "path": candidate.path}
        self.parts.emit("file.waiting", **where, code=refusal.code.value, text=text)

    async def _quarantine(self, candidate: Candidate, refusal: Refusal) -> None:
        try:
            stays = await self.thread(put_aside, self.parts, self.drop, candidate, refusal)
        except (StorageError, MissingPlaceError) as error:
            self._trouble.met(candidate.path, error)
            return
        self.tally.quarantined += 1
        self._finished(candidate.path, stays, "quarantine")

    def _settle(self, outcome: Outcome) -> None:
        path = outcome.incoming.candidate.path
        self.tally.filed += outcome.result is Result.FILED
        self.tally.duplicates += outcome.result is Result.DUPLICATE
        if outcome.result in {Result.FILED, Result.DUPLICATE}:
            self._finished(path, outcome.remains, "prearchive")
        elif outcome.result is Result.COPY:
            self._read_again(path, outcome)
        elif outcome.result is Result.LATER:
            self.settler.retry(path, self.parts.clock.monotonic(), self.speed.quick)
        elif outcome.error is not None:
            self._trouble.met(path, outcome.error)

    def _read_again(self, path: bytes, outcome: Outcome) -> None:
        """A link, or a copy's inode, would not do: a copy, at once; failing that too, later."""
        if path in self._copy and outcome.error is not None:
            self._trouble.met(path, outcome.error)
        else:
            self._copy.add(path)
            self.settler.retry(path, self.parts.clock.monotonic(), 0.0)

    def _finished(self, path: bytes, remains: Fingerprint | None, store: str) -> None:
        self._copy.discard(path)
        self._trouble.over(path, store, "state")
        self.looker.finish(path, remains)

    # -- telling ------------------------------------------------------------------------------

    def _tell_stuck(self) -> None:
        for path in self.settler.released():
            self.looker.release(path)
        for waiting in self.settler.stuck(self.parts.clock.monotonic()):
            pending.tell_stuck(self.parts, self.drop, self.looker.key(waiting.path), waiting)
            self.filed()
        self._trouble.tell(self.settler)

    def waiting(self) -> list[Waiting]:
        """What is pending here."""
        return list(self.settler.waiting())
