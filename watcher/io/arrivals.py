"""What the ledger remembers for receipts: what was dropped, and how many files of it went where.

Counted in the commits that record files, so that a crash counts none twice and none not at all.
A receipt is settled when nothing of it can change; whatever comes to it unsettles it again.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, bindparam, delete, func, select, update
from sqlalchemy.dialects.sqlite import insert

from watcher.core.receipt_names import folded, key_of
from watcher.core.session import Instance, Place, Session
from watcher.io import tables
from watcher.io.ledger import Ledger
from watcher.io.rows import NAMED, named

_RECEIPT: Final = tables.receipt.c
_ARRIVAL: Final = tables.arrival.c
CHUNK: Final = 500  # ids in one statement


class Came(NamedTuple):
    """One file that came: where it lay, the session it went to, and its bytes."""

    drop: str
    path: bytes
    session: str
    size: int
    when: float  # seconds since the epoch
    duplicate: bool = False


class Known(NamedTuple):
    """A receipt. `revision` changes with whatever comes to it."""

    name: bytes
    file: str | None
    revision: int


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


def note(tx: Connection, came: Iterable[Came]) -> None:
    """Count files, in the commit that records them; those of no drop belong to no receipt."""
    found: dict[tuple[str, bytes, str], Arrival] = {}
    for each in came:
        if each.drop:
            key = (each.drop, key_of(each.path, day_of(each.when)), each.session)
            found[key] = _with(found.get(key), each)
    latest: dict[tuple[str, bytes], float] = {}
    for (drop, name, _), one in found.items():
        latest[drop, name] = max(one.last, latest.get((drop, name), one.last))
    for (drop, name), last in latest.items():
        unsettle(tx, drop, name, last)
    _add(tx, found)


def _with(before: Arrival | None, came: Came) -> Arrival:
    old = before or Arrival(came.session, 0, 0, 0, came.when, came.when)
    return old._replace(
        filed=old.filed + (not came.duplicate),
        duplicates=old.duplicates + came.duplicate,
        size=old.size + (0 if came.duplicate else came.size),
        first=min(old.first, came.when),
        last=max(old.last, came.when),
    )


def _add(tx: Connection, found: Mapping[tuple[str, bytes, str], Arrival]) -> None:
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
            "ended": None,
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
    tx.execute(
        query.on_conflict_do_update(index_elements=keys, set_={**summed, **span, "ended": None}),
        rows,
    )


def unsettle(tx: Connection, drop: str, name: bytes, now: float) -> None:
    """Something came to a receipt, or there is to be one."""
    row = {"drop": drop, "name": name, "settled": False, "revision": 1, "changed": now}
    again = {"settled": False, "revision": _RECEIPT.revision + 1, "changed": now}
    query = insert(tables.receipt)
    keys = ["drop", "name"]
    tx.execute(query.on_conflict_do_update(index_elements=keys, set_=again), [row])


def hand_over(tx: Connection, old: str, new: str, places: Sequence[Place]) -> None:
    """Files of one session are about to be another's: they went there. Repeatable."""
    query = select(tables.instance).where(*NAMED)
    found = [tx.execute(query, named(old, place)).mappings().first() for place in places]
    moved = [came_of(new, tables.instance_row(row)) for row in found if row is not None]
    note(tx, moved)
    for each in moved:
        here = (
            _ARRIVAL.drop == each.drop,
            _ARRIVAL.name == key_of(each.path, day_of(each.when)),
            _ARRIVAL.session == old,
        )
        less = {"filed": _ARRIVAL.filed - 1, "bytes": _ARRIVAL.bytes - each.size}
        tx.execute(update(tables.arrival).where(*here).values(less))
    gone = (_ARRIVAL.session == old, _ARRIVAL.filed <= 0, _ARRIVAL.duplicates == 0)
    tx.execute(delete(tables.arrival).where(*gone))


