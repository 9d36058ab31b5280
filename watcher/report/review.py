"""The review of one session: `watcher show`."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from watcher.core import complete
from watcher.core.notation import format_size
from watcher.core.scans import studies
from watcher.core.session import Decision, Scan, Session, Status
from watcher.dicom.markup import XNAT, parse
from watcher.report.sides import names
from watcher.report.text import worded
from watcher.report.times import iso

SCANS: Final = ("SCAN", "DESCRIPTION", "MODALITY", "STUDY", "FILES", "SIZE", "EXPECTED")
_BECAME: Final = {"kept": "kept out (history)"}
AHEAD: Final = "place    archive: its files lie there, listed once no more of them come"
WHOLE: Final = "unit     it came whole: a finding that holds a part of it holds all of it"
TIMELINE: Final = ("WHEN", "WHAT", "")


def scans(arranged: Sequence[Scan], missing: Mapping[str, str]) -> list[dict[str, Any]]:
    """The scans of a prearchive session, as JSON; `missing`: what seems to be, by scan ID.

    `expected` are the files the scan should have in all, those archived already among them.
    """
    return [
        {
            "id": scan.id,
            "description": next(filter(None, _descriptions(scan)), ""),
            "modality": scan.modality,
            "series_uid": scan.uid,
            "study_uid": ", ".join(studies(scan.instances)),
            "files": len(scan.instances),
            "bytes": sum(each.size for each in scan.instances),
            "expected": complete.expected_in(missing.get(scan.id, "")) or complete.expected(scan),
            "missing": missing.get(scan.id, ""),
        }
        for scan in arranged
    ]


def missing(session: Session, arranged: Sequence[Scan]) -> dict[str, str]:
    """What seems missing in each scan, by ID: as validation found it, who knows the archived files.

    While files still come, or before the first build, as the headers of those that came tell.
    """
    if session.status in {Status.RECEIVING, Status.BUILDING}:
        return {gap.scan: gap.text for gap in complete.look(arranged)[0]}
    found = (each for each in session.findings if each.code == "maybe-incomplete")
    told = next((each.evidence.get("missing") for each in found), None)
    return {scan: str(text) for scan, text in told.items()} if isinstance(told, Mapping) else {}


def _descriptions(scan: Scan) -> Iterator[str]:
    return (each.header["SeriesDescription"] for each in scan.instances)


def archived_scans(xml: bytes) -> list[dict[str, Any]]:
    """The scans of a session XML, as JSON. Raises DocumentError.

    The XML keeps one study for the session; where it accepted others, `add_studies` knows.
    """
    root = parse(xml, "the session XML")
    fields = {each.get("name") for each in root.iter(f"{XNAT}field")}
    study = "" if "accepted_study_uids" in fields else root.get("UID", "")
    found = []
    for scan in root.iterfind(f"{XNAT}scans/{XNAT}scan"):
        resources = scan.findall(f"{XNAT}file")
        lacking = complete.noted(scan.findtext(f"{XNAT}note") or "")
        found.append(
            {
                "id": scan.get("ID", ""),
                "description": scan.findtext(f"{XNAT}series_description") or "",
                "modality": scan.findtext(f"{XNAT}modality") or "",
                "series_uid": scan.get("UID", ""),
                "study_uid": study,
                "files": sum(_number(each.get("file_count")) for each in resources),
                "bytes": sum(_number(each.get("file_size")) for each in resources),
                "expected": complete.expected_in(lacking),
                "missing": lacking,
            }
        )
    return found


def add_studies(
    scans: Iterable[dict[str, Any]], studies: Sequence[str], paths: Collection[str]
) -> None:
    """The studies of each scan, where the session has several, as its files' names begin (XNAT).

    `paths`: of the files, relative to `SCANS`.
    """
    for scan in scans:
        own = {path.rpartition("/")[2] for path in paths if path.startswith(f"{scan['id']}/")}
        found = (each for each in studies if any(name.startswith(f"{each}-") for name in own))
        scan["study_uid"] = ", ".join(found)


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
        text = _refreshed(values) if "changed" in values else _merged(values)
        return {"when": values["timestamp"], "event": values["event"], "text": text}
    except (ValueError, KeyError, TypeError):
        return {"when": "", "event": "", "text": line.decode("utf-8", "replace")}


def _merged(values: Mapping[str, Any]) -> str:
    """How many files came of a session, and what became of the others."""
    rest = [name for name in ("replaced", "kept", "held") if values.get(name)]
    return f"{values['session']}: " + ", ".join(
        f"{values[name]} {_BECAME.get(name, name)}" for name in ("added", "same", *rest)
    )


def _refreshed(values: Mapping[str, Any]) -> str:
    """What a person had mended."""
    changed = "; ".join(f"{path}: {what}" for path, what in values["changed"])
    return f"{values['who']}: {changed}"


def decided(line: bytes) -> list[dict[str, Any]]:
    """The decisions in a line of an archived session's log; none in one that is torn."""
    try:
        values = json.loads(line)
        if "changed" not in values:
            return list(values["decisions"])
        when = {"when": values["timestamp"], "who": values["who"], "reason": values["reason"]}
        accepted = {**when, "command": "refresh --accept-changed", "passed": []}
        return [accepted] if values["reason"] else []  # without one nothing was accepted
    except (ValueError, KeyError, TypeError):
        return []


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
    said += [AHEAD] if is_ahead(document) else []
    said += [WHOLE] if document.get("whole") and not _ended(document) else []
    return [*said, f"folder   {document['folder']}"]


def is_ahead(document: Mapping[str, Any]) -> bool:
    """Whether all files of a session that waits lie in the archive, ahead of the catalogs."""
    return not _ended(document) and document["place"] == "archive"


def _ended(document: Mapping[str, Any]) -> bool:
    return document["status"] in {Status.ARCHIVED.value, Status.DELETED.value}


def scan_rows(document: Mapping[str, Any]) -> list[Sequence[object]]:
    """A row for each scan."""
    return [
        (
            *(each["id"], each["description"], each["modality"], each["study_uid"]),
            *(each["files"], format_size(each["bytes"]), each["expected"]),
        )
        for each in document["scans"]
    ]


def incomplete(document: Mapping[str, Any]) -> list[str]:
    """A line for each scan that seems to lack something."""
    return [
        f"scan {each['id']} may be incomplete: {each['missing']}"
        for each in document["scans"]
        if each["missing"]
    ]


def findings(document: Mapping[str, Any]) -> Iterator[str]:
    """Each finding with both sides, the evidence, and the commands that settle it."""
    for each in document["findings"]:
        numbers = f" (XNAT {', '.join(map(str, each['xnat']))})" if each["xnat"] else ""
        yield ""
        yield f"{each['severity']} {each['code']}{numbers}, {each['scope']}"
        yield f"  {each['text']}"
        yield from map(str.rstrip, _sides(each))
        for command in each["resolve"]:
            yield f"  settle it: {command}"


def _sides(finding: Mapping[str, Any]) -> Iterator[str]:
    """A line for each thing compared: the two sides, and what that is evidence of."""
    one, other = names(finding["code"])
    sides = [finding[side] for side in ("incoming", "archived", "evidence")]
    width = max((len(worded(value)) for side in sides[:2] for value in side.values()), default=0)
    for name in dict.fromkeys(name for side in sides for name in side):
        mine, theirs, mark = (worded(side.get(name)) for side in sides)
        told = f"{one} {mine:{width}}" + (f"  {other} {theirs:{width}}" if sides[1] else "")
        if mine or theirs:
            yield f"  {name:18} {told}  {mark}"
        elif mark not in {"", "missing"}:
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
