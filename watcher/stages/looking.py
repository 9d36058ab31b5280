"""When and where to look in one drop: full looks, looks at hints, and second looks.

Looks decide, hints only say where to look (house 1.1). Losing every hint costs latency.
"""

import math
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from watcher.core.errors import MissingPlaceError
from watcher.core.gathering import SIGN, Gathering
from watcher.core.line import top_of
from watcher.core.policy import Drop
from watcher.core.settle import Settler
from watcher.io.descent import Seen, stat
from watcher.io.ignore import Ignore
from watcher.io.scan import Look, look
from watcher.io.sources import look_wholly
from watcher.stages.bell import Bell
from watcher.stages.hop import Hop
from watcher.stages.met import Met
from watcher.stages.parts import Parts
from watcher.stages.patience import Speed
from watcher.stages.presence import (
    tell_available,
    tell_unavailable,
    tell_unreadable,
    while_there,
)
from watcher.stages.sight import Sight
from watcher.stages.signs import hinted, is_minded

AGAIN = (1.0, 5.0)  # seconds after which a new directory is looked at again (stack-facts R1)
SHARE = 20  # at most 1/20 of the time goes into looking
SILENT = 20.0  # seconds without a sign of life after which a drop is not there
ROOM = 50_000  # files pending at a time that only wait for us; a kilobyte each
WHOLLY = 10  # of so many full looks at a watched drop one asks every file, not names alone
T = TypeVar("T")


