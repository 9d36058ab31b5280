"""Files that can't be filed: moved aside unchanged, with the reason beside them.

`quarantine/<drop>/<date>/<id>/<original name>` and `reason.json`. Files that are no DICOM share
one entry for each dropped folder and wait for nobody; every other file is an entry of its own.
"""

import base64
import errno
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from watcher.core.errors import ClashError, storage_error
from watcher.core.file import Candidate, Fingerprint, Refusal, RefusalCode
from watcher.core.policy import Drop
from watcher.io import files, sources
from watcher.io.registry import SetAside
from watcher.report.times import iso
from watcher.stages.parting import remove_source
from watcher.stages.parts import Parts
from watcher.stages.reading import mark

REASON: Final = "reason.json"
LONGEST: Final = 3800  # bytes of a path: PATH_MAX of Linux, less what our own names add


@dataclass(frozen=True, slots=True)
class Coming:
    """A file on its way into an entry: `path` below `root`, to `target` or else to `other`."""

    root: str
    path: bytes
    target: str
    other: str

    @property
    def temp(self) -> str:
        """Its copy while that has no name."""
        return files.temporary(self.target)


def put_aside(
    parts: Parts, drop: Drop, candidate: Candidate, refusal: Refusal
) -> Fingerprint | None:
    """Move one refused file to quarantine; gives its fingerprint where its source must stay.

    A file whose bytes are there already only has its source removed, so a crash repeats cleanly.
    """
    store = parts.storage.require("quarantine")
    shared = refusal.code is RefusalCode.NOT_DICOM
    place = _place(parts, drop, candidate, shared=shared)
    folder = os.path.join(store, place)
    coming = coming_to(folder, drop.path, candidate, shared=shared)
    with parts.leases.exclusive(settling_key(os.path.basename(place))):
        files.make_folder(os.path.dirname(coming.target))
        again = _take_in(coming)
        files.sync_folders([coming.target])
        entry = entry_of(parts, candidate, refusal, place=place, new=0 if again else 1)
        write_reason(folder, entry)
        parts.registry.set_aside(entry)
    parts.receiving.record([], {candidate: candidate.print})
    say(parts, entry, shared=shared, first=entry.files == 1)
    if drop.after == "keep" or not remove_source(parts, drop, candidate.path, candidate.print):
        return candidate.print
    parts.receiving.forget_taken(drop.name, [candidate.path])
    return None


def settling_key(entry: str) -> str:
    """The lease of a moment on an entry: a file comes to it, or its last one has left."""
    return f"settling/{entry}"


def _place(parts: Parts, drop: Drop, candidate: Candidate, *, shared: bool) -> str:
    if shared:
        top = candidate.path.split(b"/")[0] if b"/" in candidate.path else b""
        return shared_place(parts, drop, top)
    seen = candidate.print
    own = marked(candidate.path, seen.size, seen.mtime_ns, seen.inode)
    return f"{drop.name}/{day(parts)}/{own}"


def shared_place(parts: Parts, drop: Drop, top: bytes, kind: str = "aside") -> str:
    """The entry, relative to the store, of files that are no DICOM: by dropped folder and day."""
    today = day(parts)
    own = marked(f"{drop.name}/{today}/".encode() + top)  # an entry's id is unique in the store
    return f"{drop.name}/{today}/{kind}-{own}"


def day(parts: Parts) -> str:
    """Today, as the tree has it."""
    return datetime.fromtimestamp(parts.clock.now(), UTC).strftime("%Y-%m-%d")


def marked(path: bytes, *more: int) -> str:
    """A short name for a path, the same at every try."""
    return mark(path + b"\0" + repr(more).encode())[:12]


def kept_name(name: str) -> str:
    """A name at the top of an entry: the original one, unless that is the one of our reason."""
    return f"{name}.dropped" if name == REASON else name


def fitting(folder: str, path: bytes, inside: str) -> str:
    """Where a file lies inside a folder; where that would be too long, below a mark of its path."""
    if len(os.fsencode(folder)) + len(os.fsencode(inside)) < LONGEST:
        return inside
    return f"{marked(path)}/{os.path.basename(inside)}"


