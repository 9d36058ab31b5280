"""What a file is, and what a word means: `watcher explain`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from watcher.core import lines, names
from watcher.core.events import EVENTS, VERSION, Event
from watcher.core.explain import EXPLANATIONS, Explanation
from watcher.core.file import QUARANTINED, Header, RefusalCode
from watcher.core.gathering import SIGN, spoken_of, unit_of
from watcher.core.policy import Drop
from watcher.core.session import UNASSIGNED, Identity, Place
from watcher.report import text

HEAD: Final = ("WORD", "KIND", "WHAT IT MEANS", "WHO ACTS", "WHAT TO DO")
UIDS: Final = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
_STAYS: Final = frozenset({RefusalCode.NOT_REGULAR, RefusalCode.DICOMDIR})


def word(one: Explanation) -> dict[str, Any]:
    """A word explained, as JSON."""
    return {
        "word": one.word,
        "kind": one.kind,
        "meaning": one.meaning,
        "who": one.who,
        "todo": one.todo,
        "also": list(one.also),
        "raised": one.raised,
        **(_of_event(EVENTS[one.word]) if one.kind == "event" else {}),
    }


def catalogue() -> dict[str, Any]:
    """Every word, the version of what the log says, and the JSON Schema of its lines."""
    return {"version": VERSION, "words": list(map(word, EXPLANATIONS)), "lines": lines.schema()}


def _of_event(one: Event) -> dict[str, Any]:
    return {
        "level": one.level,
        "message": one.message,
        "fields": dict(one.fields),
        "clears": list(one.clears),
        "cleared_by": list(one.cleared_by),
    }


def rows(found: Sequence[Explanation]) -> list[Sequence[object]]:
    """A row for each word."""
    return [(one.word, one.kind, _meaning(one), one.who or "nobody", one.todo) for one in found]


def _meaning(one: Explanation) -> str:
    xnat = f" (XNAT {', '.join(one.also)})" if one.also else ""
    return one.meaning + xnat + ("" if one.raised else " Not said by this version.")


def word_lines(one: Explanation) -> Iterator[str]:
    """One word, told at length."""
    yield f"{one.word} ({one.kind})"
    yield f"  {_meaning(one)}"
    if one.todo:
        yield f"  {one.who or 'you'}: {one.todo}"
    if one.kind == "event":
        yield from _event_lines(EVENTS[one.word])


def _event_lines(one: Event) -> Iterator[str]:
    yield f"  level {one.level}"
    if one.fields:
        yield f"  fields {', '.join(one.fields)}"
    if one.cleared_by:
        yield f"  ends with {', '.join(one.cleared_by)}"
    if one.clears:
        yield f"  ends {', '.join(one.clears)}"


def outcome(code: RefusalCode) -> str:
    """What becomes of a file that is refused with this code."""
    if code in QUARANTINED:
        return "quarantine"
    return "stays" if code in _STAYS else "waits"


def packed(drop: Drop, path: str) -> str:
    """What an archive file is to its drop."""
    if drop.mode == "transactional" and "/" in path:
        return "an archive file within a unit: its unit is refused"
    return "an archive file: a unit, unpacked and taken whole or not at all"


def of_unit(drop: Drop, path: bytes) -> Iterator[str]:
    """What a file of a transactional drop is to its unit."""
    if drop.mode != "transactional":
        return
    name = spoken_of(path) or unit_of(path)
    told = text.printable(name.decode(errors="surrogateescape"))
    if spoken_of(path) or path == name + b"/" + SIGN:
        yield f"it says that the unit {told} is complete, and is never filed"
    elif path != name:
        yield (
            f"it belongs to the unit {told}: once nothing in that has changed for `inactivity`, "
            "or a .complete is there, all of it is taken, or none"
        )


def whole(header: Header, identity: Identity, *, session: str, status: str) -> dict[str, Any]:
    """What is known of a whole file: UIDs, identity, name, place.

    `session` is the id of the one that would take it, with its `status`; empty: a new one.
    """
    key = identity.key
    place = Place(names.scan_folder(header), "DICOM", names.file_name(header))
    project = f"{key.project}/" if key.project else ""
    return {
        "uids": {name: header[name] for name in UIDS},
        "project": key.project,
        "subject": identity.subject,
        "session": key.label,
        "auto_archive": identity.auto_archive,
        "origins": dict(identity.origins),
        "name": place.name,
        "takes": session,
        "takes_status": status,
        "place": f"{project}{session or '<timestamp>'}/{key.label}/{place.path}",
    }


def file_lines(document: Mapping[str, Any]) -> Iterator[str]:
    """A file, told to a person."""
    yield f"file      {document['file']}"
    yield f"drop      {document['drop'] or 'none: no drop of the configuration holds it'}"
    yield f"verdict   {document['verdict']}: {document['text']}"
    if document["hint"]:
        yield f"          {document['hint']}"
    if "uids" in document:
        yield from _whole_lines(document)
    for note in document["notes"]:
        yield f"note      {note}"


def _whole_lines(document: Mapping[str, Any]) -> Iterator[str]:
    origins = document["origins"]
    for name, uid in document["uids"].items():
        yield f"{name:17} {uid}"
    for name in ("project", "subject", "session", "auto_archive"):
        value = document[name]
        shown = (UNASSIGNED if name == "project" else "-") if value is None else value
        yield f"{name:12} {shown}  (from {origins.get(name, 'a decision')})"
    yield f"digest    {document['digest']}"
    yield f"name      {document['name']}"
    taker = document["takes"]
    yield f"taken by  {taker + ', ' + document['takes_status'] if taker else 'a new session'}"
    yield f"place     {document['place']}"
