"""Files of a session go into the archive ahead of its catalogs, or are taken back (spec 7).

Only where the session they belong to is archived, and of scans that nothing holds. They keep their
names in the prearchive until the one step after inactivity, ordinary archiving, which finds them
in place. Named durably in `LABEL.ahead.json` before they are placed; every step can be repeated.
"""

import os
from collections.abc import Collection

from watcher.core.errors import ClashError, DocumentError, OutsideError
from watcher.core.session import Destination, Session, Status
from watcher.io import files
from watcher.stages import carrying, inventory, sent
from watcher.stages.parts import Parts
from watcher.stages.validate import Judged, judge


def send(parts: Parts, session_id: str) -> bool:
    """Place what may go of a RECEIVING session; take back what may not any more.

    Gives whether anything was placed. The caller holds the leases on the session and on its
    destination. StorageError and MissingPlaceError where the archive can't take it for now.
    """
    session = parts.ledger.session(session_id)
    if session.status is not Status.RECEIVING or session.landing or not _may_go(parts, session):
        return False
    try:
        judged = judge(parts, session)
    except (DocumentError, OutsideError):  # the build after inactivity says so, and ends in ERROR
        return False
    if judged.archived is None:
        hold_back(parts, judged)
        return False
    return _carry(parts, judged)


def _may_go(parts: Parts, session: Session) -> bool:
    """Whether there is a session to go to, or something of this one to be taken back."""
    if session.project is None or parts.project(session) is None:
        return False
    parts.storage.require("archive")
    there = files.print_of(f"{parts.storage.archived(session.project, session.label)}.xml")
    return (session.dest == "archive" and there is not None) or sent.is_sent(parts, session)


def _carry(parts: Parts, judged: Judged) -> bool:
    """Promise, place, record."""
    hold_back(parts, judged)
    session, known = judged.session, sent.read(parts, judged.session)
    adds = judged.merge.adds if session.dest == "archive" else ()
    wanted = {add.target: add.instance.digest for add in adds}
    if not wanted.items() <= known.items():
        sent.write(parts, session, {**known, **wanted})
    folder, base = parts.storage.folder(session), _base(parts, session)
    placed: list[str] = []
    there = {same.source for same in judged.merge.same if session.dest == "archive"}
    for add in adds:
        parts.check_stop()
        source, target = os.path.join(folder, add.source), os.path.join(base, add.target)
        digest = add.instance.digest
        if sent.is_there(source, target, digest, known.get(add.target)):
            there.add(add.source)
        elif _place(source, target):
            placed.append(target)
            there.add(add.source)
    files.sync_folders(placed)
    parts.storage.require("archive")  # still: else all this went beneath its mount
    whole = there == {each.place.path for scan in judged.scans for each in scan.instances}
    _tell(parts, session, "archive" if whole and there else "prearchive", len(placed))
    return bool(placed)


def _place(source: str, target: str) -> bool:
    """A file under its name in the archive too; not where that is taken since it was chosen."""
    files.make_folder(os.path.dirname(target))
    try:
        files.transfer(source, target)
    except ClashError:  # the next look chooses another name
        return False
    return True


def _tell(parts: Parts, session: Session, place: Destination, count: int) -> None:
    """Record where the files lie, unless more have come since they were looked at."""
    if count:
        parts.emit(
            "session.status", **parts.said(session, before=session.status.value, after="ahead")
        )
    if session.place != place and parts.ledger.edit(
        session.id, generation=session.generation, place=place
    ):
        parts.publish(session.id)


# -- taking back -----------------------------------------------------------------------------------


def hold_back(parts: Parts, judged: Judged) -> None:
    """Take back what the judgement on a session does not let in, or not under that name."""
    session = judged.session
    merge = judged.merge if session.dest == "archive" and judged.archived else None
    adds = {add.target for add in merge.adds} if merge else set[str]()
    same = {each.target for each in merge.same} if merge else set[str]()
    withdraw(parts, session, keep=adds | same)


def withdraw(parts: Parts, session: Session, *, keep: Collection[str] = ()) -> None:
    """Take a session's files back that lie ahead, but for these; durable when it returns.

    Never one that a catalog lists, nor one whose bytes the prearchive does not hold too: such a
    file stays, as a stray where nothing lists it.
    """
    known = sent.read(parts, session)
    gone = sorted(known.keys() - set(keep))
    if gone:
        parts.storage.require("archive")
        _note_apart(parts, session)
        base = _base(parts, session)
        listed = {item.path for _, item in inventory.listed(base, set(gone))}
        _take(parts, session, [path for path in gone if path not in listed])
        for path in gone:
            carrying.prune(base, path)
        store = parts.storage.require("archive")
        files.sync_folders([carrying.left(store, os.path.join(base, path)) for path in gone])
    left = {target: digest for target, digest in known.items() if target in keep}
    if gone or (not left and sent.is_sent(parts, session)):
        sent.write(parts, session, left)


def _note_apart(parts: Parts, session: Session) -> None:
    """From now on its files lie in the prearchive only, as far as anybody is told."""
    if parts.ledger.session(session.id).place != "prearchive":
        parts.ledger.edit(session.id, place="prearchive")
        parts.publish(session.id)


def _take(parts: Parts, session: Session, targets: Collection[str]) -> None:
    base, known = _base(parts, session), sent.read(parts, session)
    folder = parts.storage.folder(session)
    filed = {each.digest: each for each in parts.ledger.instances(session.id)}
    for path in targets:
        parts.check_stop()
        target, twin = os.path.join(base, path), filed.get(known[path])
        drop_half(target)
        source = os.path.join(folder, twin.place.path) if twin else ""
        if twin and _is_second(source, target, twin.digest):
            files.remove(target)


def _is_second(source: str, target: str, digest: str) -> bool:
    """Whether both are there, and the target is the source, or has its bytes."""
    if files.print_of(source) is None or files.print_of(target) is None:
        return False
    return files.same_inode(source, target) or {digest} == set(map(files.digest, (source, target)))


def drop_half(target: str) -> None:
    """What a placing that was cut off left of a name in the archive."""
    temporary = files.temporary(target)
    files.clear_half(target, temporary)
    files.remove(temporary)


def _base(parts: Parts, session: Session) -> str:
    return parts.storage.archived(session.project or "", session.label)
