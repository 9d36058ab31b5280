"""The ledger's index of the archive and of the quarantine."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Row, delete, insert, or_, select, update

from watcher.core.file import RefusalCode
from watcher.core.receipt_names import key_of
from watcher.io import tables
from watcher.io.arrivals import day_of, unsettle
from watcher.io.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Shelf:
    """One archived session, as listings and validation need it."""

    project: str
    label: str
    session: str  # the id it had when it was first archived
    experiment: str
    subject: str
    study: str
    accepted: tuple[str, ...]
    files: int
    bytes: int
    scans: int
    changed: float  # seconds since the epoch
    xml_size: int
    xml_mtime_ns: int


@dataclass(frozen=True, slots=True)
class SetAside:
    """One entry of the quarantine; `files` of them share its reason."""

    id: str
    drop: str
    code: str
    place: str
    path: bytes
    text: str
    hint: str
    sop: str
    files: int
    set_aside: float
    open: bool = True


UNIT: Final = "unit-"
"""How the ids of entries begin that hold a unit."""


def receipt_of(entry: SetAside) -> bytes:
    """What was dropped, of which an entry holds files (core.receipt_names)."""
    whole = entry.code == RefusalCode.ARCHIVE_FILE or entry.id.startswith(UNIT)
    return key_of(entry.path, day_of(entry.set_aside), whole=whole)


class Registry:
    """What is archived and what is set aside."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def shelve(self, shelf: Shelf) -> None:
        """A session as it now stands in the archive."""
        values = {name: getattr(shelf, name) for name in shelf.__slots__}
        values["accepted"] = json.dumps(shelf.accepted)
        with self._ledger.write() as tx:
            tx.execute(insert(tables.archived).prefix_with("OR REPLACE"), [values])

    def unshelve(self, project: str, label: str) -> None:
        """A session that is no longer in the archive."""
        row = tables.archived.c
        with self._ledger.write() as tx:
            tx.execute(delete(tables.archived).where(row.project == project, row.label == label))

    def shelved(self) -> list[Shelf]:
        """Everything archived, by project and label."""
        row = tables.archived.c
        with self._ledger.read() as tx:
            query = select(tables.archived).order_by(row.project, row.label)
            return [_shelf(each) for each in tx.execute(query)]

    def shelf(self, project: str, label: str) -> Shelf | None:
        """The archived session of this project and label, or None."""
        row = tables.archived.c
        query = select(tables.archived).where(row.project == project, row.label == label)
        with self._ledger.read() as tx:
            found = tx.execute(query).first()
            return _shelf(found) if found else None

    def with_study(self, study: str) -> list[Shelf]:
        """The archived sessions that hold a study, their own or an accepted one."""
        row = tables.archived.c
        query = select(tables.archived).where(
            or_(row.study == study, row.accepted.contains(json.dumps(study), autoescape=True))
        )
        with self._ledger.read() as tx:
            return [_shelf(each) for each in tx.execute(query)]

    def set_aside(self, entry: SetAside) -> None:
        """A file, or a folder of them, that went to quarantine."""
        values = {name: getattr(entry, name) for name in entry.__slots__}
        with self._ledger.write() as tx:
            tx.execute(insert(tables.quarantine).prefix_with("OR REPLACE"), [values])
            unsettle(tx, entry.drop, receipt_of(entry), entry.set_aside)

    def aside(self, *, only_open: bool = True) -> list[SetAside]:
        """The quarantine, newest last."""
        row = tables.quarantine.c
        query = select(tables.quarantine).order_by(row.set_aside, row.id)
        if only_open:
            query = query.where(row.open.is_(True))
        with self._ledger.read() as tx:
            return [SetAside(**each) for each in tx.execute(query).mappings()]

    def aside_of(self, drop: str) -> list[SetAside]:
        """The open entries of what lay in a drop."""
        row = tables.quarantine.c
        query = select(tables.quarantine).where(row.open.is_(True), row.drop == drop)
        with self._ledger.read() as tx:
            return [SetAside(**each) for each in tx.execute(query.order_by(row.id)).mappings()]

    def entry(self, wanted: str) -> SetAside | None:
        """The entry of the quarantine with this id, or None."""
        query = select(tables.quarantine).where(tables.quarantine.c.id == wanted)
        with self._ledger.read() as tx:
            found = tx.execute(query).mappings().first()
            return SetAside(**found) if found else None

    def open_of(self, drop: str, path: bytes) -> list[SetAside]:
        """The open entries of what lay under this path in a drop."""
        row = tables.quarantine.c
        query = select(tables.quarantine).order_by(row.id)
        query = query.where(row.open.is_(True), row.drop == drop, row.path == path)
        with self._ledger.read() as tx:
            return [SetAside(**each) for each in tx.execute(query).mappings()]

    def close(self, wanted: str) -> None:
        """Close an entry of the quarantine: requeued, purged, or gone."""
        row = tables.quarantine.c
        with self._ledger.write() as tx:
            tx.execute(update(tables.quarantine).where(row.id == wanted), {"open": False})

    def waiting_for(self, sops: Sequence[str]) -> list[str]:
        """The open entries of these SOP instances; by their ids."""
        row = tables.quarantine.c
        wanted = [sop for sop in sops if sop]
        with self._ledger.read() as tx:
            query = select(row.id).where(row.open.is_(True), row.sop.in_(wanted))
            return list(tx.execute(query.order_by(row.id)).scalars())

    def filed_since(self) -> list[str]:
        """The open entries whose SOP instances were filed after them, and are staged still."""
        row, filed = tables.quarantine.c, tables.instance.c
        waiting = (row.open.is_(True), row.sop != "")
        later = (filed.sop == row.sop, filed.in_hand.is_(False), filed.arrived > row.set_aside)
        with self._ledger.read() as tx:
            if tx.execute(select(row.id).where(*waiting).limit(1)).first() is None:
                return []  # SQLite would read every file for it
            query = select(row.id).distinct().where(*waiting, *later)
            return list(tx.execute(query.order_by(row.id)).scalars())


def _shelf(row: Row[tuple[object, ...]]) -> Shelf:
    values = dict(row._mapping)  # noqa: SLF001  SQLAlchemy's documented name for a row as a mapping
    return Shelf(**{**values, "accepted": tuple(json.loads(str(values["accepted"])))})
