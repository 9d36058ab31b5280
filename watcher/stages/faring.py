"""How the files of a drop fared: the sessions they went to, and what was refused."""

import os
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, Final

from watcher.core.policy import Drop
from watcher.core.receipt import ENDED, Refused, Went
from watcher.core.session import Session, Status
from watcher.io.arrivals import Arrival
from watcher.io.receipt_index import ReceiptIndex
from watcher.io.registry import Shelf, receipt_of
from watcher.stages.parts import Parts

_UNKNOWN: Final[Mapping[str, Any]] = {"status": None}


class Faring:
    """What is known of the things dropped in one drop, by their keys (core.receipt_names)."""

    def __init__(self, parts: Parts, drop: Drop, index: ReceiptIndex) -> None:
        self._parts = parts
        self._drop = drop.name
        self._index = index

    def went(self) -> Mapping[bytes, list[Went]]:
        """Where files went, of every receipt that may change."""
        came = self._index.of(self._drop)
        asked = {each.session for some in came.values() for each in some if each.ended is None}
        known = self._index.sessions(asked)
        ended = self._ended(asked, known)
        over = [
            (key, each.session, how)
            for key, some in came.items()
            for each in some
            if each.ended is None and (how := ended.get(each.session)) is not None
        ]
        self._index.end(self._drop, over)
        return {
            key: [self._went(each, ended.get(each.session), known) for each in some]
            for key, some in came.items()
        }

    def refused(self) -> Mapping[bytes, list[Refused]]:
        """The open entries of the quarantine."""
        found: dict[bytes, list[Refused]] = {}
        for each in self._parts.registry.aside_of(self._drop):
            entry = Refused(each.id, each.code, each.path, each.text, each.files)
            found.setdefault(receipt_of(each), []).append(entry)
        return found

    def _went(
        self, came: Arrival, how: Mapping[str, Any] | None, known: Mapping[str, Session]
    ) -> Went:
        if (told := came.ended or how) is not None:
            return _ended(came, told)
        found = known[came.session]
        return _standing(came, found, automatic=self._parts.auto_archive(found))

    def _ended(
        self, asked: Collection[str], known: Mapping[str, Session]
    ) -> Mapping[str, Mapping[str, Any]]:
        """How those of these sessions ended that did. Each is asked for once, and remembered."""
        over = [each for each in known.values() if each.status in ENDED]
        gone = set(asked) - known.keys()
        return {**{each.id: self._end(each) for each in over}, **self._gone(gone)}

    def _end(self, found: Session) -> Mapping[str, Any]:
        if found.status is Status.ARCHIVED:
            shelf = self._parts.registry.shelf(found.project or "", found.label)
            return archived(self._parts, shelf) if shelf else _UNKNOWN
        return {**_place(found), "status": found.status.value, "ended": self._parts.clock.now()}

    def _gone(self, sessions: Collection[str]) -> Mapping[str, Mapping[str, Any]]:
        """Of those that the ledger does not know (it was lost since) the archive's may tell."""
        every = self._parts.registry.shelved() if sessions else ()
        shelves = {
            each.session: archived(self._parts, each) for each in every if each.session in sessions
        }
        return {each: shelves.get(each, _UNKNOWN) for each in sessions}


def archived(parts: Parts, shelf: Shelf) -> Mapping[str, Any]:
    """How a session ended that is on this shelf of the archive."""
    folder = parts.storage.archived(shelf.project, shelf.label)
    return {
        "project": shelf.project,
        "subject": shelf.subject,
        "label": shelf.label,
        "status": Status.ARCHIVED.value,
        "ended": shelf.changed,
        "place": os.path.relpath(folder, parts.storage.stores.archive),
    }


def _place(found: Session) -> Mapping[str, Any]:
    return {"project": found.project or "", "subject": found.subject, "label": found.label}


def _standing(came: Arrival, found: Session, *, automatic: bool) -> Went:
    holds = tuple(each.text for each in found.findings if each.blocks)
    return replace(
        _ended(came, _place(found)),
        status=found.status,
        inactivity=found.inactivity,
        automatic=automatic,
        findings=(found.error,) if found.status is Status.ERROR else holds,
    )


def _ended(came: Arrival, how: Mapping[str, Any]) -> Went:
    status = how.get("status")
    return Went(
        came.session,
        came.filed,
        came.duplicates,
        came.size,
        came.first,
        came.last,
        Status(status) if status else None,
        project=how.get("project", ""),
        subject=how.get("subject", ""),
        label=how.get("label", ""),
        place=how.get("place", ""),
        ended=how.get("ended"),
    )
