"""How long a file must be quiet, and how long a drain waits for one that is not (spec 3, 4)."""

from collections.abc import Collection
from dataclasses import dataclass

from watcher.core.file import RefusalCode
from watcher.core.policy import Drop
from watcher.core.settle import LONG, Waiting


@dataclass(frozen=True, slots=True)
class Speed:
    """How long a file must be quiet here, in seconds; `looks` that agree."""

    quick: float
    quiet: float
    looks: int = 2


def speed_of(drop: Drop, *, network: bool) -> Speed:
    """The drop's `settle`, or what suits its file system (spec 3)."""
    if drop.settle is not None:
        return Speed(drop.settle, drop.settle)
    return Speed(15.0, 15.0, 3) if network else Speed(1.0, 5.0)


class Patience:
    """One more `settle` since a file was last taken; once besides, what files with holes want.

    What is waited for counts, not how slow the machine is.
    """

    def __init__(self, speed: Speed, pending: int) -> None:
        self._allowed = self.left = 2 * speed.quiet * max(1, speed.looks - 1) + 1.0
        self._hollow = (LONG + 1) * speed.quiet
        self._pending = pending

    def spend(self, pause: float, waiting: Collection[Waiting]) -> None:
        """So many seconds were waited, and these files are pending now."""
        if len(waiting) < self._pending:
            self.left = self._allowed
        elif self._hollow > 0 and any(each.reason == RefusalCode.HOLLOW for each in waiting):
            self._hollow -= pause
        else:
            self.left -= pause
        self._pending = len(waiting)
