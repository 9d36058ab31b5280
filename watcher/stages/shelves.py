"""The ledger's index of archived sessions: one entry after each archiving, all of it at a start."""

import json
import os
from collections.abc import Iterator
from dataclasses import replace

from watcher.core.errors import DocumentError, StorageError
from watcher.dicom import document
from watcher.io import files
from watcher.io.registry import Shelf
from watcher.io.service import alive
from watcher.io.ways import open_ways
from watcher.stages.parts import Parts
from watcher.stages.promise import Promise


def shelve(parts: Parts, promise: Promise) -> None:
    """An archived session as its plan leaves it."""
    session = promise.session
    project = session.project or ""
    known = parts.registry.shelf(project, session.label)
    found = files.print_of(f"{parts.storage.archived(project, session.label)}.xml")
    scans, number, size = promise.totals
    parts.registry.shelve(
        Shelf(
            project=project,
            label=session.label,
            session=known.session if known else session.id,
            experiment=promise.experiment,
            subject=promise.subject,
            study=promise.studies[0],
            accepted=promise.studies[1:],
            files=number,
            bytes=size,
            scans=scans,
            changed=parts.clock.now(),
            xml_size=found.size if found else 0,
            xml_mtime_ns=found.mtime_ns if found else 0,
        )
    )


def archive_index(parts: Parts) -> int:
    """Make the index of archived sessions agree with the tree; gives how many did not."""
    known = {(shelf.project, shelf.label): shelf for shelf in parts.registry.shelved()}
    here = set()
    number = 0
    with open_ways():
        for project, label, path in _archived(parts.storage.stores.archive):
            alive()
            here.add((project, label))
            print_ = files.print_of(path)
            shelf = known.get((project, label))
            now = (print_.size, print_.mtime_ns) if print_ else None
            if shelf is None or (shelf.xml_size, shelf.xml_mtime_ns) != now:
                number += _reshelve(parts, project, label, path, shelf)
    for project, label in known.keys() - here:
        parts.registry.unshelve(project, label)
    return number


def _reshelve(parts: Parts, project: str, label: str, path: str, old: Shelf | None) -> bool:
    """Read one archived session anew; one that can't be read is said, and stops nobody."""
    key = xml_key(project, label)
    fields = {"project": project, "label": label, "path": path}
    try:
        parts.registry.shelve(_shelf(project, label, path, old))
    except (DocumentError, StorageError) as error:
        now = parts.clock.now()
        parts.conditions.raise_("archive.damaged", key, now, **fields, text=str(error))
        return False
    parts.conditions.clear("archive.verified", key, **fields)
    return True


def xml_key(project: str, label: str) -> str:
    """The key of `archive.damaged` where the session XML can't be read; `verify` has its own."""
    return f"archive/{project}/{label}.xml"


def reshelve(parts: Parts, project: str, label: str) -> None:
    """Make the index agree with one archived session as it is now."""
    path = f"{parts.storage.archived(project, label)}.xml"
    if files.print_of(path) is None:
        parts.registry.unshelve(project, label)
    else:
        _reshelve(parts, project, label, path, parts.registry.shelf(project, label))


def _archived(archive: str) -> Iterator[tuple[str, str, str]]:
    for project in sorted(files.names_in(archive)):
        folder = os.path.join(archive, project, "arc001")
        if project.startswith(".") or not os.path.isdir(folder):
            continue
        for name in sorted(files.names_in(folder)):
            if name.endswith(".xml") and not name.startswith("."):
                yield project, name.removesuffix(".xml"), os.path.join(folder, name)


def _shelf(project: str, label: str, path: str, old: Shelf | None) -> Shelf:
    data = files.read(path)
    found = document.read(data)
    number, size = document.totals(data)
    print_ = files.print_of(path)
    changed = (print_.mtime_ns if print_ else 0) / 1e9
    shelf = Shelf(
        project=project,
        label=label,
        session=old.session if old else _first_session(path.removesuffix(".xml")),
        experiment=found.id,
        subject=found.subject,
        study=found.study,
        accepted=found.accepted,
        files=number,
        bytes=size,
        scans=len(found.scans),
        changed=changed,
        xml_size=print_.size if print_ else 0,
        xml_mtime_ns=print_.mtime_ns if print_ else 0,
    )
    return replace(shelf, session=shelf.session or f"{project}/{label}")


def _first_session(folder: str) -> str:
    """The id the archived session had at first, from its own log."""
    lines = (files.read_if_there(os.path.join(folder, "logs", "events.jsonl")) or b"").splitlines()
    try:
        return str(json.loads(lines[0])["session"]) if lines else ""
    except (ValueError, KeyError, TypeError):
        return ""
