"""Installations of any size, laid down straight: ten thousand sessions, as the program has them.

One of each kind is filed, built and archived by the program's own stages. The others are casts of
these moulds: every row of the ledger and every file in which their id, label or study stands, with
others in their place. Of an archived cast there are the folders, XML, catalog and log; its images
are counted in the ledger, and not there.
"""

import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import reduce
from pathlib import Path

from quick import installed
from sqlalchemy import insert, select
from world import World, files_below

from watcher.core import names
from watcher.core.life import Event
from watcher.core.session import Status
from watcher.io import tables
from watcher.stages.archive import archive
from watcher.stages.rebuild import build
from watcher.stages.sessions import fail

IMAGES = 10  # of a session in the prearchive
ARCHIVED_IMAGES = 200  # of one in the archive
SHARES = {"conflict": 4, "ready": 4, "error": 1, "receiving": 1}  # of ten in the prearchive
MOULDS = len(SHARES)  # that lie in the prearchive besides
GIVEN = {"inactivity": "1h", "level": "info"}
EXTRA = """file = "{}/watcher.jsonl"
[session]
inactivity = "1h"
[projects.P2]
auto_archive = false
"""


def multitude(base, *, staged, archived):
    """The `World` of an installation with so many sessions, and a mould of each kind besides.

    Each session in CONFLICT has an archived one it is in conflict with.
    """
    given = {**GIVEN, "extra": EXTRA.format(base)}
    numbers = {kind: staged * share // 10 for kind, share in SHARES.items()}
    numbers["archived"] = archived - numbers["conflict"]
    with installed(base, **given) as bench:
        moulds = {kind: _mould(bench, kind) for kind in numbers}
        moment = datetime(2026, 1, 1, tzinfo=UTC)
        for kind, number in numbers.items():
            casts = []
            for _ in range(number):
                moment += timedelta(seconds=10)
                casts.append(moulds[kind].cast(moment))
            with bench.parts.ledger.write() as tx:
                for table in tables.metadata.sorted_tables:
                    if rows := [row for cast in casts for row in cast.get(table.name, ())]:
                        tx.execute(insert(table), rows)
    return World(base, **given)


def _mould(bench, kind):
    """One session of a kind, by the program's own stages."""
    label, study = f"LABEL_{kind}", f"1.2.826.0.77.{len(kind)}{ord(kind[0])}"

    def filed(**values):
        known = {"study": study, "patient_id": label, **values}
        paths = [f"{label}/in{each}" for each in range(1, IMAGES + 1)]
        for number, path in enumerate(paths, 1):
            bench.put(path, number, **known)
        drop = replace(bench.drop, project="P2" if kind == "ready" else "P1")
        return bench.file(*paths, drop=drop)[0].session

    parts, wanted = bench.parts, filed()
    if kind == "error":
        parts.ledger.move(wanted, Event.IDLE)
        fail(parts, wanted, OSError("Input/output error"))
    elif kind != "receiving":
        build(parts, wanted, Event.IDLE)
    if kind in {"archived", "conflict"}:
        archive(parts, wanted)
    if kind == "conflict":
        build(parts, filed(ImageComments="another"), Event.IDLE)
    assert kind.upper() in {each.status for each in parts.ledger.sessions(tuple(Status))}
    return Mould.of(bench, label, study)


@dataclass(frozen=True)
class Mould:
    """What there is of the sessions with a label: ids, rows by table, files by path."""

    root: Path
    label: str
    study: str
    ids: list[str]
    rows: dict[str, list[dict]]
    files: dict[str, bytes]

    @classmethod
    def of(cls, bench, label, study):
        root = Path(bench.parts.storage.stores.root)
        rows = {}
        with bench.parts.ledger.read() as tx:
            for table in tables.metadata.sorted_tables:
                found = [dict(each) for each in tx.execute(select(table)).mappings()]
                rows[table.name] = [row for row in found if label in str(row)]
            ids = [row["id"] for row in rows["session"]]
            found = tx.execute(select(tables.condition)).mappings()
            rows["condition"] = [dict(each) for each in found if each["key"].endswith(tuple(ids))]
        paths = [path for path in files_below(root) if label in path]
        return cls(root, label, study, ids, rows, {p: (root / p).read_bytes() for p in paths})

    def cast(self, moment):
        """Write the files of one more, opened at this moment; gives its rows."""
        ids = [names.timestamp(moment + timedelta(seconds=each)) for each, _ in enumerate(self.ids)]
        swaps = dict(zip(self.ids, ids, strict=True))
        swaps |= {self.label: f"{self.label}_{ids[0]}", self.study: f"{self.study}.{ids[0][9:]}"}

        def swapped(value):
            if isinstance(value, bytes):
                pairs = ((old.encode(), new.encode()) for old, new in swaps.items())
            elif isinstance(value, str):
                pairs = swaps.items()
            else:
                return value
            return reduce(lambda text, pair: text.replace(*pair), pairs, value)

        for path, data in self.files.items():
            self._write(swapped(path), data if path.endswith(".dcm") else swapped(data))
        rows = {
            table: [{name: swapped(value) for name, value in row.items()} for row in some]
            for table, some in self.rows.items()
        }
        for row in rows["archived"]:
            xml = (self.root / "archive" / row["project"] / "arc001" / f"{row['label']}.xml").stat()
            row |= {"xml_size": xml.st_size, "xml_mtime_ns": xml.st_mtime_ns}
            row["files"] = ARCHIVED_IMAGES
        return rows

    def _write(self, path, data):
        os.makedirs(self.root / os.path.dirname(path), exist_ok=True)
        if not path.startswith("archive/") or not path.endswith(".dcm"):
            (self.root / path).write_bytes(data)
