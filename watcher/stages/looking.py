"""What lies in one drop: full looks, looks at hints, and second looks, all told to the Settler.

Looks decide, hints only say where to look (house 1.1). Losing every hint costs latency.
"""

import os
from collections.abc import Callable
from typing import TypeVar

from watcher.core.errors import MissingPlaceError, StorageError
from watcher.core.model import Fingerprint, RefusalCode
from watcher.core.policy import Drop
from watcher.core.settle import Settler
from watcher.io.scan import Ignore, Look, Seen, look, prune, stat
from watcher.io.sources import look_wholly
from watcher.stages import reading
from watcher.stages.bell import Bell
from watcher.stages.hop import Hop
from watcher.stages.parting import remove_source
from watcher.stages.parts import Parts
from watcher.stages.patience import Speed, speed_of
from watcher.stages.presence import (
    tell_available,
    tell_unavailable,
    tell_unreadable,
    while_there,
)
from watcher.stages.staying import Staying

__all__ = ["Looker", "Speed", "speed_of"]

AGAIN = (1.0, 5.0)  # seconds after which a new directory is looked at again (stack-facts R1)
SHARE = 20  # at most 1/20 of the time goes into looking
SILENT = 20.0  # seconds without a sign of life after which a drop is not there
T = TypeVar("T")


