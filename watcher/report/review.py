"""The review of one session: `watcher show`."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from watcher.core.model import Decision, Scan, Session
from watcher.core.scans import studies
from watcher.core.units import format_size
from watcher.dicom.markup import XNAT, parse
from watcher.report.times import iso

SCANS: Final = ("SCAN", "DESCRIPTION", "MODALITY", "STUDY", "FILES", "SIZE")
TIMELINE: Final = ("WHEN", "WHAT", "")


def scans(arranged: Sequence[Scan]) -> list[dict[str, Any]]:
    """The scans of a prearchive session, as JSON."""
    return [
        {
            "id": scan.id,
            "description": next(filter(None, _descriptions(scan)), ""),
            "modality": scan.modality,
            "series_uid": scan.uid,
            "study_uid": ", ".join(studies(scan.instances)),
            "files": len(scan.instances),
            "bytes": sum(each.size for each in scan.instances),
        }
        for scan in arranged
    ]


def _descriptions(scan: Scan) -> Iterator[str]:
    return (each.header["SeriesDescription"] for each in scan.instances)


def archived_scans(xml: bytes) -> list[dict[str, Any]]:
    """The scans of a session XML, as JSON. Raises DocumentError.

    The XML keeps one study for the session; scans of others it accepted are not told apart.
    """
    root = parse(xml, "the session XML")
    fields = {each.get("name") for each in root.iter(f"{XNAT}field")}
    study = "" if "accepted_study_uids" in fields else root.get("UID", "")
    found = []
    for scan in root.iterfind(f"{XNAT}scans/{XNAT}scan"):
        resources = scan.findall(f"{XNAT}file")
        found.append(
            {
                "id": scan.get("ID", ""),
                "description": scan.findtext(f"{XNAT}series_description") or "",
                "modality": scan.findtext(f"{XNAT}modality") or "",
                "series_uid": scan.get("UID", ""),
                "study_uid": study,
                "files": sum(_number(each.get("file_count")) for each in resources),
                "bytes": sum(_number(each.get("file_size")) for each in resources),
            }
        )
    return found


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() else 0


def decision(one: Decision) -> dict[str, Any]:
    """A person's decision, as JSON."""
    return {
        "when": iso(one.when),
        "who": one.who,
        "command": one.command,
        "reason": one.reason,
        "passed": list(one.passed),
    }


def timeline(session: Session) -> list[dict[str, Any]]:
    """What happened to a session, the oldest first."""
    told: list[tuple[float, str, str]] = [
        (session.opened, "session.opened", "first file"),
        (session.last_arrival, "file.filed", "last arrival"),
        *((one.when, "session.decided", f"{one.who}: {one.command}") for one in session.decisions),
    ]
    told.sort(key=lambda one: one[0])  # of one moment: in the order above
    return [{"when": iso(when), "event": event, "text": text} for when, event, text in told]


def chronicle(log: bytes) -> list[dict[str, Any]]:
    """The timeline in an archived session's `logs/events.jsonl`; a torn line is shown as it is."""
    return [_told(line) for line in log.splitlines() if line.strip()]


def _told(line: bytes) -> dict[str, Any]:
    try:
        values = json.loads(line)
        numbers = ", ".join(f"{values[name]} {name}" for name in ("added", "same"))
        text = f"{values['session']}: {numbers}"
        return {"when": values["timestamp"], "event": values["event"], "text": text}
    except (ValueError, KeyError, TypeError):
        return {"when": "", "event": "", "text": line.decode("utf-8", "replace")}


# -- for people ------------------------------------------------------------------------------------


def head(document: Mapping[str, Any]) -> list[str]:
    """Who and what the session is, and which rule named each label."""
    origins = document["origins"]
    said = [f"{document['shown']}  {document['status']}", f"study    {document['study_uid']}"]
    for name, value in (
        ("project", document["project"] or "Unassigned"),
        ("subject", document["subject"]),
        ("session", document["label"]),
    ):
        origin = origins.get(name)
        said.append(f"{name:8} {value}" + (f"  (from {origin})" if origin else ""))
    said += [f"{name}  {origins[name]}" for name in ("layout", "timestamp") if name in origins]
    if origins.get("auto_archive", "project") != "project":
        said.append(f"auto-archive as {origins['auto_archive']} says")
    said += [f"drops    {', '.join(document['drops'])}"] if document["drops"] else []
    said += [f"error    {document['error']}"] if document["error"] else []
    return [*said, f"folder   {document['folder']}"]


def scan_rows(document: Mapping[str, Any]) -> list[Sequence[object]]:
    """A row for each scan."""
    return [
        (
            *(each["id"], each["description"], each["modality"], each["study_uid"]),
            *(each["files"], format_size(each["bytes"])),
        )
        for each in document["scans"]
    ]


def findings(document: Mapping[str, Any]) -> Iterator[str]:
    """Each finding with both sides, the evidence, and the commands that settle it."""
    for each in document["findings"]:
        numbers = f" (XNAT {', '.join(map(str, each['xnat']))})" if each["xnat"] else ""
        yield ""
        yield f"{each['severity']} {each['code']}{numbers}, {each['scope']}"
        yield f"  {each['text']}"
        yield from _sides(each)
        for command in each["resolve"]:
            yield f"  settle it: {command}"


def _sides(finding: Mapping[str, Any]) -> Iterator[str]:
    """A line for each thing compared: incoming, archived, and what that is evidence of."""
    sides = [finding[side] for side in ("incoming", "archived", "evidence")]
    width = max((len(str(value)) for side in sides[:2] for value in side.values()), default=0)
    for name in dict.fromkeys(name for side in sides for name in side):
        mine, theirs, mark = ("" if (one := side.get(name)) is None else one for side in sides)
        if f"{mine}{theirs}":
            columns = f"{mine!s:{width}}  archived {theirs!s:{width}}  {mark}"
            yield f"  {name:18} incoming {columns}".rstrip()
        elif f"{mark}" not in {"", "missing"}:
            yield f"  {name:18} {mark}"


def unfiled(document: Mapping[str, Any]) -> Iterator[str]:
    """Files of its drops that wait or were refused. They may belong to other sessions."""
    for each in document["waiting"]:
        yield f"waits since {each['since']}: {each['path']}: {each['text']}; {each['hint']}"
    for each in document["refused"]:
        yield f"refused: {each['drop']}/{each['path']}: {each['code']}, {each['text']}"


def decisions(document: Mapping[str, Any]) -> Iterator[str]:
    """Who decided what, and why."""
    for each in document["decisions"]:
        passed = f" past {', '.join(each['passed'])}" if each["passed"] else ""
        reason = f": {each['reason']}" if each["reason"] else ""
        yield f"{each['when']} {each['who']} {each['command']}{passed}{reason}"
