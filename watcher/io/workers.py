"""Worker processes that read, hash and parse, so that a hostile header never meets the daemon.

Each has bounded memory, bounded CPU time, and a bounded number of files before it is replaced. A
file that kills one or keeps it busy is tried once more alone; if it does so again it is refused
(spec 13). One whose share does not answer is given back with ETIMEDOUT: it is to be tried again.
"""

import errno
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Final

import anyio

from watcher.core.errors import WorkerError
from watcher.core.file import RefusalCode
from watcher.core.members import HARMLESS
from watcher.core.policy import Limits
from watcher.io.worker import START, Bounds, DiedError, Reply, Request, StalledError, Worker

SLOW: Final = 10 << 20  # bytes per second that a reader can hash and walk at the least
READERS: Final = 2
ENTRY: Final = 10 << 10  # bytes that an entry of an archive is worth: a millisecond
BATCH: Final = 64  # files in one question of a caller that has many
HEED: Final = 0.2  # seconds between two looks at whether a caller without a loop is to stop


class Workers:
    """A pool of reader processes, started when first needed.

    memory: bytes of address space each; busy: seconds of CPU time a file may take, plus its size at
    10 MiB/s, and that of what an archive file may unpack to; silent: seconds in which a reader may
    do nothing at all; recycle: files after which a worker is replaced; depth: sequences in one
    another that a file may have.
    """

    def __init__(
        self,
        *,
        count: int = READERS,
        memory: int = 1 << 30,
        busy: float = 20.0,
        silent: float = 20.0,
        recycle: int = 5000,
        depth: int = 32,
    ) -> None:
        self._memory = memory
        self._busy = busy
        self._silent = silent
        self._recycle = recycle
        self._limits = {"depth": depth}
        self._count = count
        self._idle: list[Worker] = []
        self._free = anyio.Semaphore(count)
        self._spawning = anyio.Lock()
        self._unpacking = anyio.Lock()

    @classmethod
    @asynccontextmanager
    async def open(cls, **bounds: Any) -> AsyncIterator["Workers"]:
        """A pool that is gone when the block ends."""
        workers = cls(**bounds)
        try:
            yield workers
        finally:
            await workers._dismiss()

    async def warm(self, files: int) -> None:
        """Start the processes that so many files will need, while the files settle.

        Where none can be started, `examine` says so.
        """
        async with self._spawning:
            with suppress(WorkerError):
                while len(self._idle) < min(files, self._free.value):
                    self._idle.append(await Worker.start(self._memory))

    async def examine(self, requests: Sequence[Request]) -> list[Reply]:
        """One reply per request, in order; never an error because of what a file holds."""
        requests = [{"limits": self._limits, **each} for each in requests]
        try:
            return await self._ask(requests)
        except StalledError:
            return [_stalled() for _ in requests]
        except DiedError:
            # what killed one at rest may have killed them all, and that is no file's doing
            await self._dismiss()
            return [await self._alone(request) for request in requests]

    async def unpack(self, request: Request) -> Reply:
        """What became of one archive file, unpacked by a reader into the folder `into`.

        Request and reply: see `watcher.io.unpacking`. One archive at a time, so that a large one
        leaves a reader to everybody else; cancelling ends the reader. Never an error because of
        what the archive holds: one that kills or hangs readers is `refused` as well.
        """
        async with self._unpacking:
            reply = (await self.examine([request]))[0]
        if reply.get("refusal") == RefusalCode.CRASHED_READER.value:
            return {"refused": [{"code": "crashed-reader", "member": "", "text": reply["text"]}]}
        return reply

    async def _alone(self, request: Request) -> Reply:
        try:
            return (await self._ask([request]))[0]
        except StalledError:
            return _stalled()
        except DiedError:
            return {
                "refusal": RefusalCode.CRASHED_READER.value,
                "text": "the reader died or hung on this file, twice",
                "hint": "",
            }

    async def _ask(self, requests: Sequence[Request]) -> list[Reply]:
        busy = self._busy + sum(map(_bytes, requests)) / SLOW
        await self._free.acquire()
        with self._place() as give_up:
            worker = await self._worker()
            try:
                replies = await worker.ask(requests, Bounds(busy, self._silent), give_up)
            except StalledError:
                give_up()
                if not await worker.end():
                    await worker.wait_gone()  # one reader at a time waits for a share so dead
                raise
            except BaseException:  # cancelled or died: what it would still say is of no use
                await worker.end()
                raise
            if worker.done >= self._recycle or len(self._idle) >= self._count:
                await worker.end()
            else:
                self._idle.append(worker)
            return replies

    @contextmanager
    def _place(self) -> Iterator[Callable[[], None]]:
        """A place of the pool, taken. It may be given up early: a silent share keeps none."""
        held = [self._free]

        def give_up() -> None:
            while held:
                held.pop().release()

        try:
            yield give_up
        finally:
            give_up()

    async def _dismiss(self) -> None:
        """End the idle workers."""
        while self._idle:
            await self._idle.pop().end()

    async def _worker(self) -> Worker:
        """A process that has answered: else its death would be laid to the files' charge."""
        worker = self._idle.pop() if self._idle else await Worker.start(self._memory)
        if worker.ready:
            return worker
        try:
            await worker.ask([], Bounds(START, START), lambda: None)
        except BaseException as error:
            await worker.end()
            if isinstance(error, DiedError | StalledError):
                raise WorkerError("a reader can't be started: it ended at once") from error
            raise
        worker.ready = True
        return worker


