"""The loops of the drops' receipts: every few seconds what has changed is written.

Each in a thread of its own: a share that hangs stops nobody else. Very many receipts are looked
through less often, so that the files they tell of come first.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import anyio

from watcher.core.errors import AlreadyRunningError, LedgerError, StorageError
from watcher.core.receipt import Pending
from watcher.io.receipt_index import ReceiptIndex
from watcher.stages.hop import Hop
from watcher.stages.intake import Intake
from watcher.stages.parts import Parts
from watcher.stages.receipt_folder import clear_others
from watcher.stages.receipts import Receipts

EVERY: Final = 5.0  # seconds: no receipt is rewritten oftener
SHARE: Final = 20  # at most 1/20 of the time goes into them
SELDOM: Final = 60.0  # seconds: but this often at least they are looked through
WORK: Final = "receipts"  # what the ledger may refuse


@dataclass
class Handing:
    """What hands out the receipts of one drop."""

    intake: Intake
    receipts: Receipts
    thread: Hop = field(default_factory=lambda: Hop(1))

    async def run(self) -> None:
        """Write, and wait; for ever."""
        clock, pause = self.intake.parts.clock, EVERY
        while True:
            await anyio.sleep(pause)
            began = clock.monotonic()
            await self.write()
            pause = min(max(EVERY, SHARE * (clock.monotonic() - began)), SELDOM)

    async def write(self, *, last: bool = False) -> int:
        """Write what has changed, if the drop was looked at; gives how many receipts that were.

        `last`: nobody looks at it again.
        The one error border of this stage: LedgerError where the ledger failed; what else it
        refuses is `disk`'s to say.
        """
        parts, looker = self.intake.parts, self.intake.looker
        if not (looker.available and looker.attempted):
            return 0
        work, done = (WORK, self.intake.drop.name), 0
        later, closed = frozenset(looker.later), tuple(looker.closed)
        pending = Pending(self.intake.waiting(), later, closed, last=last)
        try:
            done = await self.thread(self.receipts.write, pending, looker.identity)
        except (LedgerError, AlreadyRunningError):
            raise
        except StorageError as error:
            parts.failing.met(work, error, parts.clock.monotonic(), EVERY, store="state")
        except Exception as error:  # whatever it is, it is a receipt's: files are taken on
            parts.fault(error, WORK)
        else:
            parts.failing.over(work)
        return done


@dataclass
class Handings:
    """Those of all drops that want receipts; of the others nothing is kept."""

    parts: Parts
    each: Sequence[Handing]

    async def run(self) -> None:
        """All of them, for ever."""
        while not await self._forget_others():  # noqa: ASYNC110 - the ledger is asked again
            await anyio.sleep(EVERY)
        async with anyio.create_task_group() as tasks:
            for one in self.each:
                tasks.start_soon(one.run)

    async def finish(self) -> None:
        """Write all that has changed, once."""
        await self._forget_others()
        async with anyio.create_task_group() as tasks:
            for one in self.each:
                tasks.start_soon(partial(one.write, last=True))

    async def _forget_others(self) -> bool:
        """Whether that could be done; what the ledger refuses is `disk`'s to say."""
        work, drops = (WORK, ""), [one.intake.drop.name for one in self.each]
        try:
            await Hop(1)(_forget, self.parts, drops)
        except LedgerError:
            raise
        except StorageError as error:
            now = self.parts.clock.monotonic()
            self.parts.failing.met(work, error, now, EVERY, store="state")
            return False
        self.parts.failing.over(work)
        return True


def _forget(parts: Parts, drops: Sequence[str]) -> None:
    ReceiptIndex(parts.ledger).forget_all(drops)
    clear_others(parts, drops)
