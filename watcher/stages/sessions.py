"""The sessions' stage: those come to rest are built, those READY are archived."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from anyio import TASK_STATUS_IGNORED, create_task_group, sleep
from anyio.abc import TaskStatus

from watcher.core import life
from watcher.core.errors import (
    AlreadyRunningError,
    HeldError,
    MissingPlaceError,
    StorageError,
    WorkerError,
    told,
)
from watcher.core.session import Session, Status
from watcher.io import agenda
from watcher.io.service import alive
from watcher.io.ways import open_ways
from watcher.stages.ahead import send
from watcher.stages.archive import archive
from watcher.stages.bell import Bell
from watcher.stages.deleting import carry_scans
from watcher.stages.hop import Hop
from watcher.stages.intake import Intake
from watcher.stages.lists import awaited, pending_of
from watcher.stages.parts import Parts, Stopped
from watcher.stages.rebuild import build
from watcher.stages.recover import carry_on
from watcher.stages.two_hands import Hands

PAUSES = (1.0, 300.0)  # seconds: the first and the longest wait after a transient fault
BREATH = 0.25  # seconds between two rounds at the least: files that stream in ring for each batch
LONGEST = 60.0  # seconds between two looks at the ledger, whatever it said was due
SHARE = 9.0  # times what sending files ahead took, before it is done again: a tenth of the time
BEGUN = (Status.BUILDING, Status.ARCHIVING, Status.MOVING, Status.DELETING)

STAGED = ("prearchive", "state")  # what building writes to; archiving to all of them
ALL = (*STAGED, "archive")

Work = Callable[[Parts, str], object]


@dataclass
class Sessions:
    """Builds and archives, in the order of opening; small ones with a hand of their own."""

    parts: Parts
    intakes: Mapping[str, Intake]
    bell: Bell = field(default_factory=Bell)
    pauses: Callable[[], bool] = lambda: False  # whether the archive's disk is too full

    def __post_init__(self) -> None:
        """Nothing is put off yet."""
        self._thread = Hop(2)
        self._hands = Hands(self.bell)
        self._put_off: dict[str, tuple[float, float]] = {}  # not before, and the pause then
        self._looked: dict[str, tuple[int, float]] = {}  # sent ahead: the generation, and when
        self._again = 0.0  # when something may be sent ahead again
        self._unsent = False  # something is to be

    async def run(self, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """Round after round with both hands, woken by files, looks and deadlines."""
        task_status.started()
        async with create_task_group() as hands:
            hands.start_soon(self._go_round, self.bell)
            hands.start_soon(partial(self._go_round, self.bell.another(), few=True))

    async def _go_round(self, bell: Bell, *, few: bool = False) -> None:
        with self.parts.watchdog.loop():
            while True:
                began = self.parts.clock.monotonic()
                try:
                    await self.round(few=few)
                    pause = await self._thread(self._pause, began)
                except StorageError:
                    pause = PAUSES[0]  # the ledger failed; `daemon` says so once
                alive()
                await sleep(BREATH)
                await bell.wait(min(pause, self.parts.watchdog.every) - BREATH)

    def postponed(self) -> int:
        """How many sessions could not be worked on for now."""
        return len(self._put_off)

    async def round(self, *, idle: bool = False, few: bool = False) -> None:
        """Everything that is due now; with `idle`, sessions rest as soon as nothing is pending.

        `few`: what the second hand does, sessions of few files only.
        """
        for session in self._hands.turns(await self._resting(idle=idle), few=few):
            await self._work(session, _build)
        if self.pauses():
            return
        begun = await self._thread(self.parts.ledger.sessions, BEGUN)
        for session in self._hands.turns([] if few else begun):
            await self._work(session, carry_on)
        ready = await self._thread(agenda.archivable, self.parts.ledger)
        for session in self._hands.turns(list(filter(self.parts.auto_archive, ready)), few=few):
            await self._work(session, _archive)
        if not idle and not few:
            await self._send_ahead()

    async def _send_ahead(self) -> None:
        """One session's new files go into the archive ahead: that which has waited longest."""
        clock = self.parts.clock.monotonic
        there = await self._thread(self.parts.storage.is_there, "archive")
        found = await self._thread(agenda.sendable, self.parts.ledger) if there else []
        self._looked = {each.id: self._looked.get(each.id, (-1, 0.0)) for each, _ in found}
        began, in_hand = clock(), {each.id for each, busy in found if busy}
        due = list(self._hands.turns([each for each, _ in found if self._is_due(each, began)]))
        if due and began >= self._again:
            session = min(due, key=lambda each: self._looked[each.id][1])
            done = await self._work(session, send)
            seen = done and session.id not in in_hand  # all that came so far
            self._looked[session.id] = (session.generation if seen else -1, clock())
            self._again = clock() + SHARE * (clock() - began)
            due.remove(session)
        self._unsent = bool(due)

    def _is_due(self, session: Session, now: float) -> bool:
        """Whether files have come since it was looked at, and no refusal is waited out."""
        off = self._put_off.get(_name(session, send), (0.0, 0.0))[0]
        return now >= off and self._looked[session.id][0] != session.generation

    async def _resting(self, *, idle: bool) -> list[Session]:
        now = None if idle else self.parts.clock.now()
        max_open = self.parts.rules.max_open
        found = await self._thread(agenda.resting, self.parts.ledger, now, max_open)
        rests = [session for session in found if self._rests(session, idle=idle)]
        return await self._unawaited(rests, idle=idle) if rests else []

    async def _unawaited(self, rests: Sequence[Session], *, idle: bool) -> list[Session]:
        """Those for which no listed file is pending, or that have been open for too long."""
        pending = {
            name: pending_of(intake.waiting(), hopeful=idle)
            for name, intake in self.intakes.items()
            if intake.drop.mode == "gradual"
        }
        held = await self._thread(awaited, self.parts, rests, pending)
        return [each for each in rests if each.id not in held or self._is_overdue(each)]

    def _rests(self, session: Session, *, idle: bool) -> bool:
        if idle:
            return not self._holding(session, Intake.settling) or self._is_overdue(session)
        holding = self._holding(session, Intake.holding_folders)
        return life.idle(
            session,
            now=self.parts.clock.now(),
            looked={name: intake.looker.last_look for name, intake in self.intakes.items()},
            available={name: intake.looker.available for name, intake in self.intakes.items()},
            holding=holding,
            max_open=self.parts.rules.max_open,
        ).ready

    def _is_overdue(self, session: Session) -> bool:
        return self.parts.clock.now() >= session.receiving_since + self.parts.rules.max_open

    def _holding(self, session: Session, folders: Callable[[Intake], set[bytes]]) -> bool:
        """Whether a pending file lies in a directory the session took files from."""
        held = {
            (name, folder) for name, intake in self.intakes.items() for folder in folders(intake)
        }
        return bool(held) and not held.isdisjoint(self.parts.ledger.source_folders(session.id))

    async def _work(self, session: Session, work: Work) -> bool:
        """The one error border of this stage, round one session; whether it was done."""
        now = self.parts.clock.monotonic()
        name = _name(session, work)
        if now < self._put_off.get(name, (0.0, 0.0))[0]:
            return False
        try:
            with self._hands.working(session):
                wrote = await self._thread(_held, self.parts, session, work)
            self._put_off.pop(name, None)
            self.parts.failing.over(name, *_stores(work, wrote))
            return True
        except Stopped:
            self._put_off[name] = (now + LONGEST, LONGEST)
        except (HeldError, StorageError, MissingPlaceError, WorkerError) as error:
            self._postpone(name, session, error)
            if error.permanent:
                await self._thread(fail, self.parts, session.id, error)
        except AlreadyRunningError:  # another host has the store: this run is over
            raise
        except Exception as error:  # whatever it is, it is this session's: the others go on
            self.parts.fault(error, "session")
            self._postpone(name, session, error)
            await self._thread(fail, self.parts, session.id, error)
        return False

    def _postpone(self, name: str, session: Session, error: Exception) -> None:
        """Transient: tried again after a pause that doubles; said once by the store it concerns."""
        _, last = self._put_off.get(name, (0.0, 0.0))
        pause = min(max(PAUSES[0], 2 * last), PAUSES[1])
        now = self.parts.clock.monotonic()
        self._put_off[name] = (now + pause, pause)
        if isinstance(error, StorageError):
            self.parts.failing.met(name, error, now, pause)
        if isinstance(error, StorageError | WorkerError):
            self.parts.emit(
                "session.status",
                **self.parts.said(session, before=session.status.value, after="postponed"),
                error=error,
                seconds=pause,
            )

    def _pause(self, began: float) -> float:
        """Seconds until something may be due without a ring; what came due since the round too."""
        now, monotonic = self.parts.clock.now(), self.parts.clock.monotonic()
        waits = [LONGEST]
        if (rest := agenda.next_rest(self.parts.ledger, now - (monotonic - began))) is not None:
            waits.append(rest - now + 0.01)
        waits += [at - monotonic for at, _ in self._put_off.values() if at > began]
        waits += [self._again - monotonic] if self._unsent else []
        return max(0.05, min(waits))


