"""The plan of an archiving: written down beside the session, then carried out step by step.

`LABEL.plan.json` says which files go where, which are dropped because the archive has them, and
what each catalog and the session XML become. Every step can be repeated; files are in place
before any document is swapped; nothing the plan does not name is removed (spec 11).
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from watcher.core.errors import ClashError, DocumentError, RefusedError, StorageError
from watcher.core.model import Session
from watcher.core.record import session_of, session_values
from watcher.io import files
from watcher.stages.parts import Parts

OTHER_CLASS: Final = "other-class"


class OutdatedError(RefusedError):
    """The archived session changed since the plan was made: a new plan is needed."""

    permanent = False


@dataclass(frozen=True, slots=True)
class Carry:
    """A file that goes from the prearchive session's folder to the archived one's."""

    source: str
    target: str
    digest: str


@dataclass(frozen=True, slots=True)
class Drop:
    """A file that is not merged: the archive has it (`target`), or it goes to quarantine."""

    source: str
    target: str
    because: str  # same-instance or other-class
    digest: str


@dataclass(frozen=True, slots=True)
class Swap:
    """A document's next contents. Digests are MD5; `before` is empty where there was none."""

    path: str  # relative to the archived session's folder; "" is the session XML beside it
    before: str
    text: str

    @property
    def after(self) -> str:
        """The digest of the text."""
        return md5(self.text.encode())


@dataclass(frozen=True, slots=True)
class Promise:
    """One archiving, whole."""

    session: Session
    made: str  # ISO 8601
    new: bool  # the label was not archived before
    carries: tuple[Carry, ...]
    drops: tuple[Drop, ...]
    swaps: tuple[Swap, ...]  # catalogs first, the session XML last
    leftovers: tuple[str, ...]  # of the prearchive session's folder: its own catalogs
    sizes: tuple[int, int, int]  # scans, files, bytes that came
    experiment: str
    studies: tuple[str, ...]  # that the archived session holds then, its own first
    subject: str
    totals: tuple[int, int, int]  # scans, files, bytes of the archived session then


def md5(data: bytes) -> str:
    """The MD5 of a document, lower-case hex."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def write(parts: Parts, promise: Promise) -> None:
    """Write the plan down; from here on a restart carries it out or takes it back."""
    values = asdict(promise)
    values["session"] = session_values(promise.session)
    text = json.dumps(values, indent=1)
    files.swap(parts.storage.beside(promise.session, "plan.json"), text.encode() + b"\n")


def read(path: str) -> Promise:
    """The plan in a file; DocumentError where it does not hold one."""
    try:
        values: dict[str, Any] = json.loads(files.read(path))
        return Promise(
            **{
                **values,
                "session": session_of(values["session"]),
                "carries": tuple(Carry(**each) for each in values["carries"]),
                "drops": tuple(Drop(**each) for each in values["drops"]),
                "swaps": tuple(Swap(**each) for each in values["swaps"]),
                **{
                    name: tuple(values[name])
                    for name in ("leftovers", "sizes", "studies", "totals")
                },
            }
        )
    except (ValueError, KeyError, TypeError) as error:
        raise DocumentError("a plan beside a session can't be read") from error


def is_begun(parts: Parts, promise: Promise) -> bool:
    """Whether any document was swapped, or none is to be: then it is carried forward (spec 9)."""
    parts.storage.require("archive")
    changing = [swap for swap in promise.swaps if swap.after != swap.before]
    done = (_digest_of(_document(parts, promise, swap)) == swap.after for swap in changing)
    return not changing or any(done)


def carry_out(parts: Parts, promise: Promise) -> None:
    """Every step up to the last swap. OutdatedError where the archive is not as it was planned."""
    parts.storage.require("archive")
    _check_documents(parts, promise)
    base = _archived(parts, promise)
    folder = parts.storage.folder(promise.session)
    for carry in promise.carries:
        parts.check_stop()
        _carry(os.path.join(folder, carry.source), os.path.join(base, carry.target), carry.digest)
    for drop in promise.drops:
        if drop.because == OTHER_CLASS:
            aside = os.path.join(parts.storage.require("quarantine"), drop.target)
            _carry(os.path.join(folder, drop.source), aside, drop.digest)
            files.sync_folders([aside])
    files.sync_folders([os.path.join(base, carry.target) for carry in promise.carries])
    for swap in promise.swaps:
        parts.check_stop()
        path = _document(parts, promise, swap)
        if _digest_of(path) != swap.after:
            files.make_folder(os.path.dirname(path))
            files.swap(path, swap.text.encode())


def _carry(source: str, target: str, digest: str) -> None:
    files.make_folder(os.path.dirname(target))
    try:
        if files.print_of(source) is not None:
            files.transfer(source, target)
    except ClashError as error:
        if files.same_inode(source, target) or files.digest(target) == digest:
            return
        raise OutdatedError("a name in the archive is taken by other content") from error
    if files.print_of(target) is None:
        raise StorageError("a file to be archived is gone from both sides", number=0)


def clear_away(parts: Parts, promise: Promise) -> None:
    """Empty the prearchive session's folder name by name, then its record and document."""
    parts.storage.require("archive")
    folder = parts.storage.folder(promise.session)
    base = _archived(parts, promise)
    for carry in promise.carries:
        if files.print_of(os.path.join(base, carry.target)) is not None:
            files.remove(os.path.join(folder, carry.source))
    for drop in promise.drops:
        files.remove(os.path.join(folder, drop.source))
    for name in promise.leftovers:
        files.remove(os.path.join(folder, name))
    files.remove_empty_below(folder)
    files.remove(f"{folder}.xml")
    files.remove(f"{folder}.json")


