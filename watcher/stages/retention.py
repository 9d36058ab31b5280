"""What is kept for a time only: entries of history and quarantine that have grown old (spec 3).

`[retention]` is a standing decision of the administrator: each entry goes as one that a person
purges does, with a line among the decisions. One that somebody works on, or whose age nothing
tells, waits. So do all of them when the clock has leapt: a wrong one would make them old at once.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import anyio

from watcher.core.errors import (
    AlreadyRunningError,
    LedgerError,
    OutsideError,
    RefusedError,
    StorageError,
)
from watcher.core.notation import format_duration
from watcher.io.lease import login
from watcher.stages import history, requeue, restore
from watcher.stages.hop import Hop
from watcher.stages.parts import Parts

EVERY: Final = 3600.0  # seconds between two looks
AGAIN: Final = 15.0  # seconds until the next after a store refused something for now
WORK: Final = "retention"  # what a store may refuse
LEAP: Final = 7 * 86400.0  # seconds between two looks that are told of; more is a leap of the clock
CLOCK: Final = "retention/clock"  # in the ledger: since when it has not leapt, and the last look
Purge = Callable[[], object]


@dataclass
class Expiry:
    """Purges what has grown old. `history`, `quarantine`: in seconds; None: kept for ever."""

    parts: Parts
    history: float | None
    quarantine: float | None
    thread: Hop = field(default_factory=lambda: Hop(1))

    async def run(self) -> None:
        """Purge, and wait; for ever."""
        while True:
            again = await self.purge()
            await anyio.sleep(again)

    async def purge(self) -> float:
        """What is old now; gives the seconds until it is to be looked for again.

        The one error border of this stage: LedgerError where the ledger failed; what else a store
        refuses is `disk`'s to say.
        """
        parts = self.parts
        try:
            refused = await self.thread(self._purge)
        except (LedgerError, AlreadyRunningError):
            raise
        except StorageError as error:
            refused = ("state", error)
        except Exception as error:  # whatever it is, sessions go on
            parts.fault(error, WORK)
            return EVERY
        if not refused:
            parts.failing.over(WORK)
            return EVERY
        store, why = refused
        again = EVERY if why.permanent else AGAIN
        parts.failing.met(WORK, why, parts.clock.monotonic(), again, store=store)
        return again

    def _purge(self) -> tuple[str, StorageError] | None:
        """What is old in both stores; what was refused first, and the store it concerns."""
        now, steady = self.parts.clock.now(), self._steady()
        refused: tuple[str, StorageError] | None = None
        for store, seconds, old in (
            ("history", self.history, self._left),
            ("quarantine", self.quarantine, self._aside),
        ):
            if seconds is None or steady >= now - seconds:
                continue
            reason = f"kept for {format_duration(seconds)}, as [retention] {store} says"
            try:
                self._each(old(now - seconds, who=login(), reason=reason))
            except LedgerError:
                raise
            except StorageError as error:
                is_its = isinstance(error, OutsideError)
                refused = refused or (store if is_its else "state", error)
        return refused

    def _each(self, purges: Iterable[Purge]) -> None:
        """Every one for itself: what was refused first is raised when all were tried."""
        refused: StorageError | None = None
        for purge in purges:
            if self.parts.stopping.is_set():
                return
            try:
                purge()
            except RefusedError:  # an archiving or a person needs it still
                continue
            except LedgerError:
                raise
            except StorageError as error:
                refused = refused or error
        if refused:
            raise refused

    def _steady(self) -> float:
        """Since when the clock has not leapt (epoch seconds), nor the program been off for long.

        Which of both it was nothing tells. 0: since it was first looked at.
        """
        now, ledger = self.parts.clock.now(), self.parts.ledger
        since, last = map(float, (ledger.recall(CLOCK) or f"0 {now!r}").split())
        if abs(now - last) > LEAP:
            since = now
        ledger.remember(CLOCK, f"{since!r} {now!r}")
        return since

    def _left(self, moment: float, **words: str) -> Iterator[Purge]:
        """Entries of the history that were made before a moment, by project."""
        for folder in history.folders(self.parts.storage.require("history")):
            yield partial(self._left_of, folder, moment, words)

    def _left_of(self, folder: str, moment: float, words: Mapping[str, str]) -> None:
        found = history.older(self.parts, folder, moment)
        self._each(partial(restore.purge, self.parts, each, **words) for each in found)

    def _aside(self, moment: float, **words: str) -> Iterator[Purge]:
        """Entries of the quarantine, open or settled, of which something is left; as old."""
        self.parts.storage.require("quarantine")
        for each in self.parts.registry.aside(only_open=False):
            if each.set_aside < moment and os.path.isdir(requeue.folder_of(self.parts, each)):
                yield partial(requeue.purge, self.parts, each, before=moment, **words)