def _name(session: Session, work: Work) -> str:
    """What goes ahead is refused, and tried again, apart from all else."""
    return f"{session.id}/ahead" if work is send else session.id


def _stores(work: Work, wrote: object) -> tuple[str, ...]:
    """What has taken what some work wrote."""
    if work is send:
        return ("archive",) if wrote else ()
    return ALL if work is _archive else STAGED


def _held(parts: Parts, session: Session, work: Work) -> object:
    parts.check_stop()
    parts.storage.require("prearchive")
    keys = parts.keys(session)
    with parts.leases.hold(keys, parts.clock.now()):
        if parts.keys(parts.ledger.session(session.id)) != keys:
            raise HeldError("the session was moved meanwhile")
        with open_ways():
            return work(parts, session.id)


def fail(parts: Parts, session_id: str, error: Exception) -> None:
    """A session the machine could not work on, for a reason nobody foresaw: ERROR, and said."""
    if not parts.ledger.has(session_id):
        return  # it was empty, and is gone
    session = parts.ledger.session(session_id)
    if life.may(session.status, life.Event.FAILED):
        parts.ledger.move(session_id, life.Event.FAILED, error=told(error))
        parts.announce(parts.publish(session_id))


def _build(parts: Parts, session_id: str) -> Session | None:
    session = parts.ledger.session(session_id)
    if session.status is not Status.RECEIVING:
        return None
    carry_scans(parts, session)  # a deletion that was cut off comes before any build
    return build(parts, session_id, life.Event.IDLE)


def _archive(parts: Parts, session_id: str) -> Session | None:
    parts.storage.require("archive")
    session = parts.ledger.session(session_id)
    ready = session.status is Status.READY
    part = session.status is Status.CONFLICT and session.partly
    return archive(parts, session_id) if ready or part else None
