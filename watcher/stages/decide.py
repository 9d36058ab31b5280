"""What a person decides of a session: archive it, by force too; move, relabel, delete it.

Each is a move of the session's life, a promise in its record, steps that can be repeated, and a
line in `history/decisions.jsonl`. The caller holds the leases.
"""

import json
import os
from collections.abc import Collection
from dataclasses import replace

from watcher.core import life
from watcher.core.check import FORCEABLE
from watcher.core.errors import RefusedError, storage_error
from watcher.core.find import Bound
from watcher.core.model import Decision, Session, Severity, Status
from watcher.io import files
from watcher.stages.archive import archive
from watcher.stages.parts import Parts, iso
from watcher.stages.rebuild import build, finish

ARRIVING = "files of it are being filed at this moment"


def rebuild(parts: Parts, session_id: str) -> Session:
    """Build and validate again; never archives by itself. RefusedError where the state forbids."""
    return _built(build(parts, session_id, life.Event.REBUILD, hold_auto=True))


def _built(session: Session | None) -> Session:
    if session is None:
        raise RefusedError(ARRIVING, hint="try again when it is quiet, or wait for inactivity")
    return session


def archive_now(
    parts: Parts, session_id: str, *, force: bool = False, who: str = "", reason: str = ""
) -> Session:
    """Build if needed, then archive; with `force`, past the findings that give way to it.

    Gives the session as it ended: ARCHIVED, or CONFLICT with what still blocks.
    """
    session = parts.ledger.session(session_id)
    if session.status is not Status.READY:
        session = rebuild(parts, session_id)
    if session.status is Status.CONFLICT and force:
        session = _force(parts, session, who, reason)
    return _built(archive(parts, session.id)) if session.status is Status.READY else session


def overridden(session: Session) -> tuple[str, ...]:
    """The codes `--force` would pass; empty where something stands that no force passes."""
    blocking = [finding for finding in session.findings if finding.blocks]
    able = all(f.code in FORCEABLE and f.severity is not Severity.FAIL for f in blocking)
    return tuple(dict.fromkeys(f.code for f in blocking)) if able else ()


def _force(parts: Parts, session: Session, who: str, reason: str) -> Session:
    passed = overridden(session)
    if not passed:
        return session
    decision = _decision(parts, session, "archive", who, reason, passed=passed)
    parts.ledger.edit(session.id, decisions=(*session.decisions, decision))
    _note(parts, parts.publish(session.id), decision)
    return rebuild(parts, session.id)


# -- move and relabel ----------------------------------------------------------------------------


def relocate(
    parts: Parts,
    session_id: str,
    *,
    project: str | None,
    label: str,
    subject: str,
    command: str,
    who: str,
    reason: str = "",
) -> Session:
    """Give a session another project, label or subject; later files of its study follow.

    Ends in a build. RefusedError where the state forbids it or files are in hand.
    """
    old = parts.ledger.session(session_id)
    decision = replace(
        _decision(parts, old, command, who, reason),
        key_from=(old.project, old.label),
        key_to=(project, label),
        subject=subject,
    )
    moving = parts.ledger.move(
        session_id,
        life.Event.MOVE,
        target=(project, label, subject),
        decisions=(*old.decisions, decision),
        hold_auto=False,
    )
    parts.publish(_built(moving).id)
    return carry_move(parts, _built(moving))


def carry_move(parts: Parts, session: Session) -> Session:
    """Carry a MOVING session to its target, from wherever it stands."""
    if session.target is None:
        raise RefusedError("the session is moving to nowhere")
    project, label, subject = session.target
    new = replace(session, project=project, label=label, subject=subject)
    old_folder, new_folder = parts.storage.folder(session), parts.storage.folder(new)
    if old_folder != new_folder and os.path.lexists(old_folder):
        files.make_folder(os.path.dirname(new_folder))
        _rename(old_folder, new_folder)
    _follow(parts, session, new)
    started = parts.clock.monotonic()
    done = parts.ledger.move(
        session.id,
        life.Event.MOVED,
        project=project,
        label=label,
        subject=subject,
        target=None,
    )
    parts.publish(session.id)
    if old_folder != new_folder:
        for ending in ("xml", "json"):
            files.remove(f"{old_folder}.{ending}")
        _drop_moment(parts, os.path.dirname(old_folder))
    return _built(finish(parts, _built(done), started))


def _rename(old: str, new: str) -> None:
    try:
        os.rename(old, new)  # a directory only ever replaces an empty one
    except OSError as error:
        raise storage_error(error, "moving a session's folder") from error
    files.sync(os.path.dirname(new))
    files.sync(os.path.dirname(old))


