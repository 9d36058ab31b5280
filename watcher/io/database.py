"""The ledger's SQLite: how it is opened, how a transaction begins, and its errors as ours.

WAL, synchronous FULL: a commit is durable. BEGIN IMMEDIATE, and five seconds of patience, where
somebody writes: two processes take turns.
"""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import URL, Connection, Engine, create_engine, event, insert, inspect, select
from sqlalchemy.exc import DatabaseError

from watcher.core.errors import (
    FULL_NUMBERS,
    FullError,
    StorageError,
    damaged,
)
from watcher.io import tables

FORMAT: Final = "schema"  # the key under which a ledger keeps its own
BROKEN: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
CACHE: Final = 8 << 20  # bytes of pages that a connection keeps, if it needs them
NUMBERS: Final = {  # SQLite's result codes as errno; the others are EIO
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_BUSY: errno.EBUSY,
    sqlite3.SQLITE_READONLY: errno.EROFS,
    sqlite3.SQLITE_PERM: errno.EACCES,
}

_PRAGMAS: Final = (
    "busy_timeout=5000",
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    f"cache_size=-{CACHE >> 10}",
)
_SIZES: Final = {
    "instance": "1000000 10000 1000 1000 1",
    "instance_sop": "1000000 10000 1",
    "instance_series": "1000000 10000 1000",
}


def engine_of(path: str) -> Engine:
    """Connections to the SQLite file at this absolute path, which is made where it is missing."""
    # the last one used knows the pages it has written: SQLite forgets them when another writes
    engine = create_engine(URL.create("sqlite", database=path), pool_use_lifo=True)
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    write = connection.get_execution_options().get("write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


@contextmanager
def translated(place: str = "") -> Iterator[None]:
    """The database's errors as ours: FullError, LedgerError, else StorageError with an errno."""
    try:
        yield
    except DatabaseError as error:
        code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF  # the rest says where
        number = NUMBERS.get(code, errno.EIO)
        if code in BROKEN or _is_undecodable(error.orig):
            raise damaged(str(error.orig)) from error
        kind = FullError if number in FULL_NUMBERS else StorageError
        raise kind(f"the ledger: {error.orig}", number=number, place=place) from error
    except UnicodeDecodeError as error:  # of a message that quotes what it found
        raise damaged("what it says can't be read") from error


def _is_undecodable(error: BaseException | None) -> bool:
    """Whether Python could not decode a text it found; SQLite's own faults carry a code."""
    return isinstance(error, sqlite3.OperationalError) and not hasattr(error, "sqlite_errorcode")


def check_schema(tx: Connection) -> None:
    """Give a new ledger its format; LedgerError where it has that of another version."""
    query = select(tables.meta.c.value).where(tables.meta.c.key == FORMAT)
    found = tx.execute(query).scalar()
    if found is None:
        tx.execute(insert(tables.meta), [{"key": FORMAT, "value": tables.SCHEMA}])
    elif found != tables.SCHEMA:
        raise damaged(f"it has format {found}, and this version reads {tables.SCHEMA}")


def tell_sizes(tx: Connection) -> None:
    """Rows there are for each further column of a key, so that SQLite uses all of it.

    Left alone it takes a session for ten files, and reads all of it (sqlite.org/lang_analyze.html).
    """
    if tx.dialect.name == "sqlite" and not inspect(tx).has_table("sqlite_stat1"):
        tx.exec_driver_sql("ANALYZE meta")  # makes the table
        rows = [("instance", *each) for each in _SIZES.items()]
        tx.exec_driver_sql("INSERT INTO sqlite_stat1 VALUES (?, ?, ?)", rows)
        tx.exec_driver_sql("ANALYZE sqlite_schema")  # read them
