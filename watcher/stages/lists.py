"""DICOMDIRs: the lists of what should come (spec 7), read, kept, and forgotten.

A list is never filed and never a fault. It is known by its drop and path; the readers read it.
"""

import os
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from watcher.core.errors import MissingPlaceError, StorageError, storage_error
from watcher.core.file import Fingerprint, RefusalCode
from watcher.core.listed import Listed, plain
from watcher.core.policy import Drop
from watcher.core.session import Session
from watcher.core.settle import Waiting
from watcher.io.descent import stat
from watcher.io.lists import Lists
from watcher.stages.hop import Hop
from watcher.stages.parts import Parts

Examine: TypeAlias = Callable[[Sequence[dict[str, Any]]], Awaitable[list[dict[str, Any]]]]
HOPES: Final = ("", RefusalCode.BUSY.value, RefusalCode.HOLLOW.value)
"""Why a file waits that may become whole by itself."""
Pending: TypeAlias = Mapping[str, Collection[bytes]]
"""By drop: the paths of files that wait there and may still be filed."""


async def note_list(  # noqa: PLR0917  six things, each of another kind
    parts: Parts, examine: Examine, thread: Hop, drop: Drop, path: bytes, file: str
) -> bool:
    """Read a DICOMDIR and keep what it lists; whether it could be read. Repeatable.

    `path`: where it lies in the drop, or in a unit of it (`unit/DICOMDIR`, `x.zip/DICOMDIR`);
    `file`: the absolute path to read, in the drop or staged. `examine` is that of the readers.
    One that can't be read is no fault, and no list. StorageError where the machine said no,
    WorkerError where no reader starts.
    """
    (reply,) = await examine([{"list": _where(drop, file), "size": 0}])
    if "errno" in reply:
        number = int(reply["errno"])
        why = OSError(number, os.strerror(number))
        raise storage_error(why, reply["doing"], reply.get("place", ""))
    found = reply.get("listed")  # a reader that died says nothing of it
    if found is None:
        await thread(Lists(parts.ledger).forget, drop.name, path)
        return False
    seen = Fingerprint(*reply["print"])
    await thread(Lists(parts.ledger).keep, drop.name, path, seen, _files(found))
    return True


def _where(drop: Drop, file: str) -> dict[str, str]:
    """A file as the readers open one: below its drop, or else below the folder it lies in."""
    inside = os.path.relpath(file, drop.path)
    if inside.startswith(".."):
        return {"root": os.path.dirname(file), "path": os.path.basename(file)}
    return {"root": drop.path, "path": inside}


def _files(found: Mapping[str, Mapping[str, Sequence[Sequence[Any]]]]) -> Iterator[Listed]:
    for study, series in found.items():
        for uid, files in series.items():
            for sop, file in files:
                yield Listed(study, uid, sop, tuple(file))


def review(parts: Parts, drop: Drop, pending: Collection[bytes]) -> None:
    """After a look at a drop: which of its lists still lie there, and which listed files do.

    `pending` as in Pending. A drop that can't be looked at tells nothing.
    """
    lists = Lists(parts.ledger)
    paths = lists.paths(drop.name)
    if not paths:
        return
    lists.mark(drop.name, map(plain, pending))
    try:
        found = stat(drop.path, paths)
    except (MissingPlaceError, StorageError):
        return
    gone = {path for path, seen in zip(paths, found, strict=True) if seen is None}
    lists.note_gone(drop.name, gone, parts.clock.now(), parts.rules.max_open)


def awaited(parts: Parts, sessions: Sequence[Session], pending: Pending) -> set[str]:
    """The ids of those for whose study a pending file is listed: it holds their timers (spec 9).

    Wherever in their drops it lies. What is pending is noted, for the builds that may follow.
    """
    lists = Lists(parts.ledger)
    for drop in sorted({drop for each in sessions for drop in each.drops}):
        lists.mark(drop, map(plain, pending.get(drop, ())))
    return {each.id for each in sessions if lists.holds(each.drops, each.study)}


def pending_of(waiting: Iterable[Waiting], *, hopeful: bool = False) -> set[bytes]:
    """The paths of files that may still be filed; `hopeful`: only those that may be by themselves.

    A stuck file waits for its sender.
    """
    return {
        each.path for each in waiting if not each.stuck and (each.reason in HOPES or not hopeful)
    }
