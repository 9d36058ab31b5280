"""The sessions' stage: those come to rest are built, those READY are archived."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from anyio import TASK_STATUS_IGNORED
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
from watcher.core.model import Session, Status
from watcher.stages.archive import archive
from watcher.stages.bell import Bell
from watcher.stages.deleting import carry_scans
from watcher.stages.hop import Hop
from watcher.stages.intake import Intake
from watcher.stages.parts import Parts, Stopped
from watcher.stages.rebuild import build
from watcher.stages.recover import carry_on

PAUSES = (1.0, 300.0)  # seconds: the first and the longest wait after a transient fault
LONGEST = 60.0  # seconds between two looks at the ledger, whatever it said was due
BEGUN = (Status.BUILDING, Status.ARCHIVING, Status.MOVING, Status.DELETING)

STAGED = ("prearchive", "state")  # what building writes to; archiving to all of them
ALL = (*STAGED, "archive")

Work = Callable[[Parts, str], object]


@dataclass
class Sessions:
    """Builds and archives, one session at a time, in the order of opening."""

    parts: Parts
    intakes: Mapping[str, Intake]
    bell: Bell = field(default_factory=Bell)
    pauses: Callable[[], bool] = lambda: False  # whether the archive's disk is too full

    def __post_init__(self) -> None:
        """Nothing is put off yet."""
        self._thread = Hop(1)
        self._put_off: dict[str, tuple[float, float]] = {}  # not before, and the pause then

    async def run(self, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """Round after round, woken by files, looks and deadlines."""
        task_status.started()
        while True:
            try:
                await self.round()
                pause = await self._thread(self._pause)
            except StorageError:
                pause = PAUSES[0]  # the ledger failed; `daemon` says so once
            await self.bell.wait(pause)

    def postponed(self) -> int:
        """How many sessions could not be worked on for now."""
        return len(self._put_off)

    async def round(self, *, idle: bool = False) -> None:
        """Everything that is due now; with `idle`, sessions rest as soon as nothing is pending."""
        for session in await self._resting(idle=idle):
            await self._work(session, _build)
        if self.pauses():
            return
        for session in await self._thread(self.parts.ledger.sessions, BEGUN):
            await self._work(session, carry_on)
        for session in await self._thread(self.parts.ledger.archivable):
            if self.parts.auto_archive(session):
                await self._work(session, _archive)

    async def _resting(self, *, idle: bool) -> list[Session]:
        now = None if idle else self.parts.clock.now()
        max_open = self.parts.rules.max_open
        found = await self._thread(self.parts.ledger.resting, now, max_open)
        return [session for session in found if self._rests(session, idle=idle)]

    def _rests(self, session: Session, *, idle: bool) -> bool:
        if idle:
            return not self._holding(session, Intake.settling) or self._is_overdue(session)
        holding = self._holding(session, lambda intake: intake.settler.holding_folders())
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

    async def _work(self, session: Session, work: Work) -> None:
        """The one error border of this stage, round one session."""
        now = self.parts.clock.monotonic()
        if now < self._put_off.get(session.id, (0.0, 0.0))[0]:
            return
        try:
            await self._thread(_held, self.parts, session, work)
            self._put_off.pop(session.id, None)
            self.parts.failing.over(session.id, *(ALL if work is _archive else STAGED))
        except Stopped:
            self._put_off[session.id] = (now + LONGEST, LONGEST)
        except (HeldError, StorageError, MissingPlaceError, WorkerError) as error:
            self._postpone(session, error)
            if error.permanent:
                await self._thread(fail, self.parts, session.id, error)
        except AlreadyRunningError:  # another host has the store: this run is over
            raise
        except Exception as error:  # whatever it is, it is this session's: the others go on
            self._postpone(session, error)
            await self._thread(fail, self.parts, session.id, error)

    def _postpone(self, session: Session, error: Exception) -> None:
        """Transient: tried again after a pause that doubles; said once by the store it concerns."""
        _, last = self._put_off.get(session.id, (0.0, 0.0))
        pause = min(max(PAUSES[0], 2 * last), PAUSES[1])
        now = self.parts.clock.monotonic()
        self._put_off[session.id] = (now + pause, pause)
        if isinstance(error, StorageError):
            self.parts.failing.met(session.id, error, now, pause)
        if isinstance(error, StorageError | WorkerError):
            self.parts.emit(
                "session.status",
                **self.parts.said(session, before=session.status.value, after="postponed"),
                error=error,
                seconds=pause,
            )

    def _pause(self) -> float:
        """Seconds until something may be due without a ring."""
        now = self.parts.clock.now()
        waits = [LONGEST]
        if (rest := self.parts.ledger.next_rest(now)) is not None:
            waits.append(rest - now + 0.01)
        monotonic = self.parts.clock.monotonic()
        waits += [at - monotonic for at, _ in self._put_off.values() if at > monotonic]
        return max(0.05, min(waits))


def _held(parts: Parts, session: Session, work: Work) -> None:
    parts.check_stop()
    parts.storage.require("prearchive")
    keys = parts.keys(session)
    with parts.leases.hold(keys, parts.clock.now()):
        if parts.keys(parts.ledger.session(session.id)) != keys:
            raise HeldError("the session was moved meanwhile")
        work(parts, session.id)


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
