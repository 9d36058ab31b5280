"""A session goes into the archive: validated again, planned, carried out, cleared away.

What findings hold stays in the prearchive, and the session with it, in CONFLICT; the rest goes in.
"""

import json
import os
from contextlib import suppress
from typing import Final

from watcher.core import life
from watcher.core.errors import DocumentError, OutsideError
from watcher.core.session import Place, Session, Status
from watcher.io import files, journal
from watcher.stages import ahead, carrying, withdrawing
from watcher.stages import promise as promises
from watcher.stages.asides import note_asides
from watcher.stages.decided import note_all, told
from watcher.stages.leaving import describe
from watcher.stages.parts import Parts
from watcher.stages.planning import plan
from watcher.stages.promise import OutdatedError, Promise, Remains
from watcher.stages.shelves import shelve
from watcher.stages.validate import Judged, judge, readable

TRIES: Final = 3  # plans made anew when the archive changes under them


def archive(parts: Parts, session_id: str) -> Session | None:
    """Archive what may be of one session; gives it as it ended, or None where files came meanwhile.

    ARCHIVED; or CONFLICT, with what findings hold. The caller holds the leases on the session and
    its destination. StorageError where the machine could not for now: before the first swap the
    session is as it was, after it it is carried forward at the next try.
    """
    started = parts.clock.monotonic()
    before = parts.ledger.session(session_id)
    if life.may(before.status, life.Event.ARCHIVE):  # else it may be under way
        _abandon(parts, before)
    session = parts.ledger.move(session_id, life.Event.ARCHIVE)
    if session is None:
        return None
    parts.publish(session_id)
    try:
        return _try(parts, session, started)
    except (DocumentError, OutsideError) as error:
        return _give_up(parts, session, readable(error))
    except Exception:
        take_up(parts, session)
        raise


def _abandon(parts: Parts, session: Session) -> None:
    """The plan of a try that was given up; one that can't be read tells nothing to take back."""
    try:
        withdrawing.abandon(parts, session)
    except DocumentError:
        files.remove(promises.path_of(parts, session))


def _try(parts: Parts, session: Session, started: float) -> Session:
    for _ in range(TRIES):
        promise = _promise(parts, session)
        if not isinstance(promise, Promise):
            return promise
        try:
            return fulfil(parts, promise, started)
        except OutdatedError:
            withdrawing.take_back(parts, promise)
    return _fail(parts, session, "the archived session changed during every attempt")


def _promise(parts: Parts, session: Session) -> Promise | Session:
    """What is promised, written down, or the session that nothing of goes in.

    Of a large session the promise alone is held while it is carried out, not all that is known.
    """
    judged = judge(parts, session)
    if not judged.going:
        return _refuse(parts, judged)
    promise = plan(parts, judged)
    del judged
    promises.write(parts, promise)
    return promise


def _refuse(parts: Parts, judged: Judged) -> Session:
    ahead.withdraw(parts, judged.session)
    moved = parts.ledger.move(
        judged.session.id, life.Event.CONFLICTED, findings=judged.findings, partly=False, error=""
    )
    done = moved or judged.session
    parts.publish(done.id)
    parts.announce(done)
    return done


def _fail(parts: Parts, session: Session, error: str) -> Session:
    done = parts.ledger.move(session.id, life.Event.FAILED, error=error) or session
    parts.publish(done.id)
    parts.announce(done)
    return done


def carry_forward(parts: Parts, session: Session) -> None:
    """Carry an archiving that was begun to its end, with a new plan where facts have changed.

    One that was not begun is taken back. ERROR where neither can be done.
    """
    try:
        if take_up(parts, session) is None:
            started = parts.clock.monotonic()
            promise = promises.read(promises.path_of(parts, session))
            try:
                fulfil(parts, promise, started)
            except OutdatedError:
                withdrawing.take_back(parts, promise)
                _try(parts, session, started)
    except (DocumentError, OutsideError) as error:
        _give_up(parts, session, readable(error))


def take_up(parts: Parts, session: Session) -> Session | None:
    """What an interrupted archiving left: taken back before its first swap, else left to carry on.

    Gives the session where it is as it was before.
    """
    if parts.ledger.session(session.id).status is not Status.ARCHIVING:
        return None
    path = promises.path_of(parts, session)
    if os.path.lexists(path):
        promise = promises.read(path)
        if carrying.is_begun(parts, promise):
            return None
        withdrawing.take_back(parts, promise)
    event = life.Event.CONFLICTED if session.partly else life.Event.CUT_OFF_ARCHIVE
    before = parts.ledger.move(session.id, event)
    parts.publish(session.id)
    return before


def fulfil(parts: Parts, promise: Promise, started: float) -> Session:
    """Carry a plan out from wherever it stands, and tell; a crash may let it be told twice."""
    session = promise.session
    if not carrying.is_done(parts, promise):
        ahead.withdraw(parts, session, keep=promise.targets)
        carrying.carry_out(parts, promise)
        shelve(parts, promise)
        describe(parts, promise)
        note_asides(parts, promise)
        note_all(parts, session)
        _chronicle(parts, promise)
    carrying.clear_away(parts, promise)
    _tell(parts, promise, round(parts.clock.monotonic() - started, 3))
    if promise.remains:
        done = _remain(parts, promise, promise.remains)
    else:
        parts.settle(session, "archived" if promise.new else "merged")
        done = parts.ledger.end(session.id, life.Event.ARCHIVED, promise.sizes)
    carrying.strike(parts, session)
    return done


def _remain(parts: Parts, promise: Promise, remains: Remains) -> Session:
    """The session that stays, with what findings hold of it."""
    session = promise.session
    gone = [place for path in promise.sources if (place := Place.of(path))]  # strays lie anywhere
    parts.ledger.drop_instances(session.id, gone)
    moved = parts.ledger.move(
        session.id,
        life.Event.CONFLICTED,
        findings=remains.findings,
        partly=False,
        error="",
        place="prearchive",
    )
    done = moved or session
    parts.publish(done.id)
    parts.announce(done)
    return done


def _give_up(parts: Parts, session: Session, error: str) -> Session:
    """An archiving that can't be carried on: ERROR, until a person looks.

    A plan that can't be read stays where it is.
    """
    with suppress(DocumentError):
        withdrawing.abandon(parts, session)
    return _fail(parts, session, error)


def _numbers(promise: Promise) -> dict[str, int]:
    return {
        "added": len(promise.carries) - promise.replaced,
        "same": len(promise.drops),
        "replaced": promise.replaced,
        "kept": sum(each.store == "history" for each in promise.asides),
        "held": promise.remains.files if promise.remains else 0,
    }


def _tell(parts: Parts, promise: Promise, seconds: float) -> None:
    session = promise.session
    scans, number, size = promise.sizes
    if promise.new:
        sizes = {"scans": scans, "files": number, "bytes": size}
        parts.emit("session.archived", **parts.said(session, **sizes, seconds=seconds))
    else:
        parts.emit("session.merged", **parts.said(session, **_numbers(promise), seconds=seconds))


def _chronicle(parts: Parts, promise: Promise) -> None:
    """One line of what happened in the archived session's own log, once."""
    session = promise.session
    line = {
        "timestamp": promise.made,
        "event": "session.archived" if promise.new else "session.merged",
        "session": session.id,
        "study": session.study,
        "subject": session.subject,
        "drops": session.drops,
        "origins": dict(session.origins),
        **_numbers(promise),
        "decisions": told(session),
    }
    journal.append_once(carrying.log_of(parts, promise), json.dumps(line))
