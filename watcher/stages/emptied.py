"""The directories of one drop that this daemon emptied: removed once they are quiet (spec 5)."""

import os
from itertools import islice

from watcher.core.errors import MissingPlaceError, StorageError
from watcher.core.policy import Drop
from watcher.io.descent import prune


class Emptied:
    """When each was emptied last. `rest`: for how many seconds it must be quiet."""

    def __init__(self, drop: Drop, rest: float) -> None:
        self._drop = drop
        self._rest = rest
        self._at: dict[bytes, float] = {}

    def add(self, path: bytes, now: float) -> None:
        """A source is gone from its directory."""
        if folder := os.path.dirname(path):
            self._at.pop(folder, None)
            self._at[folder] = now  # the last of them all

    def is_due(self, now: float) -> bool:
        """Whether one of them is quiet."""
        return any(now - at >= self._rest for at in islice(self._at.values(), 1))

    def prune(self, now: float) -> None:
        """Remove those that are quiet and empty; never one in which something lies."""
        old = {path for path, at in self._at.items() if now - at >= self._rest}
        if not old:
            return
        for path in old:
            del self._at[path]
        above = {path[:m] for path in old for m in range(len(path)) if path[m : m + 1] == b"/"}
        try:
            prune(self._drop.path, sorted(old | above))
        except (MissingPlaceError, StorageError):
            return  # they stay empty; the next look says what is wrong with the drop
