"""The loops of the drops' receipts: every few seconds what has changed is written.

Each in a thread of its own: a share that hangs stops nobody else.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import anyio

from watcher.core.errors import LedgerError, StorageError
from watcher.io.arrivals import Arrivals
from watcher.stages.hop import Hop
from watcher.stages.intake import Intake
from watcher.stages.parts import Parts
from watcher.stages.receipts import Receipts

EVERY: Final = 5.0  # seconds: no receipt is rewritten oftener
WORK: Final = "receipts"  # what the ledger may refuse


@dataclass
class Handing:
    """What hands out the receipts of one drop."""

    intake: Intake
    receipts: Receipts
    thread: Hop = field(default_factory=lambda: Hop(1))

    async def run(self) -> None:
        """Write, and wait; for ever."""
        while True:
            await anyio.sleep(EVERY)
            await self.write()

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
        waiting, identity = self.intake.waiting(), looker.identity
        try:
            write = partial(self.receipts.write, last=last)
            done = await self.thread(write, waiting, identity)
        except LedgerError:
            raise
        except StorageError as error:
            parts.failing.met(work, error, parts.clock.monotonic(), EVERY, store="state")
        except Exception as error:  # whatever it is, it is a receipt's: files are taken on
            parts.faults.tell(parts.emit, error, WORK)
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
        while not await self._forget_others():
            await anyio.sleep(EVERY)
        async with anyio.create_task_group() as tasks:
            for one in self.each:
                tasks.start_soon(one.run)

    async def finish(self) -> None:
        """Write all that has changed, once."""
        await self._forget_others()
        for one in self.each:
            while await one.write(last=True):
                pass

    async def _forget_others(self) -> bool:
        """Whether that could be done; what the ledger refuses is `disk`'s to say."""
        arrivals, work = Arrivals(self.parts.ledger), (WORK, "")
        try:
            await Hop(1)(arrivals.forget_all, [one.intake.drop.name for one in self.each])
        except LedgerError:
            raise
        except StorageError as error:
            now = self.parts.clock.monotonic()
            self.parts.failing.met(work, error, now, EVERY, store="state")
            return False
        self.parts.failing.over(work)
        return True
