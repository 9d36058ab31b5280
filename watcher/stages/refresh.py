"""Catalogs and session XML of an archived session mended from its files (spec 4, 11, `refresh`).

Nothing is invented, nothing lost: bytes that do not match their digest, and files that are gone,
stay as they are listed until a person accepts them. Catalogs are swapped first, the XML last; what
was broken goes to the history before. Cut off anywhere, the next try does the rest.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass

from watcher.core.errors import RefusedError, UnknownSessionError
from watcher.core.session import Session
from watcher.core.soundness import Change, Checked
from watcher.io import files, journal
from watcher.io.digests import Digests
from watcher.report.times import iso
from watcher.stages import history
from watcher.stages.decided import decision_on, note
from watcher.stages.inventory import Document, links, merging, session_document
from watcher.stages.mending import Work, text_of, works
from watcher.stages.parts import Parts
from watcher.stages.recompose import known_session, session_text
from watcher.stages.sent import ahead_of
from watcher.stages.shelves import reshelve
from watcher.stages.verify import NOBODY, Seen, check, say


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What was changed, and what is still wrong."""

    changed: tuple[Change, ...]
    checked: Checked


def refresh(
    parts: Parts, project: str, label: str, *, who: str, accept: str = "", seen: Seen = NOBODY
) -> Refreshed:
    """Mend one session; the caller holds the lease on it as a destination.

    `accept` is the reason why other bytes and missing files are taken as they are; empty: they are
    not. UnknownSessionError where the archive has no such session; RefusedError where a merge into
    it was cut off; StorageError where a file can't be read now.
    """
    parts.storage.require("archive")
    base = parts.storage.archived(project, label)
    _check_free(parts, project, label)
    digests = Digests(parts.check_stop, seen)
    document = session_document(base)
    if document.data is None and not os.path.isdir(base):
        raise UnknownSessionError(f"{project}/{label} is not in the archive")
    if linked := links(base):
        raise RefusedError(
            f"{linked[0] or label} in {project}/{label} is a symbolic link, not a folder",
            hint="put the folder itself in its place",
        )
    ahead = ahead_of(parts, project, label)
    found = works(parts, base, document, digests, accept=bool(accept), ahead=ahead)
    swaps = _Swaps(parts, project, label, document, found, accept=bool(accept))
    if swaps.changed:
        swaps.carry_out(who, accept)
    checked = check(parts, project, label, digests)
    say(parts, checked)
    return Refreshed(swaps.changed, checked)


def _check_free(parts: Parts, project: str, label: str) -> None:
    if under_way := merging(parts, project, label):
        raise RefusedError(
            f"{under_way[0].id} is being merged into {project}/{label}",
            hint="start the daemon, or `watcher run --once`: it carries on what was cut off",
        )


class _Swaps:
    """What is to be written of one session, in order."""

    def __init__(
        self,
        parts: Parts,
        project: str,
        label: str,
        document: Document,
        found: Sequence[Work],
        *,
        accept: bool,
    ) -> None:
        self.parts = parts
        self.base = parts.storage.archived(project, label)
        self.document = document
        self.works = [work for work in found if work.what]
        self.session = known_session(parts, project, label, document, found)
        self.xml, self.why = session_text(parts, self.session, document, found, accept=accept)
        self.accepted = [one for work in found for one in work.mend.accepted]
        self.changed = self._changes()

    def _changes(self) -> tuple[Change, ...]:
        found = [Change(work.listing.path, work.what) for work in self.works]
        found += [Change(path, what) for path, what in self.accepted]
        if self.xml != self.document.data:
            found.append(Change(f"{self.session.label}.xml", self.why))
        return tuple(found)

    def carry_out(self, who: str, accept: str) -> None:
        """Say it, keep what was broken, swap, and bring the index up to date."""
        self._chronicle(who, accept)
        for work in self.works:
            self.parts.check_stop()
            if work.is_broken:
                self._keep(work.listing.path, work.listing.data, who)
            path = os.path.join(self.base, work.listing.path)
            files.swap(path, text_of(work, self.session.project or ""))
        if self.xml is not None and self.xml != self.document.data:
            if self.document.fault:
                self._keep(f"{self.session.label}.xml", self.document.data, who)
            files.swap(f"{self.base}.xml", self.xml)
        reshelve(self.parts, self.session.project or "", self.session.label)

    def _chronicle(self, who: str, accept: str) -> None:
        """Who, when, why, in the session's own log; what a person accepted also as a decision."""
        parts = self.parts
        line = {
            "timestamp": iso(parts.clock.now()),
            "event": "session.refreshed",
            "session": self.session.id,
            "who": who,
            "reason": accept,
            "changed": [[each.path, each.what] for each in self.changed],
        }
        journal.append_line(os.path.join(self.base, "logs", "events.jsonl"), json.dumps(line))
        if self.accepted:
            note(parts, self.session, decision_on(parts, self.session, "refresh", who, accept))

    def _keep(self, path: str, data: bytes | None, who: str) -> None:
        """A broken document goes to the history, once, before anything takes its place."""
        if data is None:
            return
        parts, session = self.parts, self.session
        folder = _kept_in(parts, session, path, data)
        if not folder:
            stamp = history.new_stamp(parts, session.project, session.label)
            folder = parts.storage.history(session.project, session.label, stamp)
            target = os.path.join(folder, path)
            files.make_folder(os.path.dirname(target))
            files.swap(target, data)
        if not os.path.lexists(os.path.join(folder, history.REASON)):
            history.describe(
                parts,
                folder,
                kind="catalog",
                session=session,
                command="refresh",
                who=who,
                reason="it could not be read",
                when=iso(parts.clock.now()),
            )


def _kept_in(parts: Parts, session: Session, path: str, data: bytes) -> str:
    """The entry of the history in which a try that was cut off has kept it; empty for none."""
    parts.storage.require("history")
    entries = os.path.dirname(parts.storage.history(session.project, session.label, "stamp"))
    folders = [os.path.join(entries, stamp) for stamp in sorted(files.names_in(entries))]
    for folder in folders:
        files.remove_empty_below(folder)  # made by a try that came no further
    kept = (each for each in folders if files.read_if_there(os.path.join(each, path)) == data)
    return next(kept, "")
