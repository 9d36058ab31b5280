"""The ledger's lists of what should come: DICOMDIRs, by drop and path."""

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import astuple
from itertools import islice
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    Connection,
    Select,
    and_,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from watcher.core.file import Fingerprint
from watcher.core.listed import Listed, place, plain
from watcher.core.session import Status
from watcher.io import tables
from watcher.io.ledger import Ledger

CHUNK: Final = 500  # values in one query
ENDED: Final = (Status.ARCHIVED, Status.DELETED)

_LIST = tables.medium.c
_FILE = tables.listed.c
_SET: Final = (
    update(tables.listed)
    .where(_FILE.medium == bindparam("of"), _FILE.place == bindparam("at"))
    .values(pending=bindparam("so"))
)


class Missing(NamedTuple):
    """A listed file that is in no session of its study. `file`: its place in the drop, as text."""

    study: str
    sop: str
    file: str


class Lists:
    """What DICOMDIRs say should come."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def keep(self, drop: str, path: bytes, seen: Fingerprint, files: Iterable[Listed]) -> None:
        """A list as it was read; what it said before is replaced. One that is kept so stays."""
        was = json.dumps(astuple(seen))
        here = (_LIST.drop == drop, _LIST.path == path)
        with self._ledger.write() as tx:
            known = tx.execute(select(_LIST.number, _LIST.print).where(*here)).first()
            if known is not None and known.print == was:
                tx.execute(update(tables.medium).where(*here), {"gone": None})
                return
            if known is not None:
                _remove(tx, [known.number])
            row = {"drop": drop, "path": path, "print": was, "gone": None}
            (number,) = tx.execute(insert(tables.medium).values(row)).inserted_primary_key or (0,)
            for some in _chunks(_rows(number, path.rpartition(b"/")[0], files)):
                tx.execute(insert(tables.listed).prefix_with("OR IGNORE"), some)

    def forget(self, drop: str, path: bytes) -> None:
        """What is no list any more, or can't be read."""
        with self._ledger.write() as tx:
            here = (_LIST.drop == drop, _LIST.path == path)
            _remove(tx, tx.execute(select(_LIST.number).where(*here)).scalars().all())

    def paths(self, drop: str) -> list[bytes]:
        """Where the lists of a drop lie, or lay."""
        with self._ledger.read() as tx:
            return list(tx.execute(select(_LIST.path).where(_LIST.drop == drop)).scalars())

    def note_gone(self, drop: str, paths: Collection[bytes], now: float, rest: float) -> None:
        """The lists of a drop that lie there no more; one gone for `rest` seconds is forgotten.

        But not while a session of the prearchive holds a study it lists.
        """
        with self._ledger.write() as tx:
            rows = tx.execute(
                select(_LIST.number, _LIST.path, _LIST.gone).where(_LIST.drop == drop)
            ).all()
            back = [each.number for each in rows if each.path not in paths]
            new = [each.number for each in rows if each.path in paths and each.gone is None]
            old = [each.number for each in rows if each.path in paths and _is_old(each, now, rest)]
            tx.execute(update(tables.medium).where(_LIST.number.in_(back)), {"gone": None})
            tx.execute(update(tables.medium).where(_LIST.number.in_(new)), {"gone": now})
            _remove(tx, [number for number in old if not _is_wanted(tx, number)])

    # -- what is still to come --------------------------------------------------------------

    def mark(self, drop: str, pending: Iterable[bytes]) -> None:
        """The plain paths of files that lie in the drop and are not filed yet."""
        with self._ledger.read() as tx:
            lists = _of(tx, [drop])
            query = select(_FILE.medium, _FILE.place)
            was = {
                tuple(row)
                for row in tx.execute(query.where(_FILE.medium.in_(lists), _FILE.pending))
            }
            now = {
                tuple(row)
                for some in _chunks(pending if lists else ())
                for row in tx.execute(query.where(_FILE.medium.in_(lists), _FILE.place.in_(some)))
            }
        if was != now:
            changes = [{"of": n, "at": at, "so": (n, at) in now} for n, at in was ^ now]
            with self._ledger.write() as tx:
                tx.execute(_SET, changes)

    def holds(self, drops: Collection[str], study: str) -> bool:
        """Whether a file that lists of these drops name, of this study, was marked as pending."""
        with self._ledger.read() as tx:
            query = select(_FILE.sop).where(_FILE.study == study, _FILE.pending)
            lists = _of(tx, drops)
            found = tx.execute(query.where(_FILE.medium.in_(lists)).limit(1)).first()
            return found is not None

    def missing(
        self, session: str, drops: Collection[str], studies: Collection[str]
    ) -> list[Missing]:
        """Files that lists of these drops name, of these studies, and that have not come.

        They are neither filed nor in hand in this session or another one of their study, nor
        pending; by their places in the drops.
        """
        with self._ledger.read() as tx:
            lists = _of(tx, drops)
            if not lists:
                return []
            homes = select(tables.session.c.id).where(tables.session.c.study.in_(studies))
            owners = [session, *tx.execute(homes).scalars()]
            filed = (tables.instance.c.session.in_(owners), tables.instance.c.sop == _FILE.sop)
            query = (
                select(_FILE.study, _FILE.sop, func.min(_FILE.file).label("file"))
                .where(_FILE.medium.in_(lists), _FILE.study.in_(studies))
                .where(_FILE.pending.is_(False))
                .where(~select(tables.instance.c.name).where(*filed).exists())
                .group_by(_FILE.study, _FILE.sop)
            )
            return [Missing(*row) for row in tx.execute(query.order_by("file"))]

    def absent(self, drop: str, receipt: bytes) -> list[tuple[bytes, Missing]]:
        """Files that lists of a drop name, of any study, and where each list lies.

        They are neither pending, nor filed or in hand: in a session of their study, or in one that
        took files of this `receipt` (core.receipt_names).
        """
        row, came = tables.instance.c, tables.arrival.c
        homes = select(tables.session.c.id).where(tables.session.c.study == _FILE.study)
        own = select(came.session).where(came.drop == drop, came.name == receipt)
        filed = (row.sop == _FILE.sop, or_(row.session.in_(homes), row.session.in_(own)))
        query = (
            select(_LIST.path, _FILE.study, _FILE.sop, func.min(_FILE.file).label("file"))
            .where(_LIST.drop == drop, _FILE.medium == _LIST.number, _FILE.pending.is_(False))
            .where(~select(row.name).where(*filed).exists())
            .group_by(_LIST.path, _FILE.study, _FILE.sop)
        )
        with self._ledger.read() as tx:
            return [(each.path, Missing(*each[1:])) for each in tx.execute(query.order_by("file"))]


