"""The daemon: every part built from Settings, one task group, signals, drain."""

import os
import signal
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TextIO

import anyio
from anyio.abc import TaskGroup

from watcher import __version__
from watcher.assembly import open_log, parts_of, prepare_storage, say_outbox
from watcher.core.errors import StorageError
from watcher.core.model import Status
from watcher.core.policy import Drop
from watcher.io.ledger import PREARCHIVED, Ledger
from watcher.io.observe import Observer
from watcher.io.said import Outbox
from watcher.io.service import notify
from watcher.io.workers import Workers
from watcher.log import Log
from watcher.settings import Settings
from watcher.stages.disk import Disk
from watcher.stages.filing import Filer
from watcher.stages.hop import Hop
from watcher.stages.intake import Intake
from watcher.stages.looking import speed_of
from watcher.stages.parts import Parts
from watcher.stages.presence import is_native, is_remote
from watcher.stages.recover import recover, reidentify
from watcher.stages.sessions import Sessions

DONE, OPEN, MISSING, INTERRUPTED = 0, 3, 10, 130
TICK = 0.5  # seconds between two looks at the outbox
DISK = 5.0  # seconds between two looks at the stores
LEDGER = "storage/ledger"  # the key of its faults
UNSETTLED = (Status.CONFLICT, Status.ERROR)


def run(
    settings: Settings,
    *,
    once: bool = False,
    notify_address: str | None = None,
    stream: TextIO | None = None,
) -> int:
    """Run until a signal, or drain once; gives the exit code.

    The log's lines go to `stream` (None: to standard output), besides `log.file`.
    ConfigurationError, AlreadyRunningError, MissingPlaceError before anything is begun.
    """
    storage = prepare_storage(settings)
    log = open_log(settings, stream or sys.stdout)
    try:
        with storage.locked():
            ledger = Ledger.open(settings.stores.state)
            try:
                parts = parts_of(settings, storage, ledger, log)
                return anyio.run(Daemon(settings, parts, log, notify_address).main, once)
            finally:
                ledger.close()
    finally:
        log.close()


