"""What the daemon does beside its stages: stores looked at, lines of commands said, a heartbeat."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

import anyio

from watcher.assembly import say_outbox
from watcher.core.errors import LedgerError, StorageError
from watcher.core.session import Status
from watcher.io.ledger import PREARCHIVED
from watcher.io.said import Outbox
from watcher.io.service import alive
from watcher.io.tenure import EXPIRY, RENEWALS
from watcher.log import Log
from watcher.remembered import Live, keep_beat
from watcher.report.times import iso
from watcher.stages.disk import EVERY, Disk
from watcher.stages.hop import Hop
from watcher.stages.intake import Intake
from watcher.stages.parts import Parts

TICK = 0.5  # seconds between two looks at the outbox


@dataclass
class Upkeep:
    """Small regular steps, each of which may fail for now. `heartbeat` in seconds."""

    parts: Parts
    log: Log
    disk: Disk
    hop: Hop
    heartbeat: float
    unwell: dict[str, tuple[float, str]] = field(default_factory=dict)
    """Drops without hints: since when, and why."""
    backlog: dict[str, int] = field(default_factory=dict)
    """How many sessions of the prearchive have each status, as of the last heartbeat."""

    def __post_init__(self) -> None:
        """The run begins."""
        self._started = iso(self.parts.clock.now())
        self._said = -1  # the ledger's version whose outbox was said
        self._counted = -1  # and whose sessions were counted
        self._told = ""  # to systemd, as its status

    def watch(self, intakes: Mapping[str, Intake], native: Collection[str]) -> None:
        """These drops are watched by events; of the others nobody expects it any more."""
        for name, intake in intakes.items():
            intake.looker.watched = name in native
            if name not in native:
                message = "The drop is polled, as configured"
                fields = {"drop": name, "message": message}
                self.parts.conditions.clear("drop.restored", f"watch/{name}", **fields)

    def health(self, drop: str, well: bool, why: str) -> None:  # noqa: FBT001  Observer's seam
        """A drop's watch stands, or does not."""
        key = f"watch/{drop}"
        if well:
            self.unwell.pop(drop, None)
            self.parts.conditions.clear("drop.restored", key, drop=drop)
        else:
            self.unwell.setdefault(drop, (self.parts.clock.monotonic(), why))

    def _tell_unwell(self) -> None:
        """A watch that does not stand again by itself within a few seconds."""
        for drop, (since, why) in self.unwell.copy().items():
            if self.parts.clock.monotonic() - since >= EVERY:
                now, key = self.parts.clock.now(), f"watch/{drop}"
                self.parts.conditions.raise_("drop.degraded", key, now, drop=drop, text=why)

    async def watch_disk(self, intakes: Mapping[str, Intake]) -> None:
        """Look at the stores, and whether the drops answer, and tell systemd; for ever."""
        while True:
            await anyio.sleep(EVERY)
            await self.patiently(self.disk.check)
            for intake in intakes.values():
                await self.patiently(intake.looker.tell_silence)
            await self.patiently(self._tell_unwell)
            await self.patiently(self.count)
            self._tell_standing(intakes)

    async def keep_stores(self) -> None:
        """Tell other hosts that the stores are ours, for ever.

        AlreadyRunningError once another has taken one over.
        """
        tenures = self.parts.storage.tenures
        while True:
            await self.patiently(tenures.renew)
            for text in tenures.taken_over():
                self.parts.emit("daemon.recovered", count=1, outcome="taken over", text=text)
            await anyio.sleep(EXPIRY / RENEWALS)

    async def say(self) -> None:
        """What commands left to be said, and what they raised or cleared; for ever.

        The loop of the ledger: where that does not answer, this does not go on.
        """
        with self.parts.watchdog.loop():
            while True:
                await anyio.sleep(TICK)
                await self.patiently(self._say)
                alive()

    def _say(self) -> None:
        """All in one hop, and nothing is read where nobody has written: this never rests."""
        self.parts.ledger.check()
        version = self.parts.ledger.version()
        if version != self._said:
            say_outbox(Outbox(self.parts.ledger), self.log)
            self.parts.conditions.refresh()
            self._said = version
        self.parts.conditions.tell_crowds(self.parts.clock.now())

    async def say_outbox(self) -> None:
        """What commands left to be said."""
        await self.patiently(say_outbox, Outbox(self.parts.ledger), self.log)

    def _tell_last_crowds(self) -> None:
        self.parts.conditions.tell_crowds(self.parts.clock.now(), ending=True)

    async def say_last(self) -> None:
        """What is left to be said at the end of a run: by commands, and of conditions by number."""
        await self.patiently(self._tell_last_crowds)
        await self.say_outbox()

    async def patiently(self, step: Callable[..., object], *arguments: object) -> None:
        """A step on the ledger that may fail for now: `disk` tells of it; done again next time."""
        try:
            await self.hop(step, *arguments)
        except LedgerError:
            raise
        except StorageError as error:
            self.met(step.__name__, error)
        else:
            self.parts.failing.over(step.__name__)

    def met(self, step: str, error: StorageError) -> None:
        """A step was refused: by the ledger, if the error does not say where."""
        now = self.parts.clock.monotonic()
        self.parts.failing.met(step, error, now, self.heartbeat, store="state")

    def live(self, intakes: Mapping[str, Intake]) -> Live:
        """What only the running daemon knows, for the survey."""
        drops = {name: self._drop(intake) for name, intake in intakes.items()}
        return {"started": self._started, "lost": self.log.lost, "drops": drops}

    def _drop(self, intake: Intake) -> dict[str, object]:
        return {
            **vars(intake.tally),
            **_health(intake),
            "waiting": len(intake.settler),
            "oldest_pending": self._oldest([intake]),
        }

    def _oldest(self, intakes: Iterable[Intake]) -> float:
        """Seconds since the first of the pending files was seen; 0 where there is none."""
        now = self.parts.clock.monotonic()
        waiting = [each.since for intake in intakes for each in intake.waiting()]
        return round(now - min(waiting), 1) if waiting else 0

    async def beat(self, intakes: Mapping[str, Intake]) -> None:
        """Say and keep that it is alive, for ever."""
        while True:
            await self.patiently(self.count)
            self.parts.emit("daemon.heartbeat", **self._state(intakes))
            await self.patiently(keep_beat, self.parts, self.live(intakes))
            await anyio.sleep(self.heartbeat)

    def _state(self, intakes: Mapping[str, Intake]) -> dict[str, object]:
        return {
            "counters": {
                name: vars(intake.tally) | {"waiting": len(intake.settler)}
                for name, intake in intakes.items()
            },
            "oldest_pending": self._oldest(intakes.values()),
            "drops": {name: _health(intake) for name, intake in intakes.items()},
            "conditions": sorted(set(self.parts.conditions.open().values())),
            "sessions": self.backlog,
            "free": dict(self.disk.free),
            "lost": self.log.lost,
        }

    def count(self) -> None:
        """The sessions of the prearchive, anew where the ledger has changed."""
        version = self.parts.ledger.version()
        if version != self._counted:
            counts = self.parts.ledger.counts()
            self.backlog = {each.value: counts[each] for each in PREARCHIVED if each in counts}
            self._counted = version

    def standing(self, intakes: Mapping[str, Intake]) -> str:
        """How it stands, in numbers: the line that `systemctl status` shows."""
        gone = sum(not intake.looker.available for intake in intakes.values())
        troubles = {
            "drops missing": gone,
            "sessions in conflict": self.backlog.get(Status.CONFLICT, 0),
            "sessions in error": self.backlog.get(Status.ERROR, 0),
            "stores that refuse": len({*self.disk.shut(), *self.disk.missing}),
        }
        told = {"drops": len(intakes), "sessions here": sum(self.backlog.values())}
        told |= {what: number for what, number in troubles.items() if number}
        return ", ".join(f"{what}: {number}" for what, number in told.items())

    def _tell_standing(self, intakes: Mapping[str, Intake]) -> None:
        if (text := self.standing(intakes)) != self._told:
            self.parts.watchdog.tell(text)
            self._told = text


def _health(intake: Intake) -> dict[str, object]:
    """How a drop is seen, how many of its units have not landed, and whether one of them lands."""
    return {
        "watch": "native" if intake.looker.watched else "poll",
        "available": intake.looker.available,
        "units": intake.units.open(),
        "landing": bool(intake.units.landing),
    }
