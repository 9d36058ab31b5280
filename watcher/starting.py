"""What a start waits for: stores that refuse, as a full or read-only disk does, until they don't.

Nobody needs to start the program again: a service manager would give up after a few tries.
"""

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Final

import anyio

from watcher.core.emit import Emit
from watcher.core.errors import FullError, LedgerError, StorageError
from watcher.io.ledger import Ledger
from watcher.io.said import Conditions
from watcher.io.service import Watchdog
from watcher.io.stores import Storage
from watcher.stages.disk import EVERY, store_at
from watcher.stages.parts import Parts
from watcher.upkeep import Upkeep

START: Final = "start"  # the work a start owes


@dataclass
class Waited:
    """What was said before there was a ledger to keep it in."""

    emit: Emit
    watchdog: Watchdog
    said: dict[str, tuple[str, float, dict[str, object]]] = field(default_factory=dict)

    def refused(self, storage: Storage, error: StorageError) -> None:
        """Say it, once for each store."""
        store = store_at(storage, error.place) or "state"
        full = isinstance(error, FullError)
        event, key = ("storage.low", "low") if full else ("storage.unavailable", "storage")
        if f"{key}/{store}" not in self.said:
            fields: dict[str, object] = {"store": store, "path": storage.path(store)}
            self.said[f"{key}/{store}"] = (event, time.time(), fields)
            self.emit(event, key=f"{key}/{store}", **fields, text=str(error))
        wait_on(self.watchdog)

    def hand_over(self, conditions: Conditions) -> None:
        """What was said stands; `disk` says when it is over."""
        for key, (event, when, fields) in self.said.items():
            conditions.assume(event, key, when, **fields)


def wait_on(watchdog: Watchdog) -> None:
    """Tell systemd that the start takes longer, and why."""
    watchdog.tell("waiting for a store that refuses")
    watchdog.sign()


@contextmanager
def locked(storage: Storage, waited: Waited, *, once: bool) -> Iterator[None]:
    """Hold the stores, as soon as they can be; StorageError at once with `once`."""
    with ExitStack() as held:
        while True:
            try:
                held.enter_context(storage.locked())
                break
            except StorageError as error:
                _wait(storage, waited, error, once=once)
        yield


def opened(storage: Storage, waited: Waited, make: Callable[[], Ledger], *, once: bool) -> Ledger:
    """The ledger that `make` opens, as soon as it can; StorageError at once with `once`."""
    while True:
        try:
            return make()
        except LedgerError:
            raise
        except StorageError as error:
            _wait(storage, waited, error, once=once)


def _wait(storage: Storage, waited: Waited, error: StorageError, *, once: bool) -> None:
    if once or error.permanent:
        raise error
    waited.refused(storage, error)
    time.sleep(EVERY)


async def recovered(
    parts: Parts, upkeep: Upkeep, recover: Callable[[], Awaitable[None]], *, once: bool
) -> bool:
    """What a start owes is done (`recover`), as soon as the stores allow it; False with `once`."""
    while True:
        await upkeep.hop(upkeep.disk.check)
        try:
            await recover()
        except LedgerError:
            raise
        except StorageError as error:
            upkeep.met(START, error)
            await upkeep.hop(upkeep.disk.check)
        else:
            parts.failing.over(START)
            return True
        if once:
            return False
        wait_on(parts.watchdog)
        await anyio.sleep(EVERY)
