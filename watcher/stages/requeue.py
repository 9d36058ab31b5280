"""What a person does with the quarantine: put files back into their drop, or purge them.

A file is durable in the drop before it leaves the quarantine, and an entry is closed when its last
one has left, so a command that was cut off is finished by the next try.
"""

import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

from watcher.core import names, pick
from watcher.core.errors import (
    ClashError,
    MissingPlaceError,
    OutsideError,
    RefusedError,
    StorageError,
    UnknownSessionError,
)
from watcher.core.file import RefusalCode
from watcher.core.policy import Drop
from watcher.io import files, journal
from watcher.io.lease import session_key
from watcher.io.registry import SetAside
from watcher.io.returning import FORBIDDEN, give_back, may_be_written
from watcher.report.text import printable
from watcher.report.times import iso
from watcher.stages.claims import check_free
from watcher.stages.giving_back import give_unit_back, is_owed
from watcher.stages.history import contents
from watcher.stages.parts import Parts
from watcher.stages.presence import check_mount
from watcher.stages.quarantine import REASON, settling_key
from watcher.stages.refusing import is_unit, withdraw

BY_ARCHIVING: Final = frozenset({RefusalCode.OTHER_CLASS.value, "stray-file"})
"""Codes of entries that hold files under names of a session, not of the drop."""
LISTS: Final = RefusalCode.DICOMDIR.value
"""The code of entries of nothing but DICOMDIRs: they are closed from the first."""
SHARED: Final = frozenset({RefusalCode.NOT_DICOM.value, LISTS})
"""Codes of entries that hold the files of a dropped folder under their paths."""
_REASON: Final = ("member", "code", "text")  # one of a unit's, as it is written


def entry(parts: Parts, text: str) -> SetAside:
    """The entry a text means: its id, or any unambiguous part of `drop/date/id`.

    UnknownSessionError where none fits, or several do.
    """
    known = {each.place: each for each in parts.registry.aside(only_open=False)}
    found = pick.fitting(text, list(known))
    if not found:
        hint = "watcher quarantine list --all"
        raise UnknownSessionError(f"no entry of the quarantine fits {text!r}", hint=hint)
    if len(found) > 1:
        said = f"{len(found)} entries fit {text!r}: {', '.join(found[:5])}"
        raise UnknownSessionError(said, hint="give the id")
    return known[found[0]]


def paths(parts: Parts, aside: SetAside) -> list[str]:
    """The files of an entry, relative to its folder."""
    return list(contents(folder_of(parts, aside)))


def folder_of(parts: Parts, aside: SetAside) -> str:
    """Where an entry's files lie."""
    return os.path.join(parts.storage.path("quarantine"), aside.place)


def reasons(parts: Parts, aside: SetAside) -> list[dict[str, str]]:
    """Why a unit was refused, each with its `member`, `code` and `text`; of other entries none."""
    try:
        told = json.loads(files.read_if_there(os.path.join(folder_of(parts, aside), REASON)) or b"")
        return [{word: str(each[word]) for word in _REASON} for each in told["reasons"]]
    except (ValueError, KeyError, TypeError, OutsideError):
        return []


# -- requeue -------------------------------------------------------------------------------------


def requeue(
    parts: Parts, drops: Mapping[str, Drop], aside: SetAside, *, who: str, reason: str = ""
) -> SetAside:
    """Put an entry's files back into their drop, to be looked at as new; gives it, closed.

    Who did it, and why, is kept with the decisions.

    RefusedError where the drop may not be written, and nothing was changed; StorageError, and
    what is not back lies in the quarantine still.
    """
    for store in ("quarantine", "history"):
        parts.storage.require(store)
    drop = _drop(parts, drops, aside)
    with parts.leases.hold(_keys(aside), parts.clock.now()):
        aside = _again(parts, aside)
        _note(parts, aside, f"quarantine requeue {aside.id}", who, reason)
        if is_unit(aside):
            _give_whole(parts, drop, aside)
        else:
            _give_each(parts, drop, aside)
        return settle(parts, aside, "requeued")


def _give_whole(parts: Parts, drop: Drop, aside: SetAside) -> None:
    folder = folder_of(parts, aside)
    with _written_to(drop):
        if os.path.isdir(folder):  # else a try that was cut off has given it back
            give_unit_back(parts, drop, aside, folder)
    withdraw(parts, aside)


def _give_each(parts: Parts, drop: Drop, aside: SetAside) -> None:
    folder = folder_of(parts, aside)
    for path in paths(parts, aside):
        parts.check_stop()
        _give(parts, drop, aside, os.path.join(folder, path), path)
        files.remove(os.path.join(folder, path))


def _drop(parts: Parts, drops: Mapping[str, Drop], aside: SetAside) -> Drop:
    """The drop an entry came from, where files may be put into it; else RefusedError."""
    by_hand = f"its files are in {folder_of(parts, aside)}"
    drop = drops.get(aside.drop)
    if drop is None:
        raise RefusedError(f"there is no drop {aside.drop!r} any more", hint=by_hand)
    if drop.after == "keep":
        raise RefusedError(f"drop {drop.name} is only read (after = keep)", hint=by_hand)
    try:
        check_mount(parts, drop)
    except MissingPlaceError as error:
        raise RefusedError(f"drop {drop.name} is missing: {error}", hint="watcher check") from error
    if not os.path.isdir(drop.path):
        raise RefusedError(f"drop {drop.name} is missing", hint="watcher check")
    if not may_be_written(drop.path):
        raise _forbidden(drop)
    return drop


