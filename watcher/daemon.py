"""The daemon: every part built from Settings, one task group, drain."""

import os
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import NoReturn, TextIO

import anyio

from watcher import __version__
from watcher.assembly import open_ledger, open_log, parts_of, prepare_storage, sign_run
from watcher.core.errors import AlreadyRunningError, LedgerError, WatcherError, damaged
from watcher.core.failure import fault
from watcher.core.session import Status
from watcher.drops import expiry_of, handings_of, intakes_of
from watcher.hooks import said
from watcher.io.arena import use_one
from watcher.io.ledger import Ledger
from watcher.io.observe import Observer
from watcher.io.service import Watchdog
from watcher.io.stores import Storage
from watcher.io.workers import READERS, Workers
from watcher.log import Log
from watcher.settings import Settings
from watcher.signals import DONE, Signals, code_of
from watcher.stages.disk import Disk
from watcher.stages.hop import Hop
from watcher.stages.intake import Intake
from watcher.stages.parts import Parts
from watcher.stages.pending import forget_drops
from watcher.stages.presence import is_native
from watcher.stages.recover import recover, reidentify
from watcher.stages.sessions import Sessions
from watcher.starting import Waited, locked, opened, recovered
from watcher.telling import Published, Telling, served
from watcher.upkeep import Upkeep

OPEN, MISSING = 3, 10
LEDGERS = 3  # tried one after the other, before the fault is the disk's
LASTING = 600.0  # seconds after which a ledger that fails is the first again
UNSETTLED = (Status.CONFLICT, Status.ERROR)


def run(
    settings: Settings,
    *,
    once: bool = False,
    watchdog: Watchdog | None = None,
    journal: str = "",
    stream: TextIO | None = None,
) -> int:
    """Run until a signal, or drain once; gives the exit code.

    The log's lines go to `stream` (None: to standard output), besides `log.file`; with priorities
    where that is the stream `journal` names, see systemd.exec(5) on JOURNAL_STREAM.
    ConfigurationError, AlreadyRunningError, MissingPlaceError before anything is begun.
    """
    use_one()
    storage = prepare_storage(settings)
    log = open_log(settings, stream or sys.stdout, journal)
    try:
        with said(log):
            log.open()
            waited = Waited(log, watchdog or Watchdog())
            return _run_all(settings, storage, log, waited, once=once)
    except AlreadyRunningError:
        raise  # the log is another's, who is well; one that was taken over has said so
    except WatcherError as error:
        log("daemon.stopped", level="error", reason="refused", error=error)
        raise
    except Exception as error:  # the daemon's border: whatever it is, it is said before it ends
        log("daemon.fault", **fault(error, "daemon"))
        raise
    finally:
        log.close()


def _run_all(settings: Settings, storage: Storage, log: Log, waited: Waited, *, once: bool) -> int:
    """One run after the other, each on a ledger of its own, until one comes to its end."""
    published = Published()
    with locked(storage, waited, once=once), served(settings, published, once=once):
        failed = 0
        while failed < LEDGERS:
            began = time.monotonic()
            again = failed > 0
            code = _run_on(settings, storage, log, waited, published, once=once, again=again)
            if code is not None:
                return code
            failed = failed + 1 if time.monotonic() - began < LASTING else 1
        raise damaged(f"{LEDGERS} of them failed one after the other")


def _run_on(
    settings: Settings,
    storage: Storage,
    log: Log,
    waited: Waited,
    published: Published,
    *,
    once: bool,
    again: bool,
) -> int | None:
    """A run on one ledger: the exit code, or None where the ledger failed."""
    ledger: Ledger | None = None
    try:
        make = partial(open_ledger, storage, log, damaged=again)
        ledger = opened(storage, waited, make, once=once)
        parts = replace(parts_of(settings, storage, ledger, log), watchdog=waited.watchdog)
        waited.hand_over(parts.conditions)
        return anyio.run(Daemon(settings, parts, log, published).main, once)
    except LedgerError:
        return None  # the next is made from the stores
    finally:
        if ledger:
            ledger.close()