@dataclass
class Daemon:
    """One run."""

    settings: Settings
    parts: Parts
    log: Log
    notify_address: str | None = None

    def __post_init__(self) -> None:
        """What is known before anything is opened."""
        self._began = self.parts.clock.monotonic()
        self._disk = Disk(self.parts, self.settings.reserve)
        self._hop = Hop(4)
        self._outbox = Outbox(self.parts.ledger)
        self._signal: signal.Signals | None = None
        self._ledger_fault = False
        self._code = DONE
        self._left: dict[str, object] = {}  # what a drain leaves open
        self._unwell: dict[str, tuple[float, str]] = {}  # drops without hints: since, and why

    async def main(self, once: bool) -> int:  # noqa: FBT001  anyio.run passes by position
        """The whole run, in its order."""
        signal.signal(signal.SIGIO, signal.SIG_IGN)
        self.parts.emit(
            "daemon.started",
            version=__version__,
            host=os.uname().nodename,
            pid=os.getpid(),
            config=self.settings.source,
            drops=[drop.name for drop in self.settings.drops],
        )
        async with anyio.create_task_group() as tasks:
            await tasks.start(self._signals, tasks)
            async with Workers.open(count=2) as workers:
                await self._work(workers, once=once)
            tasks.cancel_scope.cancel()
        reason = self._signal.name if self._signal else "drained"
        await self._hop(say_outbox, self._outbox, self.log)
        seconds = round(self.parts.clock.monotonic() - self._began, 3)
        self.parts.emit("daemon.stopped", reason=reason, seconds=seconds, **self._left)
        return self._code if self._signal is None else _code_of(self._signal)

    async def _work(self, workers: Workers, *, once: bool) -> None:
        await self._hop(self._disk.check)
        await recover(self.parts, workers.examine, self._hop)
        drops = {drop.name: drop for drop in self.settings.drops}
        await self._hop(reidentify, self.parts, drops, self.settings.identify)
        filer, sessions = (
            Filer(self.parts),
            Sessions(self.parts, {}, pauses=self._disk.pauses_archive),
        )
        intakes = {
            drop.name: self._intake(drop, workers, filer, sessions) for drop in self.settings.drops
        }
        sessions.intakes = intakes
        if once:
            self._code = await self._drain(intakes, sessions)
        else:
            await self._serve(intakes, sessions)

    def _intake(self, drop: Drop, workers: Workers, filer: Filer, sessions: Sessions) -> Intake:
        return Intake(
            parts=self.parts,
            drop=drop,
            rules=self.settings.identify,
            workers=workers,
            filer=filer,
            thread=Hop(4),
            speed=speed_of(drop, network=is_remote(drop)),
            filed=sessions.bell.ring,
            low=self._disk.pauses_intake,
        )

    # -- once ---------------------------------------------------------------------------------

    async def _drain(self, intakes: Mapping[str, Intake], sessions: Sessions) -> int:
        before = {entry.id for entry in self.parts.registry.aside()}
        async with anyio.create_task_group() as drains:
            for intake in intakes.values():
                drains.start_soon(intake.drain)
        await sessions.round(idle=True)
        await sessions.round(idle=True)
        gone = [name for name, each in intakes.items() if not each.looker.available]
        left = {
            "waiting": sum(len(intake.waiting()) for intake in intakes.values()),
            "quarantined": len({entry.id for entry in self.parts.registry.aside()} - before),
            "unsettled": len(self.parts.ledger.sessions(UNSETTLED)),
            "postponed": sessions.postponed(),
            "low": sorted(self._disk.low),
        }
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
            health=self._health,
        )
        async with anyio.create_task_group() as stages:
            await stages.start(observer.run)
            for intake in intakes.values():
                await stages.start(intake.run)
                stages.start_soon(_renew, intake, observer)
            await stages.start(sessions.run)
            stages.start_soon(self._watch_disk)
            stages.start_soon(self._say)
            stages.start_soon(self._beat, intakes, native)
            self._ready(intakes)
            await self._stopped.wait()
            observer.stop()
            stages.cancel_scope.cancel()

    def _ready(self, intakes: Mapping[str, Intake]) -> None:
        sessions = sum(self.parts.ledger.counts().get(each, 0) for each in PREARCHIVED)
        seconds = round(self.parts.clock.monotonic() - self._began, 3)
        self.parts.emit("daemon.ready", drops=list(intakes), sessions=sessions, seconds=seconds)
        notify(f"READY=1\nSTATUS=watching {len(intakes)} drops", self.notify_address)

    def _health(self, drop: str, well: bool, why: str) -> None:  # noqa: FBT001  Observer's seam
        key = f"watch/{drop}"
        if well:
            self._unwell.pop(drop, None)
            self.parts.conditions.clear("drop.restored", key, drop=drop)
        else:
            self._unwell.setdefault(drop, (self.parts.clock.monotonic(), why))

    def _tell_unwell(self) -> None:
        """A watch that does not stand again by itself within a few seconds."""
        for drop, (since, why) in self._unwell.items():
            if self.parts.clock.monotonic() - since >= DISK:
                now, key = self.parts.clock.now(), f"watch/{drop}"
                self.parts.conditions.raise_("drop.degraded", key, now, drop=drop, text=why)

    async def _watch_disk(self) -> None:
        while True:
            await anyio.sleep(DISK)
            await self._patiently(self._disk.check)
            await self._patiently(self._tell_unwell)

    async def _say(self) -> None:
        """What commands left to be said, and what they raised or cleared."""
        while True:
            await anyio.sleep(TICK)
            await self._patiently(say_outbox, self._outbox, self.log)
            await self._patiently(self.parts.conditions.refresh)

    async def _patiently(self, step: Callable[..., object], *arguments: object) -> None:
        """A small step on the ledger that may fail for now: said once, done again next time."""
        try:
            await self._hop(step, *arguments)
        except StorageError as error:
            if not self._ledger_fault:
                self.parts.emit("storage.unavailable", store="state", text=str(error), key=LEDGER)
            self._ledger_fault = True
        else:
            if self._ledger_fault:
                self.parts.emit("storage.available", store="state", key=LEDGER)
            self._ledger_fault = False

    async def _beat(self, intakes: Mapping[str, Intake], native: Collection[str]) -> None:
        while True:
            self.parts.emit("daemon.heartbeat", **self._state(intakes, native))
            now = str(self.parts.clock.now())
            await self._patiently(self.parts.ledger.remember, "heartbeat", now)
            notify("WATCHDOG=1", self.notify_address)
            await anyio.sleep(self.settings.log.heartbeat)

    def _state(self, intakes: Mapping[str, Intake], native: Collection[str]) -> dict[str, object]:
        now = self.parts.clock.monotonic()
        waiting = [each.since for intake in intakes.values() for each in intake.waiting()]
        return {
            "counters": {
                name: vars(intake.tally) | {"waiting": len(intake.settler)}
                for name, intake in intakes.items()
            },
            "oldest_pending": round(now - min(waiting), 1) if waiting else 0,
            "drops": {
                name: {
                    "watch": "native" if name in native else "poll",
                    "available": intake.looker.available,
                }
                for name, intake in intakes.items()
            },
            "conditions": sorted(set(self.parts.conditions.open().values())),
        }

    # -- signals ------------------------------------------------------------------------------

    async def _signals(self, tasks: TaskGroup, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        wanted = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        self._stopped = anyio.Event()
        with anyio.open_signal_receiver(*wanted) as signals:
            task_status.started()
            async for number in signals:
                if number is signal.SIGHUP:
                    self.log.reopen()
                else:
                    self._stop(number)
                    break
        # the handlers are the system's again: a second signal ends the program at once
        tasks.cancel_scope.cancel()

    def _stop(self, number: signal.Signals) -> None:
        """What is at work in a thread ends at its next step; the rest at its next await."""
        self._signal = number
        notify("STOPPING=1", self.notify_address)
        self.parts.stopping.set()
        self._stopped.set()


async def _renew(intake: Intake, observer: Observer) -> None:
    """A drop's directory that was replaced is watched anew."""
    while True:
        await intake.looker.replaced.wait(None)
        observer.restart()


def _code_of(number: signal.Signals) -> int:
    return DONE if number is signal.SIGTERM else INTERRUPTED