class Arrivals:
    """The receipts of the drops, as the ledger has them."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def open(self, drop: str) -> list[Known]:
        """The receipts that may change, those that changed longest ago first."""
        query = select(_RECEIPT.name, _RECEIPT.file, _RECEIPT.revision)
        query = query.where(_RECEIPT.drop == drop, _RECEIPT.settled.is_(False))
        with self._ledger.read() as tx:
            return [Known(*row) for row in tx.execute(query.order_by(_RECEIPT.changed))]

    def of(self, drop: str) -> dict[bytes, list[Arrival]]:
        """What went where, by name, of the receipts that may change."""
        open_ = (_RECEIPT.drop == drop, _RECEIPT.settled.is_(False))
        query = select(tables.arrival).where(_ARRIVAL.drop == drop)
        query = query.where(_ARRIVAL.name.in_(select(_RECEIPT.name).where(*open_)))
        found: dict[bytes, list[Arrival]] = {}
        with self._ledger.read() as tx:
            for row in tx.execute(query.order_by(_ARRIVAL.session)):
                told = json.loads(row.ended) if row.ended else None
                numbers = (row.session, row.filed, row.duplicates, row.bytes, row.first, row.last)
                found.setdefault(row.name, []).append(Arrival(*numbers, told))
        return found

    def sessions(self, wanted: Collection[str]) -> dict[str, Session]:
        """Those of these sessions that the ledger knows, by their ids."""
        found: dict[str, Session] = {}
        ids = sorted(wanted)
        with self._ledger.read() as tx:
            for at in range(0, len(ids), CHUNK):
                some = tables.session.c.id.in_(ids[at : at + CHUNK])
                for row in tx.execute(select(tables.session).where(some)).mappings():
                    found[row["id"]] = tables.session_row(row)
        return found

    def want(self, drop: str, names: Collection[bytes], now: float) -> None:
        """There are to be receipts of these."""
        if names:
            with self._ledger.write() as tx:
                for name in sorted(names):
                    unsettle(tx, drop, name, now)

    def call(self, drop: str, name: bytes, file: str) -> None:
        """What a receipt is called from now on."""
        here = (_RECEIPT.drop == drop, _RECEIPT.name == name)
        with self._ledger.write() as tx:
            tx.execute(update(tables.receipt).where(*here).values(file=file))

    def taken(self, drop: str) -> set[str]:
        """What the drop's receipts are called, folded."""
        query = select(_RECEIPT.file).where(_RECEIPT.drop == drop, _RECEIPT.file.is_not(None))
        with self._ledger.read() as tx:
            return {folded(file) for file in tx.execute(query).scalars() if file}

    def end(self, drop: str, name: bytes, session: str, how: Mapping[str, Any]) -> None:
        """A session ended, and how: nobody asks for it again, unless more comes."""
        here = (_ARRIVAL.drop == drop, _ARRIVAL.name == name, _ARRIVAL.session == session)
        with self._ledger.write() as tx:
            tx.execute(update(tables.arrival).where(*here).values(ended=json.dumps(how)))

    def settle(self, drop: str, known: Known) -> None:
        """Nothing of a receipt can change, unless something came to it since it was read."""
        here = (_RECEIPT.drop == drop, _RECEIPT.name == known.name)
        with self._ledger.write() as tx:
            same = _RECEIPT.revision == known.revision
            tx.execute(update(tables.receipt).where(*here, same).values(settled=True))

    def old(self, drop: str, before: float) -> list[Known]:
        """The settled receipts to which nothing came since then."""
        query = select(_RECEIPT.name, _RECEIPT.file, _RECEIPT.revision)
        settled = (_RECEIPT.settled.is_(True), _RECEIPT.changed < before)
        query = query.where(_RECEIPT.drop == drop, *settled)
        with self._ledger.read() as tx:
            return [Known(*row) for row in tx.execute(query.order_by(_RECEIPT.name))]

    def forget(self, drop: str, names: Iterable[bytes]) -> None:
        """Receipts that are no more, and what was counted for them."""
        gone = [{"of": drop, "gone": name} for name in names]
        if gone:
            with self._ledger.write() as tx:
                for table in (tables.arrival, tables.receipt):
                    here = (table.c.drop == bindparam("of"), table.c.name == bindparam("gone"))
                    tx.execute(delete(table).where(*here), gone)

    def forget_all(self, drops: Collection[str]) -> None:
        """All that was counted for drops other than these: they have no receipts."""
        with self._ledger.write() as tx:
            for table in (tables.arrival, tables.receipt):
                tx.execute(delete(table).where(table.c.drop.not_in(drops)))

    def restore(
        self, drop: str, name: bytes, file: str, came: Sequence[Arrival], now: float
    ) -> None:
        """A receipt that an earlier ledger knew; of what this one knows nothing changes."""
        rows = {(drop, name, each.session): each for each in came}
        known = select(_ARRIVAL.session).where(_ARRIVAL.drop == drop, _ARRIVAL.name == name)
        with self._ledger.write() as tx:
            for session in tx.execute(known).scalars().all():
                rows.pop((drop, name, session), None)
            unsettle(tx, drop, name, now)
            here = (_RECEIPT.drop == drop, _RECEIPT.name == name, _RECEIPT.file.is_(None))
            tx.execute(update(tables.receipt).where(*here).values(file=file))
            _add(tx, rows)
