"""Work that a thread of its own does: a disk that does not answer holds that, and nobody else."""

import errno
import os
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

from watcher.core.errors import MissingPlaceError, StorageError
from watcher.io.mounts import may_hang, mount_of, read_mounts, resolved


class Deputy:
    """Does one thing after the other, and is waited for, `patience` seconds at most."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._asked: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self._done: SimpleQueue[OSError | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._hangs = False

    def call(self, work: Callable[[], object]) -> None:
        """Have it done; its OSError. TimeoutError at once, too, while something before it hangs."""
        if self._hangs:
            self._answer(0.0)
        if not self._thread:
            self._thread = threading.Thread(target=self._work, name="deputy", daemon=True)
            self._thread.start()
        self._asked.put(work)
        error = self._answer(self._patience)
        if error:
            raise error

    def _answer(self, patience: float) -> OSError | None:
        try:
            answer = self._done.get(timeout=patience)
        except Empty:
            self._hangs = True
            raise TimeoutError(errno.ETIMEDOUT, "it does not answer") from None
        self._hangs = False
        return answer

    def _work(self) -> None:
        while True:
            work, error = self._asked.get(), None
            try:
                work()
            except OSError as met:
                error = met
            self._done.put(error)


def is_distant(path: str) -> bool:
    """Whether what lies there answers only while another machine, or a program, does.

    Nothing is asked of it. False too where there is no table of mounts to tell.
    """
    try:
        mounts = read_mounts()
        return may_hang(mount_of(resolved(os.path.abspath(path), mounts), mounts), mounts)
    except (MissingPlaceError, StorageError):
        return False
