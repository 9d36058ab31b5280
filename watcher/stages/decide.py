"""What a person decides of a session: archive it, past findings too; move, relabel, delete it.

Each is a move of the session's life, a promise in its record, steps that can be repeated, and a
line in `history/decisions.jsonl`. The caller holds the leases.
"""

import os
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Final

from watcher.core import life
from watcher.core.check import FORCEABLE
from watcher.core.errors import RefusedError
from watcher.core.session import Decision, Finding, Policy, Session, Severity, Status
from watcher.io import files
from watcher.stages import ahead
from watcher.stages.archive import archive
from watcher.stages.decided import ARRIVING, decision_on, note, note_all
from watcher.stages.deleting import carry_scans, delete, delete_scans, drop_moment
from watcher.stages.parts import Parts
from watcher.stages.rebuild import build, finish
from watcher.stages.split import split

__all__ = ["archive_now", "delete", "delete_scans", "overridden", "rebuild", "relocate", "split"]

SETTLED: Final = frozenset({"instance-differs", "duplicate-in-session"})  # by a policy


def rebuild(parts: Parts, session_id: str) -> Session:
    """Build and validate again; never archives by itself. RefusedError where the state forbids."""
    session = parts.ledger.session(session_id)
    if session.status in life.OPEN:
        carry_scans(parts, session)  # a deletion that was cut off comes first
    return _built(build(parts, session_id, life.Event.REBUILD, hold_auto=True))


def _built(session: Session | None) -> Session:
    if session is None:
        raise RefusedError(ARRIVING, hint="try again when it is quiet, or wait for inactivity")
    return session


def archive_now(
    parts: Parts,
    session_id: str,
    *,
    force: bool = False,
    overwrite: bool = False,
    keep: bool = False,
    who: str = "",
    reason: str = "",
    tell: Callable[[Session, Collection[str]], None] = lambda *_: None,
) -> Session:
    """Build if needed, then archive what can go in.

    `force` goes past the findings about the session that give way to it, `overwrite` and `keep`
    settle those about files with the same UIDs: for the newcomers, or for those held first.
    `tell` is given the session, as just built, and the codes that are about to be overridden.
    Gives the session as it ended: ARCHIVED, or CONFLICT with what still blocks. RefusedError for
    `overwrite` and `keep` at once.
    """
    if overwrite and keep:
        raise RefusedError("--overwrite and --keep exclude each other")
    policy: Policy = "overwrite" if overwrite else "keep" if keep else ""
    session = parts.ledger.session(session_id)
    if session.status is not Status.READY or force or policy:
        session = rebuild(parts, session_id)
    note_all(parts, session)
    passed = overridden(session, force=force, policy=policy)
    if session.status is Status.CONFLICT and passed:
        tell(session, passed)
        flags = ["--force"] if force else []
        command = " ".join(["archive", *flags, *([f"--{policy}"] if policy else [])])
        decision = decision_on(parts, session, command, who, reason, passed=passed, policy=policy)
        session = _override(parts, session, decision)
    return _built(archive(parts, session.id)) if _can_go_in(session) else session


def _can_go_in(session: Session) -> bool:
    return session.status is Status.READY or (session.status is Status.CONFLICT and session.partly)


def overridden(session: Session, *, force: bool = True, policy: Policy = "") -> tuple[str, ...]:
    """The codes these options would pass; empty where something holds the session all the same."""
    blocking = [finding for finding in session.findings if finding.blocks]
    whole = [finding for finding in blocking if finding.scope == "session"]
    if not all(force and _gives_way(finding) for finding in whole):
        return ()
    settled = [finding for finding in blocking if policy and finding.code in SETTLED]
    return tuple(dict.fromkeys(finding.code for finding in (*whole, *settled)))


def _gives_way(finding: Finding) -> bool:
    return finding.code in FORCEABLE and finding.severity is not Severity.FAIL


def _override(parts: Parts, session: Session, decision: Decision) -> Session:
    here = (session.project, session.label)
    decision = replace(decision, key_to=here)
    if not SETTLED.issuperset(decision.passed):  # a forced merge binds its studies to this place
        decision = replace(decision, key_from=here, subject=session.subject)
    decisions = (*session.decisions, decision)
    _built(parts.ledger.edit(session.id, generation=session.generation, decisions=decisions))
    note(parts, parts.publish(session.id), decision)
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
        decision_on(parts, old, command, who, reason),
        key_from=(old.project, old.label),
        key_to=(project, label),
        subject=subject,
    )
    moving = parts.ledger.move(
        session_id,
        life.Event.MOVE,
        generation=old.generation,
        target=(project, label, subject),
        decisions=(*old.decisions, decision),
        hold_auto=False,
    )
    parts.publish(_built(moving).id)
    carried = carry_move(parts, _built(moving))
    # a file that came meanwhile took it back to RECEIVING: it is moved all the same
    return carried or parts.ledger.session(session_id)


def carry_move(parts: Parts, session: Session) -> Session | None:
    """Carry a MOVING session to its target, from wherever it stands, and build it.

    None where files came while it was built.
    """
    if session.target is None:
        raise RefusedError("the session is moving to nowhere")
    ahead.withdraw(parts, session)  # it goes elsewhere
    project, label, subject = session.target
    new = replace(session, project=project, label=label, subject=subject)
    old_folder, new_folder = parts.storage.folder(session), parts.storage.folder(new)
    apart = old_folder != new_folder
    if apart and os.path.lexists(old_folder):
        files.make_folder(os.path.dirname(new_folder))
        _rename(old_folder, new_folder)
    note_all(parts, new)
    if apart:  # the record is in its new place before the old one goes
        parts.storage.write_record(new)
        for ending in ("xml", "json"):
            files.remove(files.temporary(f"{old_folder}.{ending}"))
            files.remove(f"{old_folder}.{ending}")
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
    if apart:
        drop_moment(parts, os.path.dirname(old_folder))
    return finish(parts, _built(done), started)


def _rename(old: str, new: str) -> None:
    files.guard(old)
    # a directory only ever replaces an empty one
    files.rename_store(old, new, "moving a session's folder")
    files.sync(os.path.dirname(old))
