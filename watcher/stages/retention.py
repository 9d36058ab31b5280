"""What is kept for a time only: entries of history and quarantine that have grown old (spec 3).

`[retention]` is a standing decision of the administrator: each entry goes as one that a person
purges does, with a line among the decisions. One that somebody works on, or whose age nothing
tells, waits.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import anyio

from watcher.core.errors import (
    AlreadyRunningError,
    LedgerError,
    RefusedError,
    StorageError,
)
from watcher.core.notation import format_duration
from watcher.io.lease import login
from watcher.stages import history, requeue, restore
from watcher.stages.hop import Hop
from watcher.stages.parts import Parts

EVERY: Final = 3600.0  # seconds between two looks
WORK: Final = "retention"  # what a store may refuse
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
            await self.purge()
            await anyio.sleep(EVERY)

    async def purge(self) -> None:
        """What is old now.

        The one error border of this stage: LedgerError where the ledger failed; what else a store
        refuses is `disk`'s to say.
        """
        parts = self.parts
        try:
            await self.thread(self._purge)
        except (LedgerError, AlreadyRunningError):
            raise
        except StorageError as error:
            parts.failing.met(WORK, error, parts.clock.monotonic(), EVERY, store="state")
        except Exception as error:  # whatever it is, sessions go on
            parts.fault(error, WORK)
        else:
            parts.failing.over(WORK)

    def _purge(self) -> None:
        for purge in (*self._left(), *self._aside()):
            if self.parts.stopping.is_set():
                return
            try:
                purge()
            except RefusedError:  # an archiving or a person needs it still
                continue

    def _left(self) -> Iterator[Purge]:
        """Entries of the history, by the moment they were made."""
        if self.history is None:
            return
        words = _words("history", self.history)
        for each in history.older(self.parts, self.parts.clock.now() - self.history):
            yield partial(restore.purge, self.parts, each, **words)

    def _aside(self) -> Iterator[Purge]:
        """Entries of the quarantine, open or settled, of which something is left."""
        if self.quarantine is None:
            return
        words, until = _words("quarantine", self.quarantine), self.parts.clock.now()
        self.parts.storage.require("quarantine")
        for each in self.parts.registry.aside(only_open=False):
            is_old = each.set_aside < until - self.quarantine
            if is_old and os.path.isdir(requeue.folder_of(self.parts, each)):
                yield partial(requeue.purge, self.parts, each, **words)


def _words(key: str, seconds: float) -> dict[str, str]:
    return {
        "who": login(),
        "reason": f"kept for {format_duration(seconds)}, as [retention] {key} says",
    }
