"""Files that can't be filed: moved aside unchanged, with the reason beside them.

`quarantine/<drop>/<date>/<id>/<original name>` and `reason.json`. Files that are no DICOM share
one entry for each dropped folder and wait for nobody; every other file is an entry of its own.
"""

import base64
import errno
import json
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from watcher.core.errors import ClashError, storage_error
from watcher.core.model import Candidate, Fingerprint, Refusal, RefusalCode, Session
from watcher.core.policy import Drop
from watcher.io import files, sources
from watcher.io.registry import SetAside
from watcher.stages.parting import remove_source
from watcher.stages.parts import Parts, iso
from watcher.stages.promise import Aside, Promise
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
    target = os.path.join(folder, _name(candidate, shared=shared))
    with parts.leases.exclusive(settling_key(os.path.basename(place))):
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


def settling_key(entry: str) -> str:
    """The lease of a moment on an entry: a file comes to it, or its last one has left."""
    return f"settling/{entry}"


def _place(drop: Drop, candidate: Candidate, now: float, *, shared: bool) -> str:
    day = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d")
    if shared:
        top = candidate.path.split(b"/")[0] if b"/" in candidate.path else b""
        own = _mark(f"{drop.name}/{day}/".encode() + top)  # an entry's id is unique in the store
        return f"{drop.name}/{day}/aside-{own}"
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
    other = f"{target}.{_mark(candidate.path, candidate.print.mtime_ns)}"
    for place in (target, other):
        files.clear_half(place, temp)
    files.remove(temp)
    with sources.parent_of_drop(drop.path, candidate.path) as (folder, name):
        sources.copy_from(folder, name, temp)
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
        hint=refusal.hint or f"watcher quarantine show {entry_id}",
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
    if shared:  # a start that found it half made has taken it for one that waits
        parts.conditions.clear("quarantine.settled", key, **fields, outcome="set aside")
        if entry.files == 1:
            parts.emit("file.quarantined", key=key, level="info", **fields)
    else:
        parts.conditions.raise_("file.quarantined", key, parts.clock.now(), **fields)


_BY_ARCHIVING: Final = {
    "other-class": (
        "its SOP instance UID is archived under another SOP class",
        "give it a UID of its own and send it again; then `{purge}`",
    ),
    "stray-file": (
        "it lay in a scan folder and is no instance of the session",
        "keep it elsewhere if it is needed; then `{purge}`",
    ),
}


def place_aside(session: Session, drop: str, code: str, name: str) -> str:
    """Where a file that archiving sets aside goes, relative to the store; one entry for a code.

    A session that is archived in parts adds to its entry.
    """
    day = f"{session.id[:4]}-{session.id[4:6]}-{session.id[6:8]}"
    drop = drop or next(iter(session.drops), "unknown")  # after a lost ledger
    return f"{drop}/{day}/{session.id}-{code}/{name}"


def note_asides(parts: Parts, promise: Promise) -> None:
    """The quarantine's entries of what an archiving set aside."""
    aside = [each for each in promise.asides if each.store == "quarantine"]
    filed = parts.ledger.instances(promise.session.id) if aside else []
    sent = {each.place.path: each.source for each in filed if each.source}
    for place in dict.fromkeys("/".join(each.target.split("/")[:3]) for each in aside):
        here = [each for each in aside if each.target.startswith(f"{place}/")]
        _note_aside(parts, here, place, sent)


def _note_aside(
    parts: Parts, aside: Sequence[Aside], place: str, sent: Mapping[str, bytes]
) -> None:
    """`sent`: where the session's files lay in the drop, as far as the ledger knows."""
    drop, _, entry_id = place.split("/")
    code = aside[0].because
    text, hint = _BY_ARCHIVING[code]
    entry = SetAside(
        id=entry_id,
        drop=drop,
        code=code,
        place=place,
        path=sent.get(aside[0].source) or os.fsencode(aside[0].source),
        text=text,
        hint=hint.format(purge=f"watcher quarantine purge {entry_id} --reason TEXT"),
        sop="",
        files=_count(parts, place),
        set_aside=parts.clock.now(),
    )
    _write_reason(os.path.join(parts.storage.require("quarantine"), place), entry)
    parts.registry.set_aside(entry)
    _say(parts, entry, shared=False)


def supersede(parts: Parts, sops: Sequence[str]) -> None:
    """Close the entries of these SOP instances, which have just been filed."""
    _supersede(parts, parts.registry.waiting_for(sops))


def supersede_filed(parts: Parts) -> None:
    """The same at a start, for what a crash left open after its instance was filed."""
    _supersede(parts, parts.registry.filed_since())


def _supersede(parts: Parts, entries: Sequence[str]) -> None:
    for entry in entries:  # closed last: what is open is found again after a crash
        key = f"quarantine/{entry}"
        parts.conditions.clear("quarantine.settled", key, entry=entry, outcome="superseded")
        parts.registry.close(entry)
