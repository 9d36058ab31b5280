"""Files of one drop that the machine fails on: tried again after pauses that double, said once.

What a store refuses is said by `disk`; what the drop itself refuses, a share that does not answer
or a file that can't be read, is `drop.degraded` from here. Nothing is said at each try.
"""

import errno
import os
from collections.abc import Collection, Sized
from dataclasses import dataclass

from watcher.core.errors import StorageError, told
from watcher.core.file import Refusal
from watcher.core.policy import Drop
from watcher.core.settle import Settler
from watcher.stages import pending
from watcher.stages.parts import Parts

PAUSES = (1.0, 60.0)  # seconds: the first and the longest until a file is tried again
SAY = 3  # tries after which a fault is no moment's


@dataclass(frozen=True, slots=True)
class _Fault:
    text: str
    pause: float
    tries: int = 1
    stalled: bool = False
    ours: bool = False  # the drop's, not a store's


class Trouble:
    """The pauses and the condition of one drop."""

    def __init__(self, parts: Parts, drop: Drop, settler: Settler) -> None:
        self._parts = parts
        self._drop = drop
        self._settler = settler
        self._faults: dict[bytes, _Fault] = {}
        self._said = False  # in this run; a run before may have said it too

    def met(self, path: bytes, why: Exception | Refusal) -> None:
        """This file could not be taken; it is tried again after a while."""
        text, code = _words(why)
        before, now = self._faults.get(path), self._parts.clock.monotonic()
        pause = min(2 * before.pause, PAUSES[1]) if before else PAUSES[0]
        stalled = isinstance(why, StorageError) and why.number == errno.ETIMEDOUT
        tries, ours = before.tries + 1 if before else 1, self._is_ours(why)
        self._faults[path] = _Fault(text, pause, tries, stalled, ours)
        if isinstance(why, StorageError) and not ours:
            self._parts.failing.met((self._drop.name, path), why, now, pause)
        self._settler.retry(path, now, pause, code, text)
        if before is None or before.text != text:
            where = {"drop": self._drop.name, "path": path}
            self._parts.emit("file.waiting", **where, code=code, text=text)

    def over(self, path: bytes, *stores: str) -> None:
        """This file is taken, or waits for its sender; these stores took what was written."""
        self._parts.failing.over((self._drop.name, path), *stores)
        self._faults.pop(path, None)

    def is_stalled(self, path: bytes) -> bool:
        """Whether a reader waited for it in vain: it is read by itself from then on."""
        fault = self._faults.get(path)
        return fault is not None and fault.stalled

    def tell(self, waiting: Sized) -> None:
        """Say what lasts, and what is over: after a start only once nothing is `waiting`."""
        ours = [each for each in self._faults.values() if each.ours]
        lasting = [each.text for each in ours if each.tries >= SAY]
        key, drop, path = f"failing/{self._drop.name}", self._drop.name, self._drop.path
        if lasting:
            self._said = True
            self._parts.conditions.raise_(
                "drop.degraded",
                key,
                self._parts.clock.now(),
                drop=drop,
                path=path,
                text=lasting[0],
                message="Files of the drop can't be read",
                hint="look at the disk or share it lies on; they are tried again by themselves",
            )
        elif not ours and (self._said or not len(waiting)):
            self._parts.conditions.clear("drop.restored", key, drop=drop, path=path)

    def keep_only(self, paths: Collection[bytes]) -> None:
        """Files that are no longer there are no trouble any more."""
        for path in self._faults.keys() - set(paths):
            self.over(path)

    def _is_ours(self, why: Exception | Refusal) -> bool:
        """Whether an error is the drop's: its place is there, or is a name by itself."""
        if isinstance(why, Refusal):
            return True
        place = why.place if isinstance(why, StorageError) else ""
        below = os.path.join(place, "").startswith(os.path.join(self._drop.path, ""))
        return bool(place) and (below or not place.startswith("/"))


def _words(why: Exception | Refusal) -> tuple[str, str]:
    if isinstance(why, Refusal):
        return why.text, why.code.value
    return told(why), pending.MACHINE