def _bytes(request: Request) -> int:
    """Bytes that a request moves at the most."""
    size: int = request.get("size", 0)
    if "into" not in request:
        return size
    limits = Limits(**request["limits"])
    most = min(limits.bytes, max(HARMLESS, size * limits.ratio))
    return size + most + limits.entries * ENTRY


def _stalled() -> Reply:
    return {"errno": errno.ETIMEDOUT, "doing": "reading a file of a drop"}


def examine_now(
    requests: Sequence[Request], check_stop: Callable[[], None] = lambda: None
) -> list[Reply]:
    """One reply per request, in order, for a caller without an event loop: a command, a thread.

    The readers are started for this and end with it. `check_stop` is called now and then meanwhile:
    what it raises ends them. WorkerError where none can be started.
    """
    batches = [requests[at : at + BATCH] for at in range(0, len(requests), BATCH)]
    replies = anyio.run(_examine_all, batches, check_stop) if batches else []
    return [reply for batch in replies for reply in batch]


def try_one() -> None:
    """Start a reader and end it; WorkerError where that can't be."""
    anyio.run(_try_one)


async def _try_one() -> None:
    async with Workers.open(count=1) as workers:
        await workers.examine([])


async def _examine_all(
    batches: Sequence[Sequence[Request]], check_stop: Callable[[], None]
) -> list[list[Reply]]:
    replies: list[list[Reply]] = [[] for _ in batches]
    failed: list[Exception] = []
    waiting = iter(range(len(batches)))

    async def work(workers: Workers) -> None:
        try:
            for number in waiting:
                replies[number] = await workers.examine(batches[number])
        except WorkerError as error:  # as itself, not as a group of one
            failed.append(error)

    async def heed(scope: anyio.CancelScope) -> None:
        try:
            while True:
                await anyio.sleep(HEED)
                check_stop()
        except Exception as error:  # the caller's own, given back as itself
            failed.append(error)
            scope.cancel()

    async with Workers.open() as workers, anyio.create_task_group() as heeding:
        heeding.start_soon(heed, heeding.cancel_scope)
        async with anyio.create_task_group() as tasks:
            for _ in batches[:READERS]:
                tasks.start_soon(work, workers)
        heeding.cancel_scope.cancel()
    if failed:
        raise failed[0]
    return replies
