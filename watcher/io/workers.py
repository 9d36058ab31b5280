"""Worker processes that read, hash and parse, so that a hostile header never meets the daemon.

Each has bounded memory, a wall clock, and a bounded number of files before it is replaced. A file
that kills or hangs one is tried once more alone; if it does so again it is refused (spec 13).
"""

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from watcher.core.errors import WorkerError
from watcher.core.model import RefusalCode

START: Final = 60.0  # seconds a new process may take to answer
REPLY_LIMIT: Final = 64 << 20  # bytes
SLOW: Final = 10 << 20  # bytes per second below which a read is taken for hung
READERS: Final = 2
BATCH: Final = 64  # files in one question of a caller that has many

Request = dict[str, Any]
Reply = dict[str, Any]


class _Died(Exception):  # noqa: N818  not an error of the program: the file's doing
    """The worker ended or was too slow."""


class _Worker:
    """One reader process and its pipes."""

    def __init__(self, process: Process) -> None:
        if process.stdin is None or process.stdout is None:
            raise WorkerError("a worker was started without pipes")
        self.process = process
        self.ready = False  # it has answered once
        self._stdin = process.stdin
        self._lines = BufferedByteReceiveStream(process.stdout)
        self.done = 0

    async def ask(self, requests: Sequence[Request], wall: float) -> list[Reply]:
        try:
            with anyio.fail_after(wall):
                await self._stdin.send(json.dumps(requests).encode() + b"\n")
                line = await self._lines.receive_until(b"\n", REPLY_LIMIT)
        except (
            TimeoutError,
            ConnectionError,  # what anyio lets through of a pipe that breaks under a write
            anyio.BrokenResourceError,
            anyio.EndOfStream,
            anyio.IncompleteRead,
            anyio.ClosedResourceError,
            anyio.DelimiterNotFound,
        ) as error:
            raise _Died from error
        self.done += len(requests)
        return _replies(line, len(requests))

    async def end(self) -> None:
        with suppress(ProcessLookupError):
            self.process.kill()
        with anyio.CancelScope(shield=True):
            await self.process.aclose()


def _replies(line: bytes, count: int) -> list[Reply]:
    """The replies in a line; a worker that says anything else is as good as dead."""
    try:
        replies: list[Reply] = json.loads(line)
    except ValueError as error:
        raise _Died from error
    if len(replies) != count:
        raise _Died
    return replies


class Workers:
    """A pool of reader processes, started when first needed.

    memory: bytes of address space each; wall: seconds a file may take, plus its size at 10 MiB/s;
    recycle: files after which a worker is replaced.
    """

    def __init__(
        self,
        *,
        count: int = READERS,
        memory: int = 1 << 30,
        wall: float = 20.0,
        recycle: int = 5000,
    ) -> None:
        self._memory = memory
        self._wall = wall
        self._recycle = recycle
        self._idle: list[_Worker] = []
        self._free = anyio.Semaphore(count)
        self._spawning = anyio.Lock()

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
                    self._idle.append(await self._spawn())

    async def examine(self, requests: Sequence[Request]) -> list[Reply]:
        """One reply per request, in order; never an error because of what a file holds."""
        try:
            return await self._ask(requests)
        except _Died:
            # what killed one at rest may have killed them all, and that is no file's doing
            await self._dismiss()
            return [await self._alone(request) for request in requests]

    async def _alone(self, request: Request) -> Reply:
        try:
            return (await self._ask([request]))[0]
        except _Died:
            return {
                "refusal": RefusalCode.CRASHED_READER.value,
                "text": "the reader died or hung on this file, twice",
                "hint": "",
            }

    async def _ask(self, requests: Sequence[Request]) -> list[Reply]:
        wall = self._wall + sum(each.get("size", 0) for each in requests) / SLOW
        async with self._free:
            worker = await self._worker()
            try:
                replies = await worker.ask(requests, wall)
            except BaseException:  # cancelled or died: what it would still say is of no use
                await worker.end()
                raise
            if worker.done >= self._recycle:
                await worker.end()
            else:
                self._idle.append(worker)
            return replies

    async def _dismiss(self) -> None:
        """End the idle workers."""
        while self._idle:
            await self._idle.pop().end()

    async def _worker(self) -> _Worker:
        """A process that has answered: else its death would be laid to the files' charge."""
        worker = self._idle.pop() if self._idle else await self._spawn()
        if worker.ready:
            return worker
        try:
            await worker.ask([], START)
        except BaseException as error:
            await worker.end()
            if isinstance(error, _Died):
                raise WorkerError("a reader can't be started: it ended at once") from error
            raise
        worker.ready = True
        return worker

    async def _spawn(self) -> _Worker:
        # -P: the current folder, which may be anybody's, is not looked through for modules
        command = [sys.executable, "-P", "-m", "watcher.io.reader", "--memory", str(self._memory)]
        try:
            process = await anyio.open_process(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        except OSError as error:
            raise WorkerError(f"a reader can't be started: {error.strerror}") from error
        return _Worker(process)


def examine_now(requests: Sequence[Request]) -> list[Reply]:
    """One reply per request, in order, for a caller without an event loop: a command, a thread.

    The readers are started for this and end with it. WorkerError where none can be started.
    """
    batches = [requests[at : at + BATCH] for at in range(0, len(requests), BATCH)]
    replies = anyio.run(_examine_all, batches) if batches else []
    return [reply for batch in replies for reply in batch]


def try_one() -> None:
    """Start a reader and end it; WorkerError where that can't be."""
    anyio.run(_try_one)


async def _try_one() -> None:
    async with Workers.open(count=1) as workers:
        await workers.examine([])


async def _examine_all(batches: Sequence[Sequence[Request]]) -> list[list[Reply]]:
    replies: list[list[Reply]] = [[] for _ in batches]
    failed: list[WorkerError] = []
    waiting = iter(range(len(batches)))

    async def work(workers: Workers) -> None:
        try:
            for number in waiting:
                replies[number] = await workers.examine(batches[number])
        except WorkerError as error:  # as itself, not as a group of one
            failed.append(error)

    async with Workers.open() as workers, anyio.create_task_group() as tasks:
        for _ in batches[:READERS]:
            tasks.start_soon(work, workers)
    if failed:
        raise failed[0]
    return replies
