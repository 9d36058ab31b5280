"""The ledger's part in filing: reserve, record, and what became of the sources; and in a split.

One transaction reserves a batch, one records it (house 1.3). Between the two the files are *in
hand*: their names are taken, their session may not leave RECEIVING, and no other file is called
a duplicate of them. What was linked stays in hand until its source is gone (`settle`): until then
whoever has the source may change it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import dropwhile, islice
from typing import Final

from sqlalchemy import Connection, RowMapping, bindparam, delete, func, insert, select, update

from watcher.core import names
from watcher.core.file import Candidate, Fingerprint
from watcher.core.find import Bound
from watcher.core.session import Instance, Place, Session, SessionKey, Status
from watcher.io import arrivals, tables
from watcher.io.desk import Hand, Incoming, Reserved
from watcher.io.ledger import Ledger
from watcher.io.reserve import Desks, unique
from watcher.io.rows import NAMED, named, put

PAGE: Final = 2000  # sources read or forgotten at once, of as many as there may be


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
        self,
        filed: Iterable[Reserved | Hand],
        sources: Mapping[Candidate, Fingerprint],
        again: Iterable[arrivals.Came] = (),
    ) -> None:
        """The batch is durable in the prearchive; its sources are to be removed (or kept).

        `again`: duplicates, which are counted only.
        """
        rows = [_taken(candidate, found) for candidate, found in sources.items()]
        with self.ledger.write() as tx:
            _record(tx, filed, again)
            if rows:
                tx.execute(insert(tables.taken).prefix_with("OR REPLACE"), rows)

    def settle(self, drop: str, filed: Iterable[Reserved | Hand], gone: Sequence[bytes]) -> None:
        """What was linked is nobody else's any more, and these sources of the drop are gone."""
        with self.ledger.write() as tx:
            _record(tx, filed)
            if gone:
                tx.execute(_FORGET, [{"of": drop, "gone": path} for path in gone])

    def rename(self, reserved: Reserved) -> Reserved:
        """The next name of a file in hand, where its own is taken by what the ledger knows not."""
        old = reserved.instance
        if old is None:
            return reserved
        row = tables.instance.c
        chain = names.spare(names.file_name(old.header), old.digest)
        later = islice(dropwhile(lambda name: name != old.place.name, chain), 1, None)
        query = select(row.name).where(row.session == reserved.session.id)
        query = query.where(row.scan == old.place.scan, row.name == bindparam("wanted"))
        with self.ledger.write() as tx:
            free = next(each for each in later if not tx.execute(query, {"wanted": each}).first())
            which = named(reserved.session.id, old.place)
            tx.execute(update(tables.instance).where(*NAMED).values(name=free), [which])
        place = replace(old.place, name=free)
        return replace(reserved, instance=replace(old, place=place))

    def release(self, failed: Iterable[Reserved | Hand]) -> list[Session]:
        """Reservations that came to nothing; gives the sessions left without any file."""
        empty: list[Session] = []
        with self.ledger.write() as tx:
            owners = {each.session.id for each in failed if _unreserve(tx, each)}
            for owner in sorted(owners):
                empty += _forget_if_empty(tx, owner)
        return empty

    def landing(self) -> set[str]:
        """The units that land in sessions, or did when a run was cut off."""
        query = select(tables.LANDING).where(tables.LANDING != "")
        with self.ledger.read() as tx:
            return {unit for units in tx.execute(query).scalars() for unit in units.split()}

    def fed_by(self, unit: str) -> list[str]:
        """The sessions in which a unit lands."""
        row = tables.session.c
        query = select(row.id).where(func.instr(tables.LANDING, unit) > 0).order_by(row.id)
        with self.ledger.read() as tx:
            return list(tx.execute(query).scalars())

    def landed(self, unit: str, now: float) -> None:
        """A unit has landed: its sessions are complete, and go their way. One commit.

        Where another unit still lands in one of them, that waits for it.
        """
        its = select(tables.session).where(func.instr(tables.LANDING, unit) > 0)
        with self.ledger.write() as tx:
            for row in tx.execute(its).mappings().all():
                old = tables.session_row(row)
                left = " ".join(each for each in old.landing.split() if each != unit)
                new = replace(old, landing=left, whole=True, last_arrival=now)
                rest = old.inactivity if left else 0.0
                put(tx, replace(new, inactivity=rest, revision=old.revision + 1))

    def reserved(self) -> dict[str, list[Instance]]:
        """What a crash left in hand, by session."""
        row = tables.instance.c
        query = select(tables.instance).where(row.in_hand.is_(True)).order_by(row.session)
        found: dict[str, list[Instance]] = {}
        with self.ledger.read() as tx:
            for each in tx.execute(query).mappings():
                found.setdefault(each["session"], []).append(tables.instance_row(each))
        return found

    def is_of(self, inode: int, instance: Instance) -> bool:
        """Whether a file was recorded as linked from its source: it was durable, and whole."""
        row = tables.taken.c
        query = select(row.inode).where(row.drop == instance.drop, row.path == instance.source)
        with self.ledger.read() as tx:
            return tx.execute(query).scalar() == str(inode)

    def taken(self, drop: str) -> dict[bytes, Fingerprint]:
        """Sources of a drop whose content is filed and that still lie there, by path."""
        return dict(each for page in self.pages_of_taken(drop) for each in page)

    def pages_of_taken(self, drop: str) -> Iterator[list[tuple[bytes, Fingerprint]]]:
        """The same, a page at a time, in order of path; each page is a look of its own."""
        row, last = tables.taken.c, b""
        query = select(tables.taken).where(row.drop == drop, row.path > bindparam("last"))
        query = query.order_by(row.path).limit(PAGE)
        while True:
            with self.ledger.read() as tx:
                found = tx.execute(query, {"last": last}).mappings().all()
            if not found:
                return
            last = found[-1]["path"]
            yield [(each["path"], _print_of(each)) for each in found]

    def forget_taken(self, drop: str, paths: Sequence[bytes]) -> None:
        """Sources that are gone from a drop; a commit for each page of them."""
        for at in range(0, len(paths), PAGE):
            self.settle(drop, (), paths[at : at + PAGE])

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
            arrivals.hand_over(tx, old, new, places)
            tx.execute(query, gone)


def _record(
    tx: Connection, filed: Iterable[Reserved | Hand], again: Iterable[arrivals.Came] = ()
) -> None:
    """These files are durable, and not in hand any more; they are counted for receipts."""
    done = [(each.session.id, each.instance) for each in filed if each.instance]
    if done:
        places = [named(owner, instance.place) for owner, instance in done]
        tx.execute(update(tables.instance).where(*NAMED).values(in_hand=False), places)
    arrivals.note(tx, [*(arrivals.came_of(*each) for each in done), *again])


_FORGET: Final = delete(tables.taken).where(
    tables.taken.c.drop == bindparam("of"), tables.taken.c.path == bindparam("gone")
)


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


def _print_of(row: RowMapping) -> Fingerprint:
    device, inode, size = int(row["device"]), int(row["inode"]), row["size"]
    return Fingerprint(device, inode, size, int(row["mtime_ns"]), int(row["ctime_ns"]))


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
