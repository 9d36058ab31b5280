"""Units that are refused: whole, as one entry of the quarantine.

An entry is filled under a hidden name. When all of it is durable it gets its own name, and with it
the promise that its sources leave the drop: `.watcher-sources` in it names them. They are recorded
as taken in one commit before the first is removed. Whenever this is cut off, the unit is in the
drop whole, or nobody takes what is left of it for a smaller unit.
"""

import base64
import errno
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from watcher.core.errors import WatcherError, storage_error
from watcher.core.file import Candidate, Fingerprint
from watcher.core.policy import Drop
from watcher.core.unit import Reason, Unit
from watcher.io import files, sources
from watcher.io.registry import UNIT, SetAside
from watcher.io.returning import is_inside
from watcher.report.text import printable
from watcher.stages import history, quarantine
from watcher.stages.parts import Parts
from watcher.stages.strays import (
    Stray,
    batches,
    record_taken,
    remove_sources,
    set_strays_aside,
    sync,
)

__all__ = ["Reason", "Stray", "refuse", "set_strays_aside", "supersede_unit"]


def is_unit(entry: SetAside) -> bool:
    """Whether an entry holds a unit, which leaves it whole or not at all."""
    return entry.id.startswith(UNIT)


def refuse(
    parts: Parts, drop: Drop, unit: Unit, reasons: Sequence[Reason]
) -> Mapping[bytes, Fingerprint | None]:
    """Move a whole unit to quarantine, as one entry; gives what remains of each source there.

    Sources and markers alike; None: gone, or another file by now. A second call carries on, and so
    does the next start: nothing of it needs to be promised by the caller.

    StorageError, MissingPlaceError: nothing has left the drop yet; with ESTALE a source is not what
    was judged any more. Stopped: the program ends.
    """
    store = parts.storage.require("quarantine")
    prints = (each for _, seen in unit.sources for each in (seen.size, seen.mtime_ns, seen.inode))
    entry_id = f"{UNIT}{quarantine.marked(unit.name, *prints)}"
    owed = dict((*unit.sources, *unit.markers))
    with parts.leases.exclusive(quarantine.settling_key(entry_id)):
        done = _place(store, drop, entry_id)
        place = done or f"{drop.name}/{quarantine.day(parts)}/{entry_id}"
        entry = _entry(parts, unit, reasons, place)
        if not done:
            _fill(parts, drop, unit, reasons, entry)
        quarantine.say(parts, entry, shared=False)
        record_taken(parts, drop, owed)
        parts.registry.set_aside(entry)  # last: a start says and records what is not known yet
    return remove_sources(parts, drop, owed)


def _place(store: str, drop: Drop, entry_id: str) -> str:
    """The place of an entry that an earlier try completed, perhaps on another day; or none."""
    days = sorted(files.names_in(os.path.join(store, drop.name)))
    places = (f"{drop.name}/{day}/{entry_id}" for day in days)
    return next((each for each in places if os.path.isdir(os.path.join(store, each))), "")


def _entry(parts: Parts, unit: Unit, reasons: Sequence[Reason], place: str) -> SetAside:
    entry_id = os.path.basename(place)
    return SetAside(
        id=entry_id,
        drop=unit.drop,
        code=reasons[0].code.value,
        place=place,
        path=unit.name,
        text=_text(reasons),
        hint=f"watcher quarantine show {entry_id}",
        sop="",
        files=len(unit.sources),
        set_aside=parts.clock.now(),
    )


def _text(reasons: Sequence[Reason]) -> str:
    """One sentence for all of them; which members they are of only the entry tells."""
    first = reasons[0]
    members = len({each.path for each in reasons if each.path})
    if not first.path:
        return first.text
    some = "a member" if members == 1 else f"{members} members; the first"
    return f"It is refused whole, for {some}: {first.text}"


# -- filling an entry ----------------------------------------------------------------------------


def _fill(parts: Parts, drop: Drop, unit: Unit, reasons: Sequence[Reason], entry: SetAside) -> None:
    """All of an entry, durable under a hidden name, then under its own: the promise."""
    folder = os.path.join(parts.storage.path("quarantine"), entry.place)
    hidden = _hidden(folder)
    discard(hidden)
    files.make_folder(hidden)
    try:
        _copy(parts, drop, unit, hidden)
        told = [_told(each) for each in reasons]
        quarantine.write_reason(hidden, entry, unit=unit.kind.value, reasons=told)
        files.swap(os.path.join(hidden, history.SOURCES), _written(unit))
        files.guard(hidden)
        files.rename_store(hidden, folder)
    except WatcherError:
        with suppress(WatcherError):  # the next try does it, or the next start
            discard(hidden)
        raise


