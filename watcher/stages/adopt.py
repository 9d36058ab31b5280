"""The ledger filled from the tree, where it is lost or older.

The tree is the truth about files, `LABEL.json` about what files don't say. A session that the
ledger knows as its record has it costs a look at its names only while it is RECEIVING.
"""

import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from watcher.core import life, names
from watcher.core.errors import DocumentError, StorageError
from watcher.core.file import Candidate, Refusal, RefusalCode
from watcher.core.policy import Drop
from watcher.core.scans import study_of
from watcher.core.session import Instance, Place, Session, Status
from watcher.io import files, known
from watcher.io.service import alive
from watcher.io.ways import open_ways
from watcher.stages import reading, withdrawing
from watcher.stages.deleting import drop_moment
from watcher.stages.found import Found, tree
from watcher.stages.hands import make_all_own
from watcher.stages.hop import Hop
from watcher.stages.parts import Parts

Examine = Callable[[Sequence[dict[str, Any]]], Awaitable[list[dict[str, Any]]]]
BATCH = 64  # files read in one question
ENDED = (Status.ARCHIVED, Status.DELETED)


async def sessions(parts: Parts, examine: Examine, thread: Hop) -> int:
    """Take in every prearchive session the ledger does not know as it is; gives how many."""
    number = 0
    strangers = await thread(lambda: list(_strangers(parts)))
    for found, record in strangers:
        alive()
        instances, unread = await _read(parts, found, record, examine, thread)
        number += await thread(_take_in, parts, found, record, instances, unread)
    return number


def _strangers(parts: Parts) -> Iterator[tuple[Found, Session | None]]:
    standing = known.revisions(parts.ledger)
    places: dict[str, list[Found]] = {}
    with open_ways():
        for found in tree(parts):
            alive()
            places.setdefault(found.id, []).append(found)
    for wanted, several in sorted(places.items()):
        if len(several) == 1 and _is_as(parts, standing.get(wanted), several[0]):
            continue
        records = [record for each in several if (record := each.record())]
        record = max(records, key=withdrawing.freshness, default=None)
        # a session that was being moved has its record in one place and its folder in another
        with_folder = [each for each in several if os.path.isdir(each.folder)]
        found = (with_folder or several)[0]
        withdrawing.withdraw(parts, wanted, record, found.plan)
        if not _agrees(parts, standing.get(wanted), record, found):
            yield found, record
    for gone in standing.keys() - places.keys():
        if standing[gone][0] not in ENDED:
            parts.ledger.forget(gone)


def _is_as(parts: Parts, standing: tuple[Status, int] | None, found: Found) -> bool:
    """Whether a session is plainly as the ledger has it: at work with nobody, its record as new."""
    if standing is None or found.is_planned or found.revision != standing[1]:
        return False
    status = standing[0]
    return status in life.OPEN and (status is not Status.RECEIVING or _has_all(parts, found))


def _agrees(
    parts: Parts, standing: tuple[Status, int] | None, record: Session | None, found: Found
) -> bool:
    if standing is None:
        return False
    status, revision = standing
    if status in ENDED:
        _finish_ended(parts, parts.ledger.session(found.id), found)
        return True
    if record is not None and record.revision > revision:
        return False
    if record is None or record.revision < revision:
        parts.publish(found.id)
    return status is not Status.RECEIVING or _has_all(parts, found)


def _has_all(parts: Parts, found: Found) -> bool:
    """Whether the ledger knows every file of a session."""
    with open_ways():
        here = {path for path in files.walk(found.folder) if _place(path)}
    return here <= known.places(parts.ledger, found.id)


def _finish_ended(parts: Parts, session: Session, found: Found) -> None:
    """Archived, but the plan was not struck any more; deleted, but folders were left."""
    if os.path.lexists(found.plan) and parts.storage.is_there("archive"):
        withdrawing.finish(parts, session, found.plan)
    elif session.status is Status.DELETED and files.remove_empty_below(found.folder):
        drop_moment(parts, found.moment)


def _place(path: str) -> Place | None:
    """The place a path inside a session names, if it is that of an instance."""
    found = Place.of(path)
    if found is None or found.name.startswith(".") or found.name.endswith("_catalog.xml"):
        return None
    return found


