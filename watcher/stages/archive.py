"""A READY session goes into the archive: validated again, planned, carried out, cleared away."""

import json
import os
from collections.abc import Mapping

from watcher.core import life, names
from watcher.core.check import merged_type, verdict
from watcher.core.errors import DocumentError
from watcher.core.model import ArchivedResource, Scan, Session, Status
from watcher.core.plan import Add, Merge, OtherClass
from watcher.core.scans import studies
from watcher.dicom import catalog, document
from watcher.io import files
from watcher.stages import promise as promises
from watcher.stages.decided import note_all, told
from watcher.stages.parts import Parts, iso
from watcher.stages.promise import Carry, Drop, OutdatedError, Promise
from watcher.stages.quarantine import note_other_classes
from watcher.stages.rebuild import whole_catalog
from watcher.stages.shelves import shelve
from watcher.stages.validate import Judged, experiment, judge, readable

TRIES = 3  # plans made anew when the archive changes under them


def archive(parts: Parts, session_id: str) -> Session | None:
    """Archive one session that may be; gives it as it ended, or None where files came meanwhile.

    The caller holds the leases on the session and its destination. StorageError where the machine
    could not for now: before the first swap the session is READY again, after it it is carried
    forward at the next try.
    """
    started = parts.clock.monotonic()
    before = parts.ledger.session(session_id)
    if life.may(before.status, life.Event.ARCHIVE):  # else it may be under way
        files.remove(parts.storage.beside(before, "plan.json"))  # of a try that was given up
    session = parts.ledger.move(session_id, life.Event.ARCHIVE)
    if session is None:
        return None
    parts.publish(session_id)
    try:
        return _try(parts, session, started)
    except DocumentError as error:
        return _fail(parts, session, readable(error))
    except Exception:
        take_up(parts, session)
        raise


def _try(parts: Parts, session: Session, started: float) -> Session:
    for _ in range(TRIES):
        judged = judge(parts, session)
        if verdict(judged.findings) != "ok":
            return _refuse(parts, judged)
        promise = _plan(parts, judged)
        promises.write(parts, promise)
        try:
            return fulfil(parts, promise, started)
        except OutdatedError:
            promises.take_back(parts, promise)
    return _fail(parts, session, "the archived session changed during every attempt")


