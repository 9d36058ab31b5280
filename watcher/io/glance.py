"""One consistent look at what waits: sessions, conditions and the quarantine, in bounded rows."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, Connection, case, false, func, not_, or_, select

from watcher.core.events import EVENTS
from watcher.core.file import RefusalCode
from watcher.core.flood import HEAD
from watcher.core.session import Session, Status
from watcher.io import tables
from watcher.io.ledger import PREARCHIVED, Ledger
from watcher.io.lookup import Raised, told
from watcher.io.registry import SetAside

PRESSING: Final = (Status.CONFLICT, Status.ERROR)  # a person acts (spec 9)
ERRORS: Final = tuple(name for name, each in EVENTS.items() if each.level == "error")


@dataclass(frozen=True, slots=True)
class Glance:
    """What was found. The lists hold as many as were asked for; the numbers are of all."""

    sessions: Sequence[Session]  # of the prearchive: those that wait for a person, then the oldest
    sizes: Mapping[str, tuple[int, int, int]]  # of these: scans, files, bytes
    counts: Mapping[Status, int]  # of the prearchive; ARCHIVED: of the archive
    oldest: Mapping[Status, float]  # when the oldest was opened, in seconds since the epoch
    ahead: int  # sessions whose files lie in the archive already
    conditions: Sequence[Raised]  # those that nothing else shows first, errors first, the oldest
    events: Mapping[str, int]  # how many conditions each event has raised
    entries: Sequence[SetAside]  # those that wait for a person first, then the newest
    aside: int  # open entries of the quarantine


def glance(ledger: Ledger, *, sessions: int, rows: int) -> Glance:
    """So many sessions, and so many rows of the other lists. StorageError."""
    with ledger.read() as tx:
        shown = _sessions(tx, sessions)
        counts, oldest = _counts(tx)
        return Glance(
            sessions=shown,
            sizes=_sizes(tx, [each.id for each in shown]),
            counts=counts,
            oldest=oldest,
            ahead=_ahead(tx),
            conditions=_conditions(tx, rows),
            events=_events(tx),
            entries=_entries(tx, rows),
            aside=_number(tx, tables.quarantine.c.open.is_(True)),
        )


def _number(tx: Connection, *wanted: ColumnElement[bool]) -> int:
    found: int = tx.execute(select(func.count()).where(*wanted)).scalar_one()
    return found


def _sessions(tx: Connection, most: int) -> list[Session]:
    row = tables.session.c
    rank = case((row.status.in_(PRESSING), 0), else_=1)
    query = select(tables.session).where(row.status.in_(PREARCHIVED))
    rows = tx.execute(query.order_by(rank, row.opened, row.id).limit(most)).mappings()
    return [tables.session_row(each) for each in rows]


def _sizes(tx: Connection, wanted: Collection[str]) -> dict[str, tuple[int, int, int]]:
    row = tables.instance.c
    scans = func.count(func.distinct(row.series))
    query = select(row.session, scans, func.count(), func.sum(row.size))
    query = query.where(row.session.in_(wanted), row.in_hand.is_(False)).group_by(row.session)
    return {owner: (found, files, size) for owner, found, files, size in tx.execute(query)}


def _counts(tx: Connection) -> tuple[dict[Status, int], dict[Status, float]]:
    row = tables.session.c
    query = select(row.status, func.count(), func.min(row.opened)).group_by(row.status)
    found = [
        (Status(status), number, opened)
        for status, number, opened in tx.execute(query.where(row.status.in_(PREARCHIVED)))
    ]
    archived: int = tx.execute(select(func.count()).select_from(tables.archived)).scalar_one()
    counts = {status: number for status, number, _ in found}
    return {**counts, Status.ARCHIVED: archived}, {status: at for status, _, at in found}


def _ahead(tx: Connection) -> int:
    row = tables.session.c
    lies_there = func.json_extract(row.rest, "$.place") == "archive"
    return _number(tx, row.status == Status.RECEIVING, lies_there, tables.LANDING == "")


def _is_single() -> ColumnElement[bool]:
    return not_(tables.condition.c.key.startswith(HEAD, autoescape=True))


def _conditions(tx: Connection, most: int) -> list[Raised]:
    row = tables.condition.c
    beside = or_(false(), *(row.key.startswith(head) for head in ("session/", "quarantine/")))
    weight = case((row.event.in_(ERRORS), 0), else_=1)
    query = select(tables.condition).where(_is_single())
    found = tx.execute(query.order_by(beside, weight, row.raised, row.key).limit(most))
    return [Raised(each.key, each.event, each.raised, told(each.fields)) for each in found]


def _events(tx: Connection) -> dict[str, int]:
    event = tables.condition.c.event
    query = select(event, func.count()).where(_is_single()).group_by(event).order_by(event)
    return {row[0]: row[1] for row in tx.execute(query)}


def _entries(tx: Connection, most: int) -> list[SetAside]:
    row = tables.quarantine.c
    calm = case((row.code == RefusalCode.NOT_DICOM, 1), else_=0)  # these wait for nobody (spec 5)
    query = select(tables.quarantine).where(row.open.is_(True))
    rows = tx.execute(query.order_by(calm, row.set_aside.desc(), row.id).limit(most)).mappings()
    return [SetAside(**each) for each in rows]
