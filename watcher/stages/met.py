"""What looks met in one drop, and what became of it: told to the Settler, said, or left alone."""

import os
from collections.abc import Collection

from watcher.core.file import Fingerprint, RefusalCode
from watcher.core.gathering import Gathering
from watcher.core.policy import Drop
from watcher.core.settle import Settler
from watcher.io.descent import Seen, stat
from watcher.io.lookup import Lookup
from watcher.io.scan import Look
from watcher.stages import reading
from watcher.stages.emptied import Emptied
from watcher.stages.hop import Hop
from watcher.stages.keeping import Keeping
from watcher.stages.parting import remove_source
from watcher.stages.parts import Parts
from watcher.stages.signs import Signs, wanted
from watcher.stages.staying import Staying


class Met:
    """What of one drop is pending, needs nothing more, or is gone. `rest`: see Emptied."""

    def __init__(
        self,
        parts: Parts,
        drop: Drop,
        settler: Settler,
        gathering: Gathering | None,
        thread: Hop,
        *,
        rest: float,
    ) -> None:
        self.keeping = Keeping(parts.receiving, drop)
        self.emptied = Emptied(drop, rest)
        self.signs = Signs(parts, drop, gathering, self.keeping, thread) if gathering else None
        self._parts = parts
        self._drop = drop
        self._settler = settler
        self._gathering = gathering
        self._thread = thread
        self._staying = Staying(parts, drop)
        self._passed: set[bytes] = set()  # no files: said once
        self._caught_up = False  # with what earlier runs said of files
        self._free: set[str] = set()  # keys of folders in which no source stayed at the last look

    # -- by looks -----------------------------------------------------------------------------

    async def meet(self, found: Look) -> None:
        """All that a look found: at one moment, so that it is ripe together, and after it ended."""
        now = self._parts.clock.monotonic()
        for seen in found.found:
            await self._see(seen, now)
        if self._gathering:
            for each in found.minded:
                self._gathering.mind(each.path, each.print)
        if self.signs is not None and found.folders:
            given = await self._thread(stat, self._drop.path, wanted(found))
            await self.signs.meet(found, [each for each in given if isinstance(each, Seen)])

    async def _see(self, seen: Seen, now: float) -> None:
        if seen.kind != "file":
            self._pass_by(seen)
            return
        if self.keeping.has(seen.path, seen.print):
            return
        known = self.keeping.sources.get(seen.path)
        if known is not None and known.same_content(seen.print):
            await self._meet_taken(seen, known, now)
            return
        self._settler.see(seen.path, seen.print, now)

    def _pass_by(self, seen: Seen) -> None:
        """A link, FIFO, socket or device stays; said once."""
        self.vanished(seen.path)
        if seen.path not in self._passed:
            self._passed.add(seen.path)
            text, code = f"It is a {seen.kind}, not a file.", RefusalCode.NOT_REGULAR.value
            where = {"drop": self._drop.name, "path": seen.path}
            message = "Something that is no file stays"
            self._parts.emit(
                "file.waiting", **where, code=code, text=text, message=message, level="info"
            )

    async def _meet_taken(self, seen: Seen, known: Fingerprint, now: float) -> None:
        """A source whose content is filed, and that could not be removed before: removed now.

        One that is not quite the same (another ctime) is read again before it is removed.
        """
        if known == seen.print:
            gone = await self._thread(remove_source, self._parts, self._drop, seen.path, seen.print)
            if gone:
                self.keeping.drop(seen.path)
                await self._forget_taken([seen.path])
            else:
                self._stays(seen.path, seen.print)
        else:
            self._settler.see(seen.path, seen.print, now)

    async def remove_again(self) -> None:
        """Sources that could not be removed before (`drop.readonly`)."""
        if self._staying:
            gone = await self._thread(self._staying.try_again)
            for path in gone:
                self.finish(path, None)
            await self._forget_taken(gone)

    async def _forget_taken(self, gone: list[bytes]) -> None:
        await self._thread(self._parts.receiving.forget_taken, self._drop.name, gone)

    async def forget_unmet(self, found: Look, *, began: float, names: bool) -> None:
        """Forget what a complete look, that began then, did not find.

        One by `names` passes over what it knows: what of that is gone is found by one that asks.
        """
        paths = {seen.path for seen in found.found} | {*found.signs}
        if self._gathering:
            self._gathering.mind_only({each.path for each in found.minded})
        lost = self._settler.keep_only(paths, began=began)
        waiting = [each.path for each in self._settler.waiting()] if not self._caught_up else []
        if lost or not self._caught_up:
            await self._thread(self._release_all, lost, waiting)
        if not names:
            for path in await self._thread(self.keeping.forget_unmet, paths, self._thread.beat):
                self._staying.forget(path)
        if lasting := self._unstayed():
            await self._thread(self._writable_all, lasting)

    def _unstayed(self) -> set[str]:
        """What is said of folders in which no source stayed at two looks: it is over.

        Others removed the sources, or the drop is kept by now.
        """
        head, open_ = f"readonly/{self._drop.name}/", self._parts.conditions.open()
        said, before = {key for key in open_ if key.startswith(head)}, self._free
        self._free = said - {f"{head}{reading.mark(folder)}" for folder in self._kept_busy(said)}
        return self._free & before

    def _kept_busy(self, said: Collection[str]) -> set[bytes]:
        """Folders where sources stay, or are read again before they can."""
        if not said:
            return set()
        pending = (os.path.dirname(each.path) for each in self._settler.waiting())
        return {*self._staying.folders(), *pending}

    def _writable_all(self, keys: set[str]) -> None:
        for key in keys:
            self._parts.conditions.clear("drop.writable", key, drop=self._drop.name)

    def vanished(self, path: bytes) -> None:
        """A look found no file there; what is in hand is that of whoever has it."""
        self._settler.vanished(path)
        self.release(path)

    # -- by who takes it ----------------------------------------------------------------------

    def finish(self, path: bytes, remains: Fingerprint | None) -> None:
        """A file needs nothing more; `remains` where its source lies there still."""
        if remains is not None:
            self._stays(path, remains)
        else:
            self.keeping.drop(path)
            self._staying.forget(path)
            self.emptied.add(path, self._parts.clock.monotonic())
        self.gone(path)

    def leave(self, path: bytes, seen: Fingerprint) -> None:
        """A file that stays where it lies and is nothing to us."""
        self.keeping.add(path, seen)
        self.gone(path)

    def _stays(self, path: bytes, seen: Fingerprint) -> None:
        """A source whose content is filed lies there still."""
        self.keeping.add(path, seen)
        if self._drop.after != "keep":
            self.keeping.sources[path] = seen
            self._staying.add(path, seen)

    def gone(self, path: bytes) -> None:
        """A file that is pending no more."""
        self._settler.gone(path)
        self.release(path)

    def _release_all(self, lost: list[bytes], waiting: list[bytes]) -> None:
        """The stuck files that went; after a start those too that went before it."""
        for path in lost:
            self.release(path)
        if self._caught_up:
            return
        there = set(map(self.key, waiting))
        for each in Lookup(self._parts.ledger).raised():
            is_ours = (each.event, each.fields.get("drop")) == ("file.stuck", self._drop.name)
            if is_ours and each.key not in there:
                self._clear(each.key, each.fields.get("path"))
        self._caught_up = True

    def release(self, path: bytes) -> None:
        """Clear what was said of a stuck file, in this run or an earlier one."""
        self._clear(self.key(path), path)

    def _clear(self, key: str, path: object) -> None:
        self._parts.conditions.clear("file.released", key, drop=self._drop.name, path=path)

    def key(self, path: bytes) -> str:
        """What raise and clear of a file have in common."""
        return f"file/{self._drop.name}/{reading.mark(path)}"
