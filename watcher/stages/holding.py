"""What makes a pending file of a drop wait, and for how long."""

from collections.abc import Collection

from watcher.core.file import Candidate, Refusal, RefusalCode
from watcher.core.policy import Drop
from watcher.stages.looking import Looker
from watcher.stages.parts import Parts
from watcher.stages.patience import Speed
from watcher.stages.trouble import Trouble


class Holding:
    """The files of one drop that were examined and can't be taken as they are."""

    def __init__(self, parts: Parts, drop: Drop, looker: Looker, speed: Speed) -> None:
        self.trouble = Trouble(parts, drop, looker.settler)
        self._parts = parts
        self._drop = drop
        self._settler = looker.settler
        self._quick = speed.quick

    def wait(self, candidate: Candidate, why: Refusal | Exception) -> None:
        """This file can't be taken, and why; it waits for what may change that."""
        path, now = candidate.path, self._parts.clock.monotonic()
        if isinstance(why, Exception):
            self.trouble.met(path, why)
        elif why.code in {RefusalCode.UNLEASED, RefusalCode.HOLLOW}:
            self._settler.unproven(path, candidate.print, why)
        elif why.code is RefusalCode.DENIED:  # leave may be given without changing the file
            self.trouble.met(path, why)
        elif why.code is RefusalCode.BUSY:
            self._settler.busy(path, now)
        elif why.code in {RefusalCode.GONE, RefusalCode.CHANGED, RefusalCode.NOT_REGULAR}:
            self._settler.retry(path, now, self._quick)
        else:
            self._hold(candidate, why)

    def again(self, paths: Collection[bytes], after: float) -> None:
        """Nothing is wrong with these: looked at again after so many seconds."""
        for path in paths:
            self._settler.retry(path, self._parts.clock.monotonic(), after)

    def _hold(self, candidate: Candidate, why: Refusal) -> None:
        self.trouble.over(candidate.path)
        self._settler.hold(candidate.path, candidate.print, why.code.value, why.text)
        where = {"drop": self._drop.name, "path": candidate.path}
        self._parts.emit("file.waiting", **where, code=why.code.value, text=why.text)
