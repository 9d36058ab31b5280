"""The ledger filled from the tree, where it is lost or older.

The tree is the truth about files, `LABEL.json` about what files don't say. A session that the
ledger knows as its record has it costs a look at its names only while it is RECEIVING.
"""

import json
import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from watcher.core import names
from watcher.core.errors import DocumentError
from watcher.core.model import Candidate, Instance, Place, Session, Status
from watcher.core.policy import Drop
from watcher.core.scans import study_of
from watcher.dicom import document
from watcher.io import files
from watcher.io.registry import Shelf
from watcher.io.stores import read_record
from watcher.stages import promise as promises
from watcher.stages import reading
from watcher.stages.hop import Hop
from watcher.stages.parts import Parts

Examine = Callable[[Sequence[dict[str, Any]]], Awaitable[list[dict[str, Any]]]]
BATCH = 64  # files read in one question
ENDED = (Status.ARCHIVED, Status.DELETED)


@dataclass(frozen=True, slots=True)
class Found:
    """A session in the tree: its record if it has one, its folder if it is there."""

    project: str | None
    moment: str  # the timestamp folder, absolute
    label: str

    @property
    def id(self) -> str:
        """The session's id."""
        return os.path.basename(self.moment)

    @property
    def folder(self) -> str:
        """Its folder."""
        return os.path.join(self.moment, self.label)

    def record(self) -> Session | None:
        """What `LABEL.json`, or else the plan beside it, says."""
        if os.path.lexists(f"{self.folder}.json"):
            return read_record(f"{self.folder}.json")
        plan = f"{self.folder}.plan.json"
        return promises.read(plan).session if os.path.lexists(plan) else None


async def sessions(parts: Parts, examine: Examine, thread: Hop) -> int:
    """Take in every prearchive session the ledger does not know as it is; gives how many."""
    number = 0
    strangers = await thread(lambda: list(_strangers(parts)))
    for found, record in strangers:
        instances = await _read(parts, found, record, examine, thread)
        number += await thread(_take_in, parts, found, record, instances)
    return number


def _strangers(parts: Parts) -> Iterator[tuple[Found, Session | None]]:
    known = {each.id: each for each in parts.ledger.sessions(tuple(Status))}
    places: dict[str, list[Found]] = {}
    for found in _tree(parts.storage.stores.prearchive):
        places.setdefault(found.id, []).append(found)
    for wanted, several in sorted(places.items()):
        records = [record for each in several if (record := each.record())]
        record = records[0] if records else None
        # a session that was being moved has its record in one place and its folder in another
        with_folder = [each for each in several if os.path.isdir(each.folder)]
        found = (with_folder or several)[0]
        if not _agrees(parts, known.get(wanted), record, found):
            yield found, record
    for gone in known.keys() - places.keys():
        if known[gone].status not in ENDED:
            parts.ledger.forget(gone)


def _agrees(parts: Parts, known: Session | None, record: Session | None, found: Found) -> bool:
    if known is None:
        return False
    if known.status in ENDED:
        _finish_ended(parts, known, found)
        return True
    if record is not None and record.revision > known.revision:
        return False
    if known.status is not Status.RECEIVING:
        return True
    here = {path for path in files.walk(found.folder) if _place(path)}
    rows = {
        each.place.path
        for hand in (False, True)
        for each in parts.ledger.instances(known.id, in_hand=hand)
    }
    return here <= rows


def _finish_ended(parts: Parts, known: Session, found: Found) -> None:
    """Archived, but the plan that did it was not struck any more."""
    plan = f"{found.folder}.plan.json"
    if os.path.lexists(plan):
        promises.clear_away(parts, promises.read(plan))
        promises.strike(parts, known)


def _tree(prearchive: str) -> Iterator[Found]:
    for name in sorted(files.names_in(prearchive)):
        path = os.path.join(prearchive, name)
        if names.is_timestamp(name):
            yield from _moment(None, path)
        elif not name.startswith(".") and os.path.isdir(path):
            for moment in sorted(files.names_in(path)):
                if names.is_timestamp(moment):
                    yield from _moment(name, os.path.join(path, moment))


