"""The rules of validation (spec 10): what each finds, how it says so, and what settles it.

Messages that XNAT has are in XNAT's words. How a project or a person makes a finding weigh more or
less: check.
"""

import shlex
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from watcher.core import evidence
from watcher.core.case import Case
from watcher.core.case import finding as new
from watcher.core.match import twins
from watcher.core.model import Archived, Finding, Scan, Severity
from watcher.core.scans import session_type

FEW: Final = 5  # files named in a finding


def merged_type(scans: Sequence[Scan], archived: Archived) -> str:
    """The root element of the archived session once these scans are in (CT becomes PET).

    A type that the archived scans don't account for was chosen by a person, and stays.
    """
    together = session_type([*archived.scans, *scans])
    return archived.type if together == session_type(archived.scans) else together


def _sided(case: Case, finding: Finding) -> Finding:
    """The finding with both sides shown: what comes, and the archived session of that label."""
    old = case.archived
    side = evidence.of_archived(old)
    there = _key(old.project, old.subject, old.label, old.study) if old else {}
    return _facing(case, finding, side, {**there, **side.shown} if old else there)


def _facing(
    case: Case, finding: Finding, side: evidence.Side, there: Mapping[str, object]
) -> Finding:
    mine = evidence.of_instances(case.instances)
    session = case.session
    here = _key(session.project, session.subject, session.label, ", ".join(case.studies))
    return replace(
        finding,
        incoming={**here, **mine.shown},
        archived=there,
        evidence=evidence.compare(mine, side),
    )


def _key(project: str | None, subject: str, label: str, study: str) -> dict[str, object]:
    return {"project": project, "subject": subject, "label": label, "study": study}


def _session_exists(case: Case) -> Iterator[Finding]:
    if case.archived:
        text = "Session already exists in the archive: what is new is merged into it"
        yield new("session-exists", Severity.INFO, text)


def _study_elsewhere(case: Case) -> Iterator[Finding]:
    session = case.session
    for other in case.elsewhere:
        at_home = other.project == session.project
        if at_home and other.label == session.label:
            continue
        text = f"This study is archived already as {other.project}/{other.label}"
        relabel = case.command(f"relabel --session {shlex.quote(other.label)}")
        resolve = (relabel, case.force) if at_home else ()
        severity = Severity.CONFLICT if at_home else Severity.WARN
        side = evidence.of_archived(other.archived)
        side = replace(side, studies=side.studies | {other.study})
        subject = other.archived.subject if other.archived else ""
        there = {**_key(other.project, subject, other.label, other.study), **side.shown}
        yield _facing(case, new("study-elsewhere", severity, text, *resolve), side, there)


def _subject_changed(case: Case) -> Iterator[Finding]:
    was = case.archived.subject if case.archived else ""
    if was and was.casefold() != case.session.subject.casefold():
        text = "Invalid modification of session subject via archive process."
        resolve = [f"relabel --subject {shlex.quote(was)}", "relabel --session L"]
        commands = map(case.command, resolve)
        yield _sided(case, new("subject-changed", Severity.FAIL, text, *commands))


def _study_mismatch(case: Case) -> Iterator[Finding]:
    if case.mismatch:
        text = "Invalid modification of session UID via archive process."
        resolve = (case.command("relabel --session L"), case.force)
        yield _sided(case, new("study-uid-mismatch", Severity.CONFLICT, text, *resolve))


def _mixed_studies(case: Case) -> Iterator[Finding]:
    if len(case.studies) > 1 and case.strangers:
        text = "Cannot merge sessions with different Study Instance UIDs"
        finding = new("mixed-studies", Severity.CONFLICT, text, case.force)
        main = case.studies[0]
        one = [i for i in case.instances if i.header.study == main]
        rest = [i for i in case.instances if i.header.study != main]
        marks = evidence.compare(evidence.of_instances(one), evidence.of_instances(rest))
        files = Counter(instance.header.study for instance in case.instances)
        marks["files_by_study"] = {study: files[study] for study in case.studies}
        yield replace(_sided(case, finding), evidence=marks)


def _no_project(case: Case) -> Iterator[Finding]:
    if case.session.project is None:
        text = "unable to identify destination project"
        yield new("no-project", Severity.FAIL, text, case.command("move --project P"))


def _schema_invalid(case: Case) -> Iterator[Finding]:
    if case.document_fault:
        text = f"What would be written is not valid: {case.document_fault}"
        yield new("schema-invalid", Severity.FAIL, text, case.command("rebuild"))


