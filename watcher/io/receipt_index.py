"""The ledger's index of receipts: which may change, what they count, and what they are called."""

import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Delete, Update, bindparam, delete, select, update
from sqlalchemy.dialects.sqlite import insert

from watcher.core.receipt_names import folded
from watcher.core.session import Session
from watcher.io import tables
from watcher.io.arrivals import Arrival, add, receipt_row, unsettle, unsettle_all
from watcher.io.ledger import Ledger

_RECEIPT: Final = tables.receipt.c
_ARRIVAL: Final = tables.arrival.c
CHUNK: Final = 500  # ids in one statement
RECALLED: Final = "receipts/"  # begins the note that a drop's old receipts were read, or none lay

_THIS: Final = (_RECEIPT.drop == bindparam("of"), _RECEIPT.name == bindparam("receipt"))
_ITS: Final = (_ARRIVAL.drop == bindparam("of"), _ARRIVAL.name == bindparam("receipt"))
_SAME: Final = _RECEIPT.revision == bindparam("as_of")
_CALL: Final = update(tables.receipt).where(*_THIS).values(file=bindparam("called"))
_SETTLE: Final = (
    update(tables.receipt).where(*_THIS, _SAME).values(settled=True, changed=bindparam("now"))
)
_END: Final = (
    update(tables.arrival)
    .where(*_ITS, _ARRIVAL.session == bindparam("owner"))
    .values(ended=bindparam("how"))
)
_FORGET: Final = delete(tables.receipt).where(*_THIS, _SAME)
_FORGET_ARRIVALS: Final = delete(tables.arrival).where(
    *_ITS, ~select(_RECEIPT.name).where(*_THIS).exists()
)


class Known(NamedTuple):
    """A receipt. `revision` changes with whatever comes to it."""

    name: bytes
    file: str | None
    revision: int


class Recalled(NamedTuple):
    """A receipt as it lies in the drop: what it is of, what it is called, and what it counts."""

    name: bytes
    file: str
    came: Sequence[Arrival]


class ReceiptIndex:
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
                unsettle_all(tx, [(drop, name, now) for name in sorted(names)])

    def call(self, drop: str, files: Mapping[bytes, str]) -> None:
        """What receipts are called from now on."""
        rows = [{"of": drop, "receipt": name, "called": file} for name, file in files.items()]
        self._change(_CALL, rows)

    def taken(self, drop: str) -> set[str]:
        """What the drop's receipts are called, folded."""
        query = select(_RECEIPT.file).where(_RECEIPT.drop == drop, _RECEIPT.file.is_not(None))
        with self._ledger.read() as tx:
            return {folded(file) for file in tx.execute(query).scalars() if file}

    def end(self, drop: str, ended: Iterable[tuple[bytes, str, Mapping[str, Any]]]) -> None:
        """Sessions of receipts that ended, and how: nobody asks again, unless more comes."""
        rows = [
            {"of": drop, "receipt": name, "owner": session, "how": json.dumps(how)}
            for name, session, how in ended
        ]
        self._change(_END, rows)

    def settle(self, drop: str, which: Iterable[Known], now: float) -> None:
        """Nothing of these can change, unless something came to one since it was read."""
        rows = [{**_read_as(drop, each), "now": now} for each in which]
        self._change(_SETTLE, rows)

    def old(self, drop: str, before: float) -> list[Known]:
        """The receipts that were settled before then."""
        query = select(_RECEIPT.name, _RECEIPT.file, _RECEIPT.revision)
        settled = (_RECEIPT.settled.is_(True), _RECEIPT.changed < before)
        query = query.where(_RECEIPT.drop == drop, *settled)
        with self._ledger.read() as tx:
            return [Known(*row) for row in tx.execute(query.order_by(_RECEIPT.name))]

    def forget(self, drop: str, which: Iterable[Known]) -> None:
        """Receipts that are no more, and what was counted for them; not where something came."""
        self._change((_FORGET, _FORGET_ARRIVALS), [_read_as(drop, each) for each in which])

    def forget_all(self, drops: Collection[str]) -> None:
        """All that was counted for drops other than these: they have no receipts.

        Should they have some again, what lies there is read anew.
        """
        note = tables.meta.c.key
        kept = [f"{RECALLED}{drop}" for drop in drops]
        with self._ledger.write() as tx:
            for table in (tables.arrival, tables.receipt):
                tx.execute(delete(table).where(table.c.drop.not_in(drops)))
            tx.execute(delete(tables.meta).where(note.startswith(RECALLED), note.not_in(kept)))

    def restore(self, drop: str, recalled: Sequence[Recalled], now: float) -> None:
        """Receipts that an earlier ledger knew. Repeatable: nothing is counted twice.

        Of which nothing is known any more lies there until it is old.
        """
        with self._ledger.write() as tx:
            for each in recalled:
                _restore(tx, drop, each, now)

    def _change(self, how: Update | Sequence[Delete], rows: Sequence[Mapping[str, object]]) -> None:
        """One commit for all the rows."""
        if rows:
            with self._ledger.write() as tx:
                for query in how if isinstance(how, Sequence) else (how,):
                    tx.execute(query, rows)


def _restore(tx: Connection, drop: str, each: Recalled, now: float) -> None:
    name = each.name
    its = select(_ARRIVAL.session, _ARRIVAL.first).where(_ARRIVAL.drop == drop)
    since = {row.session: row.first for row in tx.execute(its.where(_ARRIVAL.name == name))}
    missing = [one for one in each.came if since.get(one.session, math.inf) > one.last]
    query = insert(tables.receipt).on_conflict_do_nothing(index_elements=["drop", "name"])
    tx.execute(query, [receipt_row(drop, name, now, settled=True)])
    here = (_RECEIPT.drop == drop, _RECEIPT.name == name, _RECEIPT.file.is_(None))
    tx.execute(update(tables.receipt).where(*here).values(file=each.file))
    if missing:
        unsettle(tx, drop, name, now)
        add(tx, {(drop, name, one.session): one for one in missing})


def _read_as(drop: str, known: Known) -> dict[str, object]:
    return {"of": drop, "receipt": known.name, "as_of": known.revision}
