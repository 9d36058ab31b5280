"""The ledger's part in a restore: a session and its files, from the history, in one commit."""

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import Connection, delete, insert, select

from watcher.core import life
from watcher.core.session import Instance, Session, Status
from watcher.io import tables
from watcher.io.ledger import Ledger
from watcher.io.rows import add_instances, put, session_in


def join(ledger: Ledger, session: Session, instances: Sequence[Instance]) -> Session:
    """Take in a restored session whose files are durable; gives it as the ledger has it now.

    Where an earlier try brought part of it, and a start took that for a session, the rest joins
    it. RefusedError where that session takes no files at this moment.
    """
    with ledger.write() as tx:
        known = _known(tx, session.id)
        if known is None or known.status is Status.DELETED:
            tx.execute(delete(tables.session).where(tables.session.c.id == session.id))
            tx.execute(delete(tables.instance).where(tables.instance.c.session == session.id))
            tx.execute(insert(tables.session), [tables.session_columns(session)])
        else:
            session = _reopened(known, session)
            put(tx, session)
        here = _places(tx, session.id)
        new = [each for each in instances if _place(each) not in here]
        add_instances(tx, session.id, new)
    return session


def _known(tx: Connection, wanted: str) -> Session | None:
    row = tables.session.c
    found = tx.execute(select(row.id).where(row.id == wanted)).first()
    return session_in(tx, wanted) if found else None


def _reopened(known: Session, restored: Session) -> Session:
    return replace(
        known,
        status=life.move(known.status, life.Event.FILE),
        receiving_since=restored.receiving_since,
        last_arrival=restored.last_arrival,
        generation=known.generation + 1,
        revision=known.revision + 1,
        hold_auto=True,
        decisions=(*known.decisions, *restored.decisions[-1:]),
    )


def _places(tx: Connection, owner: str) -> set[tuple[str, str, str]]:
    row = tables.instance.c
    query = select(row.scan, row.folder, row.name).where(row.session == owner)
    return {(each.scan, each.folder, each.name) for each in tx.execute(query)}


def _place(instance: Instance) -> tuple[str, str, str]:
    return instance.place.scan, instance.place.folder, instance.place.name
