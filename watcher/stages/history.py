"""The history: what left a session, entry by entry, with the reason beside it (spec 8).

`history/PROJECT/LABEL/<stamp>/` holds files under their paths in the session, and `reason.json`.
Of a whole session that was deleted the stamp is its id, and `<stamp>.xml` and `<stamp>.json` lie
beside the folder.
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal

from watcher.core import names, pick
from watcher.core.errors import OutsideError, RefusedError, UnknownSessionError
from watcher.core.session import UNASSIGNED, Session, Status
from watcher.io import files
from watcher.io.stores import read_record
from watcher.stages.parts import Parts

REASON: Final = "reason.json"
SOURCES: Final = ".watcher-sources"  # of a refused unit: the files it was made of, as they were
DOCUMENTS: Final = ("xml", "json")  # beside the folder of a deleted session
DELETED: Final = "deleted"
Kind = Literal["deleted", "scans", "replaced", "kept", "catalog"]


@dataclass(frozen=True, slots=True)
class Kept:
    """One entry of the history; texts are empty where nothing tells.

    `kind`: deleted (a whole session), scans (some of one), replaced (archived files that newcomers
    replaced), kept (newcomers set aside for the archived ones), catalog (one that could not be
    used), unknown. `restoring`: the session that a restore is carrying its files to.
    """

    project: str | None
    label: str
    stamp: str
    kind: str
    files: int
    bytes: int
    session: str = ""
    subject: str = ""
    study: str = ""
    command: str = ""
    who: str = ""
    reason: str = ""
    when: str = ""  # ISO 8601
    restoring: str = ""

    @property
    def id(self) -> str:
        """`PROJECT/LABEL/STAMP`, as people see it and as the tree has it."""
        return f"{self.project or UNASSIGNED}/{self.label}/{self.stamp}"


_TOLD: Final = ("session", "subject", "study", "command", "who", "reason", "when", "restoring")

_SHAPES: Final = {
    "session": names.is_timestamp,
    "restoring": names.is_timestamp,
    "subject": names.is_label,
}
"""What becomes part of a path or a label must look like one."""


def new_stamp(parts: Parts, project: str | None, label: str) -> str:
    """A stamp of this moment for a new entry: no session's id, and free in the history."""
    stamp = parts.clock.stamp()
    while parts.ledger.has(stamp) or _is_taken(parts, project, label, stamp):
        stamp = names.next_timestamp(stamp)
    return stamp


def _is_taken(parts: Parts, project: str | None, label: str, stamp: str) -> bool:
    base = parts.storage.history(project, label, stamp)
    return any(map(os.path.lexists, (base, *_documents(base))))


def _documents(base: str) -> list[str]:
    return [f"{base}.{ending}" for ending in DOCUMENTS]


def describe(
    parts: Parts,
    folder: str,
    *,
    kind: Kind,
    session: Session,
    command: str,
    who: str,
    reason: str,
    when: str,
) -> None:
    """Write an entry's `reason.json`, durable; can be repeated. `when`: ISO 8601."""
    parts.storage.require("history")
    files.make_folder(folder)
    values = {
        "kind": kind,
        "session": session.id,
        "project": session.project,
        "label": session.label,
        "subject": session.subject,
        "study": session.study,
        "command": command,
        "who": who,
        "reason": reason,
        "when": when,
    }
    _write(folder, values)


def _write(folder: str, values: Mapping[str, Any]) -> None:
    files.swap(os.path.join(folder, REASON), json.dumps(values, indent=1).encode() + b"\n")


def promise(parts: Parts, kept: Kept, session_id: str) -> Kept:
    """Note in an entry the session that its files are carried to; empty: to none any more."""
    folder = folder_of(parts, kept)
    _write(folder, {**_told(folder), "kind": kept.kind, "restoring": session_id})
    return replace(kept, restoring=session_id)


# -- what is there -------------------------------------------------------------------------------


def entries(parts: Parts) -> list[Kept]:
    """Every entry, as the tree has them: by project, label and stamp. MissingPlaceError."""
    found = [_look(parts, *place) for place in tree(parts.storage.require("history"))]
    return [each for each in found if each.files or each.when]  # others: folders left by a crash


def older(parts: Parts, folder: str, moment: float) -> Iterator[Kept]:
    """Entries in a project's folder that say they were made before a moment (epoch seconds)."""
    for place in tree(parts.storage.require("history"), folder):
        made = _made(str(_told(parts.storage.history(_project(place[0]), *place[1:])).get("when")))
        if made is not None and made < moment:
            yield _look(parts, *place)


def _made(when: str) -> float | None:
    try:
        return datetime.fromisoformat(when).timestamp()
    except ValueError:
        return None


def _project(folder: str) -> str | None:
    return None if folder == UNASSIGNED else folder


def tree(store: str, folder: str = "") -> Iterator[tuple[str, str, str]]:
    """The folders three levels below a store, or those in one of its first level: its entries."""
    for top in [folder] if folder else folders(store):
        for middle in folders(os.path.join(store, top)):
            for last in folders(os.path.join(store, top, middle)):
                yield top, middle, last


