"""The session XML that follows from an archived session's catalogs, files and own log."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from watcher.core import names
from watcher.core.scans import arrange, scan_order, studies
from watcher.core.session import Instance, Scan, ScanResource, Session, Status
from watcher.core.soundness import differs
from watcher.dicom import document as xml
from watcher.dicom.repair import named
from watcher.io import files
from watcher.stages.inventory import Document
from watcher.stages.mending import Work
from watcher.stages.parts import Parts

ADDED = "scans added: "
COUNTED = "counts and sizes as the catalogs have them"
COMPOSED = "composed again from the files and the session's own log"


def known_session(
    parts: Parts, project: str, label: str, document: Document, found: Sequence[Work]
) -> Session:
    """The archived session as a value: from its XML, else the index, its own log and its files."""
    shelf = parts.registry.shelf(project, label)
    told = {} if document.fault else _of_xml(document)
    log = _of_log(os.path.join(parts.storage.archived(project, label), "logs", "events.jsonl"))
    index = {"subject": shelf.subject, "study": shelf.study} if shelf else {}
    said = {**_of_files(found), **index, **log, **told}
    now = parts.clock.now()
    return Session(
        id=shelf.session if shelf else log.get("session", f"{project}/{label}"),
        project=project,
        subject=said.get("subject", "unknown"),
        label=label,
        study=said.get("study", ""),
        status=Status.ARCHIVED,
        opened=now,
        receiving_since=now,
        last_arrival=now,
        inactivity=parts.rules.inactivity,
    )


def _of_xml(document: Document) -> dict[str, str]:
    found = xml.read(document.data or b"")
    return _those_that_say(subject=found.subject, study=found.study)


def _of_files(found: Sequence[Work]) -> dict[str, str]:
    instances = [each for work in found for each in work.instances.values()]
    name = next((each.header["PatientName"] for each in instances), "")
    study = next(iter(studies(instances)), "")
    return _those_that_say(subject=names.label(name) if name else "", study=study)


def _of_log(path: str) -> dict[str, str]:
    """Subject, study and first id, by the lines of the session's own log; the first to say wins."""
    found: dict[str, str] = {}
    for line in (files.read_if_there(path) or b"").splitlines():
        try:
            values = json.loads(line)
        except ValueError:
            continue  # torn by a crash
        if isinstance(values, dict):
            said = {word: str(values.get(word) or "") for word in ("subject", "study", "session")}
            found = {**_those_that_say(**said), **found}
    return found


def _those_that_say(**texts: str) -> dict[str, str]:
    return {name: text for name, text in texts.items() if text}


def session_text(
    parts: Parts, session: Session, document: Document, found: Sequence[Work], *, accept: bool
) -> tuple[bytes | None, str]:
    """The next session XML and what changes in it; the one that is there where nothing does.

    None where there is none and no file to make it from. A count of more files than a catalog
    lists stays, unless a person accepts that: what listed them may have gone with them.
    """
    new = _new_scans(document, found)
    if not document.fault and document.data is not None:
        return _followed(session, document.data, new, found, accept=accept)
    if not new:
        return document.data, ""
    composed = _composed(parts, session, new)
    return _counted(session, composed, found, accept=True) or composed, COMPOSED


def _composed(parts: Parts, session: Session, scans: Sequence[Scan]) -> bytes:
    project = session.project or ""
    shelf = parts.registry.shelf(project, session.label)
    instances = [each for scan in scans for each in scan.instances]
    others = [study for study in studies(instances) if study != session.study]
    return xml.compose(
        session,
        scans,
        experiment_id=shelf.experiment if shelf else names.experiment_id(project, session.label),
        accepted=others,
    )


def _followed(
    session: Session, data: bytes, new: Sequence[Scan], found: Sequence[Work], *, accept: bool
) -> tuple[bytes, str]:
    """The XML a person may have written in, with what it lacks added and what it counts put right.

    A scan that it has under another ID is left alone.
    """
    old = {scan.id: scan.uid for scan in xml.read(data).scans}
    joined = [(scan.id, scan) for scan in new if old.get(scan.id) == scan.uid]
    fresh = [scan for scan in new if scan.id not in old and scan.uid not in old.values()]
    text = data
    if joined or fresh:
        text = xml.merge(data, session, fresh, {}, new_resources=joined)
    counted = _counted(session, text, found, accept=accept)
    added = ADDED + ", ".join(scan.id for scan in (*fresh, *(scan for _, scan in joined)))
    said = [added] if joined or fresh else []
    return counted or text, ", ".join([*said, *([COUNTED] if counted else [])])


def _counted(session: Session, data: bytes, found: Sequence[Work], *, accept: bool) -> bytes | None:
    """The XML with the counts of the catalogs; None where it has them."""
    real = {
        (work.listing.said.scan, work.listing.said.label): (work.mend.files, work.mend.size)
        for work in found
        if (work.what or not work.is_broken) and (accept or not work.lacks)
    }
    said = {(each.scan, each.label): (each.files, each.size) for each in named(data) if each.scan}
    wrong = {
        key: real[key]
        for key, claims in said.items()
        if key in real and any(map(differs, claims, real[key]))
    }
    if not wrong:
        return None
    return xml.merge(data, replace(session, study=""), (), wrong)


def _new_scans(document: Document, found: Sequence[Work]) -> list[Scan]:
    """The scans that the session XML should name and does not, from the headers of their files."""
    by_scan: dict[str, dict[str, Work]] = {}
    for work in found:
        said = work.listing.said
        named = work.listing.told and not document.fault
        if not named and said.label in names.FOLDERS and _is_in_place(work) and work.members:
            by_scan.setdefault(said.scan, {})[said.label] = work
    scans = (_scan(scan_id, by_scan[scan_id]) for scan_id in sorted(by_scan, key=scan_order))
    return [scan for scan in scans if scan.uid]


def _is_in_place(work: Work) -> bool:
    said = work.listing.said
    wanted = names.catalog_path(said.scan, _folder(said.label))
    return work.listing.path.removesuffix(".gz") == wanted


def _folder(label: str) -> Literal["DICOM", "secondary"]:
    return "secondary" if label == "secondary" else "DICOM"


def _scan(scan_id: str, works: Mapping[str, Work]) -> Scan:
    """One scan, its files in the resources they lie in."""
    (first, *_) = works.values()
    held: dict[str, list[Instance]] = {
        label: [each for each in work.members if each.header.series == first.series]
        for label, work in works.items()
    }
    members = [each for several in held.values() for each in several]
    scans = arrange(members, known={first.series: scan_id})
    resources = tuple(
        ScanResource(_folder(label), tuple(several)) for label, several in held.items() if several
    )
    return replace(scans[0], resources=resources)
