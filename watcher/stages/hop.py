"""One hop to a worker thread for a batch of blocking work (house 2: never one for each file)."""

from collections.abc import Callable
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

    async def __call__(self, function: Callable[..., T], *args: Any) -> T:
        """What the function gives."""
        return await anyio.to_thread.run_sync(function, *args, limiter=self._limiter)
