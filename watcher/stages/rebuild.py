"""A quiet session becomes catalogs, a session XML and findings: READY, CONFLICT or ERROR."""

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from watcher.core import life, names
from watcher.core.check import verdict
from watcher.core.errors import DocumentError, OutsideError, StorageError, WorkerError
from watcher.core.scans import arrange
from watcher.core.session import Instance, Place, Scan, ScanResource, Session, Status
from watcher.io import files
from watcher.stages import ahead
from watcher.stages.documents import waiting_xml, whole_catalog
from watcher.stages.parts import Parts, Stopped
from watcher.stages.validate import judge, readable


def build(parts: Parts, session_id: str, event: life.Event, **changes: Any) -> Session | None:
    """Build one session and validate it; gives it as it ended, or None where files came meanwhile.

    The caller holds the session's leases. StorageError where the machine could not for now: the
    session is back in RECEIVING and is tried again.
    """
    started = parts.clock.monotonic()
    session = parts.ledger.move(session_id, event, **changes)
    if session is None:
        return None
    return finish(parts, session, started)


def finish(parts: Parts, session: Session, started: float) -> Session | None:
    """The build proper, of a session that is BUILDING."""
    try:
        return _end(parts, _build(parts, session), session.generation, started)
    except (DocumentError, OutsideError) as error:
        failed = parts.ledger.move(
            session.id, life.Event.FAILED, generation=session.generation, error=readable(error)
        )
        return _tell(parts, failed, started)
    except (StorageError, WorkerError, Stopped):
        _back(parts, session.id)
        raise


def _build(parts: Parts, session: Session) -> Session:
    """Files into their scans, then catalogs, XML and findings; the session with all of them."""
    filed = parts.ledger.instances(session.id)
    tidy(parts, session, filed)
    scans = arrange(filed, known=session.scan_ids)
    scans = _move_in(parts, session, scans)
    session = replace(session, scan_ids={**session.scan_ids, **{s.uid: s.id for s in scans}})
    _write_catalogs(parts, session, scans)
    judged = judge(parts, session, scans)
    ahead.hold_back(parts, judged)
    parts.check_stop()
    files.swap(parts.storage.beside(session, "xml"), waiting_xml(parts, session, judged.scans))
    return replace(session, findings=judged.findings, partly=judged.partly)


def _end(parts: Parts, built: Session, generation: int, started: float) -> Session | None:
    ok = verdict(built.findings) == "ok"
    done = parts.ledger.move(
        built.id,
        life.Event.BUILT if ok else life.Event.CONFLICTED,
        generation=generation,
        findings=built.findings,
        partly=built.partly,
        scan_ids=built.scan_ids,
        error="",
    )
    if done is None:  # a file came: RECEIVING again, and what was learnt of scan IDs is kept
        parts.ledger.edit(built.id, scan_ids=built.scan_ids)
        return None
    return _tell(parts, done, started)


def _tell(parts: Parts, done: Session | None, started: float) -> Session | None:
    if done is None:
        return None
    parts.publish(done.id)
    scans, number, size = parts.ledger.sizes(done.id).get(done.id, (0, 0, 0))
    parts.emit(
        "session.rebuilt",
        **parts.said(done, status=done.status.value, scans=scans, files=number, bytes=size),
        findings=sorted({finding.code for finding in done.findings}),
        seconds=round(parts.clock.monotonic() - started, 3),
    )
    parts.announce(done)
    return done


def _back(parts: Parts, session_id: str) -> None:
    """A build that was cut off: RECEIVING, unless a file has brought it there already."""
    if parts.ledger.session(session_id).status is Status.BUILDING:
        parts.ledger.move(session_id, life.Event.CUT_OFF_BUILD)


# -- files -------------------------------------------------------------------------------------


def tidy(parts: Parts, session: Session, filed: Sequence[Instance]) -> None:
    """Remove second names, or copies, that a crash left of files of this session: not recorded."""
    base = parts.storage.folder(session)
    in_hand = parts.ledger.instances(session.id, in_hand=True)
    known = {each.place for each in (*filed, *in_hand)}
    strangers = [
        path
        for path in files.walk(base)
        if path.startswith("SCANS/") and Place.of(path) not in known
    ]
    if all(path.endswith("_catalog.xml") for path in strangers):
        return
    paths = (os.path.join(base, place.path) for place in known)
    inodes = {found for path in paths if (found := _inode(path))}
    named = {name: each for each in filed for name in _names(each)}
    for path in strangers:
        second = _inode(os.path.join(base, path)) in inodes
        if second or _is_copy(base, path, named.get(os.path.basename(path))):
            files.remove(os.path.join(base, path))


