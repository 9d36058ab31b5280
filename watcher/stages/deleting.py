"""A session, or some of its scans, goes to the history; what was begun is carried on.

A whole session is DELETING until it is gone. Scans are named in `LABEL.delete.json` beside the
session, a promise that stands until the last of their files is in the history.
"""

import json
import os
from collections.abc import Collection, Sequence
from dataclasses import asdict

from watcher.core import life, names
from watcher.core.errors import DocumentError, RefusedError
from watcher.core.session import Decision, Instance, Place, Session
from watcher.io import files
from watcher.report.times import iso
from watcher.stages import ahead, history
from watcher.stages.decided import ARRIVING, decision_on, note, note_all
from watcher.stages.parts import Parts
from watcher.stages.rebuild import finish, retire

PLAN = "delete.json"


def delete(parts: Parts, session_id: str, *, who: str, reason: str) -> Session:
    """Move a whole session to the history. RefusedError where the state forbids it."""
    old = parts.ledger.session(session_id)
    decision = decision_on(parts, old, "delete", who, reason)
    deleting = parts.ledger.move(
        session_id,
        life.Event.DELETE,
        generation=old.generation,  # files that nobody has seen are not decided on
        decisions=(*old.decisions, decision),
    )
    if deleting is None:
        raise RefusedError(ARRIVING)
    return carry_delete(parts, deleting)


def carry_delete(parts: Parts, session: Session) -> Session:
    """Carry a DELETING session to the history, from wherever it stands."""
    ahead.withdraw(parts, session)
    folder = parts.storage.folder(session)
    if os.path.lexists(f"{folder}.json"):
        parts.publish(session.id)
    unknown = decision_on(parts, session, "delete", "", "")  # of a record that lost its decisions
    _describe(parts, session, history.DELETED, (unknown, *session.decisions)[-1])
    files.remove(parts.storage.beside(session, PLAN))  # of scans: all of it goes
    target = _history(parts, session)
    for path in list(files.walk(folder)):
        parts.check_stop()
        _to_history(os.path.join(folder, path), os.path.join(target, path))
    for ending in ("xml", "json"):
        files.remove(files.temporary(f"{folder}.{ending}"))
        if os.path.lexists(f"{folder}.{ending}"):
            _to_history(f"{folder}.{ending}", f"{target}.{ending}")
    note_all(parts, session)
    parts.settle(session, "deleted")
    sizes = parts.ledger.sizes().get(session.id, (0, 0, 0))
    done = parts.ledger.end(session.id, life.Event.DELETED, sizes)
    files.remove_empty_below(folder)
    drop_moment(parts, os.path.dirname(folder))
    return done


def delete_scans(
    parts: Parts, session_id: str, scans: Collection[str], *, who: str, reason: str
) -> Session:
    """Move some scans of a session to the history, then build it again.

    Where that is all there is, the whole session is deleted. RefusedError where the state forbids
    it, or there is no such scan.
    """
    old = parts.ledger.session(session_id)
    instances = parts.ledger.instances(session_id)
    gone = _chosen(instances, scans)
    if len(gone) == len(instances):
        return delete(parts, session_id, who=who, reason=reason)
    decision = decision_on(parts, old, f"delete --scan {','.join(sorted(scans))}", who, reason)
    started = parts.clock.monotonic()
    plan = {"when": decision.when, "places": [asdict(each) for each in gone]}
    life.move(old.status, life.Event.REBUILD)  # refused before anything is written
    files.swap(parts.storage.beside(old, PLAN), json.dumps(plan, indent=1).encode() + b"\n")
    building = parts.ledger.move(
        session_id,
        life.Event.REBUILD,
        generation=old.generation,
        hold_auto=True,
        decisions=(*old.decisions, decision),
    )
    if building is None:
        files.remove(parts.storage.beside(old, PLAN))
        raise RefusedError(ARRIVING)
    parts.publish(session_id)
    carry_scans(parts, building)
    done = finish(parts, building, started)
    if done is None:
        raise RefusedError(ARRIVING)
    return done


def _chosen(instances: Sequence[Instance], scans: Collection[str]) -> list[Place]:
    gone = [each.place for each in instances if each.place.scan in scans]
    missing = set(scans) - {each.scan for each in gone}
    if missing:
        raise RefusedError(f"there is no scan {', '.join(sorted(missing))} in it")
    return gone


def carry_scans(parts: Parts, session: Session) -> None:
    """Carry out the promise beside a session, if there is one, from wherever it stands.

    One whose decision never reached the session is taken back.
    """
    path = parts.storage.beside(session, PLAN)
    data = files.read_if_there(path)
    if data is None:
        return
    decision, places = _promised(session, data)
    if decision is not None:
        ahead.withdraw(parts, session)  # what stays of it goes again, if it may
        _describe(parts, session, "scans", decision)
        folder, target = parts.storage.folder(session), _history(parts, session)
        for place in places:
            source = os.path.join(folder, place.path)
            if os.path.lexists(source):
                _to_history(source, os.path.join(target, place.path))
        for emptied in sorted({os.path.dirname(place.path) for place in places}):
            retire(os.path.join(folder, emptied))  # its catalog lists what is gone
        parts.ledger.drop_instances(session.id, places)
        note(parts, session, decision)
    files.remove(path)


def _promised(session: Session, data: bytes) -> tuple[Decision | None, list[Place]]:
    try:
        plan = json.loads(data)
        places = [_place(each["scan"], each["folder"], each["name"]) for each in plan["places"]]
        when = plan["when"]
    except (ValueError, KeyError, TypeError) as error:
        raise DocumentError("a promise beside a session can't be read") from error
    return next((each for each in session.decisions if each.when == when), None), places


def _place(scan: str, folder: str, name: str) -> Place:
    """A file that a promise names; ValueError where that is none of a session."""
    if not (names.is_part(scan) and names.is_part(name)):
        raise ValueError(name)
    return Place(scan, "DICOM" if folder == "DICOM" else "secondary", name)


def drop_moment(parts: Parts, moment: str) -> None:
    """The emptied timestamp folder, and the project's where it was the last."""
    if files.remove_empty(moment) and os.path.dirname(moment) != parts.storage.stores.prearchive:
        files.remove_empty(os.path.dirname(moment))


def _history(parts: Parts, session: Session) -> str:
    parts.storage.require("history")
    return parts.storage.history(session.project, session.label, session.id)


def _describe(parts: Parts, session: Session, kind: history.Kind, decision: Decision) -> None:
    history.describe(
        parts,
        _history(parts, session),
        kind=kind,
        session=session,
        command=decision.command,
        who=decision.who,
        reason=decision.reason,
        when=iso(decision.when),
    )


def _to_history(source: str, target: str) -> None:
    files.make_folder(os.path.dirname(target))
    if files.placed(target) is None:
        files.transfer(source, target)
    elif not files.same_inode(source, target) and files.digest(source) != files.digest(target):
        target = history.twin(target, files.digest(source))
        if files.placed(target) is None:
            files.transfer(source, target)
    files.sync_folders([target])
    files.remove(source)
