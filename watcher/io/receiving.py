"""The ledger's part in filing: reserve, record, and what became of the sources; and in a split.

One transaction reserves a batch, one records it (house 1.3). Between the two the files are *in
hand*: their names are taken, their session may not leave RECEIVING, and no other file is called
a duplicate of them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from watcher.core.find import Bound
from watcher.core.model import (
    Candidate,
    Fingerprint,
    Instance,
    Place,
    Session,
    SessionKey,
    Status,
)
from watcher.io import tables
from watcher.io.ledger import NAMED, Ledger, named
from watcher.io.reserve import Desks, Hand, Incoming, Reserved, unique


class Receiving:
    """Filing's transactions on the ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def reserve(
        self, batch: Sequence[Incoming], now: float, stamp: Callable[[], str]
    ) -> tuple[list[Reserved], list[Session], list[Session]]:
        """Find or create a session for each file and take its name in it; one commit.

        Gives the reservations in order, the sessions opened, and those that were reopened.
        `stamp` gives the session id for this moment.
        """
        with self.ledger.write() as tx:
            desks = Desks(tx, now, stamp)
            reserved = desks.take(batch)
            desks.settle()
        return reserved, desks.opened, desks.reopened

    def record(
        self, filed: Iterable[Reserved | Hand], sources: Mapping[Candidate, Fingerprint]
    ) -> None:
        """The batch is durable in the prearchive; its sources are to be removed (or kept)."""
        rows = [_taken(candidate, found) for candidate, found in sources.items()]
        places = [named(each.session.id, each.instance.place) for each in filed if each.instance]
        with self.ledger.write() as tx:
            if places:
                tx.execute(update(tables.instance).where(*NAMED).values(in_hand=False), places)
            if rows:
                tx.execute(insert(tables.taken).prefix_with("OR REPLACE"), rows)

    def release(self, failed: Iterable[Reserved | Hand]) -> list[Session]:
        """Reservations that came to nothing; gives the sessions left without any file."""
        empty: list[Session] = []
        with self.ledger.write() as tx:
            owners = {each.session.id for each in failed if _unreserve(tx, each)}
            for owner in sorted(owners):
                empty += _forget_if_empty(tx, owner)
        return empty

    def reserved(self) -> dict[str, list[Instance]]:
        """What a crash left in hand, by session."""
        row = tables.instance.c
        query = select(tables.instance).where(row.in_hand.is_(True)).order_by(row.session)
        found: dict[str, list[Instance]] = {}
        with self.ledger.read() as tx:
            for each in tx.execute(query).mappings():
                found.setdefault(each["session"], []).append(tables.instance_row(each))
        return found

    def taken(self, drop: str) -> dict[bytes, Fingerprint]:
        """Sources of a drop whose content is filed and that still lie there, by path."""
        row = tables.taken.c
        with self.ledger.read() as tx:
            found = tx.execute(select(tables.taken).where(row.drop == drop))
            return {
                each.path: Fingerprint(
                    int(each.device),
                    int(each.inode),
                    each.size,
                    int(each.mtime_ns),
                    int(each.ctime_ns),
                )
                for each in found
            }

    def forget_taken(self, drop: str, paths: Sequence[bytes]) -> None:
        """Sources that are gone from a drop."""
        if not paths:
            return
        row = tables.taken.c
        query = delete(tables.taken).where(row.drop == drop, row.path == bindparam("gone"))
        with self.ledger.write() as tx:
            tx.execute(query, [{"gone": path} for path in paths])

    def bind(self, key: SessionKey, to: Bound) -> None:
        """A person's decision on a study: files of this key go there from now on."""
        with self.ledger.write() as tx:
            tx.execute(
                insert(tables.binding).prefix_with("OR REPLACE"),
                [
                    {
                        "project": key.project or "",
                        "study": key.study,
                        "label": key.label,
                        "to_project": to.project,
                        "to_label": to.label,
                        "to_subject": to.subject,
                    }
                ],
            )

    # -- what a split does ------------------------------------------------------------------

    def open_apart(self, new: Session, stamp: Callable[[], str]) -> Session:
        """Take in a session that no file opened, under an id of its own."""
        with self.ledger.write() as tx:
            opened = replace(new, id=unique(tx, stamp()))
            tx.execute(insert(tables.session), [tables.session_columns(opened)])
        return opened

    def hand_over(self, old: str, new: str, places: Sequence[Place]) -> None:
        """Files of one session that another has now, under the same names; repeatable."""
        gone = [named(old, place) for place in places]
        query = update(tables.instance).prefix_with("OR REPLACE").where(*NAMED).values(session=new)
        with self.ledger.write() as tx:
            tx.execute(query, gone)


def _taken(candidate: Candidate, found: Fingerprint) -> dict[str, object]:
    return {
        "drop": candidate.drop,
        "path": candidate.path,
        "device": str(found.device),
        "inode": str(found.inode),
        "size": found.size,
        "mtime_ns": str(found.mtime_ns),
        "ctime_ns": str(found.ctime_ns),
    }


def _unreserve(tx: Connection, failed: Reserved | Hand) -> bool:
    if failed.instance is None:
        return False
    tx.execute(
        delete(tables.instance).where(*NAMED), named(failed.session.id, failed.instance.place)
    )
    return True


def _forget_if_empty(tx: Connection, owner: str) -> list[Session]:
    row = tables.instance.c
    if tx.execute(select(row.name).where(row.session == owner).limit(1)).first() is not None:
        return []
    query = select(tables.session).where(tables.session.c.id == owner)
    found = tx.execute(query).mappings().first()
    if found is None or found["status"] != Status.RECEIVING:
        return []
    tx.execute(delete(tables.session).where(tables.session.c.id == owner))
    return [tables.session_row(found)]
