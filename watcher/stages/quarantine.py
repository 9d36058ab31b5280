"""Files that can't be filed: moved aside unchanged, with the reason beside them.

`quarantine/<drop>/<date>/<id>/<original name>` and `reason.json`. Files that are no DICOM share
one entry for each dropped folder and wait for nobody; every other file is an entry of its own.
"""

import base64
import errno
import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from watcher.core.errors import ClashError, storage_error
from watcher.core.model import Candidate, Fingerprint, Refusal, RefusalCode
from watcher.core.policy import Drop
from watcher.io import files, sources
from watcher.io.registry import SetAside
from watcher.stages.filing import remove_source
from watcher.stages.parts import Parts, iso
from watcher.stages.promise import OTHER_CLASS, Promise
from watcher.stages.reading import mark

REASON: Final = "reason.json"


def put_aside(
    parts: Parts, drop: Drop, candidate: Candidate, refusal: Refusal
) -> Fingerprint | None:
    """Move one refused file to quarantine; gives its fingerprint where its source must stay.

    A file whose bytes are there already only has its source removed, so a crash repeats cleanly.
    """
    store = parts.storage.require("quarantine")
    shared = refusal.code is RefusalCode.NOT_DICOM
    place = _place(drop, candidate, parts.clock.now(), shared=shared)
    folder = os.path.join(store, place)
    files.make_folder(folder)
    target = os.path.join(folder, _name(candidate, shared=shared))
    files.make_folder(os.path.dirname(target))
    again = _take_in(drop, candidate, target)
    files.sync_folders([target])
    entry = _entry(parts, candidate, refusal, place=place, again=again)
    _write_reason(folder, entry)
    parts.registry.set_aside(entry)
    parts.receiving.record([], {candidate: candidate.print})
    _say(parts, entry, shared=shared)
    if drop.after == "keep" or not remove_source(parts, drop, candidate.path, candidate.print):
        return candidate.print
    parts.receiving.forget_taken(drop.name, [candidate.path])
    return None


def _place(drop: Drop, candidate: Candidate, now: float, *, shared: bool) -> str:
    day = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d")
    if shared:
        top = candidate.path.split(b"/")[0] if b"/" in candidate.path else b""
        return f"{drop.name}/{day}/aside-{_mark(top)}"
    seen = candidate.print
    return f"{drop.name}/{day}/{_mark(candidate.path, seen.size, seen.mtime_ns, seen.inode)}"


def _mark(path: bytes, *more: int) -> str:
    """A short name for a path, the same at every try."""
    return mark(path + b"\0" + repr(more).encode())[:12]


def _name(candidate: Candidate, *, shared: bool) -> str:
    """The original name; in a shared entry the path below the dropped folder."""
    path = os.fsdecode(candidate.path)
    name = path if shared else os.path.basename(path)
    return f"{name}.dropped" if name == REASON else name


def _take_in(drop: Drop, candidate: Candidate, target: str) -> bool:
    """The source's bytes under `target`: copied, so that nobody outside can change them.

    Whether they lay there already.
    """
    temp = files.temporary(target)
    files.remove(temp)
    with sources.parent_of_drop(drop.path, candidate.path) as (folder, name):
        sources.copy_from(folder, name, temp)
    other = f"{target}.{_mark(candidate.path, candidate.print.mtime_ns)}"
    try:
        for place in (target, other):
            try:
                files.place(temp, place)
            except ClashError:
                if files.digest(temp) == files.digest(place):
                    return True
            else:
                return False
    finally:
        files.remove(temp)
    raise storage_error(OSError(errno.EEXIST, "its names are taken"), "setting a file aside")


def _entry(
    parts: Parts, candidate: Candidate, refusal: Refusal, *, place: str, again: bool
) -> SetAside:
    entry_id = os.path.basename(place)
    before = {each.id: each for each in parts.registry.aside(only_open=False)}.get(entry_id)
    count = _count(parts, place) if again or before is None else before.files + 1
    return SetAside(
        id=entry_id,
        drop=candidate.drop,
        code=refusal.code.value,
        place=place,
        path=candidate.path,
        text=refusal.text,
        hint=refusal.hint or f"watcher find {entry_id}",
        sop=refusal.sop,
        files=count,
        set_aside=parts.clock.now(),
    )


def _count(parts: Parts, place: str) -> int:
    """The files of an entry, looked at only where the ledger may not have them all."""
    folder = os.path.join(parts.storage.path("quarantine"), place)
    return sum(path != REASON and not path.endswith(".new") for path in files.walk(folder))


def _write_reason(folder: str, entry: SetAside) -> None:
    values: Mapping[str, object] = {
        "id": entry.id,
        "drop": entry.drop,
        "code": entry.code,
        "text": entry.text,
        "hint": entry.hint,
        "sop_instance": entry.sop,
        "path": os.fsdecode(entry.path).encode("utf-8", "replace").decode(),
        "path_base64": base64.b64encode(entry.path).decode(),
        "files": entry.files,
        "set_aside": iso(entry.set_aside),
    }
    text = json.dumps(values, indent=1).encode() + b"\n"
    files.swap(os.path.join(folder, REASON), text)


def _say(parts: Parts, entry: SetAside, *, shared: bool) -> None:
    """Once for each entry; a folder of set-aside files is one entry."""
    key = f"quarantine/{entry.id}"
    fields = {
        "drop": entry.drop,
        "path": entry.path,
        "code": entry.code,
        "text": entry.text,
        "entry": entry.id,
        "hint": entry.hint,
    }
    if shared:
        if entry.files == 1:
            parts.emit("file.quarantined", key=key, level="info", **fields)
    else:
        parts.conditions.raise_("file.quarantined", key, parts.clock.now(), **fields)


def note_other_classes(parts: Parts, promise: Promise) -> None:
    """The quarantine entry of files whose SOP UID is archived under another class."""
    aside = [drop for drop in promise.drops if drop.because == OTHER_CLASS]
    if not aside:
        return
    place = os.path.dirname(aside[0].target)
    entry = SetAside(
        id=promise.session.id,
        drop=place.split("/", maxsplit=1)[0],
        code=RefusalCode.OTHER_CLASS.value,
        place=place,
        path=os.fsencode(aside[0].source),
        text="its SOP instance UID is archived under another SOP class",
        hint=f"watcher find {promise.session.id}",
        sop="",
        files=len(aside),
        set_aside=parts.clock.now(),
    )
    _write_reason(os.path.join(parts.storage.require("quarantine"), place), entry)
    parts.registry.set_aside(entry)
    _say(parts, entry, shared=False)


def supersede(parts: Parts, sops: list[str]) -> None:
    """Close the entries whose SOP instances have since been filed."""
    for entry in parts.registry.supersede(sops):
        key = f"quarantine/{entry}"
        parts.conditions.clear("quarantine.settled", key, entry=entry, outcome="superseded")
