"""The `NAME/.complete` files of a transactional drop: what their senders say of units (spec 7).

One that speaks of nothing, as no file of its unit is pending, says nothing of later ones either,
until it changes: else a unit that is still arriving would be torn by an old word.
"""

import os
from collections.abc import Collection

from watcher.core.file import Fingerprint
from watcher.core.gathering import SIGN, Gathering, unit_of
from watcher.core.policy import Drop
from watcher.io.aside import LEAVING
from watcher.io.descent import Seen
from watcher.io.scan import Look
from watcher.stages.hop import Hop
from watcher.stages.keeping import Keeping
from watcher.stages.parting import remove_source
from watcher.stages.parts import Parts


class Signs:
    """Those that were seen, by unit."""

    def __init__(
        self, parts: Parts, drop: Drop, gathering: Gathering, keeping: Keeping, thread: Hop
    ) -> None:
        self.given: dict[bytes, Fingerprint] = {}
        self._parts = parts
        self._drop = drop
        self._gathering = gathering
        self._keeping = keeping
        self._thread = thread
        self._vain: dict[bytes, Fingerprint] = {}

    async def meet(self, found: Look, seen: Collection[Seen]) -> None:
        """What a look found, and `seen`: the files that `wanted` named."""
        given: dict[bytes, Fingerprint] = {}
        for each in seen:
            if await self._speaks(each):
                given[unit_of(each.path)] = each.print
        for name in found.folders:
            if b"/" not in name:
                self._turn(name, given.get(name))

    def _turn(self, name: bytes, seen: Fingerprint | None) -> None:
        self._gathering.sign(name, given=seen is not None)
        if seen is not None:
            self.given[name] = seen
        else:
            self.given.pop(name, None)

    async def _speaks(self, sign: Seen) -> bool:
        """Whether it is news. One whose unit is filed goes, as far as that can be."""
        path, name = sign.path, unit_of(sign.path)
        if sign.kind != "file" or self._keeping.has(path, sign.print):
            return False
        taken = self._keeping.sources.get(path)
        if taken is not None and taken.same_content(sign.print):
            await self._remove(sign)
            return False
        if not self._gathering.count(name):
            self._vain[name] = sign.print
        return self._vain.get(name) != sign.print

    async def _remove(self, sign: Seen) -> None:
        if await self._thread(remove_source, self._parts, self._drop, sign.path, sign.print):
            self._keeping.drop(sign.path)
            await self._thread(self._parts.receiving.forget_taken, self._drop.name, [sign.path])
        else:
            self._keeping.add(sign.path, sign.print)


def wanted(found: Look) -> list[bytes]:
    """The `.complete` files of a look that lie in the directory of a unit."""
    return [path for path in found.signs if path.count(b"/") == 1]


def is_minded(seen: Seen) -> bool:
    """Whether an ignored file may be one that arrives: it is no word of a sender, nor ours."""
    name = seen.path.rpartition(b"/")[2]
    return seen.kind == "file" and name != SIGN and not name.startswith(os.fsencode(LEAVING))


def hinted(hints: Collection[bytes]) -> set[bytes]:
    """The units that hints at such files are about: they are looked at whole."""
    return {unit_of(path) for path in hints if path.count(b"/") == 1 and path.endswith(b"/" + SIGN)}