def _candidates(folder: str, paths: Sequence[str]) -> list[Candidate]:
    return [
        Candidate("", os.fsencode(path), print_)
        for path in paths
        if (print_ := files.print_of(os.path.join(folder, path)))
    ]


async def _read(
    parts: Parts, found: Found, record: Session | None, examine: Examine, thread: Hop
) -> tuple[list[Instance], int]:
    """Every instance in the folder, read anew, and how many can't be read now."""
    paths = await thread(lambda: [path for path in files.walk(found.folder) if _place(path)])
    if record is None or record.status is Status.RECEIVING:
        await thread(make_all_own, [os.path.join(found.folder, path) for path in paths])
    here = Drop(name="", path=found.folder, after="keep")
    instances: list[Instance] = []
    unread = 0
    for start in range(0, len(paths), BATCH):
        candidates = await thread(_candidates, found.folder, paths[start : start + BATCH])
        alive()
        replies = await examine(
            [
                reading.request(None, here, each, tags=(), copy=False, filed=True)
                for each in candidates
            ]
        )
        arrived = record.last_arrival if record else parts.clock.now()
        for each, reply in zip(candidates, replies, strict=True):
            answer = reading.answer(each, reply)
            if isinstance(answer, reading.Whole):
                instances.append(_instance(answer, arrived))
            elif not _is_stray(answer):
                unread += 1
    return await thread(_once_each, found.folder, instances), unread


def _is_stray(answer: Refusal | StorageError) -> bool:
    """Whether a file in a scan folder never was an instance."""
    return isinstance(answer, Refusal) and answer.code is RefusalCode.NOT_DICOM


def _once_each(folder: str, instances: Sequence[Instance]) -> list[Instance]:
    """A build that was cut off left files under two names: the second is removed."""
    first: dict[tuple[str, str], Instance] = {}
    for each in instances:
        kept = first.setdefault((each.header.sop_instance, each.digest), each)
        if kept is not each:
            files.sync(os.path.join(folder, kept.place.path))
            files.sync_folders([os.path.join(folder, kept.place.path)])
            files.remove(os.path.join(folder, each.place.path))
    return list(first.values())


def _instance(whole: reading.Whole, arrived: float) -> Instance:
    place = _place(os.fsdecode(whole.candidate.path))
    if place is None:
        raise DocumentError("a path that was asked for is no place of an instance")
    size = whole.candidate.print.size
    return Instance(place, whole.examined.digest, size, whole.examined.header, arrived)


def _take_in(
    parts: Parts,
    found: Found,
    record: Session | None,
    instances: Sequence[Instance],
    unread: int,
) -> int:
    if unread:
        return _leave(parts, found, record, unread)
    if record is None and not instances:
        if files.remove_empty_below(found.moment):
            drop_moment(parts, found.moment)
        return 0
    session = record or _unrecorded(parts, found, instances)
    if session.status in ENDED:
        return 0
    parts.ledger.add(session, _as_known(parts, session.id, instances))
    if record is None:
        parts.publish(session.id)
    return 1


def _as_known(parts: Parts, owner: str, instances: Sequence[Instance]) -> list[Instance]:
    """The files with what only the ledger knows of them: where they came from, and when."""
    rows = [*parts.ledger.instances(owner, in_hand=True), *parts.ledger.instances(owner)]
    known = {(each.header.sop_instance, each.digest): each for each in rows}
    found = ((each, known.get((each.header.sop_instance, each.digest))) for each in instances)
    return [
        replace(each, drop=old.drop, source=old.source, arrived=old.arrived) if old else each
        for each, old in found
    ]


def _leave(parts: Parts, found: Found, record: Session | None, unread: int) -> int:
    """A session that can't be read whole is left for the next start: nothing of it goes on."""
    parts.ledger.forget(found.id)
    parts.conditions.raise_(
        "session.error",
        f"session/{found.id}",
        parts.clock.now(),
        session=found.id,
        project=found.project or "Unassigned",
        label=found.label,
        subject=record.subject if record else "",
        study=record.study if record else "",
        error=f"{unread} of its files can't be read; it is left as it is",
        hint="mend the files or the file system, then start the daemon again",
    )
    return 0


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
