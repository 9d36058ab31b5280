"""A session whose files carry several studies becomes one for each (spec 9, 10 mixed-studies).

The study of most files keeps the session; each other one gets a new session of the same project,
label and subject. `LABEL.split.json` beside the session says which files go where. All of them are
MOVING until the last file is in its place; then each is built. The promise is made once more where
a crash came before it: nothing was linked then. Every step can be repeated.
"""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Final

from watcher.core import life, names
from watcher.core.errors import DocumentError, RefusedError
from watcher.core.record import session_of, session_values
from watcher.core.scans import studies
from watcher.core.session import Decision, Instance, Place, Session, Status
from watcher.io import files
from watcher.report.times import iso
from watcher.stages import ahead
from watcher.stages.decided import ARRIVING, decision_on, note_all
from watcher.stages.parts import Parts
from watcher.stages.rebuild import finish, retire

PLAN: Final = "split.json"
COMMAND: Final = "split"


@dataclass(frozen=True, slots=True)
class Share:
    """A new session, and the files of the old one that become its own."""

    session: Session
    places: tuple[Place, ...]


def split(parts: Parts, session_id: str, *, who: str, reason: str = "") -> list[Session]:
    """Make one session of each study; gives them as they ended, the one that was split first.

    Later files of each study go to the session of their own, beside a `layout` too. Scans are
    numbered as if the studies had come apart. RefusedError where there is one study only, where
    the state forbids it, or files are in hand. The caller holds the session's leases.
    """
    old = parts.ledger.session(session_id)
    found = studies(parts.ledger.instances(session_id))
    life.move(old.status, life.Event.MOVE)  # refused for its state before anything else
    if len(found) < 2:
        raise RefusedError(f"{session_id} holds one study only", hint=f"watcher show {session_id}")
    key = (old.project, old.label)
    decision = decision_on(parts, replace(old, study=found[0]), COMMAND, who, reason)
    decision = replace(decision, key_from=key, key_to=key, subject=old.subject)
    moving = parts.ledger.move(
        session_id,
        life.Event.MOVE,
        generation=old.generation,
        study=found[0],
        decisions=(*old.decisions, decision),
        scan_ids={},
        hold_auto=False,
    )
    if moving is None:
        raise RefusedError(ARRIVING)
    return carry_split(parts, parts.publish(session_id))


def carry_split(parts: Parts, session: Session) -> list[Session]:
    """Carry a MOVING session without a target to its end, from wherever it stands.

    Gives the sessions as they ended; none where this is a new one that its old one carries on.
    RefusedError where no split was decided on.
    """
    split_by = (each for each in reversed(session.decisions) if each.command == COMMAND)
    decision = next(split_by, None)
    if decision is None:
        raise RefusedError("the session is moving to nowhere")
    if _is_carried(parts, session, decision):
        return []
    ahead.withdraw(parts, session)
    shares = _promise(parts, session, decision)
    for share in shares:
        _fill(parts, session, share)
    for each in (session, *(share.session for share in shares)):
        note_all(parts, each)
    for share in shares:
        _take_out(parts, session, share)
    parts.settle(session, COMMAND)
    files.remove(parts.storage.beside(session, PLAN))
    return _build(parts, [session.id, *(share.session.id for share in shares)])


def _is_carried(parts: Parts, session: Session, decision: Decision) -> bool:
    """Whether the session that was split is under way still: then all is done from there."""
    return session.study != decision.study and any(
        decision in each.decisions and each.study == decision.study
        for each in parts.ledger.sessions((Status.MOVING,))
    )


def _build(parts: Parts, ids: Sequence[str]) -> list[Session]:
    started = parts.clock.monotonic()
    for each in ids:
        parts.ledger.move(each, life.Event.MOVED)
    building = [parts.publish(each) for each in ids]
    return [finish(parts, each, started) or parts.ledger.session(each.id) for each in building]


# -- the promise -----------------------------------------------------------------------------------


def _promise(parts: Parts, session: Session, decision: Decision) -> list[Share]:
    """What goes where: as it was written down, or, where nothing was yet, as the files say."""
    data = files.read_if_there(parts.storage.beside(session, PLAN))
    shares = _shares(parts, session, decision) if data is None else _read(session, data)
    seated = [replace(share, session=_seat(parts, share.session)) for share in shares]
    if seated and (data is None or seated != shares):
        _write(parts, session, decision, seated)
    return seated


