"""Rows of the ledger, inside a transaction: that of a session, and those of its files."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, bindparam, insert, select, update

from watcher.core.errors import UnknownSessionError
from watcher.core.session import Instance, Place, Session
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
