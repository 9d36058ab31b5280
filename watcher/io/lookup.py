"""Questions of the reading commands: what the ledger and the stores know, nothing changed."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import select

from watcher.core.find import Bound
from watcher.core.flood import WITHIN, is_crowd
from watcher.core.session import Place, SessionKey
from watcher.io import files, tables
from watcher.io.ledger import Ledger
from watcher.io.rows import bindings_in

MOUNT: Final = "mount/"
"""What a drop's remembered mount is kept under, with the drop's name (spec 5)."""
STORE_MOUNT: Final = "store-mount/"
"""The same of a store, with its kind."""


@dataclass(frozen=True, slots=True)
class Raised:
    """An open condition. `fields` are those of its line, as far as the ledger kept them."""

    key: str
    event: str
    raised: float  # seconds since the epoch
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Filed:
    """A file of a prearchive session: what can be searched for."""

    session: str
    path: str  # relative to the session's folder
    drop: str
    source: bytes  # relative to the drop
    sop: str
    series: str
    digest: str


class Lookup:
    """Read-only queries on the ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def raised(self) -> list[Raised]:
        """The open conditions, the oldest first; those in a crowd too, and no crowd."""
        row = tables.condition.c
        query = select(tables.condition).order_by(row.raised, row.key)
        with self._ledger.read() as tx:
            return [
                Raised(each.key, each.event, each.raised, told(each.fields))
                for each in tx.execute(query)
                if not is_crowd(each.key)
            ]

    def filed(self) -> Iterator[Filed]:
        """Every file of the prearchive, in hand or filed, by session and place."""
        row = tables.instance.c
        query = select(
            *(row.session, row.scan, row.folder, row.name, row.drop, row.source),
            *(row.sop, row.series, row.digest),
        ).order_by(row.session, row.scan, row.folder, row.name)
        with self._ledger.read() as tx:
            for each in tx.execute(query):
                path = Place(each.scan, each.folder, each.name).path
                yield Filed(
                    *(each.session, path, each.drop, each.source),
                    *(each.sop, each.series, each.digest),
                )

    def sources(self) -> Iterator[tuple[str, bytes]]:
        """Drop and path of the sources that are filed and lie there still."""
        row = tables.taken.c
        with self._ledger.read() as tx:
            for each in tx.execute(select(row.drop, row.path).order_by(row.drop, row.path)):
                yield each.drop, each.path

    def bindings(self, study: str) -> dict[SessionKey, Bound]:
        """Where people's decisions send a study's files, by the key computed for them."""
        with self._ledger.read() as tx:
            return bindings_in(tx, tables.binding.c.study == study)

    def mounts(self, of: str = MOUNT) -> dict[str, str]:
        """The mounts remembered of drops (STORE_MOUNT: of stores), by name: `type source`."""
        row = tables.meta.c
        query = select(row.key, row.value).where(row.key.startswith(of, autoescape=True))
        with self._ledger.read() as tx:
            return {each.key.removeprefix(of): each.value for each in tx.execute(query)}


def told(kept: str) -> dict[str, Any]:
    """The fields of a kept condition, as its line had them."""
    fields: dict[str, Any] = json.loads(kept)
    fields.pop(WITHIN, None)
    return fields


def names_below(folder: str) -> Iterator[str]:
    """Every file below a store's folder, relative to it and sorted; none where it is not there."""
    return files.walk(folder)


def lying(drop: str) -> Iterator[str]:
    """Everything in a drop, also what is no file, relative to it; nothing of what can't be read."""
    for base, folders, names in os.walk(drop):
        yield from (os.path.relpath(os.path.join(base, each), drop) for each in (*folders, *names))


def catalogs(folder: str) -> Iterator[tuple[str, bytes]]:
    """The catalogs of an archived session: path relative to its folder, and what they hold.

    StorageError where one can't be read.
    """
    for path in files.walk(os.path.join(folder, "SCANS")):
        if path.endswith("_catalog.xml"):
            yield f"SCANS/{path}", files.read(os.path.join(folder, "SCANS", path))


def is_linkable(drop: str, store: str) -> bool:
    """Whether a drop's own files can be linked into a store: our folder, on its file system.

    True where one of the two is not there: then nothing can be said.
    """
    try:
        one, other = os.stat(drop), os.stat(store)
    except OSError:
        return True
    return one.st_dev == other.st_dev and one.st_uid == os.geteuid()


def sizes_below(folder: str, paths: Sequence[str]) -> list[dict[str, Any]]:
    """These files of a store's folder: `path` and `bytes`; those that are gone are left out."""
    found = ((path, files.print_of(os.path.join(folder, path))) for path in paths)
    return [{"path": path, "bytes": print_.size} for path, print_ in found if print_]
