"""What a start compares with the tree, and looks for among all sessions: in as few columns as do.

Of ten thousand sessions nearly all are as they should be; to read them whole takes a second.
"""

from typing import Final

from sqlalchemy import and_, not_, or_, select

from watcher.core import life
from watcher.core.errors import damaged
from watcher.core.find import Bound
from watcher.core.session import Place, Session, SessionKey, Status
from watcher.io import tables
from watcher.io.ledger import Ledger
from watcher.io.rows import bindings_in

TOLD: Final = {Status.CONFLICT: "session.conflict", Status.ERROR: "session.error"}
"""What is raised of a session that waits for somebody, under `session/<id>` (spec 12)."""
_UNDECIDED: Final = '"decisions": []'  # in `rest`, as `tables.session_columns` writes it


def revisions(ledger: Ledger) -> dict[str, tuple[Status, int]]:
    """The status and the revision of every session, by its id. LedgerError for one without."""
    row = tables.session.c
    with ledger.read() as tx:
        found = tx.execute(select(row.id, row.status, row.revision)).all()
    try:
        return {each.id: (Status(each.status), int(each.revision)) for each in found}
    except (ValueError, TypeError) as error:
        raise damaged("a row of it can't be read") from error


def places(ledger: Ledger, owner: str) -> set[str]:
    """Where the files of a session lie in it, filed or in hand."""
    row = tables.instance.c
    query = select(row.scan, row.folder, row.name).where(row.session == owner)
    with ledger.read() as tx:
        return {Place(*each).path for each in tx.execute(query)}


def bindings(ledger: Ledger) -> dict[SessionKey, Bound]:
    """Every binding that a person's decision made (spec 6)."""
    with ledger.read() as tx:
        return bindings_in(tx)


def untold(ledger: Ledger) -> list[Session]:
    """Sessions of which a crash may have left something unsaid, oldest first.

    Those somebody decided on, and those in CONFLICT or ERROR for which nothing is raised.
    """
    row, raised = tables.session.c, tables.condition.c
    silent = [
        and_(
            row.status == status,
            not_(
                select(raised.key)
                .where(raised.key == "session/" + row.id, raised.event == event)
                .exists()
            ),
        )
        for status, event in TOLD.items()
    ]
    decided = and_(row.status.in_(life.OPEN), not_(row.rest.contains(_UNDECIDED, autoescape=True)))
    query = select(tables.session).where(or_(decided, *silent)).order_by(row.id)
    with ledger.read() as tx:
        return [tables.session_row(each) for each in tx.execute(query).mappings()]


def unassigned(ledger: Ledger) -> list[Session]:
    """Sessions without a project that have come to rest, oldest first."""
    row = tables.session.c
    rest = life.OPEN - {Status.RECEIVING}
    query = select(tables.session).where(row.project.is_(None), row.status.in_(rest))
    with ledger.read() as tx:
        return [tables.session_row(each) for each in tx.execute(query.order_by(row.id)).mappings()]
