"""What a tree of stores holds: as a value to compare, and the laws it must obey at every moment."""

import hashlib
import json
import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path

from lxml import etree

CAT = "{http://nrg.wustl.edu/catalog}"
STORES = ("prearchive", "archive", "quarantine", "history")
MOMENT = re.compile(r"\d{8}_\d{9}")  # a session's id
MARK = re.compile(r"\b[0-9a-f]{12}\b")  # of a quarantine entry: made from an inode among others
DAY = re.compile(r"\b\d{4}-\d\d-\d\d(T[\d:.]+([+]00:00|Z))?")
SENDER = ("path", "path_base64")
TOLD = {"opened", "receiving_since", "last_arrival", "changed", "revision", "generation", "when"}


def md5(path):
    return hashlib.md5(Path(path).read_bytes()).hexdigest()


def names_below(folder):
    """Every file, and every empty folder with a slash at its end, relative."""
    for base, folders, files in os.walk(folder):
        inside = os.path.relpath(base, folder)
        yield from (os.path.normpath(os.path.join(inside, name)) for name in files)
        if not folders and not files:
            yield f"{inside}/"


def picture(root, *, ledger=True):
    """All the stores hold, by path, without the times and ids that differ from run to run.

    Without the ledger also without what only it knows: where in the drop an archived file lay.
    """
    found = {}
    for store in STORES:
        for name in names_below(f"{root}/store/{store}"):
            path = f"{root}/store/{store}/{name}"
            if name.endswith("/"):
                found[_plain(f"{store}/{name}", root)] = "empty folder"
            elif not name.startswith(".watcher") and (ledger or "/logs/" not in name):
                found[_plain(f"{store}/{name}", root)] = _content(path, root)
    if not ledger:
        for values in (each for path, each in found.items() if path.endswith("/reason.json")):
            for word in SENDER:
                values.pop(word, None)
    return found


def _content(path, root):
    data = Path(path).read_bytes()
    if path.endswith(".xml"):
        return _plain(etree.tostring(etree.fromstring(data), method="c14n2").decode(), root)
    if path.endswith(".json"):
        return _values(json.loads(data), root)
    if path.endswith(".jsonl"):
        return [_values(json.loads(line), root) for line in data.splitlines()]
    return hashlib.md5(data).hexdigest()


def _values(value, root):
    if isinstance(value, dict):
        return {key: _values(each, root) for key, each in value.items() if key not in TOLD}
    if isinstance(value, list):
        return [_values(each, root) for each in value]
    return _plain(value, root) if isinstance(value, str) else value


def _plain(text, root):
    return DAY.sub("DAY", MARK.sub("MARK", MOMENT.sub("MOMENT", text.replace(str(root), "ROOT"))))


def dropped(root):
    """The digests of what lies in the drops."""
    return {md5(path) for path in Path(root, "drops").rglob("*") if path.is_file()}


def held(root):
    """The digests of all files in the stores that are whole under a name of their own."""
    return {
        md5(path)
        for store in STORES
        for path in Path(root, "store", store).rglob("*")
        if path.is_file() and not path.name.startswith(".") and ".watcher" not in str(path)
    }


def lost(root, inputs):
    """The inputs whose bytes are nowhere."""
    return sorted(inputs - held(root) - dropped(root))


def wrong_entries(root):
    """Entries of catalogs in the archive whose file is not there with that digest and size."""
    wrong = []
    for path in Path(root, "store/archive").rglob("*_catalog.xml"):
        for entry in etree.parse(path).iter(f"{CAT}entry"):
            file = path.parent / entry.get("URI")
            size = entry.findtext(f"{CAT}metaFields/{CAT}metaField[@name='SIZE']")
            if not file.is_file():
                wrong.append(f"{file}: not there")
            elif (md5(file), str(file.stat().st_size)) != (entry.get("digest"), size):
                wrong.append(f"{file}: other bytes")
    return wrong


def uncatalogued(root):
    """Files in scans of the archive that no catalog lists."""
    return [
        str(path)
        for path in Path(root, "store/archive").glob("*/arc001/*/SCANS/*/*/*")
        if not path.name.endswith("_catalog.xml")
        and path.name.encode() not in b"".join(p.read_bytes() for p in path.parent.glob("*.xml"))
    ]


def leftovers(root):
    """Temporary files, and copies that were being read."""
    store = Path(root, "store")
    return sorted(
        str(path.relative_to(root))
        for path in store.rglob("*")
        if path.name.endswith((".new", ".plan.json")) or path.parent.name == ".watcher-incoming"
    )


def ledger(root):
    """What the ledger knows, in the words that do not differ from run to run."""
    with closing(sqlite3.connect(f"{root}/store/state/ledger.sqlite")) as tx:
        return {
            name: sorted(tx.execute(query))
            for name, query in {
                "sessions": "select status, project, label, subject, files, scans from session",
                "instances": "select scan, folder, name, digest, in_hand from instance",
                "taken": 'select "drop", path from taken',
                "archived": "select project, label, subject, study, accepted, files, bytes, scans"
                " from archived",
                "quarantine": 'select "drop", code, path, files, open from quarantine',
                "conditions": "select event from condition",
            }.items()
        }


def unfound(root):
    """Files of the ledger that are not in the tree with that digest."""
    with closing(sqlite3.connect(f"{root}/store/state/ledger.sqlite")) as tx:
        rows = tx.execute(
            "select s.project, s.id, s.label, i.scan, i.folder, i.name, i.digest"
            " from instance i join session s on s.id = i.session where not i.in_hand"
        ).fetchall()
    bad = []
    for project, moment, label, scan, folder, name, digest in rows:
        where = Path(root, "store/prearchive", project or "", moment, label)
        path = where / "SCANS" / scan / folder / name
        if not path.is_file() or md5(path) != digest:
            bad.append(str(path))
    return bad
