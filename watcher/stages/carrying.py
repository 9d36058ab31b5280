"""Carrying out the plan of an archiving, from wherever it stands (spec 11); back: withdrawing.

Every step can be repeated; files are in place before any document is swapped, and what they
replace leaves after it: at every instant the catalog in place lists only files that are there.
Nothing the plan does not name is removed.
"""

import json
import os

from watcher.core.errors import ClashError
from watcher.core.session import Session
from watcher.io import files
from watcher.stages import sent
from watcher.stages.parts import Parts
from watcher.stages.promise import OutdatedError, Promise, Swap, digest_of, path_of


def log_of(parts: Parts, promise: Promise) -> str:
    """The archived session's own log; its line is written when all but clearing away is done."""
    return os.path.join(archived(parts, promise), "logs", "events.jsonl")


def is_done(parts: Parts, promise: Promise) -> bool:
    """Whether the archived session's own log tells of it: only clearing away may be left.

    What then became of the files and documents is others' doing.
    """
    lines = (files.read_if_there(log_of(parts, promise)) or b"").splitlines()
    return any(_tells(line, promise) for line in lines if promise.made.encode() in line)


def _tells(line: bytes, promise: Promise) -> bool:
    try:
        values = json.loads(line)
        return (values["timestamp"], values["session"]) == (promise.made, promise.session.id)
    except (ValueError, KeyError, TypeError):
        return False


def is_begun(parts: Parts, promise: Promise) -> bool:
    """Whether any document was swapped, or none is to be: then it is carried forward (spec 9)."""
    parts.storage.require("archive")
    if is_done(parts, promise):
        return True
    changing = [swap for swap in promise.swaps if swap.after != swap.before]
    done = (state_of(document_of(parts, promise, swap), swap) == swap.after for swap in changing)
    return not changing or any(done)


def carry_out(parts: Parts, promise: Promise) -> None:
    """Every step up to the last swap, and what the swaps retire.

    OutdatedError where the archive, or what was to go there, is not as it was planned.
    """
    archive = parts.storage.require("archive")
    _check_documents(parts, promise)
    _link(parts, promise)
    _check_documents(parts, promise)  # linking takes long
    for swap in promise.swaps:
        parts.check_stop()
        path = document_of(parts, promise, swap)
        if _check(path, swap) != swap.after:
            files.make_folder(os.path.dirname(path))
            data = _next(path, swap)
            _check(path, swap)
            files.swap(path, data)
    base = archived(parts, promise)
    retired = [os.path.join(base, each.path) for each in promise.retires if not each.kept]
    for path in retired:
        files.remove(path)
    files.sync_folders([left(archive, path) for path in retired])


def left(store: str, path: str) -> str:
    """The path, or the next one above it in the store whose folder is there still."""
    while os.path.dirname(path) != store and not os.path.isdir(os.path.dirname(path)):
        path = os.path.dirname(path)
    return path


def _next(path: str, swap: Swap) -> bytes:
    """What a document becomes; OutdatedError where that is not what was planned."""
    data = swap.data(None if swap.text else files.read_if_there(path))
    if digest_of(data) != swap.after:
        raise OutdatedError("the archived session changed while it was merged into")
    return data


def _link(parts: Parts, promise: Promise) -> None:
    """Every file in its new place too, durable."""
    base, folder = archived(parts, promise), parts.storage.folder(promise.session)
    placed: list[str] = []
    for carry in promise.carries:
        parts.check_stop()
        placed.append(os.path.join(base, carry.target))
        _carry(os.path.join(folder, carry.source), placed[-1], carry.digest)
    for aside in promise.asides:
        parts.check_stop()
        placed.append(os.path.join(parts.storage.require(aside.store), aside.target))
        _carry(os.path.join(folder, aside.source), placed[-1], aside.digest)
    for retire in promise.retires:
        parts.check_stop()
        placed.append(os.path.join(parts.storage.require("history"), retire.target))
        _save(os.path.join(base, retire.path), placed[-1])
    files.sync_folders(placed)