def _moment(project: str | None, moment: str) -> Iterator[Found]:
    labels = {_label(name) for name in files.names_in(moment) if not name.startswith(".")}
    if not labels:
        files.remove_empty(moment)
    for label in sorted(labels):
        yield Found(project, moment, label)


def _label(name: str) -> str:
    for ending in (".plan.json", ".json", ".xml"):
        if name.endswith(ending):
            return name.removesuffix(ending)
    return name


def _place(path: str) -> Place | None:
    """The place a path inside a session names, if it is that of an instance."""
    match path.split("/"):
        case ["SCANS", scan, ("DICOM" | "secondary") as folder, name]:
            hidden = name.startswith(".") or name.endswith("_catalog.xml")
            return (
                None if hidden else Place(scan, "DICOM" if folder == "DICOM" else "secondary", name)
            )
        case _:
            return None


async def _read(
    parts: Parts, found: Found, record: Session | None, examine: Examine, thread: Hop
) -> list[Instance]:
    """Every instance in the folder, read anew; what is none is left where it lies."""
    paths = await thread(lambda: [path for path in files.walk(found.folder) if _place(path)])
    here = Drop(name="", path=found.folder, after="keep")
    instances: list[Instance] = []
    for start in range(0, len(paths), BATCH):
        candidates = [
            Candidate("", os.fsencode(path), print_)
            for path in paths[start : start + BATCH]
            if (print_ := files.print_of(os.path.join(found.folder, path)))
        ]
        replies = await examine(
            [
                reading.request(None, here, each, tags=(), quiet=True, copy=False)
                for each in candidates
            ]
        )
        arrived = record.last_arrival if record else parts.clock.now()
        for each, reply in zip(candidates, replies, strict=True):
            answer = reading.answer(each, reply)
            if isinstance(answer, reading.Whole):
                instances.append(_instance(answer, arrived))
    return instances


def _instance(whole: reading.Whole, arrived: float) -> Instance:
    place = _place(os.fsdecode(whole.candidate.path))
    if place is None:
        raise DocumentError("a path that was asked for is no place of an instance")
    size = whole.candidate.print.size
    return Instance(place, whole.examined.digest, size, whole.examined.header, arrived)


def _take_in(
    parts: Parts, found: Found, record: Session | None, instances: Sequence[Instance]
) -> int:
    if record is None and not instances:
        files.remove_empty_below(found.moment)
        return 0
    session = record or _unrecorded(parts, found, instances)
    if session.status in ENDED:
        return 0
    parts.ledger.add(session, instances)
    if record is None:
        parts.publish(session.id)
    return 1


def _unrecorded(parts: Parts, found: Found, instances: Sequence[Instance]) -> Session:
    """A session that a crash left without its record: what its path and files tell."""
    now = parts.clock.now()
    header = instances[0].header
    return Session(
        id=found.id,
        project=found.project,
        subject=names.label(header["PatientName"]) if header["PatientName"] else "unknown",
        label=found.label,
        study=study_of(instances),
        status=Status.RECEIVING,
        opened=now,
        receiving_since=now,
        last_arrival=now,
        inactivity=parts.rules.inactivity,
        generation=len(instances),
    )


# -- archive -------------------------------------------------------------------------------------


def archive_index(parts: Parts) -> int:
    """Make the index of archived sessions agree with the tree; gives how many did not."""
    known = {(shelf.project, shelf.label): shelf for shelf in parts.registry.shelved()}
    here = set()
    number = 0
    for project, label, path in _archived(parts.storage.stores.archive):
        here.add((project, label))
        print_ = files.print_of(path)
        shelf = known.get((project, label))
        same = (
            shelf
            and print_
            and (shelf.xml_size, shelf.xml_mtime_ns)
            == (
                print_.size,
                print_.mtime_ns,
            )
        )
        if not same:
            parts.registry.shelve(_shelf(project, label, path, shelf))
            number += 1
    for project, label in known.keys() - here:
        parts.registry.unshelve(project, label)
    return number


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
