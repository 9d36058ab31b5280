"""The receipts of one drop: what is known of each dropped thing, written where it was dropped.

The ledger counts what came (io.arrivals); what lies there pending is told by the drop's own eyes.
A drop may hang here: run it in a thread of the drop's own. What a drop that can't be written to
misses are its receipts and nothing else.
"""

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Final

from watcher.core.policy import Drop
from watcher.core.receipt import Dropped, Lying, Pending, lying
from watcher.core.receipt_names import file_name, folded
from watcher.io.arrivals import day_of
from watcher.io.receipt_index import RECALLED, Known, ReceiptIndex
from watcher.report import receipt as report
from watcher.stages.expected import absent
from watcher.stages.faring import Faring
from watcher.stages.parts import Parts
from watcher.stages.recalling import recall
from watcher.stages.receipt_folder import Folder, Identity, Target

STEP: Final = 300  # receipts that are named, written and noted together
CHECK: Final = 3600.0  # seconds between two looks for what is to age out


@dataclass
class Receipts:
    """What keeps the receipts of one drop. `keep`: seconds for which settled ones stay."""

    parts: Parts
    drop: Drop
    keep: float | None = None
    _told: dict[bytes, str] = field(default_factory=dict)  # digests of those that may change
    _aged: float = -math.inf  # when it was last looked what is old

    def __post_init__(self) -> None:
        """The ledger's part of it."""
        self._index = ReceiptIndex(self.parts.ledger)
        self._faring = Faring(self.parts, self.drop, self._index)

    def write(self, pending: Pending, identity: Identity) -> int:
        """Rewrite what has changed; gives how many receipts were written or removed.

        `identity`: the drop's device and inode when it was looked at. StorageError where the
        ledger can't be used for now; what the drop refuses is said, as `drop.readonly`.
        """
        folder = Folder(self.parts, self.drop, identity)
        done = 0
        if self._has_recalled(folder):
            done = self._put_all(folder, self._changed(self._known(pending)))
            done += self._age(folder)
        folder.say()
        return done

    def _known(self, pending: Pending) -> Iterator[tuple[Known, Dropped]]:
        """Every receipt that may change, and what it is to tell."""
        clock, name = self.parts.clock, self.drop.name
        ahead = clock.now() - clock.monotonic()
        left = lying(pending, lambda since: day_of(since + ahead), day_of(clock.now()))
        known = self._index.open(name)
        if new := left.keys() - {each.name for each in known}:
            self._index.want(name, new, clock.now())
            known = self._index.open(name)
        went, refused = self._faring.went(), self._faring.refused()
        for each in known:
            here = left.get(each.name, Lying())
            came = (went.get(each.name, ()), refused.get(each.name, ()))
            yield each, Dropped(each.name, name, self.drop.contact, here, *came)

    def _changed(self, found: Iterable[tuple[Known, Dropped]]) -> Iterator[Target]:
        for known, dropped in found:
            digest = hashlib.sha256(repr(dropped).encode()).hexdigest()
            if dropped.settled or self._told.get(known.name) != digest:
                yield Target(known, {} if dropped.nothing else self._values(dropped), digest)

    def _values(self, dropped: Dropped) -> dict[str, Any]:
        """What it tells. What is listed is looked for where nothing of it lies unfiled."""
        if not dropped.lying:
            dropped = replace(dropped, missing=absent(self.parts, dropped))
        return report.values(dropped)

    def _put_all(self, folder: Folder, targets: Iterator[Target]) -> int:
        """Some at a time, so that what was done is noted soon; gives how many could be done."""
        number, taken = 0, set[str]()
        while some := list(islice(targets, STEP)):
            done = folder.put(self._named(folder, some, taken))
            self._note(done)
            number += len(done)
            if folder.failed or self.parts.stopping.is_set():
                break
        return number

    def _named(self, folder: Folder, targets: Sequence[Target], taken: set[str]) -> list[Target]:
        """The same, each with a name that nothing else has; `taken`: those that are had.

        What somebody else put under the name of a receipt is never written over.
        """
        new = [each.known.name for each in targets if each.told and each.known.file is None]
        if new and not taken:
            taken |= self._index.taken(self.drop.name) | folder.names()
        if folder.failed:
            return []
        names: dict[bytes, str] = {}
        for key in new:
            names[key] = file_name(key, taken)
            taken.add(folded(names[key]))
        self._index.call(self.drop.name, names)
        return [each.called(names.get(each.known.name, each.known.file)) for each in targets]

    def _note(self, done: Sequence[Target]) -> None:
        """What was written, and what is settled with that."""
        for each in done:
            if each.settled:
                self._told.pop(each.known.name, None)
            else:
                self._told[each.known.name] = each.digest
        lasting = [each.known for each in done if each.lasts]
        self._index.settle(self.drop.name, lasting, self.parts.clock.now())
        self._index.forget(self.drop.name, [each.known for each in done if not each.told])

    def _has_recalled(self, folder: Folder) -> bool:
        """Whether the receipts that lay there before this ledger are known; at the first time."""
        key = f"{RECALLED}{self.drop.name}"
        if self.parts.ledger.recall(key) is not None:
            return True
        for page in folder.documents():
            recalled = recall(self.parts, self.drop, page)
            self._index.restore(self.drop.name, recalled, self.parts.clock.now())
        if folder.failed:
            return False
        self.parts.ledger.remember(key, "1")
        return True

    def _age(self, folder: Folder) -> int:
        """Remove receipts that were settled for `keep`; gives how many."""
        now = self.parts.clock.now()
        if self.keep is None or now < self._aged + CHECK:
            return 0
        old = self._index.old(self.drop.name, now - self.keep)
        done = self._put_all(folder, (Target(each, {}) for each in old))
        if done:
            folder.prune()
        if done == len(old):
            self._aged = now
        return done
