"""Whether the ledger is whole, readable and the one that worked here last; else set aside.

SQLite's `quick_check` finds pages that are not what they should be; a file beside the sessions,
`.watcher-ledger`, says which ledger they were last recorded in. An older copy, or the ledger of
other stores, is not that one; that of another version may have another format. What is set aside
is renamed and never removed: it was an index, and a start makes another from the tree.
"""

import os
import secrets
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

from watcher.core.errors import damaged, storage_error
from watcher.io import files
from watcher.io.database import BROKEN, FORMAT
from watcher.io.tables import SCHEMA

RUNS: Final = "runs"  # the ledger's key for the marks of its last two openings by a daemon
MARK: Final = ".watcher-ledger"  # in the prearchive: the mark of the last
PARTS: Final = ("", "-wal", "-shm")
PATIENCE: Final = 5.0  # seconds for a command that writes
SHORT: Final = sqlite3.SQLITE_IOERR_SHORT_READ


@dataclass(frozen=True)
class Opened:
    """The ledger's files as they were when it was opened: device and inode of each that lasts."""

    path: str
    prints: Mapping[str, tuple[int, int]]

    @classmethod
    def now(cls, path: str) -> "Opened":
        """As they are; StorageError where they can't be looked at."""
        found = {part: _identity(path + part) for part in PARTS[:2]}
        return cls(path, {part: print_ for part, print_ in found.items() if print_})

    def check(self) -> None:
        """LedgerError where another file has the name, or none: what is written there is lost."""
        for part, print_ in self.prints.items():
            if _identity(self.path + part) != print_:
                raise damaged(f"its file{part} was removed or replaced")


def _identity(path: str) -> tuple[int, int] | None:
    """Device and inode of a file that holds anything; a log that was folded in is empty."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise storage_error(error, "looking at the ledger") from error
    if found.st_size == 0 and not path.endswith("-wal"):
        return None
    return found.st_dev, found.st_ino


def fault_of(path: str, prearchive: str) -> str:
    """Why the ledger at `path` can't be used for this prearchive; empty where it can.

    The caller holds the stores. StorageError where the machine can't tell for now.
    """
    mark = _mark(prearchive)
    if not _identity(path):
        return "it was lost" if mark or any(os.path.lexists(path + part) for part in PARTS) else ""
    try:
        # only read: what is bad is kept as it was found
        uri = f"file:{quote(path)}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=PATIENCE)) as ledger:
            found = ledger.execute("PRAGMA quick_check(1)").fetchone()[0]
            kept = _kept(ledger)
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)  # none: undecodable
        if code != SHORT and code & 0xFF not in BROKEN:
            return ""  # it may well be whole; opening it tells what is wrong
        return f"it is damaged: {error}"
    if found != "ok":
        return f"it is damaged: {found.splitlines()[-1]}"
    if kept.get(FORMAT, SCHEMA) != SCHEMA:
        return f"it has format {kept[FORMAT]}, and this version reads {SCHEMA}"
    lost = mark and mark not in kept.get(RUNS, "").split()
    return "it is not the one of the last run" if lost else ""


def _kept(ledger: sqlite3.Connection) -> dict[str, str]:
    """What it says of itself; nothing where it is no ledger."""
    if not ledger.execute("SELECT 1 FROM sqlite_schema WHERE name = 'meta'").fetchone():
        return {}
    found = ledger.execute("SELECT key, value FROM meta WHERE key IN (?, ?)", (RUNS, FORMAT))
    return {str(key): str(value) for key, value in found}


def _mark(prearchive: str) -> str:
    data = files.read_if_there(os.path.join(prearchive, MARK)) or b""
    return data.decode("ascii", "replace").strip()


def next_runs(prearchive: str) -> str:
    """What the ledger is to keep under `RUNS` before `sign`: a new mark, and the one in place."""
    return f"{secrets.token_hex(8)} {_mark(prearchive)}".strip()


def sign(prearchive: str, runs: str) -> None:
    """Say beside the sessions that they are recorded in the ledger with these `RUNS`."""
    files.swap(os.path.join(prearchive, MARK), f"{runs.partition(' ')[0]}\n".encode())


def set_aside(path: str) -> str:
    """Give the ledger's files names that nobody opens, beside it; gives that of the first, or "".

    Nothing is removed or overwritten. Cut off between two of them, the next start moves the rest.
    """
    moment = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
    base = f"{path.removesuffix('.sqlite')}.aside-{moment}.sqlite"
    moved = [part for part in PARTS if os.path.lexists(path + part)]
    try:
        for part in moved:
            os.rename(path + part, base + part)
    except OSError as error:
        raise storage_error(error, "setting the ledger aside") from error
    files.sync(os.path.dirname(path))
    return base if moved else ""
