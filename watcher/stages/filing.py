"""Filing a batch: reserve, place, sync, record, and only then remove the sources (house 1.3).

One thread call, so that no cancellation falls between the steps. Every crash in between repairs
itself: what is in hand is finished or taken back by `recover`, and a source whose content is
recorded is known by `taken` when it is seen again.

Only what was linked is parted from its source in here: it lies on the prearchive's own file
system. The sources of copies may lie on a share that hangs: `outcomes.remove_copied` removes them,
while the next batch is filed. The members of a unit come from its staging folder, durable, and have
no source that this knows: see `unit_promise`.
"""

import os
import threading
from collections.abc import Iterable, Sequence

from watcher.core.errors import LedgerError, StorageError, WatcherError
from watcher.core.file import Candidate, Fingerprint
from watcher.core.find import Fate
from watcher.core.policy import Drop
from watcher.io import files
from watcher.io.arrivals import again
from watcher.io.desk import Incoming, Reserved
from watcher.io.service import alive
from watcher.io.ways import open_ways
from watcher.stages.hands import release, settle_hands
from watcher.stages.outcomes import Outcome, Result
from watcher.stages.parting import Parted, is_as_read, is_there, part, remove_source
from watcher.stages.parts import Parts
from watcher.stages.placing import NOT_LINKABLE, ChangedError, put

RESULTS = {
    Fate.FILE: Result.FILED,
    Fate.DUPLICATE: Result.DUPLICATE,
    Fate.LATER: Result.LATER,
}