def _names(each: Instance) -> tuple[str, str]:
    return each.place.name, names.suffixed(each.place.name, each.digest)


def _is_copy(base: str, path: str, twin: Instance | None) -> bool:
    """Whether it is what moving a file leaves where there are no links, and the file is there."""
    if twin is None or files.placed(os.path.join(base, path)) is None:
        return False
    both = (os.path.join(base, path), os.path.join(base, twin.place.path))
    return files.print_of(both[1]) is not None and {twin.digest} == set(map(files.digest, both))


def _inode(path: str) -> tuple[int, int] | None:
    found = files.print_of(path)
    return (found.device, found.inode) if found else None


def _move_in(parts: Parts, session: Session, scans: Sequence[Scan]) -> tuple[Scan, ...]:
    """Every file under its scan's ID and resource: linked, synced, recorded, unlinked."""
    base = parts.storage.folder(session)
    moves = _moves(base, scans)
    _drop_empty(base, scans)
    if not moves:
        return tuple(scans)
    gone = [old for old in moves if files.print_of(os.path.join(base, old.path)) is None]
    for old in gone:  # `unreadable-file` tells of it
        del moves[old]
    for old, new in moves.items():
        parts.check_stop()
        target = os.path.join(base, new.path)
        files.make_folder(os.path.dirname(target))
        if not files.same_inode(os.path.join(base, old.path), target):
            files.transfer(os.path.join(base, old.path), target)
    files.sync_folders([os.path.join(base, new.path) for new in moves.values()])
    parts.ledger.relocate(session.id, moves)
    for old in moves:
        files.remove(os.path.join(base, old.path))
    for folder in sorted({os.path.dirname(old.path) for old in moves}):
        retire(os.path.join(base, folder))
    return tuple(_placed(scan, moves) for scan in scans)


def _drop_empty(base: str, scans: Sequence[Scan]) -> None:
    """Scan folders that a build which was cut off left without any file."""
    held = {each.place.scan for scan in scans for each in scan.instances}
    for name in files.names_in(os.path.join(base, "SCANS")) - held:
        files.remove_empty_below(os.path.join(base, "SCANS", name))


def _moves(base: str, scans: Sequence[Scan]) -> dict[Place, Place]:
    moves: dict[Place, Place] = {}
    taken = {each.place for scan in scans for each in scan.instances}
    for scan in scans:
        for resource in scan.resources:
            for each in resource.instances:
                new = Place(scan.id, resource.label, each.place.name)
                if new == each.place:
                    continue
                if new in taken or _is_anothers(base, each.place, new):
                    new = replace(new, name=names.suffixed(new.name, each.digest))
                taken.add(new)
                moves[each.place] = new
    return moves


def _is_anothers(base: str, old: Place, new: Place) -> bool:
    """Whether a stray lies under the name; a link to the file itself is an earlier try's."""
    target = os.path.join(base, new.path)
    there = os.path.lexists(target)
    return there and not files.same_inode(os.path.join(base, old.path), target)


def _placed(scan: Scan, moves: dict[Place, Place]) -> Scan:
    def moved(each: Instance) -> Instance:
        return replace(each, place=moves.get(each.place, each.place))

    resources = (
        ScanResource(each.label, tuple(moved(one) for one in each.instances))
        for each in scan.resources
    )
    return replace(scan, resources=tuple(resources))


def retire(folder: str) -> None:
    """A scan folder that files left: its catalog goes if nothing else is there."""
    left = files.names_in(folder)
    if all(name.endswith("_catalog.xml") for name in left):
        for name in left:
            files.remove(os.path.join(folder, name))
        files.remove_empty(folder)
        files.remove_empty(os.path.dirname(folder))


def _write_catalogs(parts: Parts, session: Session, scans: Sequence[Scan]) -> None:
    base = parts.storage.folder(session)
    for scan in scans:
        for resource in scan.resources:
            parts.check_stop()
            path = os.path.join(base, names.catalog_path(scan.id, resource.label))
            text = whole_catalog(scan, resource, session.project or "")
            if files.read_if_there(path) != text:
                files.make_folder(os.path.dirname(path))  # gone with all its files
                files.swap(path, text)