def _rows(number: int, folder: bytes, files: Iterable[Listed]) -> Iterator[dict[str, Any]]:
    for each in files:
        path = place(folder, each.file)
        yield {
            "medium": number,
            "study": each.study,
            "sop": each.sop,
            "series": each.series,
            "file": path.decode("utf-8", "backslashreplace"),
            "place": plain(path),
            "pending": False,
        }


def _of(tx: Connection, drops: Collection[str]) -> Sequence[int]:
    return tx.execute(select(_LIST.number).where(_LIST.drop.in_(drops))).scalars().all()


def _remove(tx: Connection, numbers: Sequence[int]) -> None:
    if numbers:
        tx.execute(delete(tables.listed).where(_FILE.medium.in_(numbers)))
        tx.execute(delete(tables.medium).where(_LIST.number.in_(numbers)))


def _is_old(row: Any, now: float, rest: float) -> bool:
    return row.gone is not None and row.gone <= now - rest


def _is_wanted(tx: Connection, number: int) -> bool:
    """Whether a session of the prearchive holds a study of this list."""
    return tx.execute(_WANTED, {"of": number}).first() is not None


def _wanted() -> Select[Any]:
    row = tables.session.c
    same = and_(_FILE.study == row.study, _FILE.medium == bindparam("of"))
    return (
        select(row.id).where(row.status.not_in(ENDED)).where(select(_FILE.sop).where(same).exists())
    )


_WANTED: Final = _wanted()


def _chunks(values: Iterable[Any]) -> Iterator[list[Any]]:
    """The values in lists of no more than a query takes."""
    left = iter(values)
    while some := list(islice(left, CHUNK)):
        yield some
