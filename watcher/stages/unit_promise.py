"""A unit's staging folder, and the promise in it that the unit lands whatever happens.

`<prearchive>/.watcher-incoming/unit-<id>/` holds a copy of every member and `members.jsonl`, one
line for each: all it takes to file them without the drop or a configuration. `unit.json` is the
promise, swapped in when all of that is durable. A folder without one is nothing: it is swept. The
first thing that goes when the unit has landed is its promise.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Final

from watcher.core.errors import DocumentError
from watcher.core.file import Candidate, Examined
from watcher.core.muster import Part
from watcher.core.policy import Drop
from watcher.core.unit import Kind, Unit
from watcher.io import files, journal
from watcher.io.desk import Incoming
from watcher.stages.parts import Parts
from watcher.stages.reading import mark
from watcher.stages.unit_record import (
    Member,
    Promise,
    member_of,
    member_text,
    promise_of,
    promise_text,
)

FOLDER: Final = "unit-"
PROMISE: Final = "unit.json"
MEMBERS: Final = "members.jsonl"
BATCH: Final = 256  # members at a time, of which no more than this are in memory


# -- the staging folder --------------------------------------------------------------------------


def folder_of(parts: Parts, unit_id: str) -> str:
    """Where a unit is staged."""
    return os.path.join(parts.storage.incoming, f"{FOLDER}{unit_id}")


def begin(parts: Parts, unit: Unit) -> str:
    """Make a staging folder for a unit; gives the id it has while it lands."""
    parts.storage.require("prearchive")
    unit_id = f"{parts.clock.stamp()}-{_mark(unit.drop, unit.name)}"
    files.make_folder(folder_of(parts, unit_id))
    return unit_id


def _mark(drop: str, name: bytes) -> str:
    return mark(drop.encode() + bytes(1) + name)


def note(parts: Parts, unit_id: str, members: Sequence[Member]) -> None:
    """Write down some members; their copies are durable then, but for the folder."""
    folder = folder_of(parts, unit_id)
    staged = [os.path.join(folder, each.staged) for each in members if each.staged]
    if failed := files.sync_all(staged):
        raise next(iter(failed.values()))
    journal.append(os.path.join(folder, MEMBERS), map(member_text, members))


def promise(parts: Parts, unit_id: str, drop: Drop, unit: Unit) -> Promise:
    """Promise that a unit lands: all of it is durable, and so is this. StorageError: it is not."""
    sources = unit.sources if unit.kind is Kind.ARCHIVE else ()
    made = Promise(unit_id, drop.path, drop.after, drop.dest, replace(unit, sources=sources))
    folder = folder_of(parts, unit_id)
    files.sync(os.path.join(folder, MEMBERS))
    files.sync(folder)
    parts.storage.require("prearchive")  # still: else all this went beneath its mount
    _write(parts, made)
    return made


def mark_filed(parts: Parts, made: Promise) -> Promise:
    """Every member is where it belongs: from here on nothing of it is filed again."""
    filed = replace(made, filed=True)
    _write(parts, filed)
    return filed


def strike(parts: Parts, made: Promise) -> None:
    """The unit has landed: its promise goes, and then what was staged."""
    discard(folder_of(parts, made.id))


def discard(folder: str) -> None:
    """Remove a staging folder; what it promises goes first, and for good."""
    if files.remove(os.path.join(folder, PROMISE)):
        files.sync(folder)
    for path in list(files.walk(folder)):
        files.remove(os.path.join(folder, path))
    files.remove_empty_below(folder)


# -- what a start, or a second try, finds --------------------------------------------------------


def promised(parts: Parts) -> list[str]:
    """The ids of the units that are promised, oldest first."""
    names = (name for name in _staged(parts) if _is_promised(parts, name))
    return [name.removeprefix(FOLDER) for name in names]


def read(parts: Parts, unit_id: str) -> Promise:
    """What is promised of a unit; DocumentError where that can't be read."""
    return promise_of(files.read(os.path.join(folder_of(parts, unit_id), PROMISE)))


def promised_of(parts: Parts, drop: str, unit: bytes) -> Promise | None:
    """What is promised of a unit of this name; what an earlier try left without is discarded."""
    found: Promise | None = None
    for name in _staged(parts):
        if not name.endswith(f"-{_mark(drop, unit)}"):
            continue
        if _is_promised(parts, name):
            found = read(parts, name.removeprefix(FOLDER))
        else:
            discard(os.path.join(parts.storage.incoming, name))
    return found


def sweep(parts: Parts) -> None:
    """At a start: everything goes that was being read or staged, but for what is promised.

    The sources are where they were.
    """
    incoming = parts.storage.incoming
    files.make_folder(incoming)
    for name in sorted(files.names_in(incoming)):
        path = os.path.join(incoming, name)
        if not os.path.isdir(path) or os.path.islink(path):
            files.remove(path)
        elif not _is_promised(parts, name):
            discard(path)


def _staged(parts: Parts) -> list[str]:
    return sorted(n for n in files.names_in(parts.storage.incoming) if n.startswith(FOLDER))


def _is_promised(parts: Parts, name: str) -> bool:
    return os.path.lexists(os.path.join(parts.storage.incoming, name, PROMISE))


def _write(parts: Parts, made: Promise) -> None:
    files.swap(os.path.join(folder_of(parts, made.id), PROMISE), promise_text(made))


def members(parts: Parts, made: Promise, *wanted: Part) -> Iterator[list[Member]]:
    """The members of a unit that are these parts of it, as they were noted, some at a time."""
    path = os.path.join(folder_of(parts, made.id), MEMBERS)
    yield from batches(each for each in map(member_of, journal.lines(path)) if each.part in wanted)


def batches(several: Iterable[Member]) -> Iterator[list[Member]]:
    """So many at a time as may be in memory."""
    them = iter(several)
    while some := list(islice(them, BATCH)):
        yield some


def incoming_of(made: Promise, member: Member) -> Incoming:
    """A member on its way into a session. DocumentError where it is no instance."""
    if member.header is None or member.identity is None:
        raise DocumentError("a member of a unit was noted as an instance, and is none")
    return Incoming(
        candidate=Candidate(made.unit.drop, member.path, member.print),
        examined=Examined(
            member.print, member.digest, member.header, f"{FOLDER}{made.id}/{member.staged}"
        ),
        identity=member.identity,
        inactivity=0.0,
        dest=made.dest,
        unit=made.id,
    )
