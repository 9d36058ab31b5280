"""The signals of a run: what ends it, and ends a program that hangs; SIGHUP opens the log anew."""

import os
import signal
import threading

import anyio
from anyio.abc import TaskGroup, TaskStatus

from watcher.log import Log
from watcher.stages.parts import Parts

DONE, INTERRUPTED = 0, 130
PATIENCE = 5.0  # seconds after a signal until a program that hangs is ended


class Signals:
    """Those of one run, which began then on the monotonic clock. `ended`: by which, if by any."""

    def __init__(self, parts: Parts, log: Log, began: float) -> None:
        self.ended: signal.Signals | None = None
        self._parts = parts
        self._log = log
        self._began = began
        self._force: threading.Timer | None = None  # what ends a program that hangs

    async def run(self, tasks: TaskGroup, *, task_status: TaskStatus[None]) -> None:
        """Take them, until one ends the run: then `tasks` are cancelled."""
        wanted = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        self._stopped = anyio.Event()
        with anyio.open_signal_receiver(*wanted) as signals:
            task_status.started()
            async for number in signals:
                if number is signal.SIGHUP:
                    self._log.reopen()
                else:
                    self._stop(number)
                    break
        # the handlers are the system's again: a second signal ends the program at once
        tasks.cancel_scope.cancel()

    async def wait_stopped(self) -> None:
        """Wait for the one that ends the run."""
        await self._stopped.wait()

    def spare(self) -> None:
        """The run has come to its end: nothing hangs."""
        if self._force:
            self._force.cancel()

    def _stop(self, number: signal.Signals) -> None:
        """What is at work in a thread ends at its next step; the rest at its next await."""
        self.ended = number
        self._end_by_force(code_of(number))
        self._parts.watchdog.stopping()
        self._parts.stopping.set()
        self._stopped.set()

    def _end_by_force(self, code: int) -> None:
        """End this program if a dead share keeps a thread of it: nothing else would (spec 4)."""

        def end() -> None:
            telling = threading.Thread(target=self._tell_hung, daemon=True)
            telling.start()
            telling.join(PATIENCE)  # the log may hang on that share too
            os._exit(code)

        self._force = threading.Timer(PATIENCE, end)
        self._force.daemon = True
        self._force.start()

    def _tell_hung(self) -> None:
        seconds = round(self._parts.clock.monotonic() - self._began, 3)
        self._parts.emit("daemon.stopped", reason="hung", seconds=seconds)


def code_of(number: signal.Signals) -> int:
    """The exit code of a run that a signal ended."""
    return DONE if number is signal.SIGTERM else INTERRUPTED
