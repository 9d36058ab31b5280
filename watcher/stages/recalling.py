"""Receipts that an earlier ledger knew, from what lies in the drop: it may be anybody's word.

A session is taken from there only where the tree says that this drop fed it: its record in the
prearchive, or its own log in the archive. Counts are the drop's own word, and told to it alone.
"""

import base64
import json
import os
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from watcher.core.errors import UnknownSessionError
from watcher.core.names import is_timestamp, label
from watcher.core.policy import Drop
from watcher.core.receipt_names import is_key, is_name_of
from watcher.io import files
from watcher.io.arrivals import Arrival, Arrivals
from watcher.stages.parts import Parts

BIG: Final = 1 << 60  # no count is more


def recall(parts: Parts, drop: Drop, arrivals: Arrivals, found: Mapping[str, bytes]) -> int:
    """Take down what receipts say, by their names; gives how many could be read."""
    number = 0
    for file, data in found.items():
        told = _document(data)
        name = _name(told)
        if is_key(name) and is_name_of(file, name):
            came = [each for each in _came(told) if _is_fed(parts, drop, told, each.session)]
            arrivals.restore(drop.name, name, file, came, parts.clock.now())
            number += 1
    return number


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


def _came(told: Mapping[str, Any]) -> Iterator[Arrival]:
    """What went to each session, where that is said as we say it."""
    sessions = told.get("sessions")
    for each in sessions if isinstance(sessions, list) else ():
        try:
            filed, again, size = (int(each[name]) for name in ("files", "duplicates", "bytes"))
            first, last = (datetime.fromisoformat(each[at]).timestamp() for at in ("first", "last"))
            if is_timestamp(each["session"]) and 0 <= min(filed, again, size) <= BIG:
                yield Arrival(each["session"], min(filed, BIG), min(again, BIG), size, first, last)
        except (KeyError, TypeError, ValueError, OverflowError):
            continue  # not ours: nothing is known of it


def _is_fed(parts: Parts, drop: Drop, told: Mapping[str, Any], session: str) -> bool:
    """Whether the tree says that this drop fed the session."""
    try:
        return drop.name in parts.ledger.session(session).drops
    except UnknownSessionError:
        return any(drop.name in drops for drops in _chronicled(parts, told, session))


def _chronicled(parts: Parts, told: Mapping[str, Any], session: str) -> Iterator[list[Any]]:
    """The drops that fed it, by the own log of the archived session it is said to be."""
    for each in told["sessions"]:
        if not isinstance(each, dict) or each.get("session") != session:
            continue
        project, shown = str(each.get("project")), str(each.get("label"))
        shelf = parts.registry.shelf(label(project), label(shown))  # of any text: a name
        if shelf is None:
            continue
        folder = parts.storage.archived(shelf.project, shelf.label)
        log = files.read_if_there(os.path.join(folder, "logs", "events.jsonl")) or b""
        for line in map(_document, log.splitlines()):
            if line.get("session") == session and isinstance(line.get("drops"), list):
                yield line["drops"]