def _shares(parts: Parts, session: Session, decision: Decision) -> list[Share]:
    """A new session for each study but the session's own, with its files."""
    filed = parts.ledger.instances(session.id)
    waiting = {
        each.study: each
        for each in parts.ledger.sessions((Status.MOVING,))
        if decision in each.decisions
    }
    apart = sorted((each for each in filed if each.header.study != session.study), key=_study)
    return [
        Share(waiting.get(study) or _open(parts, session, decision, study), _places(several))
        for study, several in groupby(apart, key=_study)
    ]


def _study(instance: Instance) -> str:
    return instance.header.study


def _places(instances: Iterable[Instance]) -> tuple[Place, ...]:
    return tuple(each.place for each in instances)


def _open(parts: Parts, session: Session, decision: Decision, study: str) -> Session:
    now = parts.clock.now()
    new = replace(
        session,
        study=study,
        opened=now,
        receiving_since=now,
        generation=0,
        revision=0,
        decisions=(decision,),
        findings=(),
        error="",
        partly=False,
        place="prearchive",
    )
    return parts.receiving.open_apart(new, parts.clock.stamp)


def _seat(parts: Parts, new: Session) -> Session:
    """A new session as the ledger has it, under another id where this one is taken by now."""
    if not parts.ledger.has(new.id):  # the ledger was lost
        parts.ledger.add(new)
        return new
    known = parts.ledger.session(new.id)
    if known.status is Status.MOVING and known.key == new.key:
        return new
    return parts.receiving.open_apart(new, parts.clock.stamp)


def _write(parts: Parts, session: Session, decision: Decision, shares: Sequence[Share]) -> None:
    values = {
        "made": iso(decision.when),
        "session": session.id,
        "study": session.study,
        "shares": [
            {
                "session": session_values(share.session),
                "files": [place.path for place in share.places],
            }
            for share in shares
        ],
    }
    text = json.dumps(values, indent=1)
    files.swap(parts.storage.beside(session, PLAN), text.encode() + b"\n")


def _read(old: Session, data: bytes) -> list[Share]:
    try:
        values: dict[str, Any] = json.loads(data)
        return [
            Share(_beside(old, session_of(each["session"])), tuple(map(_place, each["files"])))
            for each in values["shares"]
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise DocumentError("a split's plan beside a session can't be read") from error


def _beside(old: Session, new: Session) -> Session:
    """A new session as a plan has it; ValueError where it is not of the old one's place."""
    if not names.is_timestamp(new.id) or (new.project, new.label) != (old.project, old.label):
        raise ValueError(new.id)
    return new


def _place(path: str) -> Place:
    _, scan, folder, name = path.split("/")
    if not (names.is_part(scan) and names.is_part(name)):
        raise ValueError(path)
    return Place(scan, "DICOM" if folder == "DICOM" else "secondary", name)


# -- the files -------------------------------------------------------------------------------------


def _fill(parts: Parts, session: Session, share: Share) -> None:
    """The new session's record, its files linked and durable, and its rows in the ledger.

    A file that is gone is handed over all the same: the build says so.
    """
    files.make_folder(parts.storage.folder(share.session))
    parts.publish(share.session.id)
    ways = list(_ways(parts, session, share))
    for source, target in ways:
        parts.check_stop()
        files.make_folder(os.path.dirname(target))
        if files.placed(target) is None and files.print_of(source) is not None:
            files.transfer(source, target)
    files.sync_folders([target for _, target in ways])
    parts.receiving.hand_over(session.id, share.session.id, share.places)


def _take_out(parts: Parts, session: Session, share: Share) -> None:
    """Remove from the old session what the new one has."""
    for source, target in _ways(parts, session, share):
        if files.print_of(target) is not None:
            files.remove(source)
    for folder in sorted({os.path.dirname(source) for source, _ in _ways(parts, session, share)}):
        retire(folder)


def _ways(parts: Parts, session: Session, share: Share) -> Iterator[tuple[str, str]]:
    old, new = parts.storage.folder(session), parts.storage.folder(share.session)
    for place in share.places:
        yield os.path.join(old, place.path), os.path.join(new, place.path)
