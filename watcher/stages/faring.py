"""How the files of a drop fared: the sessions they went to, and what was refused."""

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from watcher.core.policy import Drop
from watcher.core.receipt import ENDED, Refused, Went
from watcher.core.session import Session, Status
from watcher.io.arrivals import Arrival, Arrivals
from watcher.io.registry import Shelf, receipt_of
from watcher.stages.parts import Parts

_UNKNOWN: Final[Mapping[str, Any]] = {"status": None}


class Faring:
    """What is known of the things dropped in one drop, by their keys (core.receipt_names)."""

    def __init__(self, parts: Parts, drop: Drop, arrivals: Arrivals) -> None:
        self._parts = parts
        self._drop = drop.name
        self._arrivals = arrivals

    def went(self) -> Mapping[bytes, list[Went]]:
        """Where files went, of every receipt that may change."""
        came = self._arrivals.of(self._drop)
        asked = {each.session for some in came.values() for each in some if each.ended is None}
        known = self._arrivals.sessions(asked)
        return {
            key: [self._went(key, each, known.get(each.session)) for each in some]
            for key, some in came.items()
        }

    def refused(self) -> Mapping[bytes, list[Refused]]:
        """The open entries of the quarantine."""
        found: dict[bytes, list[Refused]] = {}
        for each in self._parts.registry.aside_of(self._drop):
            entry = Refused(each.id, each.code, each.path, each.text, each.files)
            found.setdefault(receipt_of(each), []).append(entry)
        return found

    def _went(self, key: bytes, came: Arrival, found: Session | None) -> Went:
        """How a session stands; one that ended is asked for once, and remembered."""
        if came.ended is None and found is not None and found.status not in ENDED:
            return _standing(came, found, automatic=self._parts.auto_archive(found))
        how = came.ended
        if how is None:
            how = self._end(came.session, found)
            self._arrivals.end(self._drop, key, came.session, how)
        return _ended(came, how)

    def _end(self, session: str, found: Session | None) -> Mapping[str, Any]:
        """How it ended. Where the ledger was lost since, the archive's index may tell."""
        registry = self._parts.registry
        if found is None:
            shelf = next((each for each in registry.shelved() if each.session == session), None)
            return self._shelved(shelf) if shelf else _UNKNOWN
        if found.status is Status.ARCHIVED:
            shelf = registry.shelf(found.project or "", found.label)
            return self._shelved(shelf) if shelf else _UNKNOWN
        return {**_place(found), "status": found.status.value, "ended": self._parts.clock.now()}

    def _shelved(self, shelf: Shelf) -> Mapping[str, Any]:
        folder = self._parts.storage.archived(shelf.project, shelf.label)
        return {
            "project": shelf.project,
            "subject": shelf.subject,
            "label": shelf.label,
            "status": Status.ARCHIVED.value,
            "ended": shelf.changed,
            "place": os.path.relpath(folder, self._parts.storage.stores.archive),
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
