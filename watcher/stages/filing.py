"""Filing a batch: reserve, place, sync, record, and only then remove the sources (house 1.3).

One thread call, so that no cancellation falls between the steps. Every crash in between repairs
itself: what is in hand is finished or taken back by `recover`, and a source whose content is
recorded is known by `taken` when it is seen again.
"""

import errno
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from watcher.core import life
from watcher.core.errors import ClashError, StorageError, WatcherError, storage_error
from watcher.core.find import Fate
from watcher.core.model import Candidate, Fingerprint
from watcher.core.policy import Drop
from watcher.io import files, sources
from watcher.io.reserve import Incoming, Reserved
from watcher.stages.hands import release, settle_hands
from watcher.stages.parts import Parts
from watcher.stages.reading import mark

# a link would not do after all: another file system behind the same device number, or a policy
NOT_LINKABLE = files.NO_LINKS | {errno.EXDEV, errno.EACCES}


class Result(StrEnum):
    """How a file of a batch fared."""

    FILED = "filed"
    DUPLICATE = "duplicate"
    LATER = "later"  # look at it again soon
    COPY = "copy"  # read it again, copying
    FAILED = "failed"  # the machine said no; try again after a while


@dataclass(frozen=True, slots=True)
class Outcome:
    """One file's fate; `error` where the machine said no."""

    incoming: Incoming
    result: Result
    session: str = ""
    error: StorageError | None = None
    remains: Fingerprint | None = None  # the source lies there still, as this


