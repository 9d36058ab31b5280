"""Receipts that an earlier ledger knew, from what lies in the drop: it may be anybody's word.

A session is taken from there only where the tree says that this drop fed it: its record in the
prearchive, or its own log in the archive. Counts are the drop's own word, and told to it alone.
"""

import base64
import json
import os
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Any, Final

from watcher.core.errors import DocumentError, OutsideError, UnknownSessionError
from watcher.core.names import is_timestamp, label
from watcher.core.policy import Drop
from watcher.core.receipt import NAMES
from watcher.core.receipt_names import is_key, is_name_of
from watcher.io import files
from watcher.io.arrivals import Arrival
from watcher.io.receipt_index import Recalled
from watcher.io.registry import Shelf
from watcher.stages.faring import archived
from watcher.stages.parts import Parts

BIG: Final = 1 << 40  # no count of files is more, nor one of MiB: sums fit the ledger


def recall(parts: Parts, drop: Drop, found: Mapping[str, bytes]) -> list[Recalled]:
    """What receipts say, by what they are called; without those that are none of ours.

    StorageError where the archive can't be asked now.
    """
    recalled = []
    for file, data in found.items():
        told = _document(data)
        name = _name(told)
        if is_key(name) and is_name_of(file, name):
            recalled.append(Recalled(name, file, list(_came(parts, drop, told))))
    return recalled


def _document(data: bytes) -> dict[str, Any]:
    try:
        told = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _name(told: Mapping[str, Any]) -> bytes:
    try:
        return base64.b64decode(told["name_base64"], validate=True)
    except (KeyError, TypeError, ValueError):
        return b""


def _came(parts: Parts, drop: Drop, told: Mapping[str, Any]) -> Iterator[Arrival]:
    """What went to each session, where the tree says that this drop fed it."""
    sessions = told.get("sessions")
    for each in islice(sessions if isinstance(sessions, list) else (), NAMES):
        came = _arrival(each, parts.clock.now())
        if came is None:
            continue
        try:
            if drop.name in parts.ledger.session(came.session).drops:
                yield came
        except UnknownSessionError:
            if shelf := _shelf(parts, drop, each):
                yield came._replace(ended=archived(parts, shelf))


def _arrival(each: object, now: float) -> Arrival | None:
    """One of a receipt's sessions, where that is said as we say it."""
    try:
        told: Mapping[str, Any] = dict(each)  # type: ignore[call-overload]  # or TypeError
        filed, again, size = (int(told[name]) for name in ("files", "duplicates", "bytes"))
        first, last = (datetime.fromisoformat(told[at]).timestamp() for at in ("first", "last"))
        counts = min(filed, again, size) >= 0 and max(filed, again, size >> 20) <= BIG
        if is_timestamp(told["session"]) and counts and 0 <= first <= last <= now:
            return Arrival(told["session"], filed, again, size, first, last)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None  # not ours: nothing is known of it
    return None


def _shelf(parts: Parts, drop: Drop, told: Mapping[str, Any]) -> Shelf | None:
    """Where in the archive a session is said to be, if that one's own log names it and the drop."""
    project, shown = str(told.get("project")), str(told.get("label"))
    shelf = parts.registry.shelf(label(project), label(shown))  # of any text: a name
    if shelf is None:
        return None
    folder = parts.storage.archived(shelf.project, shelf.label)
    try:
        log = files.read_if_there(os.path.join(folder, "logs", "events.jsonl")) or b""
    except (DocumentError, OutsideError):
        return None  # it never will be: a receipt waits for it in vain
    lines = map(_document, log.splitlines())
    drops = (each.get("drops") for each in lines if each.get("session") == told["session"])
    fed = any(isinstance(each, list) and drop.name in each for each in drops)
    return shelf if fed else None
