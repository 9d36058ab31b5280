"""A receipt as text for people and as JSON for programs (spec 12). Plain: it lies with the data."""

import base64
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from watcher.core.case import counted
from watcher.core.notation import format_size
from watcher.core.receipt import DECIDES, NAMES, Dropped, Refused, Went, first_line
from watcher.core.receipt_names import title
from watcher.core.session import UNASSIGNED, Status
from watcher.report.text import printable
from watcher.report.times import iso

VERSION: Final = 1
FINDINGS: Final = 5  # that are shown of one session
_MEANS: Final[Mapping[Status | None, str]] = {
    Status.RECEIVING: "receiving files; it is checked when nothing came for a while",
    Status.BUILDING: "being checked",
    Status.READY: "checked, and about to be archived",
    Status.CONFLICT: "it can't be archived before somebody decides",
    Status.ERROR: "the machine could not go on; an administrator looks",
    Status.ARCHIVING: "being archived",
    Status.MOVING: "being moved to another project or name",
    Status.DELETING: "being deleted",
    Status.ARCHIVED: "archived",
    Status.DELETED: "deleted by a person; the history keeps it",
    None: "not known any more",
}


def values(dropped: Dropped) -> dict[str, Any]:
    """The receipt as JSON, but for when it was made. `name_base64`: the name's very bytes."""
    went, refused = _shown(dropped.went), [each for each in dropped.refused if each.waits]
    return {
        "receipt": VERSION,
        "status": printable(first_line(dropped)),
        "settled": dropped.settled,
        "drop": dropped.drop,
        "name": printable(title(dropped.key)),
        "name_base64": base64.b64encode(dropped.key).decode(),
        "whom": printable(dropped.whom),
        "files": sum(each.filed for each in dropped.went),
        "bytes": sum(each.size for each in dropped.went),
        "duplicates": sum(each.duplicates for each in dropped.went),
        "first": _moment(min((each.first for each in dropped.went), default=None)),
        "last": _moment(max((each.last for each in dropped.went), default=None)),
        "pending": dropped.lying.files,
        "incomplete": dropped.lying.incomplete,
        "not_taken": dropped.lying.barred,
        "more_pending": dropped.lying.more,
        "folders_not_read": dropped.lying.closed,
        "waiting": [
            {"path": _path(path), "why": printable(why)} for path, why in dropped.lying.names
        ],
        "more_waiting": dropped.lying.named - len(dropped.lying.names),
        "set_aside": sum(each.files for each in dropped.refused if not each.waits),
        "refused": [_refused(each) for each in refused[:NAMES]],
        "more_refused": len(refused[NAMES:]),
        "listed_missing": dropped.missing.count,
        "missing": [printable(each) for each in dropped.missing.files],
        "sessions": [_session(each) for each in went],
        "more_sessions": len(dropped.went) - len(went),
    }


def as_json(told: Mapping[str, Any], made: float) -> bytes:
    """The document as it is written."""
    return json.dumps({**told, "made": iso(made)}, indent=1).encode() + b"\n"


def as_text(told: Mapping[str, Any], made: float) -> bytes:
    """The same for people; moments in local time."""
    own = (_of_session(each, told["whom"]) for each in told["sessions"])
    parts = [_head(told, made), _counts(told), *own, _more(told["more_sessions"], "sessions")]
    parts += [_missing(told), _waiting(told), _of_refused(told)]
    text = "\n\n".join("\n".join(lines) for part in parts if (lines := list(part)))
    return text.encode("utf-8", "backslashreplace") + b"\n"


def _shown(went: Sequence[Went]) -> list[Went]:
    """Those that wait for a person, then the newest."""
    newest = sorted(went, key=lambda each: each.last, reverse=True)
    return sorted(newest, key=lambda each: each.status not in DECIDES)[:NAMES]


