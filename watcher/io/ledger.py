"""The ledger: sessions, their files and their statuses, in SQLite.

WAL, synchronous FULL, one writer at a time in this process (a lock) and on this host (BEGIN
IMMEDIATE). It is an index: `stages/recover.py` rebuilds it from the tree.
"""

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Engine,
    delete,
    func,
    insert,
    select,
    update,
)

from watcher.core import life
from watcher.core.errors import LedgerError, WatcherError
from watcher.core.session import Instance, Place, Session, Status
from watcher.io import database, tables
from watcher.io.home import Home
from watcher.io.intact import Opened
from watcher.io.rows import (
    NAMED,
    add_instances,
    has_in_hand,
    instances_in,
    named,
    put,
    session_in,
    unknown,
)

NAME: Final = "ledger.sqlite"
PREARCHIVED: Final = tuple(s for s in Status if s not in {Status.ARCHIVED, Status.DELETED})


class Ledger:
    """One connection pool on `state/ledger.sqlite`. Every method is synchronous."""

    def __init__(self, path: str) -> None:
        self.engine: Engine = database.engine_of(path)
        self._writing = threading.Lock()
        self._path = path
        self._opened = Opened(path, {})
        self._home = Home(os.path.dirname(path))
        self._failed: LedgerError | None = None
        self._asking = threading.Lock()
        self._asked: Connection | None = None

    @classmethod
    def open(cls, state: str) -> "Ledger":
        """The ledger in a state folder, made if it is not there; StorageError where it can't be."""
        ledger = cls(os.path.join(state, NAME))
        try:
            with ledger.write() as tx:
                tables.metadata.create_all(tx)
                database.tell_sizes(tx)
                database.check_schema(tx)
            ledger._opened = Opened.now(ledger._path)
            ledger._home = Home.now(state)
        except WatcherError:
            ledger.close()
            raise
        return ledger

    def close(self) -> None:
        """Give the connections back; the WAL is folded in by SQLite."""
        with self._asking:
            if self._asked:
                self._asked.close()
                self._asked = None
        self.engine.dispose()

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction that may write; durable when the block ends. Errors: StorageError."""
        self.require()
        with self._writing, self._noticed(), self.engine.connect() as plain:
            tx = plain.execution_options(write=True)
            with tx.begin():
                self._opened.check()
                yield tx

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent look. Errors: StorageError."""
        self.require()
        with self._noticed(), self.engine.connect() as tx:
            yield tx

    def version(self) -> int:
        """A number that is another one once anybody has committed (SQLite's data_version).

        It costs no look at any row: who asked before knows whether there is something to read.
        """
        self.require()
        with self._asking, self._noticed():
            self._asked = self._asked or self.engine.connect()  # always this one: each has its own
            with self._asked.begin():
                found: int = self._asked.exec_driver_sql("PRAGMA data_version").scalar_one()
                return found

    def require(self) -> None:
        """StorageError while the state store is not there: nothing is opened or made beneath it."""
        self._home.require()

    def check(self) -> None:
        """LedgerError where it failed before, or its files are not those that were opened.

        Not while the state store is away: they may come back with it.
        """
        if not self._home.is_away():
            if self._failed:
                raise self._failed
            self._opened.check()

    @contextmanager
    def _noticed(self) -> Iterator[None]:
        try:
            with database.translated(self._path):
                yield
        except LedgerError as error:
            self._failed = error
            raise

    def remember(self, key: str, value: str) -> None:
        """Keep a small fact."""
        with self.write() as tx:
            row = {"key": key, "value": value}
            tx.execute(insert(tables.meta).prefix_with("OR REPLACE"), [row])

    def recall(self, key: str) -> str | None:
        """A small fact that was kept."""
        with self.read() as tx:
            found: str | None = tx.execute(
                select(tables.meta.c.value).where(tables.meta.c.key == key)
            ).scalar()
            return found

    # -- sessions ---------------------------------------------------------------------------

    def session(self, wanted: str) -> Session:
        """The session with this id; UnknownSessionError where there is none."""
        with self.read() as tx:
            return session_in(tx, wanted)

    def has(self, wanted: str) -> bool:
        """Whether the ledger knows this id."""
        with self.read() as tx:
            query = select(tables.session.c.id).where(tables.session.c.id == wanted)
            return tx.execute(query).first() is not None

    def sessions(self, statuses: Sequence[Status] = PREARCHIVED) -> list[Session]:
        """All sessions in these statuses, oldest first."""
        query = select(tables.session).where(tables.session.c.status.in_(statuses))
        with self.read() as tx:
            rows = tx.execute(query.order_by(tables.session.c.id)).mappings()
            return [tables.session_row(row) for row in rows]

    def labelled(self, project: str | None, label: str) -> list[Session]:
        """The sessions in the prearchive with this project and label, oldest first."""
        row = tables.session.c
        same = row.project.is_(None) if project is None else row.project == project
        query = select(tables.session).where(same, row.label == label)
        query = query.where(row.status.in_(PREARCHIVED)).order_by(row.id)
        with self.read() as tx:
            return [tables.session_row(each) for each in tx.execute(query).mappings()]

    def counts(self) -> dict[Status, int]:
        """How many sessions are in each status."""
        query = select(tables.session.c.status, func.count()).group_by(tables.session.c.status)
        with self.read() as tx:
            return {Status(status): number for status, number in tx.execute(query)}

    def sizes(self, only: str | None = None) -> dict[str, tuple[int, int, int]]:
        """Scans, files and bytes of every session (or this) that has files in the prearchive."""
        row = tables.instance.c
        scans = func.count(func.distinct(row.series))
        query = select(row.session, scans, func.count(), func.sum(row.size))
        query = query.where(row.in_hand.is_(False)).group_by(row.session)
        if only is not None:
            query = query.where(row.session == only)
        with self.read() as tx:
            return {owner: (found, files, size) for owner, found, files, size in tx.execute(query)}

    def kept_sizes(self, wanted: str) -> tuple[int, int, int]:
        """Scans, files and bytes a session had when it left the prearchive."""
        row = tables.session.c
        query = select(row.scans, row.files, row.bytes).where(row.id == wanted)
        with self.read() as tx:
            found = tx.execute(query).first()
        if found is None:
            raise unknown(wanted)
        return found[0], found[1], found[2]

    def add(self, new: Session, instances: Sequence[Instance] = ()) -> None:
        """Take in a session found in the tree, with its files; what was known of it is replaced."""
        with self.write() as tx:
            tx.execute(delete(tables.session).where(tables.session.c.id == new.id))
            tx.execute(delete(tables.instance).where(tables.instance.c.session == new.id))
            tx.execute(insert(tables.session), [tables.session_columns(new)])
            add_instances(tx, new.id, instances)

    def forget(self, wanted: str) -> None:
        """A session that is nowhere any more."""
        with self.write() as tx:
            tx.execute(delete(tables.session).where(tables.session.c.id == wanted))
            tx.execute(delete(tables.instance).where(tables.instance.c.session == wanted))

    def move(
        self,
        wanted: str,
        event_: life.Event,
        *,
        generation: int | None = None,
        **changes: Any,
    ) -> Session | None:
        """A session after an event of its life, with these fields changed.

        None, and nothing changed, where `generation` is given and files have come since, or where
        files are in hand, or a unit lands, and the session would leave RECEIVING. RefusedError for
        a move that is not in the table.
        """
        with self.write() as tx:
            old = session_in(tx, wanted)
            if generation is not None and old.generation != generation:
                return None
            status = life.move(old.status, event_)
            leaves = old.status is Status.RECEIVING and status is not old.status
            if leaves and (old.landing or has_in_hand(tx, wanted)):
                return None
            new = replace(old, status=status, revision=old.revision + 1, **changes)
            put(tx, new)
            return new

    def edit(self, wanted: str, *, generation: int | None = None, **changes: Any) -> Session | None:
        """A session with these fields changed and its status kept.

        None, and nothing changed, where `generation` is given and files have come since.
        """
        with self.write() as tx:
            old = session_in(tx, wanted)
            if generation is not None and old.generation != generation:
                return None
            new = replace(old, revision=old.revision + 1, **changes)
            put(tx, new)
            return new

    def end(self, wanted: str, event_: life.Event, sizes: tuple[int, int, int]) -> Session:
        """A session that leaves the prearchive: its files are forgotten, its numbers kept."""
        with self.write() as tx:
            old = session_in(tx, wanted)
            new = replace(old, status=life.move(old.status, event_), revision=old.revision + 1)
            scans, files, size = sizes
            columns = {**tables.session_columns(new), "scans": scans, "files": files, "bytes": size}
            tx.execute(update(tables.session).where(tables.session.c.id == wanted), columns)
            tx.execute(delete(tables.instance).where(tables.instance.c.session == wanted))
            return new

    # -- files ------------------------------------------------------------------------------

    def instances(self, owner: str, *, in_hand: bool = False) -> list[Instance]:
        """The files of a session: those filed, or those reserved but not yet durable."""
        with self.read() as tx:
            return instances_in(tx, owner, in_hand=in_hand)

    def source_folders(self, owner: str) -> set[tuple[str, bytes]]:
        """The drops and directories a session took files from."""
        row = tables.instance.c
        query = select(row.drop, row.source).where(row.session == owner).distinct()
        with self.read() as tx:
            return {(drop, os.path.dirname(source)) for drop, source in tx.execute(query)}

    def relocate(self, owner: str, moved: Mapping[Place, Place]) -> None:
        """Files of a session that have a new place in it."""
        columns = [{**named(owner, old), **asdict(new)} for old, new in moved.items()]
        if columns:
            with self.write() as tx:
                tx.execute(update(tables.instance).where(*NAMED), columns)

    def drop_instances(self, owner: str, places: Sequence[Place]) -> None:
        """Files that left a session."""
        if places:
            with self.write() as tx:
                gone = [named(owner, place) for place in places]
                tx.execute(delete(tables.instance).where(*NAMED), gone)
