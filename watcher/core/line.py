"""Files that are ripe, in turns: each top-level folder of a drop has its part of every batch.

Else ten files in a folder of their own would wait for twenty thousand that came before them.
Nothing here costs more than is asked for.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Final

LEAST: Final = 32  # files of one folder in a batch, if it has so many: each folder costs a sync


class Line:
    """Paths, and since when they are ripe; those of one top-level folder oldest first."""

    def __init__(self) -> None:
        self._tops: dict[bytes, dict[bytes, float]] = {}  # in order of their turns

    def __setitem__(self, path: bytes, since: float) -> None:
        self._tops.setdefault(top_of(path), {})[path] = since

    def pop(self, path: bytes, default: float | None = None) -> float | None:
        """Take a path out of the line; gives since when it was ripe."""
        top = top_of(path)
        here = self._tops.get(top, {})
        since = here.pop(path, default)
        if not here:
            self._tops.pop(top, None)
        return since

    def take(self, path: bytes) -> bool:
        """The same, and the next turn is another folder's; whether it was in line."""
        since, top = self.pop(path), top_of(path)
        if since is not None and top in self._tops:
            self._tops[top] = self._tops.pop(top)
        return since is not None

    def values(self) -> Iterator[float]:
        """Since when each is ripe."""
        return (since for here in self._tops.values() for since in here.values())

    def items(self, limit: int | None = None) -> Iterator[tuple[bytes, float]]:
        """The next so many in turns, or all; what some folders lack the others have."""
        if limit is None:
            share = max((len(here) for here in self._tops.values()), default=0)
        else:
            share = max(LEAST, -(-limit // max(1, len(self._tops))))
        return islice(self._in_turns(share), limit)

    def _in_turns(self, share: int) -> Iterator[tuple[bytes, float]]:
        given: list[Iterator[tuple[bytes, float]]] = []
        for here in self._tops.values():
            given.append(rest := iter(here.items()))
            yield from islice(rest, share)
        for rest in given:
            yield from rest


def top_of(path: bytes) -> bytes:
    """The top-level folder of a path; empty for a loose file."""
    top, slash, _ = path.partition(b"/")
    return top if slash else b""