def _drop_moment(parts: Parts, moment: str) -> None:
    """The emptied timestamp folder, and the project's where it was the last."""
    if files.remove_empty(moment) and os.path.dirname(moment) != parts.storage.stores.prearchive:
        files.remove_empty(os.path.dirname(moment))


def _follow(parts: Parts, old: Session, new: Session) -> None:
    """Bind the study to its new key, and keep the decision."""
    parts.receiving.bind(old.key, Bound(new.project, new.label, new.subject))
    if old.decisions:
        _note(parts, new, old.decisions[-1])


# -- delete --------------------------------------------------------------------------------------


def delete(parts: Parts, session_id: str, *, who: str, reason: str) -> Session:
    """Move a whole session to the history."""
    old = parts.ledger.session(session_id)
    decision = _decision(parts, old, "delete", who, reason)
    deleting = parts.ledger.move(
        session_id, life.Event.DELETE, decisions=(*old.decisions, decision)
    )
    parts.publish(_built(deleting).id)
    return carry_delete(parts, _built(deleting))


def carry_delete(parts: Parts, session: Session) -> Session:
    """Carry a DELETING session to the history, from wherever it stands."""
    folder = parts.storage.folder(session)
    history = _history(parts, session)
    for path in list(files.walk(folder)):
        parts.check_stop()
        _to_history(os.path.join(folder, path), os.path.join(history, path))
    for ending in ("xml", "json"):
        if os.path.lexists(f"{folder}.{ending}"):
            _to_history(f"{folder}.{ending}", f"{history}.{ending}")
    if session.decisions:
        _note(parts, session, session.decisions[-1])
    sizes = parts.ledger.sizes().get(session.id, (0, 0, 0))
    done = parts.ledger.end(session.id, life.Event.DELETED, sizes)
    files.remove_empty_below(folder)
    _drop_moment(parts, os.path.dirname(folder))
    parts.settle(done, "deleted")
    return done


def delete_scans(
    parts: Parts, session_id: str, scans: Collection[str], *, who: str, reason: str
) -> Session:
    """Move some scans of a session to the history, then build it again."""
    old = parts.ledger.session(session_id)
    instances = parts.ledger.instances(session_id)
    gone = [each for each in instances if each.place.scan in scans]
    missing = set(scans) - {each.place.scan for each in instances}
    if missing:
        raise RefusedError(f"there is no scan {', '.join(sorted(missing))} in it")
    if len(gone) == len(instances):
        raise RefusedError("that is all of it", hint=f"watcher delete {old.id} --reason TEXT")
    decision = _decision(parts, old, f"delete --scan {','.join(sorted(scans))}", who, reason)
    started = parts.clock.monotonic()
    building = _built(
        parts.ledger.move(
            session_id, life.Event.REBUILD, hold_auto=True, decisions=(*old.decisions, decision)
        )
    )
    folder, history = parts.storage.folder(building), _history(parts, building)
    for each in gone:
        source, target = (
            os.path.join(folder, each.place.path),
            os.path.join(history, each.place.path),
        )
        _to_history(source, target)
    parts.ledger.drop_instances(session_id, [each.place for each in gone])
    _note(parts, building, decision)
    return _built(finish(parts, building, started))


def _history(parts: Parts, session: Session) -> str:
    parts.storage.require("history")
    return parts.storage.history(session.project, session.label, session.id)


def _to_history(source: str, target: str) -> None:
    files.make_folder(os.path.dirname(target))
    if files.print_of(target) is None:
        files.transfer(source, target)
    elif not files.same_inode(source, target) and files.digest(source) != files.digest(target):
        target = f"{target}.{files.digest(source)[:8]}"
        files.transfer(source, target)
    files.sync_folders([target])
    files.remove(source)


# -- decisions -----------------------------------------------------------------------------------


def _decision(
    parts: Parts,
    session: Session,
    command: str,
    who: str,
    reason: str,
    *,
    passed: tuple[str, ...] = (),
) -> Decision:
    return Decision(
        when=parts.clock.now(),
        who=who,
        command=command,
        reason=reason,
        passed=passed,
        study=session.study,
    )


def _note(parts: Parts, session: Session, decision: Decision) -> None:
    """Keep a decision for good and say it, once."""
    parts.storage.require("history")
    line = json.dumps(
        {
            "timestamp": iso(decision.when),
            "who": decision.who,
            "command": decision.command,
            "reason": decision.reason,
            "session": session.id,
            "passed": list(decision.passed),
            "study": decision.study,
            "from": decision.key_from,
            "to": decision.key_to,
            "subject": decision.subject,
        }
    )
    path = parts.storage.decisions
    if line.encode() in (files.read_if_there(path) or b"").splitlines():
        return
    files.append_line(path, line)
    parts.emit(
        "session.decided",
        **parts.said(session, command=decision.command, user=decision.who),
        reason=decision.reason,
        passed=list(decision.passed),
    )
