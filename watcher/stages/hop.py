"""One hop to a worker thread for a batch of blocking work (house 2: never one for each file)."""

from collections.abc import Callable
from time import monotonic
from typing import Any, TypeVar

import anyio
import anyio.to_thread

T = TypeVar("T")


class Hop:
    """A few threads of one's own, so that a hung mount stops nobody else.

    What was begun is finished even when the task is cancelled: no cancellation falls between the
    steps of a promise.
    """

    def __init__(self, threads: int) -> None:
        self._limiter = anyio.CapacityLimiter(threads)
        self._begun: dict[object, float] = {}
        self._beaten = 0.0

    async def __call__(self, function: Callable[..., T], *args: Any) -> T:
        """What the function gives."""
        call = object()
        self._begun[call] = monotonic()
        try:
            return await anyio.to_thread.run_sync(function, *args, limiter=self._limiter)
        finally:
            del self._begun[call]

    def beat(self) -> None:
        """A sign of life, from a thread whose call takes long."""
        self._beaten = monotonic()

    def silence(self) -> float:
        """Seconds since a call that is under way began, or gave a sign of life; 0 without one."""
        oldest = min(self._begun.values(), default=None)
        return 0.0 if oldest is None else monotonic() - max(oldest, self._beaten)