@dataclass
class Daemon:
    """One run."""

    settings: Settings
    parts: Parts
    log: Log
    published: Published

    def __post_init__(self) -> None:
        """What is known before anything is opened."""
        self._began = self.parts.clock.monotonic()
        self._disk = Disk(self.parts, self.settings.reserve)
        self._hop = Hop(4)
        beat = self.settings.log.heartbeat
        self._upkeep = Upkeep(self.parts, self.log, self._disk, self._hop, beat)
        self._signals = Signals(self.parts, self.log, self._began)
        self._intakes: dict[str, Intake] = {}
        self._telling = Telling(
            self.settings, self.parts, self.published, lambda: self._upkeep.live(self._intakes)
        )
        self._code = DONE
        self._left: dict[str, object] = {}  # what a drain leaves open

    async def main(self, once: bool) -> int:  # noqa: FBT001  anyio.run passes by position
        """The whole run, in its order. LedgerError where the ledger failed meanwhile.

        AlreadyRunningError where another host has taken a store over.
        """
        signal.signal(signal.SIGIO, signal.SIG_IGN)
        self.parts.emit(
            "daemon.started",
            version=__version__,
            host=os.uname().nodename,
            pid=os.getpid(),
            config=self.settings.source,
            drops=[drop.name for drop in self.settings.drops],
        )
        failed: list[Exception] = []
        taken: list[AlreadyRunningError] = []
        try:
            async with anyio.create_task_group() as tasks:
                await tasks.start(self._signals.run, tasks)
                tasks.start_soon(self._upkeep.keep_stores)
                async with Workers.open(depth=self.settings.limits.depth) as workers:
                    await workers.warm(READERS)  # they are up when the first files have settled
                    await self._work(workers, once=once)
                tasks.cancel_scope.cancel()
        except* LedgerError as errors:
            failed.extend(errors.exceptions)
        except* AlreadyRunningError as errors:
            taken.append(_first(errors))
        if taken:
            self._leave(taken[0])
        ended = self._signals.ended
        if failed and ended is None:
            raise damaged("it failed while it was used") from failed[0]
        reason = ended.name if ended else "drained"
        with suppress(LedgerError):  # the next run makes another
            await self._upkeep.say_last()
            if ended and self._intakes:
                await self._telling.tell(last=True)
        seconds = round(self.parts.clock.monotonic() - self._began, 3)
        self._signals.spare()
        self.parts.emit("daemon.stopped", reason=reason, seconds=seconds, **self._left)
        return self._code if ended is None else code_of(ended)

    def _leave(self, taken: AlreadyRunningError) -> NoReturn:
        seconds = round(self.parts.clock.monotonic() - self._began, 3)
        told = {"reason": "taken over", "error": taken, "seconds": seconds}
        self.parts.emit("daemon.stopped", level="error", **told)
        raise taken

    async def _work(self, workers: Workers, *, once: bool) -> None:
        owed = partial(self._pay, workers)
        with self.parts.watchdog.loop():
            if not await recovered(self.parts, self._upkeep, owed, once=once):
                self._code, self._left = OPEN, {"low": self._disk.shut()}
                return
            drops = {drop.name: drop for drop in self.settings.drops}
            await self._hop(reidentify, self.parts, drops, self.settings.identify)
        sessions = Sessions(self.parts, {}, pauses=self._disk.pauses_archive)
        filed, low = sessions.bell.ring, self._disk.pauses_intake
        intakes = intakes_of(self.settings, self.parts, workers, filed=filed, low=low)
        sessions.intakes = self._intakes = intakes
        if once:
            self._code = await self._drain(intakes, sessions)
        else:
            await self._serve(intakes, sessions)

    async def _pay(self, workers: Workers) -> None:
        """What a start owes the last run."""
        await self._hop(sign_run, self.parts.storage, self.parts.ledger)
        await self._hop(forget_drops, self.parts, {drop.name for drop in self.settings.drops})
        await recover(self.parts, workers.examine, self._hop)

    async def _drain(self, intakes: Mapping[str, Intake], sessions: Sessions) -> int:
        before = {entry.id for entry in self.parts.registry.aside()}
        async with anyio.create_task_group() as drains:
            for intake in intakes.values():
                drains.start_soon(intake.drain)
        await sessions.round(idle=True)
        await sessions.round(idle=True)
        await expiry_of(self.settings, self.parts).purge()
        await handings_of(self.settings, self.parts, intakes).finish()
        await self._telling.tell(last=True)  # `disk` says what the status store thinks of it
        await self._upkeep.patiently(self._disk.check)
        gone = [name for name, each in intakes.items() if not each.looker.available]
        left = {
            "waiting": sum(len(intake.waiting()) for intake in intakes.values()),
            "quarantined": len({entry.id for entry in self.parts.registry.aside()} - before),
            "unsettled": len(self.parts.ledger.sessions(UNSETTLED)),
            "postponed": sessions.postponed(),
            "low": self._disk.shut(),
        }
        await self._hop(self.parts.ledger.check)
        missing = sorted(gone) + sorted(self._disk.missing)
        self._left = {**left, "missing": missing}
        if missing:
            return MISSING
        return OPEN if any(left.values()) else DONE

    # -- for ever -----------------------------------------------------------------------------

    async def _serve(self, intakes: Mapping[str, Intake], sessions: Sessions) -> None:
        native = {name: each.drop.path for name, each in intakes.items() if is_native(each.drop)}
        observer = Observer(
            native,
            hint=lambda drop, path: intakes[drop].hint(path),
            health=partial(self._health, intakes),
            backoff=(1.0, max(1.0, min([60.0, *(d.rescan_interval for d in self.settings.drops)]))),
        )
        self._upkeep.watch(intakes, native)
        async with anyio.create_task_group() as stages:
            await stages.start(observer.run)
            for intake in intakes.values():
                await stages.start(intake.run)
                stages.start_soon(_renew, intake, observer)
            await stages.start(sessions.run)
            stages.start_soon(self._upkeep.watch_disk, intakes)
            stages.start_soon(self._upkeep.say)
            stages.start_soon(self._upkeep.beat, intakes)
            stages.start_soon(self._telling.run)
            stages.start_soon(expiry_of(self.settings, self.parts).run)
            stages.start_soon(handings_of(self.settings, self.parts, intakes).run)
            self._ready(intakes)
            await self._signals.wait_stopped()
            observer.stop()
            stages.cancel_scope.cancel()

    def _health(
        self,
        intakes: Mapping[str, Intake],
        drop: str,
        well: bool,  # noqa: FBT001  Observer's seam
        why: str,
    ) -> None:
        intakes[drop].looker.watched = well
        self._upkeep.health(drop, well, why)

    def _ready(self, intakes: Mapping[str, Intake]) -> None:
        self._upkeep.count()
        sessions = sum(self._upkeep.backlog.values())
        seconds = round(self.parts.clock.monotonic() - self._began, 3)
        self.parts.emit("daemon.ready", drops=list(intakes), sessions=sessions, seconds=seconds)
        self.parts.watchdog.ready(self._upkeep.standing(intakes))


async def _renew(intake: Intake, observer: Observer) -> None:
    """A drop's directory that was replaced is watched anew."""
    while True:
        await intake.looker.replaced.wait(None)
        observer.restart()


def _first(errors: ExceptionGroup[AlreadyRunningError]) -> AlreadyRunningError:
    found = errors.exceptions[0]
    return _first(found) if isinstance(found, ExceptionGroup) else found
