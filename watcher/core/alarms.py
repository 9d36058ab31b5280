"""Due times of files, the earliest first: what `settle` asks for the next look and the stuck ones.

Nothing here costs more than O(log n).
"""

import heapq
import math


class Alarms:
    """At most one due time for each path; setting a later one costs nothing until then."""

    def __init__(self) -> None:
        self._at: dict[bytes, float] = {}
        self._queued: dict[bytes, float] = {}  # the item of the heap that stands for a path
        self._heap: list[tuple[float, bytes]] = []

    def set(self, path: bytes, at: float) -> None:
        """Due at `at`, and no longer at any other time."""
        self._at[path] = at
        if at < self._queued.get(path, math.inf):
            self._queued[path] = at
            heapq.heappush(self._heap, (at, path))

    def drop(self, path: bytes) -> None:
        """Never due."""
        self._at.pop(path, None)

    def next(self) -> float | None:
        """The earliest due time."""
        while self._heap:
            at, path = self._heap[0]
            if self._at.get(path) == at:
                return at
            heapq.heappop(self._heap)
            if self._queued.get(path) == at:
                del self._queued[path]
                if path in self._at:
                    self.set(path, self._at[path])
        return None

    def due(self, now: float) -> list[bytes]:
        """The paths due, earliest first; they are no longer set."""
        found: list[bytes] = []
        while (at := self.next()) is not None and at <= now:
            _, path = heapq.heappop(self._heap)
            del self._at[path], self._queued[path]
            found.append(path)
        return found
