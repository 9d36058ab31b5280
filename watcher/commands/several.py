"""Several things given to one command: each is acted on, one that is refused stops no other."""

import sys
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from watcher.core.errors import WatcherError

T = TypeVar("T")
R = TypeVar("R")

FIRST: Final = (2, 10, 11, 1, 4, 3)
"""Of several exit codes the first of these counts (spec 4)."""


def _hinted(error: WatcherError) -> str:
    return f"{error} ({error.hint})" if error.hint else str(error)


def on_each(
    found: Sequence[T],
    act: Callable[[T], R],
    called: Callable[[T], str],
    told: Callable[[WatcherError], str] = _hinted,
) -> tuple[list[R], int]:
    """What acting on each gave, and the exit code of those that failed, or 0.

    What is refused is said, as `told` puts it, under the name `called` gives; a single one raises
    its own error.
    """
    done: list[R] = []
    codes: list[int] = []
    for each in found:
        try:
            done.append(act(each))
        except WatcherError as error:
            if len(found) == 1:
                raise
            codes.append(error.exit_code)
            sys.stderr.write(f"watcher: {called(each)}: {told(error)}\n")
    return done, min(codes, key=FIRST.index, default=0)
