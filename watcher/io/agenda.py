"""What is due of the ledger's sessions: which have come to rest, and which go into the archive."""

from sqlalchemy import and_, func, or_, select, update

from watcher.core.session import Session, Status
from watcher.io import tables
from watcher.io.ledger import Ledger
from watcher.io.rows import has_in_hand


def resting(ledger: Ledger, now: float | None, max_open: float) -> list[Session]:
    """RECEIVING sessions whose time is up (None: all of them), oldest first.

    Not those in which a unit lands.
    """
    row = tables.session.c
    query = select(tables.session).where(row.status == Status.RECEIVING).order_by(row.id)
    query = query.where(tables.LANDING == "")
    if now is not None:
        quiet = row.last_arrival + row.inactivity <= now
        query = query.where(or_(quiet, row.receiving_since + max_open <= now))
    with ledger.read() as tx:
        return [tables.session_row(each) for each in tx.execute(query).mappings()]


def next_rest(ledger: Ledger, now: float) -> float | None:
    """When the next RECEIVING session comes to rest after now, if none arrives."""
    row = tables.session.c
    at = row.last_arrival + row.inactivity
    query = select(func.min(at)).where(row.status == Status.RECEIVING, at > now)
    query = query.where(tables.LANDING == "")
    with ledger.read() as tx:
        found: float | None = tx.execute(query).scalar()
        return found


def clamp(ledger: Ledger, now: float) -> None:
    """Moments that lie ahead, because the clock was set back, are now."""
    row = tables.session.c
    with ledger.write() as tx:
        for moment in (row.last_arrival, row.receiving_since):
            tx.execute(update(tables.session).where(moment > now), {moment.name: now})


def archivable(ledger: Ledger) -> list[Session]:
    """Sessions that are READY, or in CONFLICT with scans that can go in; oldest first."""
    row = tables.session.c
    part = func.json_extract(row.rest, "$.partly") == 1
    query = select(tables.session).where(
        or_(row.status == Status.READY, and_(row.status == Status.CONFLICT, part))
    )
    with ledger.read() as tx:
        return [tables.session_row(each) for each in tx.execute(query.order_by(row.id)).mappings()]


def sendable(ledger: Ledger) -> list[tuple[Session, bool]]:
    """RECEIVING sessions for the archive, whose files may go there ahead; oldest first.

    And whether files of it are in hand: they belong to its generation, and can't be seen yet.
    """
    row = tables.session.c
    aimed = and_(func.json_extract(row.rest, "$.dest") == "archive", tables.LANDING == "")
    query = select(tables.session).where(row.status == Status.RECEIVING, aimed)
    with ledger.read() as tx:
        found = tx.execute(query.order_by(row.id)).mappings().all()
        return [(tables.session_row(each), has_in_hand(tx, each["id"])) for each in found]
