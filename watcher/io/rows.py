"""Rows of the ledger, inside a transaction: that of a session, and those of its files."""

import json
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, bindparam, insert, select, update

from watcher.core.errors import UnknownSessionError, damaged
from watcher.core.file import Headers
from watcher.core.find import Bound
from watcher.core.session import Instance, Place, Session, SessionKey
from watcher.io import tables

# the condition that names one file of a session, to be met by what `named` gives
NAMED: Final = tuple(
    tables.instance.c[name] == bindparam(f"of_{name}")
    for name in ("session", "scan", "folder", "name")
)


def named(owner: str, place: Place) -> dict[str, str]:
    """Which file of a session NAMED means."""
    where = {"of_scan": place.scan, "of_folder": place.folder, "of_name": place.name}
    return {"of_session": owner, **where}


def add_instances(tx: Connection, owner: str, instances: Sequence[Instance]) -> None:
    """Rows of filed files."""
    rows = [tables.instance_columns(owner, each, in_hand=False) for each in instances]
    if rows:
        tx.execute(insert(tables.instance), rows)


def instances_in(tx: Connection, owner: str, *, in_hand: bool) -> list[Instance]:
    """The files of a session, by their places; LedgerError where a row can't be one.

    Of fifty thousand each takes less than a kilobyte: headers share what is the same.
    """
    row = tables.instance.c
    shared = (row.scan, row.folder, row.drop, row.size)  # of many files the same
    own = (row.name, row.digest, row.arrived, row.source, row.series, row.header)
    query = select(*shared, *own)
    query = query.where(row.session == owner, row.in_hand.is_(in_hand))
    headers, same = Headers(), dict[Any, Any]()
    found: list[Instance] = []
    try:
        for each in tx.execute(query.order_by(row.scan, row.folder, row.name)):
            scan, folder, drop, size = (same.setdefault(one, one) for one in each[:4])
            name, digest, arrived, source, series, text = each[4:]
            header = headers.header(series, json.loads(text))
            place = Place(scan, folder, name)
            found.append(Instance(place, digest, size, header, arrived, drop, source))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged("a row of it can't be read") from error
    return found


def bindings_in(tx: Connection, *which: ColumnElement[bool]) -> dict[SessionKey, Bound]:
    """Where people's decisions send files, by the key computed for them (spec 6)."""
    return {
        SessionKey(row.project or None, row.study, row.label): Bound(
            row.to_project, row.to_label, row.to_subject
        )
        for row in tx.execute(select(tables.binding).where(*which))
    }


def session_in(tx: Connection, wanted: str) -> Session:
    """The session with this id, inside a transaction."""
    row = tx.execute(select(tables.session).where(tables.session.c.id == wanted)).mappings().first()
    if row is None:
        raise unknown(wanted)
    return tables.session_row(row)


def unknown(wanted: str) -> UnknownSessionError:
    """What is said of an id the ledger does not know."""
    return UnknownSessionError(f"no session {wanted}", hint="watcher sessions")


def put(tx: Connection, changed: Session) -> None:
    """Write a session's row."""
    tx.execute(
        update(tables.session).where(tables.session.c.id == changed.id),
        tables.session_columns(changed),
    )


def has_in_hand(tx: Connection, owner: str) -> bool:
    """Whether files of a session are reserved but not yet durable."""
    row = tables.instance.c
    query = select(row.name).where(row.session == owner, row.in_hand.is_(True)).limit(1)
    return tx.execute(query).first() is not None