def coming_to(
    folder: str, root: str, candidate: Candidate, *, shared: bool, path: bytes | None = None
) -> Coming:
    """A file's way into an entry: under its name; in a shared one under its path in the drop.

    `path`: where it lies below `root`, if not under the candidate's path.
    """
    name = os.fsdecode(candidate.path)
    inside = fitting(folder, candidate.path, name) if shared else os.path.basename(name)
    target = os.path.join(folder, kept_name(inside))
    other = f"{target}.{marked(candidate.path, candidate.print.mtime_ns)}"
    return Coming(root, candidate.path if path is None else path, target, other)


def _take_in(coming: Coming) -> bool:
    """The source's bytes in the entry: copied, so that nobody outside can change them.

    Whether they lay there already.
    """
    copy_in(coming, durable=True)
    return name_it(coming)


def copy_in(coming: Coming, *, durable: bool) -> None:
    """The copy, under its temporary name; what a try before left of it is taken back."""
    for place in (coming.target, coming.other):
        files.clear_half(place, coming.temp)
    files.remove(coming.temp)
    with sources.parent_of_drop(coming.root, coming.path) as (folder, name):
        sources.copy_from(folder, name, coming.temp, durable=durable)


def name_it(coming: Coming) -> bool:
    """Give a copy its name; whether the same bytes had it already. StorageError: both are taken."""
    try:
        for place in (coming.target, coming.other):
            try:
                files.place(coming.temp, place)
            except ClashError:
                if files.digest(coming.temp) == files.digest(place):
                    return True
            else:
                return False
    finally:
        files.remove(coming.temp)
    raise storage_error(OSError(errno.EEXIST, "its names are taken"), "setting a file aside")


def entry_of(
    parts: Parts, candidate: Candidate, refusal: Refusal, *, place: str, new: int
) -> SetAside:
    """An entry as it is with `new` more files; 0: they may have been counted before."""
    entry_id = os.path.basename(place)
    before = parts.registry.entry(entry_id)
    known = before if before and before.open and new else None
    return SetAside(
        id=entry_id,
        drop=candidate.drop,
        code=refusal.code.value,
        place=place,
        path=candidate.path,
        text=refusal.text,
        hint=refusal.hint or f"watcher quarantine show {entry_id}",
        sop=refusal.sop,
        files=known.files + new if known else count_files(parts, place),
        set_aside=parts.clock.now(),
    )


def count_files(parts: Parts, place: str) -> int:
    """The files of an entry, looked at only where the ledger may not have them all."""
    folder = os.path.join(parts.storage.path("quarantine"), place)
    return sum(path != REASON and not path.endswith(".new") for path in files.walk(folder))


def write_reason(folder: str, entry: SetAside, **more: object) -> None:
    """What an entry is, beside its files; swapped in."""
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
        **more,
    }
    text = json.dumps(values, indent=1).encode() + b"\n"
    files.swap(os.path.join(folder, REASON), text)


def say(parts: Parts, entry: SetAside, *, shared: bool, first: bool = True) -> None:
    """Once for each entry; a folder of set-aside files is one, told of with its `first` file."""
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
        if first:
            parts.emit("file.quarantined", key=key, level="info", **fields)
    else:
        parts.conditions.raise_("file.quarantined", key, parts.clock.now(), **fields)


def supersede(parts: Parts, sops: Sequence[str]) -> None:
    """Close the entries of these SOP instances, which have just been filed."""
    close_superseded(parts, parts.registry.waiting_for(sops))


def supersede_filed(parts: Parts) -> None:
    """The same at a start, for what a crash left open after its instance was filed."""
    close_superseded(parts, parts.registry.filed_since())


def close_superseded(parts: Parts, entries: Sequence[str]) -> None:
    """Close these entries, and say so."""
    for entry in entries:  # closed last: what is open is found again after a crash
        key = f"quarantine/{entry}"
        parts.conditions.clear("quarantine.settled", key, entry=entry, outcome="superseded")
        parts.registry.close(entry)
