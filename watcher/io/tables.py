"""The ledger's tables, and how rows become values. Times are seconds since the epoch.

Paths in drops are bytes (BLOB): they need not be UTF-8. Values that are only carried, never
searched, are JSON text.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    RowMapping,
    String,
    Table,
    Text,
    func,
)

from watcher.core.errors import damaged
from watcher.core.file import Header
from watcher.core.record import session_of, session_values
from watcher.core.session import Instance, Place, Session
from watcher.core.tags import tag_of, written

SCHEMA: Final = "1"
metadata = MetaData()

meta = Table("meta", metadata, Column("key", String, primary_key=True), Column("value", Text))

session = Table(
    "session",
    metadata,
    Column("id", String, primary_key=True),
    Column("project", String),
    Column("subject", String, nullable=False),
    Column("label", String, nullable=False),
    Column("study", String, nullable=False),
    Column("status", String, nullable=False, index=True),
    Column("opened", Float, nullable=False),
    Column("receiving_since", Float, nullable=False),
    Column("last_arrival", Float, nullable=False),
    Column("inactivity", Float, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("auto_archive", Boolean),
    Column("hold_auto", Boolean, nullable=False),
    Column("rest", Text, nullable=False),  # JSON: drops, origins, findings, decisions, ...
    # what a listing shows of a session whose files are no longer in `instance`
    Column("files", Integer, nullable=False, default=0),
    Column("bytes", Integer, nullable=False, default=0),
    Column("scans", Integer, nullable=False, default=0),
    Index("session_key", "study", "label"),
)

instance = Table(
    "instance",
    metadata,
    Column("session", String, primary_key=True),
    Column("scan", String, primary_key=True),
    Column("folder", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("sop", String, nullable=False),
    Column("class", String, nullable=False),
    Column("series", String, nullable=False),
    Column("digest", String, nullable=False),
    Column("size", Integer, nullable=False),
    Column("header", Text, nullable=False),
    Column("arrived", Float, nullable=False),
    Column("drop", String, nullable=False),
    Column("source", LargeBinary, nullable=False),
    Column("in_hand", Boolean, nullable=False),
    Index("instance_sop", "session", "sop"),
    Index("instance_series", "session", "series"),
    sqlite_with_rowid=False,
)

# A source whose content is filed: to be removed still, or kept for good (after = "keep").
# Numbers of a fingerprint as text: a time past 2262 or an unsigned inode passes SQLite's integers.
taken = Table(
    "taken",
    metadata,
    Column("drop", String, primary_key=True),
    Column("path", LargeBinary, primary_key=True),
    Column("device", String, nullable=False),
    Column("inode", String, nullable=False),
    Column("size", Integer, nullable=False),
    Column("mtime_ns", String, nullable=False),
    Column("ctime_ns", String, nullable=False),
    sqlite_with_rowid=False,
)

# A person's decision on a study: files computed to belong left belong right (spec 6).
binding = Table(
    "binding",
    metadata,
    Column("project", String, primary_key=True),  # "" for Unassigned
    Column("study", String, primary_key=True),
    Column("label", String, primary_key=True),
    Column("to_project", String),
    Column("to_label", String, nullable=False),
    Column("to_subject", String, nullable=False),
    sqlite_with_rowid=False,
)

archived = Table(
    "archived",
    metadata,
    Column("project", String, primary_key=True),
    Column("label", String, primary_key=True),
    Column("session", String, nullable=False),  # the id it had when it was first archived
    Column("experiment", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("study", String, nullable=False, index=True),
    Column("accepted", Text, nullable=False),  # JSON
    Column("files", Integer, nullable=False),
    Column("bytes", Integer, nullable=False),
    Column("scans", Integer, nullable=False),
    Column("changed", Float, nullable=False),
    Column("xml_size", Integer, nullable=False),
    Column("xml_mtime_ns", Integer, nullable=False),
    sqlite_with_rowid=False,
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("id", String, primary_key=True),
    Column("drop", String, nullable=False),
    Column("code", String, nullable=False),
    Column("place", String, nullable=False),  # relative to the quarantine store
    Column("path", LargeBinary, nullable=False),  # in the drop
    Column("text", Text, nullable=False),
    Column("hint", Text, nullable=False),
    Column("sop", String, nullable=False),
    Column("files", Integer, nullable=False),
    Column("set_aside", Float, nullable=False),
    Column("open", Boolean, nullable=False),
)

# A DICOMDIR of a drop, or of a unit that came from one: a list of files that should come.
medium = Table(
    "medium",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("drop", String, nullable=False),
    Column("path", LargeBinary, nullable=False),
    Column("print", Text, nullable=False),  # JSON; as it was read
    Column("gone", Float),  # since when it does not lie there any more
    Index("medium_path", "drop", "path", unique=True),
)

# One file of such a list. `place`: where it would lie in the drop (core.listed, `plain`).
listed = Table(
    "listed",
    metadata,
    Column("medium", Integer, primary_key=True),
    Column("study", String, primary_key=True),
    Column("sop", String, primary_key=True),
    Column("series", String, nullable=False),
    Column("file", Text, nullable=False),
    Column("place", LargeBinary, nullable=False),
    Column("pending", Boolean, nullable=False),  # it lies in the drop, as last looked, unfiled
    Index("listed_place", "medium", "place"),
    Index("listed_study", "study", "medium"),
    sqlite_with_rowid=False,
)

# What was dropped and has a receipt (core.receipt_names), and what of it went to a session.
receipt = Table(
    "receipt",
    metadata,
    Column("drop", String, primary_key=True),
    Column("name", LargeBinary, primary_key=True),
    Column("file", String),  # what the receipt is called, once it was written
    Column("settled", Boolean, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("changed", Float, nullable=False),
)
arrival = Table(
    "arrival",
    metadata,
    Column("drop", String, primary_key=True),
    Column("name", LargeBinary, primary_key=True),
    Column("session", String, primary_key=True),
    *(Column(name, Integer, nullable=False) for name in ("filed", "duplicates", "bytes")),
    *(Column(name, Float, nullable=False) for name in ("first", "last")),
    Column("ended", Text),  # JSON: how it ended, and when
    sqlite_with_rowid=False,
)

condition = Table(
    "condition",
    metadata,
    Column("key", String, primary_key=True),
    Column("event", String, nullable=False),
    Column("raised", Float, nullable=False),
    Column("fields", Text, nullable=False),
)

outbox = Table(
    "outbox",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("line", Text, nullable=False),
)

lease = Table(
    "lease",
    metadata,
    Column("key", String, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("since", Float, nullable=False),
)


def header_text(header: Header) -> str:
    """A header as JSON, tags as hexadecimal."""
    return json.dumps({written(tag): text for tag, text in header.values.items()})


def header_of(text: str) -> Header:
    """The header in such a text."""
    return Header({tag_of(tag): value for tag, value in json.loads(text).items()})


_REST = (
    *("drops", "origins", "scan_ids", "target", "error", "partly", "findings", "decisions"),
    *("dest", "place", "landing", "whole"),
)

LANDING: Final = func.coalesce(func.json_extract(session.c.rest, "$.landing"), "")
"""The units that land in a session."""


def session_columns(row: Session) -> dict[str, Any]:
    """A session as a row of the table."""
    values = session_values(row)
    rest = {name: values.pop(name) for name in _REST}
    return {**values, "rest": json.dumps(rest)}


def session_row(row: RowMapping) -> Session:
    """A row of the table as a session; LedgerError where it can't be one."""
    values = dict(row)
    with _readable():
        rest = json.loads(values.pop("rest"))
        for name in ("files", "bytes", "scans"):
            values.pop(name)
        return session_of({**values, **rest})


@contextmanager
def _readable() -> Iterator[None]:
    """Errors of reading values as LedgerError: they were written as they should be."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged("a row of it can't be read") from error


def instance_columns(owner: str, row: Instance, *, in_hand: bool) -> dict[str, Any]:
    """An instance as a row of the table."""
    return {
        "session": owner,
        "scan": row.place.scan,
        "folder": row.place.folder,
        "name": row.place.name,
        "sop": row.header.sop_instance,
        "class": row.header.sop_class,
        "series": row.header.series,
        "digest": row.digest,
        "size": row.size,
        "header": header_text(row.header),
        "arrived": row.arrived,
        "drop": row.drop,
        "source": row.source,
        "in_hand": in_hand,
    }


def instance_row(row: RowMapping) -> Instance:
    """A row of the table as an instance; LedgerError where it can't be one."""
    with _readable():
        return Instance(
            place=Place(row["scan"], row["folder"], row["name"]),
            digest=row["digest"],
            size=row["size"],
            header=header_of(row["header"]),
            arrived=row["arrived"],
            drop=row["drop"],
            source=row["source"],
        )
