"""What a person does with the history: stage its files again as a session, or purge them.

A restored session is built and waits for a person. The steps: note its id in the entry's
`reason.json`; write its own record, which calls it deleted until all of it is there, so that no
start takes half of it in; link the files in; one commit to the ledger; only then remove them from
the history, and build. Each can be repeated: a restore that was cut off is finished by the next
try.
"""

import os
from collections.abc import Mapping
from dataclasses import replace

from watcher.core import life, names
from watcher.core.errors import ClashError, HeldError, RefusedError
from watcher.core.scans import study_of
from watcher.core.session import Instance, Place, Session, Status
from watcher.io import files
from watcher.io.lease import destination_key, session_key
from watcher.io.restoring import join
from watcher.stages import history
from watcher.stages.claims import check_free
from watcher.stages.decided import decision_on, note, note_all
from watcher.stages.entries import CATALOGS, reread
from watcher.stages.history import Kept
from watcher.stages.parts import Parts
from watcher.stages.rebuild import build


def restore(parts: Parts, kept: Kept, *, who: str, reason: str) -> Session:
    """Stage an entry's instances again; gives their session, built, to be archived by a person.

    A deleted session comes back under its own id where that is free. What is no instance stays in
    the entry. RefusedError where nothing in it is one; StorageError, and nothing is lost: it may
    be tried again.
    """
    for store in ("history", "prearchive"):
        parts.storage.require(store)
    wanted = _session_id(parts, kept)
    leases = [*_keys(kept), session_key(wanted)]
    with parts.leases.hold(leases, parts.clock.now()):
        kept = history.again(parts, kept)
        _check_settled(parts, kept)
        check_free(parts, "history", kept.id)
        folder = history.folder_of(parts, kept)
        found = reread(parts, folder, [p for p in history.paths(parts, kept) if _may_be(p)]).whole
        if found:
            session = _stage(parts, kept, wanted, found, who=who, reason=reason)
        elif kept.restoring == wanted and _is_open(parts, wanted):
            session = parts.ledger.session(wanted)  # all of it is there since the last try
        else:
            hint = f"watcher history show {kept.id}"
            raise RefusedError("nothing in it can be staged: there is no instance", hint=hint)
        note_all(parts, session)
        for path in found:
            files.remove(os.path.join(folder, path))
        session = _built(parts, session)
        _strike(parts, kept)
    return session


def purge(parts: Parts, kept: Kept, *, who: str, reason: str) -> Kept:
    """Remove an entry for good; gives it as it was. RefusedError where a restore was cut off."""
    parts.storage.require("history")
    with parts.leases.hold(_keys(kept), parts.clock.now()):
        kept = history.again(parts, kept)
        _check_settled(parts, kept)
        check_free(parts, "history", kept.id)
        if kept.restoring and _is_gone(parts, kept.restoring):
            hint = f"watcher history restore {kept.id} --reason TEXT"
            raise RefusedError("a restore of it was cut off; it is to be finished first", hint=hint)
        session = history.as_session(parts, kept)
        note(parts, session, decision_on(parts, session, f"history purge {kept.id}", who, reason))
        folder = history.folder_of(parts, kept)
        for path in list(files.walk(folder)):
            if path != history.REASON:
                files.remove(os.path.join(folder, path))
        history.clear(parts, kept)
    return kept


def _keys(kept: Kept) -> list[str]:
    """The leases on an entry: it, the session that may be going there, and their destination."""
    return [
        f"history/{kept.id}",
        session_key(kept.stamp),
        destination_key(kept.project, kept.label),
    ]


def _check_settled(parts: Parts, kept: Kept) -> None:
    """HeldError while the session it is made of is still on its way there."""
    known = parts.ledger.has(kept.stamp) and parts.ledger.session(kept.stamp)
    if known and known.status not in life.OPEN | {Status.DELETED, Status.ARCHIVED}:
        hint = "start the daemon, or `watcher run --once`: it carries on what was cut off"
        raise HeldError(f"{kept.stamp} is {known.status.value}", hint=hint)


def _is_gone(parts: Parts, session_id: str) -> bool:
    """Whether no session has this id: none ever had, or it was deleted."""
    known = parts.ledger.has(session_id) and parts.ledger.session(session_id)
    return not known or known.status is Status.DELETED


def _may_be(path: str) -> bool:
    return not path.endswith(CATALOGS)


def _session_id(parts: Parts, kept: Kept) -> str:
    """The session of an earlier try; else the deleted one's own id; else a new one."""
    if kept.restoring and (_is_gone(parts, kept.restoring) or _is_same(parts, kept)):
        return kept.restoring
    if history.record(parts, kept) and _is_gone(parts, kept.stamp):
        return kept.stamp
    return _new_id(parts, kept)


