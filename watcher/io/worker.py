"""One reader process: asked through its pipes, and watched while it is silent.

Two bounds, for there are two to blame. CPU time is the file's doing: what keeps a reader busy for
longer is hostile (spec 13). A reader that does nothing at all, neither computes nor reads nor
writes a byte, waits for a disk or a share: its file is as good as any, and is tried again.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from watcher.core.errors import WorkerError

START: Final = 60.0  # seconds a new process may take to answer
REPLY_LIMIT: Final = 64 << 20  # bytes
ENDING: Final = 1.0  # seconds for a killed process to be gone; one in an uninterruptible call stays
LOOKS: Final = 20  # times a silent reader is looked at until it is given up
HUSH: Final = 2.0  # seconds of silence after which others may have its place
_TICKS: Final = os.sysconf("SC_CLK_TCK")

Request = dict[str, Any]
Reply = dict[str, Any]


class DiedError(Exception):
    """The reader ended, babbled, or was too busy: the file's doing, not the program's."""


class StalledError(Exception):
    """The reader waits for a disk or a share that does not answer."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Seconds of CPU time, and seconds in which nothing at all happens."""

    busy: float
    silent: float


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has done so far: its state (proc(5)), seconds of CPU, bytes in and out."""

    state: str
    cpu: float
    moved: str

    @classmethod
    def of(cls, pid: int) -> "Usage":
        """That of a process; a dead one does nothing."""
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            return cls("Z", 0.0, "")
        moved = ""
        with suppress(OSError), open(f"/proc/{pid}/io", encoding="utf-8") as file:
            moved = file.read()  # where it may not be read, CPU time must tell
        return cls(fields[0], (int(fields[11]) + int(fields[12])) / _TICKS, moved)


class Worker:
    """A reader process. One question at a time."""

    def __init__(self, process: Process) -> None:
        if process.stdin is None or process.stdout is None:
            raise WorkerError("a worker was started without pipes")
        self.process = process
        self.ready = False  # it has answered once
        self.done = 0
        self._stdin = process.stdin
        self._lines = BufferedByteReceiveStream(process.stdout)

    @classmethod
    async def start(cls, memory: int) -> "Worker":
        """A new one with so many bytes of address space; WorkerError where none can be had."""
        # -P: the current folder, which may be anybody's, is not looked through for modules
        command = [sys.executable, "-P", "-m", "watcher.io.reader", "--memory", str(memory)]
        try:
            process = await anyio.open_process(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        except OSError as error:
            raise WorkerError(f"a reader can't be started: {error.strerror}") from error
        return cls(process)

    async def ask(
        self, requests: Sequence[Request], bounds: Bounds, hush: Callable[[], None]
    ) -> list[Reply]:
        """One reply per request. `hush` is called while it is silent for longer than usual.

        DiedError, StalledError: it is of no use any more, and has to be ended.
        """
        try:
            with anyio.fail_after(START):
                await self._stdin.send(json.dumps(requests).encode() + b"\n")
            line = await self._answer(bounds, hush)
        except (
            TimeoutError,
            ConnectionError,  # what anyio lets through of a pipe that breaks under a write
            anyio.BrokenResourceError,
            anyio.EndOfStream,
            anyio.IncompleteRead,
            anyio.ClosedResourceError,
            anyio.DelimiterNotFound,
        ) as error:
            raise DiedError from error
        self.done += len(requests)
        return _replies(line, len(requests))

    async def _answer(self, bounds: Bounds, hush: Callable[[], None]) -> bytes:
        first = last = Usage.of(self.process.pid)
        since = anyio.current_time()
        while True:
            with anyio.move_on_after(bounds.silent / LOOKS):
                return await self._lines.receive_until(b"\n", REPLY_LIMIT)
            now, last = last, Usage.of(self.process.pid)
            if last.cpu - first.cpu > bounds.busy:
                raise DiedError
            if now != last:
                since = anyio.current_time()
                continue
            silence = anyio.current_time() - since
            if silence > HUSH:
                hush()
            if silence > bounds.silent:
                raise DiedError if last.state in "TtZX" else StalledError

    async def end(self) -> bool:
        """Kill it; whether it is gone. One that a dead share holds is so when that answers."""
        with suppress(ProcessLookupError):
            self.process.kill()
        with anyio.CancelScope(shield=True):
            with anyio.move_on_after(ENDING) as scope:
                await self.process.wait()
            if not scope.cancelled_caught:
                await self.process.aclose()
        return not scope.cancelled_caught

    async def wait_gone(self) -> None:
        """Wait for as long as a dead share holds the killed process."""
        await self.process.wait()
        await self.process.aclose()


def _replies(line: bytes, count: int) -> list[Reply]:
    """The replies in a line; a worker that says anything else is as good as dead."""
    try:
        replies: list[Reply] = json.loads(line)
    except ValueError as error:
        raise DiedError from error
    if len(replies) != count:
        raise DiedError
    return replies
