"""Stores that go away or run full: said once, and what writes there pauses until it is over."""

from dataclasses import dataclass, field

from watcher.core.errors import MissingPlaceError, StorageError
from watcher.io.mounts import Space, free
from watcher.io.stores import KINDS
from watcher.stages.parts import Parts

RESUME = 1.5  # times the reserve, before work goes on
INODES = 0.01  # of all inodes must be free


@dataclass
class Disk:
    """Which stores are there, and which are low. `reserve` in bytes."""

    parts: Parts
    reserve: int
    low: set[str] = field(default_factory=set)
    missing: set[str] = field(default_factory=set)

    def check(self) -> None:
        """Look at every store once."""
        for kind in KINDS:
            if self._is_there(kind):
                self._measure(kind)

    def pauses_intake(self) -> bool:
        """Whether nothing may be written where files are filed."""
        return not self.low.isdisjoint({"prearchive", "state"})

    def pauses_archive(self) -> bool:
        """Whether nothing may be written where sessions are archived."""
        return not self.low.isdisjoint({"archive", "state"})

    def _is_there(self, kind: str) -> bool:
        key, path = f"storage/{kind}", self.parts.storage.path(kind)
        if self.parts.storage.is_there(kind):
            self.missing.discard(kind)
            self.parts.conditions.clear("storage.available", key, store=kind, path=path)
            return True
        self.missing.add(kind)
        now = self.parts.clock.now()
        hint = "mount it, or `watcher check --accept` if the change was meant"
        self.parts.conditions.raise_(
            "storage.unavailable", key, now, store=kind, path=path, hint=hint
        )
        return False

    def _measure(self, kind: str) -> None:
        path = self.parts.storage.path(kind)
        try:
            space = free(path)
        except (StorageError, MissingPlaceError):
            return  # it went since; the next look says so
        key = f"low/{kind}"
        fields = {"store": kind, "path": path, "free": space.bytes_free, "reserve": self.reserve}
        if self._is_low(space, RESUME if kind in self.low else 1.0):
            self.low.add(kind)
            now = self.parts.clock.now()
            self.parts.conditions.raise_("storage.low", key, now, **fields)
        else:
            self.low.discard(kind)
            self.parts.conditions.clear("storage.recovered", key, **fields)

    def _is_low(self, space: Space, factor: float) -> bool:
        few = space.inodes_total and space.inodes_free < factor * INODES * space.inodes_total
        return space.bytes_free < factor * self.reserve or bool(few)