def _told(reason: Reason) -> dict[str, str]:
    member = printable(os.fsdecode(reason.path))
    return {"code": reason.code.value, "member": member, "text": reason.text}


def _copy(parts: Parts, drop: Drop, unit: Unit, hidden: str) -> None:
    """Every file as it was judged, so that nobody outside can change it any more."""
    folders = {hidden: None}
    for batch in batches(unit.sources):
        targets = {path: os.path.join(hidden, _inside(unit, path, hidden)) for path, _ in batch}
        for folder in dict.fromkeys(map(os.path.dirname, targets.values())):
            files.make_folder(folder)
            folders[folder] = None
        for path, seen in batch:
            parts.check_stop()
            _copy_one(drop, path, seen, targets[path])
        sync(targets.values())
    sync(folders)


def _copy_one(drop: Drop, path: bytes, seen: Fingerprint, target: str) -> None:
    with sources.parent_of_drop(drop.path, path) as (folder, name):
        sources.copy_from(folder, name, target, durable=False)
    found = sources.print_in(drop.path, path)
    if found is None or not found.same_content(seen):
        raise storage_error(OSError(errno.ESTALE, "a file has changed"), "refusing a unit")


def _inside(unit: Unit, path: bytes, folder: str) -> str:
    """Where a source lies in the entry: the unit under its own name, but for paths too long."""
    if not is_inside(path):
        raise storage_error(OSError(errno.EINVAL, "a path leaves the drop"), "refusing a unit")
    above = unit.name.rpartition(b"/")[0]
    first, *rest = os.fsdecode(path[len(above) + bool(above) :]).split("/")
    inside = "/".join((quarantine.kept_name(first), *rest))
    return quarantine.fitting(folder, path, inside)


# -- the promise, where the ledger was lost ------------------------------------------------------


def _written(unit: Unit) -> bytes:
    owed = [
        (base64.b64encode(path).decode(), *seen.numbers)
        for path, seen in (*unit.sources, *unit.markers)
    ]
    return json.dumps(owed).encode() + b"\n"


def owe(parts: Parts, place: str) -> None:
    """What a start does for an entry that the ledger does not know: its sources are taken.

    The looks remove what lies there still, or keep it, and forget the rest.
    """
    path = os.path.join(parts.storage.path("quarantine"), place, history.SOURCES)
    drop = place.partition("/")[0]
    owed = _read(files.read_if_there(path) or b"[]")
    parts.receiving.record([], {Candidate(drop, source, seen): seen for source, seen in owed})


def _read(data: bytes) -> list[tuple[bytes, Fingerprint]]:
    """The sources of a promise; none where it can't be what was written."""
    try:
        values: list[list[Any]] = json.loads(data)
        return [
            (base64.b64decode(path, validate=True), Fingerprint(*map(int, seen)))
            for path, *seen in values
        ]
    except (ValueError, TypeError):
        return []


# -- hidden entries ------------------------------------------------------------------------------


def _hidden(folder: str) -> str:
    """What an entry is called while it is not one yet, or not any more."""
    head, name = os.path.split(folder)
    return os.path.join(head, f".{name}")


def withdraw(parts: Parts, entry: SetAside) -> None:
    """Remove an entry's files; its name goes first, in one step: never is it a smaller unit."""
    folder = os.path.join(parts.storage.path("quarantine"), entry.place)
    hidden = _hidden(folder)
    discard(hidden)
    if os.path.isdir(folder):
        files.guard(folder)
        files.rename_store(folder, hidden)
    discard(hidden)


def discard(hidden: str) -> None:
    """Remove a hidden entry with all that is in it."""
    for path in list(files.walk(hidden)):
        files.remove(os.path.join(hidden, path))
    files.remove_empty_below(hidden)


def sweep(parts: Parts) -> None:
    """Remove what a crash left of entries that were not complete yet, or being removed."""
    store = parts.storage.path("quarantine")
    for drop in history.folders(store):
        for day in history.folders(os.path.join(store, drop)):
            folder = os.path.join(store, drop, day)
            for name in files.names_in(folder):
                if name.startswith(f".{UNIT}"):
                    discard(os.path.join(folder, name))
            files.remove_empty(folder)


# -- superseded ----------------------------------------------------------------------------------


def supersede_unit(parts: Parts, unit: Unit) -> None:
    """Close what was refused of the same drop and name: the unit came again, and has landed.

    Repeatable; call it before the landing is struck, so that a crash is made good.
    """
    same = parts.registry.open_of(unit.drop, unit.name)
    quarantine.close_superseded(parts, [each.id for each in same if is_unit(each)])