def strike(parts: Parts, session: Session) -> None:
    """The plan is done: remove it, and the folders that only it held."""
    plan = parts.storage.beside(session, "plan.json")
    files.remove(plan)
    moment = os.path.dirname(plan)
    if files.remove_empty(moment) and session.project:
        files.remove_empty(os.path.dirname(moment))


def take_back(parts: Parts, promise: Promise) -> None:
    """Undo what was done before the first swap: the links, the folders made for them, the plan."""
    base = _archived(parts, promise)
    folder = parts.storage.folder(promise.session)
    for carry in promise.carries:
        source, target = os.path.join(folder, carry.source), os.path.join(base, carry.target)
        files.remove(files.temporary(target))
        if files.same_inode(source, target) or _is_copy(source, target, carry.digest):
            files.remove(target)
    for swap in promise.swaps:
        files.remove(files.temporary(_document(parts, promise, swap)))
    for path in _folders(promise):
        files.remove_empty(os.path.join(base, path))
    if promise.new and files.remove_empty(base):
        files.remove_empty(os.path.dirname(base))
    files.remove(parts.storage.beside(promise.session, "plan.json"))


def _is_copy(source: str, target: str, digest: str) -> bool:
    """Both are there, apart, with the bytes the plan names."""
    there = files.print_of(source) is not None and files.print_of(target) is not None
    return there and files.digest(source) == digest == files.digest(target)


def _folders(promise: Promise) -> Iterator[str]:
    """The folders of the carried files, deepest first."""
    found = {os.path.dirname(carry.target) for carry in promise.carries}
    found |= {os.path.dirname(path) for path in found} | {"SCANS"}
    yield from sorted(found, key=lambda path: -path.count("/"))


def _check_documents(parts: Parts, promise: Promise) -> None:
    for swap in promise.swaps:
        if _digest_of(_document(parts, promise, swap)) not in {swap.before, swap.after}:
            raise OutdatedError("the archived session changed since the plan was made")


def _archived(parts: Parts, promise: Promise) -> str:
    return parts.storage.archived(promise.session.project or "", promise.session.label)


def _document(parts: Parts, promise: Promise, swap: Swap) -> str:
    base = _archived(parts, promise)
    return os.path.join(base, swap.path) if swap.path else f"{base}.xml"


def _digest_of(path: str) -> str:
    data = files.read_if_there(path)
    return "" if data is None else md5(data)


def swaps_of(
    before: Mapping[str, bytes], texts: Mapping[str, bytes], xml: tuple[bytes | None, bytes]
) -> tuple[Swap, ...]:
    """The documents of a plan, the session XML last: at most one swap for each."""
    catalogs: Sequence[Swap] = [
        Swap(path, md5(before[path]) if path in before else "", text.decode())
        for path, text in sorted(texts.items())
    ]
    old, new = xml
    return (*catalogs, Swap("", "" if old is None else md5(old), new.decode()))
