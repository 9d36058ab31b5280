"""The next batch of a watch's events, or why there is none."""

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Final

import anyio
import anyio.lowlevel
import watchfiles

Batch = set[tuple[watchfiles.Change, str]]

FULL: Final = "the limit of watches is reached (sysctl fs.inotify.max_user_watches)"
NO_MORE: Final = (
    "no further watch can be begun (sysctl fs.inotify.max_user_instances, or ulimit -n)"
)


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a watch does not stand (any more). Names no path: paths may name patients."""

    why: str


ENDED: Final = Fault("the watch ended by itself")


async def next_batch(watch: AsyncGenerator[Batch, None]) -> Batch | Fault:
    """The next batch, or why there is none: the one error border of watching.

    Broad, because the watch is an accelerator: whatever breaks in it must not stop the program,
    which goes on by looking. It is reported by `health`. Errors come in groups or alone.
    """
    batch: Batch | Fault = ENDED
    try:
        batch = await anext(watch, ENDED)
    except* Exception as group:
        batch = Fault(_why(group))
    return batch


async def begin(
    watch: AsyncGenerator[Batch, None], stand: Callable[[], None]
) -> tuple[Batch | Fault, bool]:
    """The first batch, or why there is none; and whether the watch stood: then `stand` was called.

    It is called as soon as the watch waits: awatch sets up all it watches before that.
    """
    first: list[Batch | Fault] = []

    async def wait() -> None:
        first.append(await next_batch(watch))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.lowlevel.checkpoint()
        await anyio.lowlevel.checkpoint()  # trio may let us go on first, once
        stood = not first or not isinstance(first[0], Fault)
        if stood:
            stand()
    return first[0], stood


def _why(error: BaseException) -> str:
    """A phrase for the first error of a group, without its text: that names paths."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, FileNotFoundError):
        return "the directory is not there"
    if isinstance(error, PermissionError):
        return "a directory in it may not be read"
    if isinstance(error, OSError) and "limit" in str(error):
        return FULL
    if "os error 24" in str(error):  # EMFILE, wrapped by watchfiles in an error of its own
        return NO_MORE
    if isinstance(error, RuntimeError):
        return "the watch broke, as it does on a name that is not UTF-8"
    return f"the watch broke: {type(error).__name__}"
