"""Folders of stores kept open for a piece of work, so that each is reached once, not per file.

To reach a folder without following links costs a look at each part of its way (see `reaching`), and
each file of a batch or a session is looked at several times. An open folder is the one that was
reached, whatever is put in its place: what is read through it is never behind a link.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

MOST: Final = 64  # folders that one thread keeps open


class _Kept(threading.local):
    ways: dict[str, int] | None = None


_KEPT: Final = _Kept()


@contextmanager
def open_ways() -> Iterator[None]:
    """Within the block, in this thread, folders of stores stay open once they are reached.

    For a batch that is filed, or a session whose leases are held: nobody else of ours moves those.
    """
    if _KEPT.ways is not None:  # the outer block keeps them
        yield
        return
    _KEPT.ways = {}
    try:
        yield
    finally:
        ways, _KEPT.ways = _KEPT.ways, None
        _close(ways)


def kept(folder: str) -> int | None:
    """The descriptor of a folder that is kept open."""
    return None if _KEPT.ways is None else _KEPT.ways.get(folder)


def keep(folder: str, descriptor: int) -> bool:
    """Keep a folder open that was reached; whether it is: else the caller closes it."""
    if _KEPT.ways is None:
        return False
    if len(_KEPT.ways) >= MOST:
        _close(_KEPT.ways)
    _KEPT.ways[folder] = descriptor
    return True


def forget(folder: str) -> None:
    """A folder goes, with all in it: what has its name from now on is another."""
    ways = _KEPT.ways or {}
    for each in [each for each in ways if f"{each}/".startswith(f"{folder}/")]:
        os.close(ways.pop(each))


def _close(ways: dict[str, int]) -> None:
    while ways:
        os.close(ways.popitem()[1])