def _forbidden(drop: Drop) -> RefusedError:
    return RefusedError(f"drop {drop.name} may not be written", hint=f"ls -ld {drop.path}")


@contextmanager
def _written_to(drop: Drop) -> Iterator[None]:
    """RefusedError in place of what says that the drop may not be written."""
    try:
        yield
    except StorageError as error:
        if error.number in FORBIDDEN:
            raise _forbidden(drop) from error
        raise


def _give(parts: Parts, drop: Drop, aside: SetAside, source: str, path: str) -> None:
    """A file under its own name in the drop, else below a folder named after the entry."""
    for place in _places(aside, path):
        if is_owed(parts, drop, place):  # the same file, and it goes as soon as it can
            continue
        try:
            with _written_to(drop):
                give_back(source, drop.path, place)
        except ClashError:
            continue
        return
    raise RefusedError(f"its names in drop {drop.name} are taken", hint="move what has them")


def _places(aside: SetAside, path: str) -> Iterator[bytes]:
    name = os.fsencode(REASON if path == f"{REASON}.dropped" else path)
    if aside.code in SHARED:
        yield name
    elif aside.code not in BY_ARCHIVING:
        yield os.path.join(os.path.dirname(aside.path), name)
    yield os.path.join(os.fsencode(f"requeued-{aside.id}"), name)


def _keys(aside: SetAside) -> list[str]:
    """The leases on an entry: it, and the session that may be adding to it while it is archived."""
    session = aside.id.split("-")[0]
    own = [session_key(session)] if names.is_timestamp(session) else []
    return [f"quarantine/{aside.id}", *own]


def _again(parts: Parts, aside: SetAside) -> SetAside:
    """The same entry as it is now.

    RefusedError where it is settled, and its files are gone, or an archiving needs it still.
    """
    check_free(parts, "quarantine", aside.place)
    now = parts.registry.entry(aside.id) or aside
    if not now.open and not os.path.isdir(folder_of(parts, now)):
        hint = f"watcher find {now.id}"
        raise RefusedError(f"{now.id} is settled, and its files are gone", hint=hint)
    return now


def settle(parts: Parts, aside: SetAside, outcome: str) -> SetAside:
    """Close an entry that is empty, say so, and remove its folder.

    One that took another file meanwhile stays open with that.
    """
    with parts.leases.exclusive(settling_key(aside.id)):  # nothing is added to it meanwhile
        parts.registry.close(aside.id)
        if left := paths(parts, aside):
            now = replace(aside, files=len(left), open=True)
            parts.registry.set_aside(now)
            return now
        key, fields = f"quarantine/{aside.id}", fields_of(aside)
        if not parts.conditions.clear("quarantine.settled", key, **fields, outcome=outcome):
            parts.emit("quarantine.settled", key=key, **fields, outcome=outcome)
        folder = folder_of(parts, aside)
        every = list(files.walk(folder))
        for path in set(every).difference(paths(parts, aside)):  # its reason, and halves
            files.remove(os.path.join(folder, path))
        files.remove_empty_below(folder)
        files.remove_empty(os.path.dirname(folder))
        return replace(aside, open=False)


def fields_of(aside: SetAside) -> dict[str, Any]:
    """An entry as lines of the log carry it."""
    told = ("drop", "path", "code", "text", "hint")
    return {**{name: getattr(aside, name) for name in told}, "entry": aside.id}


# -- purge ---------------------------------------------------------------------------------------


def purge(
    parts: Parts, aside: SetAside, *, who: str, reason: str, before: float = math.inf
) -> SetAside:
    """Remove an entry's files for good, and keep who did it; gives the entry, closed.

    `before`: RefusedError where the last of it was set aside since that moment (epoch seconds).
    """
    for store in ("quarantine", "history"):
        parts.storage.require(store)
    with parts.leases.hold(_keys(aside), parts.clock.now()):
        aside = _again(parts, aside)
        if aside.set_aside >= before:
            raise RefusedError(f"{aside.id} has grown since it was looked at")
        _note(parts, aside, f"quarantine purge {aside.id}", who, reason)
        if is_unit(aside):
            withdraw(parts, aside)
        for path in paths(parts, aside):
            files.remove(os.path.join(folder_of(parts, aside), path))
        return settle(parts, aside, "purged")


def _note(parts: Parts, aside: SetAside, command: str, who: str, reason: str) -> None:
    """The decision, kept for good with those on sessions, and said."""
    values = {
        "timestamp": iso(parts.clock.now()),
        "who": who,
        "command": command,
        "reason": reason,
        "session": "",
        "entry": aside.id,
        "drop": aside.drop,
        "path": printable(os.fsdecode(aside.path)),
        "code": aside.code,
        "files": aside.files,
    }
    journal.append_line(parts.storage.decisions, json.dumps(values))
    parts.emit(
        "session.decided",
        key=f"quarantine/{aside.id}",
        drop=aside.drop,
        command=command,
        user=who,
        reason=reason,
    )
