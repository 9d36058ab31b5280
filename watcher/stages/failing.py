"""What can't be done for now because a store refuses: no room, over quota, read-only, an I/O error.

Met and over are told by whoever does the work, and tries it again; what is said of it, once for
each store and cause, is `disk`'s.
"""

import threading
from dataclasses import dataclass

from watcher.core.errors import StorageError

GRACE = 60.0  # seconds beyond two tries after which work that is not tried any more is forgotten


@dataclass(frozen=True, slots=True)
class Met:
    """A refusal. `store`: where, if the error does not know its place; `until`: a moment, see it.

    Work that was not tried again by then is nobody's any more: its file or session is gone.
    """

    error: StorageError
    store: str
    until: float


class Failing:
    """The work that stores refuse. Safe to call from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._met: dict[object, Met] = {}
        self._worked: set[str] = set()

    def met(
        self, work: object, error: StorageError, now: float, again: float, *, store: str = ""
    ) -> None:
        """This work (a name for it) was refused at `now`; tried again in `again` seconds.

        `store`: the one it concerns, where the error does not know its place.
        """
        with self._lock:
            self._met[work] = Met(error, store, now + 2 * again + GRACE)

    def over(self, work: object, *stores: str) -> None:
        """This work was done, or given up; `stores` have taken what was written to them."""
        with self._lock:
            self._met.pop(work, None)
            self._worked.update(stores)

    def open(self, now: float) -> dict[object, Met]:
        """What is refused still."""
        with self._lock:
            self._met = {work: each for work, each in self._met.items() if each.until >= now}
            return dict(self._met)

    def forget(self, works: set[object]) -> None:
        """This work is accounted for otherwise, until it is refused again."""
        with self._lock:
            self._met = {work: each for work, each in self._met.items() if work not in works}

    def has_worked(self, store: str) -> bool:
        """Whether the store has taken something since this was asked last."""
        with self._lock:
            worked = store in self._worked
            self._worked.discard(store)
            return worked