def folders(path: str) -> list[str]:
    """The visible folders in one, by name."""
    here = sorted(name for name in files.names_in(path) if not name.startswith("."))
    return [name for name in here if os.path.isdir(os.path.join(path, name))]


def entry(parts: Parts, text: str) -> Kept:
    """The entry a text means: `PROJECT/LABEL/STAMP` or any unambiguous part of it.

    UnknownSessionError where none fits, or several do.
    """
    places = {"/".join(place): place for place in tree(parts.storage.require("history"))}
    found = pick.fitting(text, list(places))
    if not found:
        hint = "watcher history list"
        raise UnknownSessionError(f"no entry of the history fits {text!r}", hint=hint)
    if len(found) > 1:
        several = ", ".join(found[:5])
        said = f"{len(found)} entries fit {text!r}: {several}"
        raise UnknownSessionError(said, hint="give PROJECT/LABEL/STAMP")
    return _look(parts, *places[found[0]])


def again(parts: Parts, kept: Kept) -> Kept:
    """The same entry as it is now. RefusedError where its folder is gone."""
    if not os.path.isdir(folder_of(parts, kept)):
        raise RefusedError(f"{kept.id} is no longer in the history", hint="watcher history list")
    return _look(parts, *kept.id.split("/"))


def _look(parts: Parts, project: str, label: str, stamp: str) -> Kept:
    wanted = _project(project)
    folder = parts.storage.history(wanted, label, stamp)
    told = _told(folder)
    sizes = [found.size for path in contents(folder) if (found := _print(folder, path))]
    whole = DELETED if os.path.lexists(f"{folder}.json") else "unknown"
    return Kept(
        project=wanted,
        label=label,
        stamp=stamp,
        kind=str(told.get("kind") or whole),
        files=len(sizes),
        bytes=sum(sizes),
        **{word: _word(word, told.get(word)) for word in _TOLD},
    )


def _word(name: str, value: object) -> str:
    """What an entry says of itself; nothing where it can't be what it should be."""
    text = str(value or "")
    return text if _SHAPES.get(name, bool)(text) else ""


def _print(folder: str, path: str) -> Any:
    return files.print_of(os.path.join(folder, path))


def _told(folder: str) -> dict[str, Any]:
    """What `reason.json` says; nothing where there is none that can be read as such."""
    try:
        values = json.loads(files.read_if_there(os.path.join(folder, REASON)) or b"{}")
    except (ValueError, OutsideError):
        return {}
    return values if isinstance(values, dict) else {}


def folder_of(parts: Parts, kept: Kept) -> str:
    """Where an entry's files lie."""
    return parts.storage.history(kept.project, kept.label, kept.stamp)


def twin(name: str, digest: str) -> str:
    """The name of other content where the history has `name` already."""
    return f"{name}.{digest[:8]}"


def paths(parts: Parts, kept: Kept) -> list[str]:
    """An entry's files, relative to its folder: their paths in the session."""
    return list(contents(folder_of(parts, kept)))


def contents(folder: str) -> Iterator[str]:
    """The files of an entry: not what we say of it, nor what a crash left half written."""
    for path in files.walk(folder):
        name = os.path.basename(path)
        half = name.startswith(".") and name.endswith(".new")
        if path not in {REASON, SOURCES} and not half:
            yield path


def record(parts: Parts, kept: Kept) -> Session | None:
    """The record that a deleted session left, or None where there is none of this place."""
    path = f"{folder_of(parts, kept)}.json"
    found = read_record(path) if os.path.lexists(path) else None
    place = (kept.stamp, kept.project, kept.label)
    if found is None or (found.id, found.project, found.label) != place:
        return None
    return found if names.is_timestamp(found.id) and names.is_label(found.subject) else None


# -- for those who empty it ----------------------------------------------------------------------


def as_session(parts: Parts, kept: Kept) -> Session:
    """A deleted session with what is known of an entry, as decisions on it are kept and said."""
    now = parts.clock.now()
    shelf = parts.registry.shelf(kept.project or "", kept.label)
    return Session(
        id=kept.session or kept.stamp,
        project=kept.project,
        subject=kept.subject or (shelf.subject if shelf else ""),
        label=kept.label,
        study=kept.study,
        status=Status.DELETED,
        opened=now,
        receiving_since=now,
        last_arrival=now,
        inactivity=parts.rules.inactivity,
    )


def clear(parts: Parts, kept: Kept) -> None:
    """Strike an entry whose files are gone: its documents, its reason, and the emptied folders."""
    folder = folder_of(parts, kept)
    drop_documents(folder)
    for path in (files.temporary(os.path.join(folder, REASON)), os.path.join(folder, REASON)):
        files.remove(path)
    files.remove_empty_below(folder)
    for emptied in (os.path.dirname(folder), os.path.dirname(os.path.dirname(folder))):
        files.remove_empty(emptied)


def drop_documents(folder: str) -> None:
    """Remove what a deleted session left beside its files."""
    for path in _documents(folder):
        files.remove(path)
