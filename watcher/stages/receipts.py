"""The receipts of one drop: what is known of each dropped thing, written where it was dropped.

The ledger counts what came (io.arrivals); what lies there pending is told by the drop's own eyes.
A drop may hang here: run it in a thread of the drop's own. What a drop that can't be written to
misses are its receipts and nothing else: that is said once, as `drop.readonly`.
"""

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, NamedTuple

from watcher.core.errors import MissingPlaceError, StorageError
from watcher.core.policy import Drop
from watcher.core.receipt import Dropped, Lying, lying
from watcher.core.receipt_names import file_name, folded
from watcher.core.settle import Waiting
from watcher.io import descent, receipts
from watcher.io.arrivals import Arrivals, Known, day_of
from watcher.io.ignore import RECEIPTS
from watcher.report import receipt as report
from watcher.stages.faring import Faring
from watcher.stages.parts import Parts
from watcher.stages.presence import check_mount
from watcher.stages.recalling import recall

STEP: Final = 300  # receipts written in one go; the rest comes next
CHECK: Final = 3600.0  # seconds between two looks for what is to age out
ENDINGS: Final = (".txt", ".json")
Identity = tuple[int, int] | None


class Target(NamedTuple):
    """A receipt to be written, or to be removed where there is nothing to tell."""

    known: Known
    file: str
    told: Mapping[str, Any]

    digest: str = ""

    @property
    def settled(self) -> bool:
        """Whether it is the last word, unless something comes."""
        return not self.told or bool(self.told["settled"])


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
        self._arrivals = Arrivals(self.parts.ledger)
        self._faring = Faring(self.parts, self.drop, self._arrivals)

    def write(self, waiting: Sequence[Waiting], identity: Identity, *, last: bool = False) -> int:
        """Rewrite what has changed; gives how many receipts were written or removed.

        `waiting`: what is pending in the drop; `identity`: its device and inode when it was looked
        at; `last`: nobody looks at it again. StorageError where the ledger can't be used for now;
        what the drop refuses is said.
        """
        if not self._has_recalled(identity):
            return 0
        found = self._known(waiting, last=last)
        targets = list(islice(self._changed(found), STEP))
        done = self._put_all(identity, targets) if targets else []
        self._note(done)
        return len(done) + self._age(identity)

    def _known(self, waiting: Sequence[Waiting], *, last: bool) -> Iterator[tuple[Known, Dropped]]:
        """Every receipt that may change, and what it is to tell."""
        clock, name = self.parts.clock, self.drop.name
        ahead = clock.now() - clock.monotonic()
        pending = lying(waiting, lambda since: day_of(since + ahead), last=last)
        known = self._arrivals.open(name)
        if new := pending.keys() - {each.name for each in known}:
            self._arrivals.want(name, new, clock.now())
            known = self._arrivals.open(name)
        went, refused = self._faring.went(), self._faring.refused()
        for each in known:
            here = pending.get(each.name, Lying())
            came = (went.get(each.name, ()), refused.get(each.name, ()))
            yield each, Dropped(each.name, name, self.drop.contact, here, *came)

    def _changed(self, found: Iterator[tuple[Known, Dropped]]) -> Iterator[Target]:
        for known, dropped in found:
            digest = hashlib.sha256(repr(dropped).encode()).hexdigest()
            if dropped.settled or self._told.get(known.name) != digest:
                told = {} if dropped.nothing else report.values(dropped)
                yield Target(known, known.file or self._name(known), told, digest)

    def _name(self, known: Known) -> str:
        name = file_name(known.name)
        taken = self._arrivals.taken(self.drop.name)
        if folded(name) in taken:
            name = file_name(known.name, taken)
        self._arrivals.call(self.drop.name, known.name, name)
        return name

    def _note(self, done: Sequence[Target]) -> None:
        """What was written, and what is settled with that."""
        for each in done:
            self._told[each.known.name] = each.digest
            if each.settled:
                self._told.pop(each.known.name)
            if each.told and each.settled:
                self._arrivals.settle(self.drop.name, each.known)
        gone = [each.known.name for each in done if not each.told]
        self._arrivals.forget(self.drop.name, gone)

    # -- in the drop ------------------------------------------------------------------------------

    def _put_all(self, identity: Identity, targets: Sequence[Target]) -> list[Target]:
        done: list[Target] = []
        made = self.parts.clock.now()

        def put(here: int | None) -> StorageError | None:
            refused: StorageError | None = None
            if here is None:
                done.extend(each for each in targets if not each.told)
                return None
            for each in targets:
                if self.parts.stopping.is_set():
                    break
                try:
                    _put(here, each, made)
                except StorageError as error:  # of this one: the others go on
                    refused = error
                else:
                    done.append(each)
            return refused

        self._at_drop(identity, put, make=any(each.told for each in targets))
        return done

    def _at_drop(
        self, identity: Identity, work: Callable[[int | None], StorageError | None], *, make: bool
    ) -> bool:
        """Work in the folder of receipts; whether it could be done. What the drop refuses is said.

        One that is not there is not: its eyes say so.
        """
        try:
            check_mount(self.parts, self.drop)
        except MissingPlaceError:
            return False
        refused: StorageError | None
        try:
            with receipts.folder(self.drop.path, identity, make=make) as here:
                refused = work(here)
        except MissingPlaceError:
            return False
        except StorageError as error:
            refused = error
        self._say(refused)
        return refused is None

    def _say(self, refused: StorageError | None) -> None:
        key, where = f"receipts/{self.drop.name}", {"drop": self.drop.name, "path": RECEIPTS}
        open_ = self.parts.conditions.open()
        if refused is None:
            self.parts.conditions.clear("drop.writable", key, **where)
        elif not any(each.startswith(f"readonly/{self.drop.name}/") for each in open_):
            self.parts.conditions.raise_(  # else sources can't be removed either: that is said
                "drop.readonly",
                key,
                self.parts.clock.now(),
                **where,
                text=str(refused),
                message="Receipts can't be written",
                hint="let the daemon's user write to the drop, or set receipts = false",
            )

    def _has_recalled(self, identity: Identity) -> bool:
        """Whether the receipts that lay there before this ledger are known; at the first time."""
        key = f"receipts/{self.drop.name}"
        if self.parts.ledger.recall(key) is not None:
            return True
        found: dict[str, bytes] = {}

        def look(here: int | None) -> None:
            found.update(receipts.written(here) if here is not None else {})

        if not self._at_drop(identity, look, make=False):
            return False
        recall(self.parts, self.drop, self._arrivals, found)
        self.parts.ledger.remember(key, "1")
        return True

    def _age(self, identity: Identity) -> int:
        """Remove settled receipts to which nothing came for `keep`; gives how many."""
        now = self.parts.clock.now()
        if self.keep is None or now < self._aged + CHECK:
            return 0
        old = self._arrivals.old(self.drop.name, now - self.keep)
        targets = [Target(each, each.file or file_name(each.name), {}) for each in old[:STEP]]
        done = self._put_all(identity, targets) if targets else []
        self._note(done)
        if done:
            self._at_drop(identity, self._remove_folder, make=False)
        if len(done) == len(old):
            self._aged = now
        return len(done)

    def _remove_folder(self, _here: int | None) -> None:
        descent.prune(self.drop.path, [RECEIPTS.encode()])


def _put(here: int, target: Target, made: float) -> None:
    told, settled = target.told, target.settled
    for ending, form in zip(ENDINGS, (report.as_text, report.as_json), strict=True):
        name = f"{target.file}{ending}"
        if told:
            receipts.write(here, name, form(told, made), durable=settled)
        else:
            receipts.remove(here, name)
