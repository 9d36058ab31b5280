"""The index of the quarantine made to agree with its tree: after a crash, or a lost ledger."""

import base64
import json
import os
from datetime import datetime
from typing import Any, Final

from watcher.core.errors import OutsideError
from watcher.io import files
from watcher.io.registry import SetAside
from watcher.io.returning import is_inside
from watcher.io.service import alive
from watcher.stages.history import contents, tree
from watcher.stages.parts import Parts
from watcher.stages.quarantine import REASON
from watcher.stages.refusing import is_unit, owe, sweep
from watcher.stages.requeue import LISTS, SHARED, fields_of, settle

_TOLD: Final = ("code", "text", "hint", "sop_instance")  # of an entry, as its reason has them


def index(parts: Parts) -> int:
    """Make the index of the quarantine agree with the tree; gives how many entries did not.

    The caller knows that the store is there. An open entry whose folder is gone is closed.
    """
    known = {each.place: each for each in parts.registry.aside(only_open=False)}
    sweep(parts)
    store = parts.storage.path("quarantine")
    places = map("/".join, tree(store))
    counts = {each: _count(os.path.join(store, each)) for each in places}
    here = {place: count for place, count in counts.items() if count}
    for place in sorted(here.keys() - known.keys()):
        _take_in(parts, place, here[place])
    gone = [each for each in known.values() if each.open and each.place not in here]
    for each in gone:
        settle(parts, each, "gone")
    return len(here.keys() - known.keys()) + len(gone)


def _count(folder: str) -> int:
    alive()
    return sum(1 for _ in contents(folder))


def _take_in(parts: Parts, place: str, count: int) -> None:
    aside = _read(parts, place, count)
    if aside.code not in SHARED:  # those wait for nobody
        key = f"quarantine/{aside.id}"
        parts.conditions.raise_("file.quarantined", key, parts.clock.now(), **fields_of(aside))
    if is_unit(aside):
        owe(parts, place)
    parts.registry.set_aside(aside)  # last: a start that is cut off says it all the same


def _read(parts: Parts, place: str, count: int) -> SetAside:
    """An entry as its `reason.json` has it; one without is listed all the same."""
    path = os.path.join(parts.storage.path("quarantine"), place, REASON)
    drop, _, name = place.split("/")
    values = _values(path)
    return SetAside(
        id=name,
        drop=drop,
        code=values.get("code", "unknown"),
        place=place,
        path=values.get("path", b""),
        text=values.get("text", "nothing beside it tells why"),
        hint=values.get("hint", f"watcher quarantine show {name}"),
        sop=values.get("sop_instance", ""),
        files=count,
        set_aside=values.get("moment", parts.clock.now()),
        open=values.get("code") != LISTS,
    )


def _values(path: str) -> dict[str, Any]:
    """What a reason says; nothing where there is none, or it can't be what it should be."""
    try:
        values: dict[str, Any] = json.loads(files.read_if_there(path) or b"{}")
        if not values:
            return {}
        source = base64.b64decode(values["path_base64"], validate=True)
        moment = datetime.fromisoformat(values["set_aside"]).timestamp()
        told: dict[str, Any] = {name: str(values[name]) for name in _TOLD if name in values}
        return {**told, "moment": moment, "path": source if is_inside(source) else b""}
    except (ValueError, KeyError, TypeError, OutsideError):
        return {}