class Filer:
    """Files batches, one at a time; every drop's intake shares it."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._one = threading.Lock()
        self._left_in_hand = False

    def file(self, drop: Drop, batch: Sequence[Incoming]) -> list[Outcome]:
        """File these whole files into their sessions; gives one outcome for each, in order.

        StorageError where the ledger can't be written: nothing was lost, the files come again.
        """
        self._parts.storage.require("prearchive")
        with self._one:
            if self._left_in_hand:
                settle_hands(self._parts)
            self._left_in_hand = True
            filing = _Batch(self._parts, drop, batch)
            try:
                outcomes = filing.run()
            finally:
                filing.drop_temps()  # else a copy that failed would be in the way of the next
            self._left_in_hand = False
        return outcomes


class _Batch:
    def __init__(self, parts: Parts, drop: Drop, batch: Sequence[Incoming]) -> None:
        self.parts = parts
        self.drop = drop
        self.batch = batch
        self.lost: dict[Candidate, Outcome] = {}
        self.folders: dict[str, str] = {}  # by session; none moves while files are in hand

    def run(self) -> list[Outcome]:
        """All the steps, in their order."""
        reserved, opened, reopened = self.parts.receiving.reserve(
            self.batch, self.parts.clock.now(), self.parts.clock.stamp
        )
        wanted = [each for each in reserved if each.fate is Fate.FILE]
        self._open(wanted, {session.id for session in (*opened, *reopened)})
        placed = [each for each in wanted if self._place(each)]
        durable = self._sync(placed)
        self.parts.storage.require("prearchive")  # still: else all this went beneath its mount
        unwritten = [each for each in durable if self._unchanged(each)]
        self._release(wanted)
        duplicates = [each for each in reserved if self._is_filed(each)]
        remains = self._settle_sources([*unwritten, *duplicates])
        for session in opened:
            if any(each.session.id == session.id for each in unwritten):
                self.parts.emit("session.opened", **self.parts.said(session))
        return [self._outcome(each, remains) for each in reserved]

    def _is_filed(self, each: Reserved) -> bool:
        """Whether a duplicate's twin is there to rely on; a lost one is forgotten, and replaced."""
        if each.fate is not Fate.DUPLICATE or each.twin is None:
            return False
        session = self.parts.ledger.session(each.session.id)  # it may have been moved since
        found = files.print_of(os.path.join(self.parts.storage.folder(session), each.twin.path))
        if found is not None and found.size == each.incoming.examined.print.size:
            return True
        if session.folder == each.session.folder and session.status in life.OPEN:
            self.parts.ledger.drop_instances(session.id, [each.twin])
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
            for each in wanted:
                if each.session.id == session:
                    self._lose(each, Result.FAILED, error)

    def _make(self, folder: str, wanted: Sequence[Reserved]) -> None:
        try:
            files.make_folder(folder)
        except StorageError as error:
            for each in wanted:
                if os.path.dirname(self._target(each)) == folder:
                    self._lose(each, Result.FAILED, error)

    def _target(self, each: Reserved) -> str:
        if each.instance is None:
            raise WatcherError("a reservation without a place")
        return f"{self._folder(each)}/{each.instance.place.path}"

    def _lose(self, each: Reserved, result: Result, error: StorageError | None = None) -> None:
        candidate = each.incoming.candidate
        self.lost.setdefault(candidate, Outcome(each.incoming, result, each.session.id, error))

    # -- placing ------------------------------------------------------------------------------

    def _place(self, each: Reserved) -> bool:
        if each.incoming.candidate in self.lost:
            return False
        try:
            self._put(each)
        except ClashError:
            return self._is_ours(each)
        except StorageError as error:
            self._lose(each, Result.COPY if error.number in NOT_LINKABLE else Result.FAILED, error)
            return False
        return True

    def _put(self, each: Reserved) -> None:
        target = self._target(each)
        if temp := each.incoming.examined.temp:
            files.transfer(os.path.join(self.parts.storage.incoming, temp), target)
            return
        with sources.parent_of_drop(self.drop.path, each.incoming.candidate.path) as (fd, name):
            sources.link_from(fd, name, target)
        found = files.print_of(target)
        if found is None or not found.same_content(each.incoming.candidate.print):
            files.remove(target)
            self._lose(each, Result.LATER)
            raise storage_error(OSError(errno.ESTALE, "it changed"), "placing a file")
        files.match_folder(target)

    def _is_ours(self, each: Reserved) -> bool:
        """The name is taken on disk though not in the ledger: by these bytes, or it waits."""
        try:
            same = files.digest(self._target(each)) == each.incoming.examined.digest
        except StorageError:
            same = False
        if not same:
            clash = storage_error(OSError(errno.EEXIST, "a stray file has its name"), "placing")
            self._lose(each, Result.FAILED, clash)
        return same

    def _sync(self, placed: Sequence[Reserved]) -> list[Reserved]:
        targets = {self._target(each): each for each in placed}
        failed = files.sync_all(targets)
        folders = files.sync_all(os.path.dirname(target) for target in targets)
        for target, each in targets.items():
            error = failed.get(target) or folders.get(os.path.dirname(target))
            if error is not None:
                files.remove(target)  # its pages may be gone: a new inode next time
                self._lose(each, Result.COPY, error)
        return [each for each in placed if each.incoming.candidate not in self.lost]

    def _unchanged(self, each: Reserved) -> bool:
        """A linked file shares its inode with the source: nobody may have written meanwhile."""
        if each.incoming.examined.temp:
            return True
        target = self._target(each)
        found = files.print_of(target)
        same = found is not None and found.same_content(each.incoming.candidate.print)
        if same and not sources.has_writer(target):
            return True
        files.remove(target)
        self._lose(each, Result.LATER)
        return False

    def _release(self, wanted: Sequence[Reserved]) -> None:
        failed = [each for each in wanted if each.incoming.candidate in self.lost]
        if failed:
            release(self.parts, failed)

    # -- sources ------------------------------------------------------------------------------

    def _settle_sources(self, done: Sequence[Reserved]) -> dict[Candidate, Fingerprint]:
        """Record the batch, then remove what was taken; gives the sources that stay."""
        taken = {each.incoming.candidate: self._source_print(each) for each in done}
        self.parts.receiving.record([each for each in done if each.fate is Fate.FILE], taken)
        if self.drop.after == "keep":
            return taken
        stay = {
            candidate: print_
            for candidate, print_ in taken.items()
            if not remove_source(self.parts, self.drop, candidate.path, print_)
        }
        gone = [candidate.path for candidate in taken if candidate not in stay]
        self.parts.receiving.forget_taken(self.drop.name, gone)
        return stay

    def _source_print(self, each: Reserved) -> Fingerprint:
        """A link's ctime has changed with it; a copied source is as it was read."""
        before = each.incoming.examined.print
        if each.incoming.examined.temp or each.fate is not Fate.FILE:
            return before
        return files.print_of(self._target(each)) or before

    def drop_temps(self) -> None:
        """Remove the copies made while reading: what was filed has its own name by now."""
        for each in self.batch:
            if each.examined.temp:
                files.remove(os.path.join(self.parts.storage.incoming, each.examined.temp))

    def _outcome(self, each: Reserved, remains: dict[Candidate, Fingerprint]) -> Outcome:
        candidate = each.incoming.candidate
        if candidate in self.lost:
            return self.lost[candidate]
        result = {
            Fate.FILE: Result.FILED,
            Fate.DUPLICATE: Result.DUPLICATE,
            Fate.LATER: Result.LATER,
        }[each.fate]
        self._say(each, result)
        return Outcome(each.incoming, result, each.session.id, remains=remains.get(candidate))

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


def remove_source(parts: Parts, drop: Drop, path: bytes, expected: Fingerprint) -> bool:
    """Remove a source whose content is durable elsewhere; whether it is gone, or another now.

    One that changed since is another file: it stays, and is looked at as new. One that can't be
    removed is remembered, and `drop.readonly` says so once.
    """
    folder = os.path.dirname(path)
    key = f"readonly/{drop.name}/{mark(folder)}"  # permission is the directory's
    try:
        sources.unlink_if(drop.path, path, expected)
    except OSError as error:  # whatever it is, the content is safe: the source stays for now
        text = error.strerror or "not permitted"
        now = parts.clock.now()
        parts.conditions.raise_("drop.readonly", key, now, drop=drop.name, path=folder, text=text)
        return False
    parts.conditions.clear("drop.writable", key, drop=drop.name, path=folder)
    return True