class Looker:
    """The eyes of one drop. `looked` is when the last complete look began, as Clock.now."""

    def __init__(self, parts: Parts, drop: Drop, speed: Speed, thread: Hop) -> None:
        self.parts = parts
        self.drop = drop
        rest = drop.inactivity or parts.rules.inactivity
        self.gathering = Gathering(rest=rest) if drop.mode == "transactional" else None
        self.settler = Settler(
            quick=speed.quick,
            quiet=speed.quiet,
            looks=speed.looks,
            stuck_after=drop.stuck_after,
            told=self.gathering,
        )
        self.looked: float | None = None
        self.available = True
        self.attempted = False  # whether it was looked at since the start, completely or not
        self.replaced = Bell()  # the drop's directory is another one: watch it anew
        self.next_full = 0.0
        self.thread = thread
        self.leaving = False  # files of a unit are removed meanwhile: what is aside is theirs
        self._ignore = Ignore(drop.ignore)
        self.met = Met(parts, drop, self.settler, self.gathering, thread, rest=rest)
        self.room = ROOM
        self.later: set[bytes] = set()  # folders of files left for a later look
        self.closed: list[bytes] = []  # folders that could not be read at the last full look
        self._held = 0  # files that waited for something else at the last full look
        self.watched = False  # changes are hinted at: a look may go by the names of known files
        self._by_names = WHOLLY  # full looks that did, one after the other
        self._hints: set[bytes] = set()
        self._again: list[tuple[float, bytes]] = []
        self._identity: tuple[int, int] | None = None

    def hint(self, path: bytes | None) -> None:
        """Something may have happened here; None: anywhere. Names that are no input say nothing."""
        if path is None:
            self.next_full, self._by_names = 0.0, WHOLLY
        elif self.gathering or not self._ignored(path):
            self._hints.add(path)

    def is_due(self) -> bool:
        """Whether there is something to look at, besides what is ripe."""
        return bool(self._hints) or self.next_due(ripe=False) <= self.parts.clock.monotonic()

    def next_due(self, *, ripe: bool = True) -> float:
        """When there is something to look at next, on the monotonic clock; now, if some is ripe."""
        if not self.available:
            return self.next_full  # what it holds is looked for when it is back
        full = 0.0 if self._has_room() else self.next_full
        times = [full, *(at for at, _ in self._again[:1])]
        if (due := self.settler.next_due(ripe=ripe and self.gathering is None)) is not None:
            times.append(due)
        return min(times)

    async def look(self) -> bool:
        """Everything that is due now; whether that was a full look."""
        full = self.parts.clock.monotonic() >= self.next_full or self._has_room()
        if full:
            by_names = self.watched and self.drop.after == "keep"
            await self.look_fully(names=by_names and self._by_names < WHOLLY - 1)
        if self.available:
            await self._look_at_hints()
        return full

    def prune(self, now: float) -> None:
        """Remove directories this daemon emptied, once quiet; never one in which files wait."""
        if self.available:
            self.met.emptied.prune(now)

    @property
    def last_look(self) -> float | None:
        """When the last complete look began; 0 where none was complete, None before the first."""
        return 0.0 if self.looked is None and self.attempted else self.looked

    @property
    def identity(self) -> tuple[int, int] | None:
        """Device and inode of the drop's directory as it was looked at."""
        return self._identity

    async def look_fully(self, *, names: bool = False) -> None:
        """Look at the whole drop; what is not there any more is forgotten.

        `names`: of what is known it goes by these alone; changes were hinted at, or another look
        finds them.
        """
        await self.thread(self.met.keeping.load, self.thread.beat)
        if self.met.keeping.sources:  # what a crash left of their removal is removed
            await self.thread(self.parts.storage.tenures.check_all)
        began, moment = self.parts.clock.monotonic(), self.parts.clock.now()
        if not names:
            self._hints.clear()
        self._by_names = self._by_names + 1 if names else 0
        self._held = sum(bool(each.reason) for each in self.settler.waiting())
        sight = self._sight(names=names)
        try:
            found = await self._seen(lambda: self._look_wholly(sight))
        except MissingPlaceError as error:
            self._unavailable(str(error))
            self.next_full = self.parts.clock.monotonic() + self.drop.rescan_interval
            return
        self.later = sight.later
        answered = self.available  # else it hung, or was away: that is no measure of its size
        self._there(found)
        await self.met.meet(found)
        await self.met.remove_again()
        self.attempted = True
        if found.complete:
            await self.met.forget_unmet(found, began=began, names=names)
            self.looked = moment
        took = self.parts.clock.monotonic() - began
        rest = max(self.drop.rescan_interval, SHARE * took if answered else 0.0)
        self.next_full = self.parts.clock.monotonic() + rest

    def _look_wholly(self, sight: Sight) -> Look:
        if not sight.names:
            self.met.keeping.begin()
        root, ignore, beat = self.drop.path, self._ignore, self.thread.beat
        mind = self.gathering is not None
        if self.leaving:
            return look(root, ignore=ignore, beat=beat, known=sight, mind=mind)
        taken = self.met.keeping.sources
        return look_wholly(root, ignore, beat, sight, mind=mind, taken=taken)

    def _sight(self, *, names: bool = False) -> Sight:
        """What a look may leave out. A unit is seen whole, whatever its size."""
        waits = len(self.settler) - self._held
        room = math.inf if self.gathering else self.room - waits
        many = self.settler.waiting() if room < waits else ()
        tops = Counter(top_of(each.path) for each in many if not each.reason)
        busy = {os.path.dirname(each.path) for each in self.settler.waiting()} if names else ()
        return Sight(self.met.keeping, self._is_pending, room, tops, names=names, busy=busy)

    def _is_pending(self, path: bytes) -> bool:
        return self.settler.pending(path) is not None

    def _has_room(self) -> bool:
        """Whether files were left for later, and half of what came before them is taken."""
        waits = len(self.settler) - self._held
        return self.available and bool(self.later) and waits <= self.room // 2

    async def _seen(self, looking: Callable[[], T]) -> T:
        return await self.thread(while_there, self.parts, self.drop, looking)

    async def _look_at_hints(self) -> None:
        """Where something may have happened, and at what settles, if it is time: in one look."""
        hints, self._hints = self._hints, set()
        now = self.parts.clock.monotonic()
        settling = self.settler.to_look(now)
        due = {path for at, path in self._again if at <= now}
        self._again = [(at, path) for at, path in self._again if at > now]
        if not (hints or due or settling):
            return
        if self.gathering:
            due |= hinted(hints)
        found = await self._look_below(hints.union(settling), hints | due)
        new = [path for path in found.folders if path in hints] if found else ()
        self._again = sorted([*self._again, *((now + s, p) for s in AGAIN for p in new)])

    async def look_into(self, name: bytes) -> Look | None:
        """Look at one name at the top of the drop and all below it; None: that can't be told."""
        found = await self._look_below({name, name + SIGN}, {name})
        if found is None or not found.complete or found.aside:
            return None
        if self.gathering:
            self.gathering.mind_only({each.path for each in found.minded}, below=name)
        return found

    async def _look_below(self, paths: set[bytes], folders: set[bytes]) -> Look | None:
        """What lies at these paths, and in and below these directories; None: that can't be told.

        What is at `paths` stands in `found` too.
        """
        sight, asked = self._sight(), sorted(paths)
        try:
            seen, found = await self._seen(lambda: self._peek(asked, folders, sight))
        except MissingPlaceError as error:
            self._unavailable(str(error))
            return None
        self.later |= sight.later
        for path, each in zip(asked, seen, strict=True):
            if each is None:
                self.met.vanished(path)
        here = [each for each in seen if isinstance(each, Seen)]
        named = [each for each in here if self._is_input(each.path)]
        minded = [each for each in here if is_minded(each) and not self._is_input(each.path)]
        found = replace(found, found=[*found.found, *named], minded=[*found.minded, *minded])
        await self.met.meet(found)
        return found

    def _peek(
        self, paths: Sequence[bytes], folders: set[bytes], sight: Sight
    ) -> tuple[list[Seen | int | None], Look]:
        """What lies at these paths, and in and below those of `folders` that are no files."""
        seen = stat(self.drop.path, paths)
        below = folders - {each.path for each in seen if isinstance(each, Seen)}
        root, ignore, beat = self.drop.path, self._ignore, self.thread.beat
        mind = self.gathering is not None
        return seen, look(root, ignore=ignore, below=below, beat=beat, known=sight, mind=mind)

    def _is_input(self, path: bytes) -> bool:
        return self._is_pending(path) or not self._ignored(path)

    def _ignored(self, path: bytes) -> bool:
        *folders, name = path.split(b"/")
        inside = any(
            self._ignore.ignored(part, is_dir=True, top=not at) for at, part in enumerate(folders)
        )
        return inside or self._ignore.ignored(name, top=not folders)

    def tell_silence(self) -> None:
        """Say that a drop is not there whose directory does not answer. The call itself goes on."""
        if self.thread.silence() > SILENT:
            self._unavailable("it does not answer")

    def _unavailable(self, text: str) -> None:
        self.available, self._by_names = False, WHOLLY
        tell_unavailable(self.parts, self.drop, text)

    def _there(self, found: Look) -> None:
        back, self.available = not self.available, True
        self.closed = [path for path, _ in found.failed]
        tell_unreadable(self.parts, self.drop, found)
        tell_available(self.parts, self.drop)
        if back or self._identity not in {None, found.identity}:
            self.replaced.ring()
        self._identity = found.identity
