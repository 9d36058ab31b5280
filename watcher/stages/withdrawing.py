"""Taking the plan of an archiving back: whole before its first swap, else what is not in use.

Nothing that a catalog in place lists is removed, so a plan that was begun and does not fit the
archive any more can be withdrawn too: the next one is made from the facts.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Final

from watcher.core import life, uris
from watcher.core.errors import DocumentError, HeldError, MissingPlaceError, StorageError
from watcher.core.session import Session
from watcher.dicom import catalog
from watcher.io import files
from watcher.io.lease import session_key
from watcher.stages import carrying, sent
from watcher.stages import promise as promises
from watcher.stages.ahead import drop_half
from watcher.stages.leaving import describe_left
from watcher.stages.parts import Parts
from watcher.stages.promise import Promise, Retire

CAN_WAIT: Final = (DocumentError, StorageError, MissingPlaceError, HeldError)


def abandon(parts: Parts, session: Session) -> None:
    """Take back the plan that lies beside a session and that nobody carries on, if there is one.

    DocumentError where nobody can read it any more.
    """
    path = promises.path_of(parts, session)
    if os.path.lexists(path):
        take_back(parts, promises.read(path))


def withdraw(parts: Parts, session_id: str, record: Session | None, plan: str) -> None:
    """The same at a start, for a session nobody works on: what can't be done now is left.

    The plan is that of a try that was given up, or of a part that is done and is undone nowhere.
    """
    if not os.path.lexists(plan) or not parts.storage.is_there("archive"):
        return
    with suppress(*CAN_WAIT), parts.leases.hold([session_key(session_id)], parts.clock.now()):
        known = parts.ledger.session(session_id) if parts.ledger.has(session_id) else None
        newest = max(filter(None, [known, record]), key=freshness, default=None)
        if newest and newest.status in life.OPEN:
            take_back(parts, promises.read(plan))


def freshness(record: Session) -> tuple[int, bool]:
    """Of two records as new, the one that still knows where the session moves from."""
    target = record.target[:2] if record.target else None
    return record.revision, target not in {None, (record.project, record.label)}


def finish(parts: Parts, session: Session, plan: str) -> None:
    """Clear away what the plan beside a session that has ended still names, and strike it.

    Where that can't be done it is said, and left: nothing hangs on it.
    """
    try:
        carrying.clear_away(parts, promises.read(plan))
        carrying.strike(parts, session)
    except CAN_WAIT as error:
        text = f"the plan beside a session that has ended can't be finished: {error}"
        parts.emit("daemon.recovered", **parts.said(session, text=text, count=1, outcome="left"))


def take_back(parts: Parts, promise: Promise) -> None:
    """Undo the links that no catalog in place lists, the folders made for them, and the plan.

    What went ahead stays. Before the first swap all else is undone. After it, what the archive has
    of it stays, and an old file that was replaced leaves for the history: the next plan is made
    from the facts.
    """
    parts.storage.require("archive")
    base = carrying.archived(parts, promise)
    folder = parts.storage.folder(promise.session)
    listed = _listed(parts, promise)
    here = set[str]().union(*listed.values(), sent.read(parts, promise.session))
    for carry in promise.carries:
        source, target = os.path.join(folder, carry.source), os.path.join(base, carry.target)
        drop_half(target)
        ours = files.same_inode(source, target) or _is_copy(source, target, carry.digest)
        if ours and carry.target not in here:
            files.remove(target)
    for retire in promise.retires:
        _finish_retiring(parts, promise, retire, listed)
    _take_back_asides(parts, promise)
    describe_left(parts, promise)
    for swap in promise.swaps:
        files.remove(files.temporary(carrying.document_of(parts, promise, swap)))
    for path in _folders(promise):
        files.remove_empty(os.path.join(base, path))
    if promise.new and files.remove_empty(base):
        files.remove_empty(os.path.dirname(base))
    _make_durable(parts, promise)
    files.remove(promises.path_of(parts, promise.session))


def _make_durable(parts: Parts, promise: Promise) -> None:
    """What is undone may lie on other disks than the plan, and is before the plan is gone."""
    base = carrying.archived(parts, promise)
    touched = [("archive", os.path.join(base, carry.target)) for carry in promise.carries]
    touched += [("archive", os.path.join(base, each.path)) for each in promise.retires]
    pairs = [(each.store, each.target) for each in promise.asides]
    pairs += [("history", each.target) for each in promise.retires]
    touched += [(store, os.path.join(parts.storage.path(store), path)) for store, path in pairs]
    stores = {store: parts.storage.require(store) for store, _ in touched}
    files.sync_folders([carrying.left(stores[store], path) for store, path in touched])


def _listed(parts: Parts, promise: Promise) -> dict[str, set[str]]:
    """What each catalog in place lists, by its path: every file its URIs may mean."""
    paths = {
        swap.path: carrying.document_of(parts, promise, swap) for swap in promise.swaps if swap.path
    }
    found = {path: files.read_if_there(place) for path, place in paths.items()}
    return {
        path: {each for uri in _uris(data) for each in uris.candidates(uri, os.path.dirname(path))}
        for path, data in found.items()
        if data is not None
    }


def _uris(data: bytes) -> list[str]:
    try:
        return [entry.uri for entry in catalog.read(data)[1]]
    except DocumentError:
        return list(catalog.salvage(data))


def _finish_retiring(
    parts: Parts, promise: Promise, retire: Retire, listed: Mapping[str, set[str]]
) -> None:
    """Remove an old file that is in the history, where the catalog in place lists new ones."""
    old = os.path.join(carrying.archived(parts, promise), retire.path)
    kept = os.path.join(parts.storage.path("history"), retire.target)
    folder = os.path.dirname(retire.path)
    new = {carry.target for carry in promise.carries}
    beside = [each for path, each in listed.items() if os.path.dirname(path) == folder]
    swapped = any(not new.isdisjoint(each) for each in beside)
    in_use = retire.kept or any(retire.path in each for each in beside)
    if swapped and not in_use and (files.same_inode(old, kept) or _is_copy(old, kept)):
        files.remove(old)


def _take_back_asides(parts: Parts, promise: Promise) -> None:
    """Second names in quarantine and history, and what was copied into the history.

    A copy in the quarantine may be of an earlier archiving: it harms nobody, and stays.
    """
    base, folder = carrying.archived(parts, promise), parts.storage.folder(promise.session)
    pairs = [
        (os.path.join(folder, each.source), each.store, each.target) for each in promise.asides
    ]
    pairs += [(os.path.join(base, each.path), "history", each.target) for each in promise.retires]
    for source, store, path in pairs:
        target = os.path.join(parts.storage.path(store), path)
        drop_half(target)
        if files.same_inode(source, target) or (store == "history" and _is_copy(source, target)):
            files.remove(target)
        carrying.prune(parts.storage.path(store), path)


def _is_copy(source: str, target: str, digest: str = "") -> bool:
    """Both are there, apart, with the same bytes: those that the plan names, if it does."""
    if files.print_of(source) is None or files.print_of(target) is None:
        return False
    found = files.digest(source)
    return found == files.digest(target) and digest in {"", found}


def _folders(promise: Promise) -> Iterator[str]:
    """The folders of the carried files, deepest first."""
    found = {os.path.dirname(carry.target) for carry in promise.carries}
    found |= {os.path.dirname(path) for path in found} | {"SCANS"}
    yield from sorted(found, key=lambda path: -path.count("/"))
