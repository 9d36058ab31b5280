"""What a start does first: finish or take back what was cut off, and make the ledger agree."""

from collections.abc import Mapping
from functools import partial

from watcher.core import life
from watcher.core.errors import (
    DocumentError,
    HeldError,
    MissingPlaceError,
    RefusedError,
    StorageError,
)
from watcher.core.policy import Drop, Identify
from watcher.core.route import identify
from watcher.core.session import Instance, Session, Status
from watcher.io import agenda, known
from watcher.io.lease import destination_key
from watcher.stages import adopt, unit_carrying, unit_promise
from watcher.stages.archive import carry_forward
from watcher.stages.decide import carry_move, relocate
from watcher.stages.decided import bound, kept, lines, note_all
from watcher.stages.deleting import carry_delete, carry_scans
from watcher.stages.hands import settle_hands
from watcher.stages.hop import Hop
from watcher.stages.parts import Parts, Stopped
from watcher.stages.quarantine import supersede_filed
from watcher.stages.reindex import index
from watcher.stages.shelves import archive_index
from watcher.stages.split import carry_split

TO_CARRY_ON = (Status.BUILDING, Status.ARCHIVING, Status.MOVING, Status.DELETING)


async def recover(parts: Parts, examine: adopt.Examine, thread: Hop) -> None:
    """Everything a start owes the last run. The caller holds the stores that are there."""
    there = partial(thread, parts.storage.is_there)  # one on a share that hangs hangs a thread only
    if await there("prearchive"):
        await thread(unit_promise.sweep, parts)
        await thread(agenda.clamp, parts.ledger, parts.clock.now())
        _say(parts, await thread(settle_hands, parts), "files that were being filed")
        adopted = await adopt.sessions(parts, examine, thread)
        _say(parts, adopted, "sessions of the tree that the ledger did not know as they are")
    if await there("archive"):
        found = await thread(archive_index, parts)
        _say(parts, found, "archived sessions that the index did not know as they are")
    if await there("quarantine"):
        found = await thread(index, parts)
        _say(parts, found, "quarantine entries that the ledger did not know as they are")
        await thread(supersede_filed, parts)
    await thread(_rebind, parts)
    if await there("prearchive"):
        _say(parts, await thread(_carry_all, parts), "sessions that were being worked on")
        _say(parts, await unit_carrying.carry_all(parts, examine, thread), unit_carrying.LANDING)
        await thread(_tell_all, parts)


def _say(parts: Parts, count: int, text: str) -> None:
    if count:
        parts.emit("daemon.recovered", count=count, text=text, outcome="carried on")


def _rebind(parts: Parts) -> None:
    """The bindings that people's decisions made, for a ledger that does not know them."""
    wanted = {key: to for values in kept(parts) for key, to in bound(values).items()}
    there = known.bindings(parts.ledger)
    for key, to in wanted.items():
        if there.get(key) != to:
            parts.receiving.bind(key, to)


def _carry_all(parts: Parts) -> int:
    number = 0
    for session in parts.ledger.sessions(TO_CARRY_ON):
        try:
            with parts.leases.hold(parts.keys(session), parts.clock.now()):
                carry_on(parts, session.id)
                number += 1
        except HeldError:  # a command is at work on it
            continue
        except Stopped:
            break
        except (
            StorageError,
            MissingPlaceError,
            DocumentError,
            RefusedError,
        ) as error:  # the sessions' stage tries again
            parts.emit(
                "session.status",
                **parts.said(session, before=session.status.value, after="postponed"),
                error=error,
            )
    return number


def _tell_all(parts: Parts) -> None:
    """What a crash left unsaid of the sessions that wait for somebody."""
    said = lines(parts)
    for session in known.untold(parts.ledger):
        if session.decisions and parts.storage.is_there("history"):
            note_all(parts, session, said)
        parts.announce(session)


def carry_on(parts: Parts, session_id: str) -> None:
    """Carry a session that was being worked on to where it was going, or back (spec 9)."""
    session = parts.ledger.session(session_id)
    if session.status is Status.BUILDING:
        carry_scans(parts, session)
        parts.ledger.move(session_id, life.Event.CUT_OFF_BUILD)
        parts.publish(session_id)
    elif session.status is Status.ARCHIVING:
        carry_forward(parts, session)
    elif session.status is Status.MOVING and session.target is None:
        carry_split(parts, session)
    elif session.status is Status.MOVING:
        carry_move(parts, session)
    elif session.status is Status.DELETING:
        carry_delete(parts, session)


def reidentify(parts: Parts, drops: Mapping[str, Drop], rules: Identify) -> int:
    """Unassigned sessions are identified again at each start: their project may exist now."""
    number = 0
    for session in known.unassigned(parts.ledger):
        instances = parts.ledger.instances(session.id)
        drop = _drop_of(session, instances[0], drops) if instances else None
        if drop is None:
            continue
        found = identify(
            instances[0].header,
            drop=drop,
            path=instances[0].source,
            identify=rules,
            projects=parts.projects,
        )
        if found.key.project is None:
            continue
        reason = f"identified at start by {found.origins['project']}"
        number += _move(parts, session, found.key.project, reason)
    return number


def _drop_of(session: Session, instance: Instance, drops: Mapping[str, Drop]) -> Drop | None:
    """The drop an instance came from; after a lost ledger one that its session's record names.

    None then where the folder it lay in would name the project: nobody knows that any more.
    """
    if instance.drop:
        return drops.get(instance.drop)
    drop = next((drops[name] for name in session.drops if name in drops), None)
    unknown = drop and drop.project is None and "{project}" in drop.layout
    return None if unknown else drop


def _move(parts: Parts, session: Session, project: str, reason: str) -> bool:
    """Move an Unassigned session; where that can't be done now it waits for the next start."""
    keys = [*parts.keys(session), destination_key(project, session.label)]
    try:
        with parts.leases.hold(keys, parts.clock.now()):
            relocate(
                parts,
                session.id,
                project=project,
                label=session.label,
                subject=session.subject,
                command="move",
                who="watcher",
                reason=reason,
            )
    except (RefusedError, StorageError, MissingPlaceError, DocumentError, Stopped):
        return False
    return True
