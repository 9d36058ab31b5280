"""What the ledger counts for receipts: what was dropped, and how many files of it went where.

Counted in the commits that record files, so that a crash counts none twice and none not at all.
A receipt is settled when nothing of it can change; whatever comes to it unsettles it again. Who
reads that and writes receipts by it is `receipt_index`.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias

from sqlalchemy import Connection, delete, func, select, update
from sqlalchemy.dialects.sqlite import insert

from watcher.core.find import Fate
from watcher.core.receipt_names import key_of
from watcher.core.session import Instance, Place
from watcher.io import tables
from watcher.io.desk import Reserved

_RECEIPT: Final = tables.receipt.c
_ARRIVAL: Final = tables.arrival.c
_Key: TypeAlias = tuple[str, bytes, str]  # drop, what was dropped, session


class Came(NamedTuple):
    """One file that came: where it lay, the session it went to, and its bytes."""

    drop: str
    path: bytes
    session: str
    size: int
    when: float  # seconds since the epoch
    duplicate: bool = False


class Arrival(NamedTuple):
    """What of a dropped thing went to one session. `ended`: how that ended, as it was noted."""

    session: str
    filed: int
    duplicates: int
    size: int
    first: float
    last: float
    ended: Mapping[str, Any] | None = None


def day_of(moment: float) -> str:
    """The day of a moment, in local time: what its loose files' receipt is called after."""
    return _day_of(int(moment // 60))


@lru_cache(1024)  # asked for each of very many files, most of which came within a minute
def _day_of(minute: int) -> str:
    return datetime.fromtimestamp(minute * 60, UTC).astimezone().strftime("%Y-%m-%d")


def came_of(session: str, instance: Instance) -> Came:
    """A filed file as one that came."""
    return Came(instance.drop, instance.source, session, instance.size, instance.arrived)


def again(reserved: Iterable[Reserved], now: float) -> list[Came]:
    """The duplicates among the files of a batch, as they are counted."""
    return [
        Came(found.drop, found.path, each.session.id, found.print.size, now, duplicate=True)
        for each in reserved
        if each.fate is Fate.DUPLICATE and (found := each.incoming.candidate)
    ]


def note(tx: Connection, came: Iterable[Came]) -> None:
    """Count files, in the commit that records them; those of no drop belong to no receipt."""
    _note(tx, _counted(came))


def _note(tx: Connection, found: Mapping[_Key, Arrival]) -> None:
    latest: dict[tuple[str, bytes], float] = {}
    for (drop, name, _), one in found.items():
        latest[drop, name] = max(one.last, latest.get((drop, name), one.last))
    unsettle_all(tx, [(drop, name, last) for (drop, name), last in latest.items()])
    add(tx, found)


def _counted(came: Iterable[Came]) -> dict[_Key, Arrival]:
    found: dict[_Key, Arrival] = {}
    for each in came:
        if each.drop:
            key = (each.drop, key_of(each.path, day_of(each.when)), each.session)
            found[key] = _with(found.get(key), each)
    return found


def _with(before: Arrival | None, came: Came) -> Arrival:
    old = before or Arrival(came.session, 0, 0, 0, came.when, came.when)
    return old._replace(
        filed=old.filed + (not came.duplicate),
        duplicates=old.duplicates + came.duplicate,
        size=old.size + (0 if came.duplicate else came.size),
        first=min(old.first, came.when),
        last=max(old.last, came.when),
    )


def add(tx: Connection, found: Mapping[tuple[str, bytes, str], Arrival]) -> None:
    """Count these besides what is counted, by drop, key and session."""
    rows = [
        {
            "drop": drop,
            "name": name,
            "session": session,
            "filed": each.filed,
            "duplicates": each.duplicates,
            "bytes": each.size,
            "first": each.first,
            "last": each.last,
            "ended": json.dumps(each.ended) if each.ended else None,
        }
        for (drop, name, session), each in found.items()
    ]
    if not rows:
        return
    query = insert(tables.arrival)
    new = query.excluded
    summed = {name: _ARRIVAL[name] + new[name] for name in ("filed", "duplicates", "bytes")}
    span = {"first": func.min(_ARRIVAL.first, new.first), "last": func.max(_ARRIVAL.last, new.last)}
    keys = ["drop", "name", "session"]
    ended = {"ended": new.ended}
    tx.execute(
        query.on_conflict_do_update(index_elements=keys, set_={**summed, **span, **ended}), rows
    )


def unsettle(tx: Connection, drop: str, name: bytes, now: float) -> None:
    """Something came to a receipt, or there is to be one."""
    unsettle_all(tx, [(drop, name, now)])


def unsettle_all(tx: Connection, which: Iterable[tuple[str, bytes, float]]) -> None:
    """The same of many: drop, key and moment of each."""
    rows = [receipt_row(drop, name, now) for drop, name, now in which]
    query = insert(tables.receipt)
    changed = query.excluded.changed
    again = {"settled": False, "revision": _RECEIPT.revision + 1, "changed": changed}
    if rows:
        keys = ["drop", "name"]
        tx.execute(query.on_conflict_do_update(index_elements=keys, set_=again), rows)


def receipt_row(drop: str, name: bytes, now: float, *, settled: bool = False) -> dict[str, object]:
    """A receipt that there was not."""
    return {"drop": drop, "name": name, "settled": settled, "revision": 1, "changed": now}


def hand_over(tx: Connection, old: str, new: str, places: Collection[Place]) -> None:
    """Files of one session are about to be another's: they went there. Repeatable."""
    wanted = set(places)
    rows = tx.execute(select(tables.instance).where(tables.instance.c.session == old)).mappings()
    instances = (tables.instance_row(row) for row in rows)
    moved = _counted(came_of(new, each) for each in instances if each.place in wanted)
    _note(tx, moved)
    for (drop, name, _), each in moved.items():
        here = (_ARRIVAL.drop == drop, _ARRIVAL.name == name, _ARRIVAL.session == old)
        less = {
            "filed": func.max(0, _ARRIVAL.filed - each.filed),
            "bytes": func.max(0, _ARRIVAL.bytes - each.size),
        }
        tx.execute(update(tables.arrival).where(*here).values(less))
    gone = (_ARRIVAL.session == old, _ARRIVAL.filed <= 0, _ARRIVAL.duplicates == 0)
    tx.execute(delete(tables.arrival).where(*gone))