def _is_same(parts: Parts, kept: Kept) -> bool:
    """Whether the session of an earlier try stands where it was, and a person may work on it."""
    known = parts.ledger.session(kept.restoring)
    there = (known.project, known.label) == (kept.project, kept.label)
    return there and known.status in life.OPEN


def _is_open(parts: Parts, wanted: str) -> bool:
    return parts.ledger.has(wanted) and parts.ledger.session(wanted).status in life.OPEN


def _new_id(parts: Parts, kept: Kept) -> str:
    stamp = history.new_stamp(parts, kept.project, kept.label)
    session = replace(history.as_session(parts, kept), id=stamp)
    while os.path.lexists(os.path.dirname(parts.storage.folder(session))):
        stamp = names.next_timestamp(stamp)
        session = replace(session, id=stamp)
    return stamp


# -- the steps -----------------------------------------------------------------------------------


def _stage(
    parts: Parts, kept: Kept, wanted: str, found: Mapping[str, Instance], *, who: str, reason: str
) -> Session:
    """The files in the prearchive, durable and known to the ledger; those of the history stay."""
    kept = history.promise(parts, kept, wanted)
    session = _session(parts, kept, wanted, list(found.values()))
    decision = decision_on(parts, session, f"history restore {kept.id}", who, reason)
    session = replace(session, decisions=(*session.decisions, decision))
    base = parts.storage.folder(session)
    files.make_folder(base)
    if not _is_open(parts, wanted):
        revision = session.revision - 1  # older than what the ledger will have
        parts.storage.write_record(replace(session, status=Status.DELETED, revision=revision))
    staged: dict[Place, Instance] = {}
    for path, instance in found.items():
        parts.check_stop()
        source = os.path.join(history.folder_of(parts, kept), path)
        place = _put(source, base, _place(path, instance), instance.digest)
        staged[place] = replace(instance, place=place, arrived=session.last_arrival)
    files.sync_folders([os.path.join(base, place.path) for place in staged])
    opened = _is_gone(parts, wanted)
    joined = join(parts.ledger, session, list(staged.values()))
    parts.publish(joined.id)
    if opened:
        parts.emit("session.opened", **parts.said(joined))
    return joined


def _session(parts: Parts, kept: Kept, wanted: str, found: list[Instance]) -> Session:
    """The session as it is staged: the deleted one as its record has it, or a new one."""
    now = parts.clock.now()
    own = history.record(parts, kept) if wanted == kept.stamp else None
    if own is None:
        own = replace(
            history.as_session(parts, kept),
            id=wanted,
            study=study_of(found),
            subject=kept.subject or _subject(parts, kept, found[0]),
        )
    known = parts.ledger.session(wanted).revision if parts.ledger.has(wanted) else 0
    return replace(
        own,
        status=Status.RECEIVING,
        receiving_since=now,
        last_arrival=now,
        generation=own.generation + 1,
        revision=max(own.revision, known) + 1,
        hold_auto=True,
        target=None,
        error="",
        partly=False,
    )


def _subject(parts: Parts, kept: Kept, first: Instance) -> str:
    """Whose an entry is that does not say: the archived session's subject, else the file's."""
    known = history.as_session(parts, kept).subject
    return known or names.label(first.header["PatientName"] or "unknown")


def _place(path: str, instance: Instance) -> Place:
    """Where a file of the history goes: as it lay in its session, or might have."""
    scan = instance.place.scan or names.scan_folder(instance.header)
    name, twin = os.path.basename(path), history.twin("", instance.digest)
    if name.endswith(twin):
        name = names.suffixed(name.removesuffix(twin), instance.digest)
    return Place(scan, instance.place.folder, name)


def _put(source: str, base: str, place: Place, digest: str) -> Place:
    """A file in the session's folder too, under its own name or the suffixed one."""
    files.make_folder(os.path.dirname(os.path.join(base, place.path)))
    for name in (place.name, names.suffixed(place.name, digest)):
        seat = replace(place, name=name)
        target = os.path.join(base, seat.path)
        try:
            files.transfer(source, target)
        except ClashError:
            if files.digest(target) != digest:
                continue
        return seat
    raise ClashError("its names in the session are taken by other content")


def _built(parts: Parts, session: Session) -> Session:
    """The session after its build; as it is where that was done, or files came meanwhile."""
    now = parts.ledger.session(session.id)
    if now.status is Status.RECEIVING:
        now = build(parts, now.id, life.Event.REBUILD, hold_auto=True) or now
    return now


def _strike(parts: Parts, kept: Kept) -> None:
    """The entry is gone where nothing is left in it; what is no instance stays.

    The documents of a deleted session go: the session that is back has its own.
    """
    folder = history.folder_of(parts, kept)
    if kept.kind == history.DELETED:
        history.drop_documents(folder)
        for path in history.paths(parts, kept):
            if not _may_be(path):
                files.remove(os.path.join(folder, path))
    if history.paths(parts, kept):
        history.promise(parts, kept, "")
    else:
        history.clear(parts, kept)