def _modality_changed(case: Case) -> Iterator[Finding]:
    old = case.archived
    if old is None or not old.type or not case.scans:
        return
    comes = session_type(case.scans)
    becomes = merged_type(case.scans, old)
    if case.mismatch and comes != old.type:
        text = (
            "Invalid modification of session modality via archive process.  "
            "Data may require a manual merge."
        )
        relabel = case.command("relabel --session L")
        finding = new("modality-changed", Severity.FAIL, text, relabel)
    elif becomes != old.type:
        text = f"The session becomes {becomes}, worked out over all its scans; it was {old.type}"
        finding = new("modality-changed", Severity.INFO, text)
    else:
        return
    sided = _sided(case, finding)
    yield replace(
        sided,
        incoming={**sided.incoming, "type": comes},
        archived={**sided.archived, "type": old.type},
    )


def _same_instance(case: Case) -> Iterator[Finding]:
    if files := [same.source for same in case.merge.same]:
        text = f"{_files(files)} held already: what is held stays, the newcomers are dropped"
        yield _listing(new("same-instance", Severity.INFO, text), files)


def _instance_differs(case: Case) -> Iterator[Finding]:
    pairs: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for differs in case.merge.differs:
        pairs[differs.scan][differs.source] = differs.target
    for scan, files in pairs.items():
        yield _clash(case, "instance-differs", scan, files)


def _other_class(case: Case) -> Iterator[Finding]:
    if files := {other.source: other.target for other in case.merge.other_class}:
        text = f"Ignored: {_files(files)} with the SOP UID of another class"
        finding = new("instance-other-class", Severity.WARN, text)
        yield _listing(finding, files, files.values())


def _duplicate(case: Case) -> Iterator[Finding]:
    settled = {same.source for same in case.merge.same}
    pairs: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for twin in twins(case.scans):
        if twin.second.place.path not in settled:
            pairs[twin.scan][twin.second.place.path] = twin.first.place.path
    for scan, files in pairs.items():
        yield _clash(case, "duplicate-in-session", scan, files)


def _clash(case: Case, code: str, scan: str, files: Mapping[str, str]) -> Finding:
    """A finding that holds a scan: the newcomers, and the files they disagree with."""
    texts = {
        "instance-differs": "UID conflict detected during archiving",
        "duplicate-in-session": f"{_files(files)} with the UIDs of another in this session",
    }
    only = f" --scan {shlex.quote(scan)}" if len(case.scans) > 1 else ""
    resolve = case.command(f'delete{only} --reason "..."')
    finding = new(code, Severity.CONFLICT, texts[code], resolve, scope=f"scan {scan}")
    return _listing(finding, files, files.values())


def _number_taken(case: Case) -> Iterator[Finding]:
    for series, (old, final) in case.merge.renamed.items():
        text = (
            f"Session already contains a scan ({old}) with the same number, but a different UID."
            f" - New scan will be renamed during archive: {final}"
        )
        yield _moved(new("scan-number-taken", Severity.INFO, text), series, old, final)


def _uid_elsewhere(case: Case) -> Iterator[Finding]:
    for series, (old, final) in case.merge.joined.items():
        text = (
            "Session already contains a scan with the same UID, but a different number"
            f" ({old}): it joins scan {final}"
        )
        yield _moved(new("scan-uid-elsewhere", Severity.INFO, text), series, old, final)


def _label_shared(case: Case) -> Iterator[Finding]:
    if case.label_shared:
        text = f"Waiting sessions with this label and another study: {', '.join(case.label_shared)}"
        relabel = case.command("relabel --session L")
        finding = new("label-shared", Severity.WARN, text, relabel)
        incoming = {"label": case.session.label, "study": ", ".join(case.studies)}
        yield replace(finding, incoming=incoming, evidence={"sessions": list(case.label_shared)})


def _moved(finding: Finding, series: str, old: str, final: str) -> Finding:
    incoming = {"scan": old, "series": series}
    return replace(finding, scope=f"scan {old}", incoming=incoming, archived={"scan": final})


def _listing(finding: Finding, files: Collection[str], against: Iterable[str] = ()) -> Finding:
    """The finding with the number of files and the first few, and of those they stand against."""
    return replace(
        finding,
        incoming={"files": list(files)[:FEW]},
        archived={"files": list(against)[:FEW]} if against else {},
        evidence={"count": len(files)},
    )


def _files(files: Collection[str]) -> str:
    return f"{len(files)} file{'s'[: len(files) != 1]}"


RULES: Final[tuple[Callable[[Case], Iterator[Finding]], ...]] = (
    _session_exists,
    _study_elsewhere,
    _subject_changed,
    _study_mismatch,
    _mixed_studies,
    _no_project,
    _schema_invalid,
    _modality_changed,
    _same_instance,
    _instance_differs,
    _other_class,
    _duplicate,
    _number_taken,
    _uid_elsewhere,
    _label_shared,
)