class Looker:
    """The eyes of one drop. `looked` is when the last complete look began, as Clock.now."""

    def __init__(self, parts: Parts, drop: Drop, speed: Speed, thread: Hop) -> None:
        self.parts = parts
        self.drop = drop
        self.settler = Settler(
            quick=speed.quick,
            quiet=speed.quiet,
            looks=speed.looks,
            stuck_after=drop.stuck_after,
        )
        self.looked: float | None = None
        self.available = True
        self.attempted = False  # whether it was looked at since the start, completely or not
        self.replaced = Bell()  # the drop's directory is another one: watch it anew
        self.next_full = 0.0
        self.thread = thread
        self._ignore = Ignore(drop.ignore)
        self._done: dict[bytes, Fingerprint] = {}  # lies there still, and needs nothing more
        self._taken = parts.receiving.taken(drop.name)
        self._staying = Staying(parts, drop)
        self._passed: set[bytes] = set()  # no files: said once
        self._hints: set[bytes] = set()
        self._again: list[tuple[float, bytes]] = []
        self._emptied: dict[bytes, float] = {}
        self._identity: tuple[int, int] | None = None

    def hint(self, path: bytes | None) -> None:
        """Something may have happened here; None: anywhere."""
        if path is None:
            self.next_full = 0.0
        else:
            self._hints.add(path)

    def next_due(self) -> float:
        """When there is something to look at next, on the monotonic clock."""
        if not self.available:
            return self.next_full  # what it holds is looked for when it is back
        times = [self.next_full, *(at for at, _ in self._again[:1])]
        if (due := self.settler.next_due()) is not None:
            times.append(due)
        return min(times)

    async def look(self) -> bool:
        """Everything that is due now; whether that was a full look."""
        full = self.parts.clock.monotonic() >= self.next_full
        if full:
            await self.look_fully()
        elif self.available:
            await self._look_at_hints()
        if self.available:
            await self._look_again()
        return full

    def finish(self, path: bytes, remains: Fingerprint | None) -> None:
        """A file needs nothing more; `remains` where its source lies there still."""
        if remains is not None:
            self._done[path] = self._taken[path] = remains
            self._staying.add(path, remains)
        else:
            self._done.pop(path, None)
            self._taken.pop(path, None)
            self._staying.forget(path)
            self._emptied[os.path.dirname(path)] = self.parts.clock.monotonic()
        self.gone(path)

    def leave(self, path: bytes, seen: Fingerprint) -> None:
        """A file that stays where it lies and is nothing to us."""
        self._done[path] = seen
        self.gone(path)

    def gone(self, path: bytes) -> None:
        """A file that is pending no more."""
        if self.settler.gone(path):
            self.release(path)

    def release(self, path: bytes) -> None:
        """Clear what was said of a stuck file."""
        key = self.key(path)
        self.parts.conditions.clear("file.released", key, drop=self.drop.name, path=path)

    def key(self, path: bytes) -> str:
        """What raise and clear of a file have in common."""
        return f"file/{self.drop.name}/{reading.mark(path)}"

    def prune(self, now: float) -> None:
        """Remove directories this daemon emptied, once quiet; never one in which files wait."""
        rest = self.drop.inactivity or self.parts.rules.inactivity
        old = {path for path, at in self._emptied.items() if now - at >= rest and path}
        if not old or not self.available:
            return
        for path in old:
            del self._emptied[path]
        above = {path[:m] for path in old for m in range(len(path)) if path[m : m + 1] == b"/"}
        try:
            prune(self.drop.path, sorted(old | above))
        except (MissingPlaceError, StorageError):
            return  # they stay empty; the next look says what is wrong with the drop

    @property
    def last_look(self) -> float | None:
        """When the last complete look began; 0 where none was complete, None before the first."""
        return 0.0 if self.looked is None and self.attempted else self.looked

    async def look_fully(self) -> None:
        """Look at the whole drop; what is not there any more is forgotten."""
        began, moment = self.parts.clock.monotonic(), self.parts.clock.now()
        self._hints.clear()
        try:
            found = await self._seen(
                lambda: look_wholly(self.drop.path, self._ignore, self.thread.beat)
            )
        except MissingPlaceError as error:
            self._unavailable(str(error))
            self.next_full = self.parts.clock.monotonic() + self.drop.rescan_interval
            return
        answered = self.available  # else it hung, or was away: that is no measure of its size
        self._there(found)
        await self._meet(found)
        await self._remove_again()
        self.attempted = True
        if found.complete:
            paths = {seen.path for seen in found.found}
            for path in self.settler.keep_only(paths, began=began):
                self.release(path)
            self._forget({path for path in (*self._done, *self._taken) if path not in paths})
            self.looked = moment
        took = self.parts.clock.monotonic() - began
        rest = max(self.drop.rescan_interval, SHARE * took if answered else 0.0)
        self.next_full = self.parts.clock.monotonic() + rest

    async def _remove_again(self) -> None:
        """Sources that could not be removed before (`drop.readonly`)."""
        if self._staying:
            gone = await self.thread(self._staying.try_again)
            for path in gone:
                self.finish(path, None)
            await self.thread(self.parts.receiving.forget_taken, self.drop.name, gone)

    async def _seen(self, looking: Callable[[], T]) -> T:
        return await self.thread(while_there, self.parts, self.drop, looking)

    async def _look_at_hints(self) -> None:
        hints, self._hints = self._hints, set()
        now = self.parts.clock.monotonic()
        due = {path for at, path in self._again if at <= now}
        self._again = [(at, path) for at, path in self._again if at > now]
        if not hints and not due:
            return
        try:
            seen = await self._seen(lambda: stat(self.drop.path, sorted(hints)))
            found = await self._seen(
                lambda: look(
                    self.drop.path, ignore=self._ignore, below=hints | due, beat=self.thread.beat
                )
            )
        except MissingPlaceError as error:
            self._unavailable(str(error))
            return
        await self._meet(found)
        for each in seen:
            if isinstance(each, Seen) and not self._ignored(each.path):
                await self._see(each)
        new = [path for path in found.folders if path in hints]
        self._again = sorted([*self._again, *((now + s, p) for s in AGAIN for p in new)])

    def _ignored(self, path: bytes) -> bool:
        *folders, name = path.split(b"/")
        inside = any(
            self._ignore.ignored(part, is_dir=True, top=not at) for at, part in enumerate(folders)
        )
        return inside or self._ignore.ignored(name, top=not folders)

    async def _look_again(self) -> None:
        paths = self.settler.to_look(self.parts.clock.monotonic())
        if not paths:
            return
        try:
            found = await self._seen(lambda: stat(self.drop.path, paths))
        except MissingPlaceError as error:
            self._unavailable(str(error))
            return
        now = self.parts.clock.monotonic()
        for path, seen in zip(paths, found, strict=True):
            if isinstance(seen, Seen) and seen.kind == "file":
                self.settler.see(path, seen.print, now)
            elif not isinstance(seen, int):
                self.gone(path)

    async def _meet(self, found: Look) -> None:
        for seen in found.found:
            await self._see(seen)

    async def _see(self, seen: Seen) -> None:
        if seen.kind != "file":
            self._pass_by(seen)
            return
        if self._is_done(seen):
            return
        known = self._taken.get(seen.path)
        if known is not None and known.same_content(seen.print):
            await self._meet_taken(seen, known)
            return
        self.settler.see(seen.path, seen.print, self.parts.clock.monotonic())

    def _pass_by(self, seen: Seen) -> None:
        """A link, FIFO, socket or device stays; said once."""
        if seen.path not in self._passed:
            self._passed.add(seen.path)
            text, code = f"It is a {seen.kind}, not a file.", RefusalCode.NOT_REGULAR.value
            where = {"drop": self.drop.name, "path": seen.path}
            message = "Something that is no file stays"
            self.parts.emit(
                "file.waiting", **where, code=code, text=text, message=message, level="info"
            )

    def _is_done(self, seen: Seen) -> bool:
        done = self._done.get(seen.path)
        return done is not None and done.same_content(seen.print)

    async def _meet_taken(self, seen: Seen, known: Fingerprint) -> None:
        """A source whose content is filed: kept, or removed now where that failed before.

        One that is not quite the same (another ctime) is read again before it is removed.
        """
        if self.drop.after == "keep":
            self._done[seen.path] = seen.print
        elif known == seen.print:
            gone = await self.thread(remove_source, self.parts, self.drop, seen.path, seen.print)
            if gone:
                self._taken.pop(seen.path)
                await self.thread(self.parts.receiving.forget_taken, self.drop.name, [seen.path])
            else:
                self._done[seen.path] = seen.print
                self._staying.add(seen.path, seen.print)
        else:
            self.settler.see(seen.path, seen.print, self.parts.clock.monotonic())

    def _forget(self, paths: set[bytes]) -> None:
        for path in paths:
            self._done.pop(path, None)
            self._staying.forget(path)
        gone = [path for path in paths if self._taken.pop(path, None) is not None]
        if gone:
            self.parts.receiving.forget_taken(self.drop.name, gone)

    def tell_silence(self) -> None:
        """Say that a drop is not there whose directory does not answer. The call itself goes on."""
        if self.thread.silence() > SILENT:
            self._unavailable("it does not answer")

    def _unavailable(self, text: str) -> None:
        self.available = False
        tell_unavailable(self.parts, self.drop, text)

    def _there(self, found: Look) -> None:
        back, self.available = not self.available, True
        tell_unreadable(self.parts, self.drop, found)
        tell_available(self.parts, self.drop)
        if back or self._identity not in {None, found.identity}:
            self.replaced.ring()
        self._identity = found.identity