def _session(went: Went) -> dict[str, Any]:
    archived = went.status is Status.ARCHIVED
    return {
        "session": went.session,
        "status": went.status.value if went.status else None,
        "meaning": _meaning(went),
        "project": went.project or None,
        "subject": went.subject,
        "label": went.label,
        "files": went.filed,
        "duplicates": went.duplicates,
        "bytes": went.size,
        "first": _moment(went.first),
        "last": _moment(went.last),
        "archived": _moment(went.ended) if archived else None,
        "place": went.place if archived else None,
        "findings": [printable(each) for each in went.findings[:FINDINGS]],
    }


def _meaning(went: Went) -> str:
    if went.status is Status.READY and not went.automatic:
        return "checked; it waits until somebody archives it"
    return _MEANS[went.status]


def _refused(each: Refused) -> dict[str, Any]:
    return {
        "path": _path(each.path),
        "files": each.files,
        "code": each.code,
        "why": printable(each.text),
        "entry": each.entry,
    }


def _path(path: bytes) -> str:
    return printable(os.fsdecode(path))


def _moment(moment: float | None) -> str | None:
    return None if moment is None else iso(moment)


# -- for people ----------------------------------------------------------------------------------


def _head(told: Mapping[str, Any], made: float) -> Iterator[str]:
    yield told["status"]
    yield ""
    yield f"{told['name']}, dropped in {told['drop']}. As of {_local(iso(made))}."


def _counts(told: Mapping[str, Any]) -> Iterator[str]:
    if told["files"] or told["duplicates"]:
        span = " to ".join(dict.fromkeys(_local(told[name]) for name in ("first", "last")))
        yield f"Taken: {counted(told['files'])}, {format_size(told['bytes'])}; {span}"
    if told["duplicates"]:
        yield f"Here before, with the same bytes: {counted(told['duplicates'])}"
    if told["pending"] or told["more_pending"]:
        more = " and more" if told["more_pending"] else ""
        yield f"Lying in the drop, not taken yet: {counted(told['pending'])}{more}"
    if told["set_aside"]:
        yield f"Set aside, as they are no DICOM: {counted(told['set_aside'])}"


def _of_session(each: Mapping[str, Any], whom: str) -> Iterator[str]:
    yield f"Session {each['session']}: {each['meaning']}"
    place = (each["project"] or UNASSIGNED, each["subject"], each["label"])
    if any(place[1:]):
        yield "  project {}, subject {}, session {}".format(*map(printable, place))
    yield f"  {counted(each['files'])}, {format_size(each['bytes'])}"
    if each["archived"]:
        yield f"  archived {_local(each['archived'])} as {printable(each['place'])}"
    if each["status"] in DECIDES:
        yield from (f"  - {text}" for text in each["findings"])
        yield f"  To do: tell {whom} the number {each['session']}."


def _missing(told: Mapping[str, Any]) -> Iterator[str]:
    if told["listed_missing"]:
        yield "Listed in DICOMDIR, and not come:"
        yield from (f"  {name}" for name in told["missing"])
        yield from _more(told["listed_missing"] - len(told["missing"]))


def _waiting(told: Mapping[str, Any]) -> Iterator[str]:
    if told["waiting"]:
        yield "Not whole, or not readable:"
        yield from (f"  {each['path']}: {each['why']}" for each in told["waiting"])
        yield from _more(told["more_waiting"])


def _of_refused(told: Mapping[str, Any]) -> Iterator[str]:
    if told["refused"]:
        yield "Refused, and kept in quarantine:"
        for each in told["refused"]:
            some = "" if each["files"] == 1 else f" ({counted(each['files'])})"
            yield f"  {each['path']}{some}: {each['why']} Number {each['entry']}."
        yield from _more(told["more_refused"])


def _more(left: int, what: str = "") -> Iterator[str]:
    if left > 0:
        yield f"  and {left} more {what}".rstrip()


def _local(moment: str) -> str:
    return datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S")