def _refuse(parts: Parts, judged: Judged) -> Session:
    moved = parts.ledger.move(
        judged.session.id, life.Event.CONFLICTED, findings=judged.findings, error=""
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


def take_up(parts: Parts, session: Session) -> Session | None:
    """What an interrupted archiving left: taken back before its first swap, else left to carry on.

    Gives the session where it is READY again.
    """
    if parts.ledger.session(session.id).status is not Status.ARCHIVING:
        return None
    path = parts.storage.beside(session, "plan.json")
    if os.path.lexists(path):
        promise = promises.read(path)
        if promises.is_begun(parts, promise):
            return None
        promises.take_back(parts, promise)
    ready = parts.ledger.move(session.id, life.Event.CUT_OFF_ARCHIVE)
    parts.publish(session.id)
    return ready


def fulfil(parts: Parts, promise: Promise, started: float) -> Session:
    """Carry a plan out from wherever it stands, and tell; a crash may let it be told twice."""
    promises.carry_out(parts, promise)
    session = promise.session
    shelve(parts, promise)
    note_other_classes(parts, promise)
    note_all(parts, session)
    _chronicle(parts, promise)
    promises.clear_away(parts, promise)
    _tell(parts, promise, round(parts.clock.monotonic() - started, 3))
    done = parts.ledger.end(session.id, life.Event.ARCHIVED, promise.sizes)
    promises.strike(parts, session)
    return done


def give_up(parts: Parts, session: Session, error: str) -> Session:
    """An archiving that was begun and can't be carried on: ERROR, until a person looks."""
    return _fail(parts, session, error)


def _tell(parts: Parts, promise: Promise, seconds: float) -> None:
    session = promise.session
    scans, number, size = promise.sizes
    if promise.new:
        parts.emit(
            "session.archived",
            **parts.said(session, scans=scans, files=number, bytes=size, seconds=seconds),
        )
    else:
        parts.emit(
            "session.merged",
            **parts.said(session, added=len(promise.carries), same=len(promise.drops)),
            replaced=0,
            held=0,
            seconds=seconds,
        )
    parts.settle(session, "archived" if promise.new else "merged")


def _chronicle(parts: Parts, promise: Promise) -> None:
    """One line of what happened in the archived session's own log, once."""
    session = promise.session
    base = parts.storage.archived(session.project or "", session.label)
    path = os.path.join(base, "logs", "events.jsonl")
    line = json.dumps(
        {
            "timestamp": promise.made,
            "event": "session.archived" if promise.new else "session.merged",
            "session": session.id,
            "study": session.study,
            "subject": session.subject,
            "drops": session.drops,
            "origins": dict(session.origins),
            "added": len(promise.carries),
            "same": len(promise.drops),
            "decisions": told(session),
        }
    )
    if line.encode() not in (files.read_if_there(path) or b"").splitlines():
        files.append_line(path, line)


# -- the plan ------------------------------------------------------------------------------------


def _plan(parts: Parts, judged: Judged) -> Promise:
    session, merge, archived = judged.session, judged.merge, judged.archived
    instances = [each for scan in judged.scans for each in scan.instances]
    catalogs, totals = _catalogs(judged)
    own = archived.study if archived and archived.study else studies(instances)[0]
    others = tuple(study for study in studies(instances) if study != own)
    accepted = tuple(dict.fromkeys((*(archived.accepted if archived else ()), *others)))
    xml = _document(judged, accepted, totals)
    sizes = (len(judged.scans), len(instances), sum(each.size for each in instances))
    return Promise(
        session=session,
        made=iso(parts.clock.now()),
        new=archived is None,
        carries=tuple(Carry(a.source, a.target, a.instance.digest) for a in merge.adds),
        drops=(
            *(Drop(s.source, s.target, "same-instance", s.instance.digest) for s in merge.same),
            *(_aside(session, other) for other in merge.other_class),
        ),
        swaps=promises.swaps_of(judged.catalogs, catalogs, (judged.xml, xml)),
        leftovers=_own_catalogs(parts, session, judged.scans),
        sizes=sizes,
        experiment=archived.id if archived and archived.id else experiment(session),
        studies=(own, *accepted),
        subject=archived.subject if archived else session.subject,
        totals=_grown(parts, judged),
    )


def _aside(session: Session, other: OtherClass) -> Drop:
    """A newcomer with an archived SOP UID and another class goes to quarantine (spec 10)."""
    day = f"{session.id[:4]}-{session.id[4:6]}-{session.id[6:8]}"
    drop = other.instance.drop or next(iter(session.drops), "unknown")  # after a lost ledger
    place = f"{drop}/{day}/{session.id}/{other.instance.place.name}"
    return Drop(other.source, place, promises.OTHER_CLASS, other.instance.digest)


def _own_catalogs(parts: Parts, session: Session, scans: tuple[Scan, ...]) -> tuple[str, ...]:
    found = (
        names.catalog_path(scan.id, resource.label) for scan in scans for resource in scan.resources
    )
    folder = parts.storage.folder(session)
    return tuple(path for path in found if os.path.lexists(os.path.join(folder, path)))


Totals = Mapping[tuple[str, str], tuple[int, int]]


def _catalogs(judged: Judged) -> tuple[dict[str, bytes], Totals]:
    """The next text of every catalog that is touched, and what the touched resources hold then."""
    merge, project = judged.merge, judged.session.project or ""
    texts = {
        names.catalog_path(scan.id, resource.label): (whole_catalog(scan, resource, project))
        for scan in (*merge.new_scans, *(scan for _, scan in merge.new_resources))
        for resource in scan.resources
    }
    totals: dict[tuple[str, str], tuple[int, int]] = {}
    for key in merge.touched:
        resource = _resource(judged, key)
        adds = [add for add in merge.adds if (add.scan, add.folder) == key]
        old = judged.catalogs[resource.catalog]
        texts[resource.catalog] = catalog.merge(old, [add.entry for add in adds])
        totals[key] = _held(resource, adds)
    return texts, totals


def _resource(judged: Judged, key: tuple[str, str]) -> ArchivedResource:
    for scan in judged.archived.scans if judged.archived else ():
        for resource in scan.resources:
            if (scan.id, resource.label) == key:
                return resource
    raise DocumentError(f"archived scan {key[0]} has no resource {key[1]}")


def _held(resource: ArchivedResource, adds: list[Add]) -> tuple[int, int]:
    size = sum(entry.size or 0 for entry in resource.entries)
    added = sum(add.instance.size for add in adds)
    return len(resource.entries) + len(adds), size + added


def _document(judged: Judged, accepted: tuple[str, ...], totals: Totals) -> bytes:
    session, merge, archived = judged.session, judged.merge, judged.archived
    if archived is None or judged.xml is None:
        return document.compose(
            session, merge.new_scans, experiment_id=experiment(session), accepted=accepted
        )
    if not merge.adds and set(accepted) == set(archived.accepted):
        return judged.xml  # an identical resend changes nothing
    return document.merge(
        judged.xml,
        session,
        merge.new_scans,
        totals,
        new_resources=merge.new_resources,
        accepted=accepted,
        element=_element(judged, merge),
    )


def _element(judged: Judged, merge: Merge) -> str | None:
    """The session's type over all scans; None where nothing is added that could change it."""
    if judged.archived is None or not merge.new_scans:
        return None
    return merged_type(judged.scans, judged.archived)


def _grown(parts: Parts, judged: Judged) -> tuple[int, int, int]:
    """Scans, files and bytes of the archived session when the plan is carried out."""
    session, merge = judged.session, judged.merge
    shelf = parts.registry.shelf(session.project or "", session.label)
    scans, number, size = (shelf.scans, shelf.files, shelf.bytes) if shelf else (0, 0, 0)
    added = sum(add.instance.size for add in merge.adds)
    return scans + len(merge.new_scans), number + len(merge.adds), size + added