def _save(source: str, target: str) -> None:
    """An archived file in the history too; once it is there, it stays what it is."""
    if files.placed(target) is None:
        files.make_folder(os.path.dirname(target))
        files.transfer(source, target)


def _carry(source: str, target: str, digest: str) -> None:
    files.make_folder(os.path.dirname(target))
    try:
        if files.print_of(source) is not None:
            files.transfer(source, target)
    except ClashError as error:
        if files.same_inode(source, target) or files.digest(target) == (
            digest or files.digest(source)
        ):
            return
        raise OutdatedError("a name in the archive is taken by other content") from error
    if files.print_of(target) is None:
        raise OutdatedError("a file to be archived is gone from both sides")


def clear_away(parts: Parts, promise: Promise) -> None:
    """Empty the prearchive session's folder name by name, then its record and document."""
    parts.storage.require("archive")
    folder = parts.storage.folder(promise.session)
    base = archived(parts, promise)
    for carry in promise.carries:
        if files.print_of(os.path.join(base, carry.target)) is not None:
            files.remove(os.path.join(folder, carry.source))
    for aside in promise.asides:
        if files.print_of(os.path.join(parts.storage.require(aside.store), aside.target)):
            files.remove(os.path.join(folder, aside.source))
    retired = {retire.path for retire in promise.retires}
    for drop in promise.drops:  # what held it may have gone to the history meanwhile
        there = files.print_of(os.path.join(base, drop.target)) is not None
        if there or drop.target in retired:
            files.remove(os.path.join(folder, drop.source))
    for name in promise.leftovers:
        files.remove(os.path.join(folder, name))
    sent.write(parts, promise.session, {})  # catalogs list all it named
    if promise.remains:
        _leave(promise, folder)
    else:
        files.remove_empty_below(folder)
        files.remove(f"{folder}.xml")
        files.remove(f"{folder}.json")
    store = parts.storage.require("prearchive")
    cleared = (os.path.join(folder, path) for path in (*promise.sources, *promise.leftovers))
    one_of_each = {os.path.dirname(path): path for path in cleared}.values()
    files.sync_folders([left(store, path) for path in one_of_each])  # before the plan is gone


def _leave(promise: Promise, folder: str) -> None:
    """What findings hold stays, with an XML that tells of nothing else."""
    for path in (*promise.sources, *promise.leftovers):
        prune(folder, path)
    text = promise.remains.xml.encode() if promise.remains else b""
    if files.read_if_there(f"{folder}.xml") != text:
        files.swap(f"{folder}.xml", text)


def strike(parts: Parts, session: Session) -> None:
    """The plan is done: remove it, and the folders that only it held."""
    plan = path_of(parts, session)
    files.remove(plan)
    moment = os.path.dirname(plan)
    if files.remove_empty(moment) and session.project:
        files.remove_empty(os.path.dirname(moment))


def prune(base: str, path: str) -> None:
    """Remove the folders that held nothing but this path, which is relative to `base`."""
    folder = os.path.dirname(path)
    while folder and files.remove_empty(os.path.join(base, folder)):
        folder = os.path.dirname(folder)


def _check_documents(parts: Parts, promise: Promise) -> None:
    for swap in promise.swaps:
        _check(document_of(parts, promise, swap), swap)


def _check(path: str, swap: Swap) -> str:
    """The digest of a document as it is; OutdatedError where that is neither before nor after."""
    state = state_of(path, swap)
    if state not in {swap.before, swap.after}:
        raise OutdatedError("the archived session changed since the plan was made")
    return state


def archived(parts: Parts, promise: Promise) -> str:
    """The archived session's folder."""
    return parts.storage.archived(promise.session.project or "", promise.session.label)


def document_of(parts: Parts, promise: Promise, swap: Swap) -> str:
    """Where a document lies that is swapped."""
    base = archived(parts, promise)
    return os.path.join(base, swap.path) if swap.path else f"{base}.xml"


def state_of(path: str, swap: Swap) -> str:
    """The digest of a document as it is; not read again where it is as it was planned with."""
    if swap.seen is not None and swap.seen == files.print_of(path):
        return swap.before
    data = files.read_if_there(path)
    return "" if data is None else digest_of(data)
