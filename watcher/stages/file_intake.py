"""The gradual way: what is ripe is read in batches, identified and filed, each file by itself.

No rule is in here: identity is `core.route`, refusals `dicom.header`, filing `stages.filing`.
"""

import errno
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import anyio

from watcher.core.errors import AlreadyRunningError, MissingPlaceError, StorageError, WorkerError
from watcher.core.file import QUARANTINED, Candidate, Fingerprint, Refusal, RefusalCode
from watcher.core.policy import Drop, Identify
from watcher.core.route import identify
from watcher.core.settle import Quiet
from watcher.io.desk import Incoming
from watcher.io.files import make_folder
from watcher.io.workers import Workers
from watcher.stages import pending, reading
from watcher.stages.filing import Filer
from watcher.stages.holding import Holding
from watcher.stages.hop import Hop
from watcher.stages.lists import note_list
from watcher.stages.looking import Looker
from watcher.stages.outcomes import Outcome, Result, Tally, remove_copied, sops_of
from watcher.stages.parts import Parts
from watcher.stages.patience import Speed
from watcher.stages.quarantine import put_aside, supersede

BATCH = 128  # files: each batch costs three commits and one sync of every folder it fills
BYTES = 64 << 20  # of a batch, unless one file has more: it is one step, and ends as a whole
LANES = 4  # batches under way: two are read, one is filed, one is ready for it
READING = 2  # batches of one drop that are read at a time
TURN = 2.0  # seconds after which what is ripe gives way to a look that is due
Ripe = tuple[bytes, Fingerprint, Quiet]  # path, as it was seen, how quiet it has been


@dataclass
class Files:
    """What takes the files of one drop. `packed` takes its archive files."""

    parts: Parts
    drop: Drop
    rules: Identify
    workers: Workers
    filer: Filer
    thread: Hop
    speed: Speed
    looker: Looker
    holding: Holding
    tally: Tally
    filed: Callable[[], None]  # rung when a session may have changed
    packed: Callable[[Candidate], None]
    copy: set[bytes] = field(default_factory=set)  # a link would not do, as was found out
    copies: bool = False  # nor would one of any other file here: none is read twice for that

    def __post_init__(self) -> None:
        """Nothing is read yet."""
        self._trouble = self.holding.trouble
        self._settler = self.looker.settler
        self._unmatched = pending.Unmatched(self.parts, self.drop)
        self._reading = anyio.Semaphore(READING)

    async def take(self) -> None:
        """What is ripe, in batches: while one is filed, the next are read.

        All of it, or until a look has been due for a while: else what came since would wait.
        """
        free, until = anyio.Semaphore(LANES), self.parts.clock.monotonic() + TURN
        async with anyio.create_task_group() as lanes:
            await free.acquire()
            while not self._gives_way(until) and (chosen := self.choose()):
                lanes.start_soon(self._lane, free, chosen)
                await free.acquire()

    def _gives_way(self, until: float) -> bool:
        return self.parts.clock.monotonic() >= until and self.looker.is_due()

    async def _lane(self, free: anyio.Semaphore, chosen: Sequence[Ripe]) -> None:
        await self._read(chosen)
        free.release()

    def choose(self) -> list[Ripe]:
        """The next batch; what is in it is in hand from here on."""
        chosen: list[Ripe] = []
        room, alone = BYTES, self._trouble.is_stalled
        for path, seen, quiet in self._settler.ripe(self.parts.clock.monotonic(), BATCH):
            room -= seen.size
            if chosen and (room < 0 or alone(path) or alone(chosen[-1][0])):
                break
            if self._settler.take(path):
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
                copy=self.copies or path in self.copy,
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
                    await self.refused(candidate, answer)
            left = [each.candidate.path for each in incoming]
            outcomes = await self.thread(self.filer.file, self.drop, incoming)
            for outcome in outcomes:
                self.settle(outcome)
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
            self.parts.fault(error, "intake")
            for path in left:
                self._trouble.met(path, error)
        self.filed()

    async def _remove(self, outcomes: Sequence[Outcome]) -> None:
        """The sources of copies go, in the threads that look: who hangs there is not there."""
        own = self.looker.thread
        for path in await own(remove_copied, self.parts, self.drop, outcomes, own.beat):
            self.looker.met.finish(path, None)

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
        self._unmatched.tell(whole.candidate.path, identity)
        project = self.parts.projects.known.get(identity.key.project or "")
        rest = self.drop.inactivity or (project.inactivity if project else None)
        rest = rest or self.parts.rules.inactivity
        return Incoming(whole.candidate, whole.examined, identity, rest, self.drop.dest)

    async def refused(self, candidate: Candidate, refusal: Refusal | StorageError) -> None:
        """What becomes of a file that is not filed."""
        if isinstance(refusal, StorageError):
            self.holding.wait(candidate, refusal)
        elif refusal.code is RefusalCode.DICOMDIR:
            await self._list(candidate)
        elif refusal.code is RefusalCode.NOT_REGULAR:
            self.looker.met.leave(candidate.path, candidate.print)
        elif reading.is_archive(candidate, refusal):
            self.packed(candidate)
        elif refusal.code in QUARANTINED:
            await self._quarantine(candidate, refusal)
        else:
            self.holding.wait(candidate, refusal)

    async def _list(self, candidate: Candidate) -> None:
        """A DICOMDIR stays where it lies, and is read as the list of what should come."""
        path, examine = candidate.path, self.workers.examine
        file = os.path.join(self.drop.path, os.fsdecode(path))
        try:
            await note_list(self.parts, examine, self.thread, self.drop, path, file)
        except StorageError as error:
            self._trouble.met(path, error)
        else:
            self._trouble.over(path)
            self.looker.met.leave(path, candidate.print)

    async def _quarantine(self, candidate: Candidate, refusal: Refusal) -> None:
        try:
            stays = await self.thread(put_aside, self.parts, self.drop, candidate, refusal)
        except (StorageError, MissingPlaceError) as error:
            self._trouble.met(candidate.path, error)
            return
        self.tally.quarantined += 1
        self._finished(candidate.path, stays, "quarantine")

    def settle(self, outcome: Outcome) -> None:
        """What becomes of a file after its batch."""
        path = outcome.incoming.candidate.path
        self.tally.filed += outcome.result is Result.FILED
        self.tally.duplicates += outcome.result is Result.DUPLICATE
        if outcome.result in {Result.FILED, Result.DUPLICATE}:
            self._finished(path, outcome.remains, "prearchive")
        elif outcome.result is Result.COPY:
            self._read_again(path, outcome)
        elif outcome.result is Result.LATER:
            self._settler.retry(path, self.parts.clock.monotonic(), self.speed.quick)
        elif outcome.error is not None:
            self._trouble.met(path, outcome.error)

    def _read_again(self, path: bytes, outcome: Outcome) -> None:
        """A link, or a copy's inode, would not do: a copy, at once; failing that too, later."""
        self.copies |= outcome.error is not None and outcome.error.number == errno.EXDEV
        if path in self.copy and outcome.error is not None:
            self._trouble.met(path, outcome.error)
        else:
            self.copy.add(path)
            self._settler.retry(path, self.parts.clock.monotonic(), 0.0)

    def _finished(self, path: bytes, remains: Fingerprint | None, store: str) -> None:
        self.copy.discard(path)
        self._trouble.over(path, store, "state")
        self.looker.met.finish(path, remains)