class Filer:
    """Files batches, one at a time; every drop's intake shares it."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._one = threading.Lock()
        self.left_in_hand = True  # as far as this start could not settle

    def file(self, drop: Drop, batch: Sequence[Incoming]) -> list[Outcome]:
        """File these whole files into their sessions; gives one outcome for each, in order.

        StorageError where the ledger can't be written: nothing was lost, the files come again.
        """
        self._parts.storage.require("prearchive")
        with self._one, self._parts.watchdog.loop():
            self._settle()
            self.left_in_hand = True
            filing = _Batch(self._parts, drop, batch)
            with open_ways():
                try:
                    outcomes = filing.run()
                finally:
                    filing.drop_temps()  # else a copy that failed would be in the way of the next
            self.left_in_hand = filing.left_in_hand
        return outcomes

    def settle(self) -> None:
        """Finish or take back what an earlier batch left in hand."""
        with self._one:
            self._settle()

    def _settle(self) -> None:
        if self.left_in_hand:
            settle_hands(self._parts)
            self.left_in_hand = bool(self._parts.receiving.reserved())


class _Batch:
    def __init__(self, parts: Parts, drop: Drop, batch: Sequence[Incoming]) -> None:
        self.parts = parts
        self.drop = drop
        self.batch = batch
        self.lost: dict[Candidate, Outcome] = {}
        self.folders: dict[str, str] = {}  # by session; none moves while files are in hand
        self.renamed: dict[Candidate, Reserved] = {}  # their own name was taken on disk
        self.left_in_hand = False
        self.held: set[Candidate] = set()  # lost, and what was placed of them lies there still

    def run(self) -> list[Outcome]:
        """All the steps, in their order."""
        reserved, opened, reopened = self.parts.receiving.reserve(
            self.batch, self.parts.clock.now(), self.parts.clock.stamp
        )
        wanted = [each for each in reserved if each.fate is Fate.FILE]
        self._open(wanted, {session.id for session in (*opened, *reopened)})
        placed = [now for each in wanted if (now := self._place(each))]
        reserved, wanted = self._as_placed(reserved), self._as_placed(wanted)
        durable = self._sync(placed)
        self.parts.storage.require("prearchive")  # still: else all this went beneath its mount
        unwritten = [each for each in durable if self._unchanged(each)]
        self._release([each for each in wanted if self._is_lost(each)])
        duplicates = [each for each in reserved if self._is_filed(each)]
        remains = self._settle_sources([*unwritten, *duplicates])
        for session in opened:
            if any(each.session.id == session.id for each in unwritten if not self._is_lost(each)):
                self.parts.emit("session.opened", **self.parts.said(session))
        return [self._outcome(each, remains) for each in reserved]

    def _is_filed(self, each: Reserved) -> bool:
        """Whether a duplicate's twin is there to rely on; else the newcomer takes its place."""
        if each.fate is not Fate.DUPLICATE or each.twin is None:
            return False
        if is_there(self.parts, each, each.twin):
            return True
        self._lose(each, Result.LATER)
        return False

    def _folder(self, each: Reserved) -> str:
        owner = each.session.id
        if owner not in self.folders:
            self.folders[owner] = self.parts.storage.folder(each.session)
        return self.folders[owner]

    def _open(self, wanted: Sequence[Reserved], changed: set[str]) -> None:
        for folder in dict.fromkeys(os.path.dirname(self._target(each)) for each in wanted):
            self._make(folder, wanted)
        for session in sorted(changed & {each.session.id for each in wanted}):
            self._publish(session, wanted)

    def _publish(self, session: str, wanted: Sequence[Reserved]) -> None:
        try:
            self.parts.publish(session)
        except StorageError as error:
            self._fail((each for each in wanted if each.session.id == session), error)

    def _make(self, folder: str, wanted: Sequence[Reserved]) -> None:
        try:
            files.make_folder(folder)
        except StorageError as error:
            here = (each for each in wanted if os.path.dirname(self._target(each)) == folder)
            self._fail(here, error)

    def _fail(self, several: Iterable[Reserved], error: StorageError) -> None:
        for each in several:
            self._lose(each, Result.FAILED, error)

    def _target(self, each: Reserved) -> str:
        if each.instance is None:
            raise WatcherError("a reservation without a place")
        return f"{self._folder(each)}/{each.instance.place.path}"

    def _lose(self, each: Reserved, result: Result, error: StorageError | None = None) -> None:
        candidate = each.incoming.candidate
        self.lost.setdefault(candidate, Outcome(each.incoming, result, each.session.id, error))

    # -- placing ------------------------------------------------------------------------------

    def _is_lost(self, each: Reserved) -> bool:
        return each.incoming.candidate in self.lost

    def _as_placed(self, reserved: Sequence[Reserved]) -> list[Reserved]:
        return [self.renamed.get(each.incoming.candidate, each) for each in reserved]

    def _place(self, each: Reserved) -> Reserved | None:
        """The file under its name, or another where something else has that; None: not now."""
        alive()
        if self._is_lost(each):
            return None
        try:
            while not put(self.parts, self.drop, each.incoming, self._target(each)):
                each = self.parts.receiving.rename(each)
                self.renamed[each.incoming.candidate] = each
        except ChangedError:
            self._lose(each, Result.LATER)
            return None
        except StorageError as error:
            self._lose(each, Result.COPY if error.number in NOT_LINKABLE else Result.FAILED, error)
            return None
        return each

    def _sync(self, placed: Sequence[Reserved]) -> list[Reserved]:
        targets = {self._target(each): each for each in placed}
        failed = files.sync_all(t for t, each in targets.items() if not each.incoming.unit)
        folders = files.sync_all(os.path.dirname(target) for target in targets)
        for target, each in targets.items():
            error = failed.get(target) or folders.get(os.path.dirname(target))
            if error is not None:  # its pages may be gone: a new inode next time
                self._take_back(each, Result.COPY, error)
        return [each for each in placed if not self._is_lost(each)]

    def _unchanged(self, each: Reserved) -> bool:
        """Nobody may have written to it meanwhile; one that somebody may have is taken back."""
        if each.incoming.examined.temp or is_as_read(each, self._target(each)):
            return True
        self._take_back(each, Result.LATER)
        return False

    def _take_back(self, each: Reserved, result: Result, error: StorageError | None = None) -> None:
        """Remove what was placed; where that can't be done now it stays in hand."""
        try:
            files.remove(self._target(each))
        except StorageError as refused:
            self.held.add(each.incoming.candidate)
            self.left_in_hand = True
            self._lose(each, Result.FAILED, refused)
        else:
            self._lose(each, result, error)

    def _release(self, lost: Sequence[Reserved]) -> None:
        """Give back what was lost. What refuses that holds up no other file of the batch."""
        failed = [each for each in lost if each.incoming.candidate not in self.held]
        try:
            if failed:
                release(self.parts, failed)
        except LedgerError:
            raise
        except StorageError:  # each of them is told with its own fault, and tried again
            self.left_in_hand = True

    # -- sources ------------------------------------------------------------------------------

    def _settle_sources(self, done: Sequence[Reserved]) -> dict[Candidate, Fingerprint]:
        """Record the batch, then remove what is linked; gives the sources that stay, as yet."""
        sent = [each for each in done if not each.incoming.unit]
        taken = {each.incoming.candidate: self._source_print(each) for each in sent}
        filed = [each for each in done if each.fate is Fate.FILE]
        copied = [each for each in filed if each.incoming.examined.temp]
        linked = [each for each in filed if not each.incoming.examined.temp]
        self.parts.receiving.record(copied, taken, again(done, self.parts.clock.now()))
        if self.drop.after == "keep":
            return taken
        far = {each.incoming.candidate for each in done if each.incoming.examined.temp}
        stay = {
            candidate: print_
            for candidate, print_ in taken.items()
            if candidate in far or not remove_source(self.parts, self.drop, candidate.path, print_)
        }
        own = [each for each in linked if self._is_own(each, stay)]
        gone = [candidate.path for candidate in taken if candidate not in stay]
        self.parts.receiving.settle(self.drop.name, own, gone)
        return stay

    def _is_own(self, each: Reserved, stay: dict[Candidate, Fingerprint]) -> bool:
        """Whether a linked file is as it was read, and nobody outside can change it any more.

        What can't be made so now stays in hand.
        """
        candidate = each.incoming.candidate
        try:
            how, remains = part(self.drop, each, self._target(each), stay.pop(candidate, None))
        except StorageError as error:
            self.left_in_hand = True
            self._lose(each, Result.FAILED, error)
            return False
        if remains is not None:
            stay[candidate] = remains
            self.parts.receiving.record((), {candidate: remains})
        if how is Parted.BACK:
            self._release([each])
        self.left_in_hand |= how is Parted.IN_HAND
        if how is not Parted.OWN:
            self._lose(each, Result.LATER)
        return how is Parted.OWN

    def _source_print(self, each: Reserved) -> Fingerprint:
        """A link's ctime has changed with it; a copied source is as it was read."""
        before = each.incoming.examined.print
        if each.incoming.examined.temp or each.fate is not Fate.FILE:
            return before
        return files.print_of(self._target(each)) or before

    def drop_temps(self) -> None:
        """Remove the copies made while reading: what was filed has its own name by now.

        Those of a unit stay until all of it has landed.
        """
        for each in self.batch:
            if each.examined.temp and not each.unit:
                files.remove(os.path.join(self.parts.storage.incoming, each.examined.temp))

    def _outcome(self, each: Reserved, remains: dict[Candidate, Fingerprint]) -> Outcome:
        candidate = each.incoming.candidate
        if candidate in self.lost:
            return self.lost[candidate]
        self._say(each, RESULTS[each.fate])
        return Outcome(
            each.incoming, RESULTS[each.fate], each.session.id, remains=remains.get(candidate)
        )

    def _say(self, each: Reserved, result: Result) -> None:
        where = {
            "drop": self.drop.name,
            "session": each.session.id,
            "path": each.incoming.candidate.path,
        }
        if each.by_decision:
            where["by"] = "decision"
        if each.instance is not None:
            size = each.instance.size
            self.parts.emit("file.filed", **where, target=each.instance.place.path, bytes=size)
        elif result is Result.DUPLICATE:
            self.parts.emit("file.duplicate", **where)
