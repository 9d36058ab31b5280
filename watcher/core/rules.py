"""The rules about the session (spec 10): what each finds, how it says so, and what settles it.

Messages that XNAT has are in XNAT's words. Those about its files: file_rules. How a project or a
person makes a finding weigh more or less: check.
"""

import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from watcher.core import complete, evidence
from watcher.core.archived import Archived
from watcher.core.case import FEW, Case, counted
from watcher.core.case import finding as new
from watcher.core.scans import session_type
from watcher.core.session import Finding, Scan, Severity
from watcher.core.sop import OTHER_SESSION, PETMR_SESSION, SESSION_ELEMENTS

TYPES: Final = frozenset({*SESSION_ELEMENTS.values(), OTHER_SESSION, PETMR_SESSION})


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
        holds = at_home and not case.at_home  # else it was settled when the study was let in
        relabel = case.command(f"relabel --session {shlex.quote(other.label)}")
        resolve = (relabel, case.force) if holds else ()
        severity = Severity.CONFLICT if holds else Severity.WARN
        side = evidence.of_archived(other.archived)
        side = replace(side, studies=side.studies | {other.study})
        subject = other.archived.subject if other.archived else ""
        there = {**_key(other.project, subject, other.label, other.study), **side.shown}
        yield _facing(case, new("study-elsewhere", severity, text, *resolve), side, there)


def _subject_changed(case: Case) -> Iterator[Finding]:
    was = case.archived.subject if case.archived else ""
    if was and was.casefold() != case.session.subject.casefold():
        text = "Invalid modification of session subject via archive process."
        resolve = [f"relabel --subject {shlex.quote(was)}"]
        if case.mismatch:  # the same study under another label would be archived twice
            resolve.append("relabel --session L")
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
        resolve = (case.command("split"), case.force)
        finding = new("mixed-studies", Severity.CONFLICT, text, *resolve)
        main = case.studies[0]
        one = [i for i in case.instances if i.header.study == main]
        rest = [i for i in case.instances if i.header.study != main]
        sides = evidence.of_instances(one), evidence.of_instances(rest)
        marks = evidence.compare(*sides)
        files = Counter(instance.header.study for instance in case.instances)
        marks["files_by_study"] = {study: files[study] for study in case.studies}
        yield replace(
            finding,
            incoming={"study": main, **sides[0].shown},
            archived={"study": ", ".join(case.studies[1:]), **sides[1].shown},
            evidence=marks,
        )


def _no_project(case: Case) -> Iterator[Finding]:
    if case.session.project is None:
        text = "unable to identify destination project"
        yield new("no-project", Severity.FAIL, text, case.command("move --project P"))


def _schema_invalid(case: Case) -> Iterator[Finding]:
    if case.document_fault:
        text = f"What would be written is not valid: {case.document_fault}"
        home = case.archived and f"{case.archived.project}/{case.archived.label}"
        look = [f"watcher verify {home}"] if home else []
        rebuild = case.command("rebuild")  # once what it merges into is mended
        yield new("schema-invalid", Severity.FAIL, text, *look, rebuild)


def _modality_changed(case: Case) -> Iterator[Finding]:
    old = case.archived
    if old is None or not old.type or not case.scans:
        return
    comes = session_type(case.scans)
    becomes = merged_type(case.merge.new_scans, old)  # what is ignored changes nothing
    if case.mismatch and comes != old.type:
        text = (
            "Invalid modification of session modality via archive process.  "
            "Data may require a manual merge."
        )
        relabel = case.command("relabel --session L")
        finding = new("modality-changed", Severity.FAIL, text, relabel)
    elif becomes != old.type:
        was = old.type if old.type in TYPES else "another"  # a document's word is in `archived`
        text = f"The session becomes {becomes}, worked out over all its scans; it was {was}"
        finding = new("modality-changed", Severity.INFO, text)
    else:
        return
    sided = _sided(case, finding)
    yield replace(
        sided,
        incoming={**sided.incoming, "type": comes},
        archived={**sided.archived, "type": old.type},
    )


def _label_shared(case: Case) -> Iterator[Finding]:
    if case.label_shared:
        text = f"Waiting sessions with this label and another study: {', '.join(case.label_shared)}"
        relabel = case.command("relabel --session L")
        finding = new("label-shared", Severity.WARN, text, relabel)
        incoming = {"label": case.session.label, "study": ", ".join(case.studies)}
        yield replace(finding, incoming=incoming, evidence={"sessions": list(case.label_shared)})


def _incomplete(case: Case) -> Iterator[Finding]:
    if stuck := case.seen.stuck:
        text = f"{counted(stuck, 'file')} of its folders in the drop never became whole"
        finding = new("incomplete", Severity.WARN, text)
        yield replace(
            finding, incoming={"files": list(stuck)[:FEW]}, evidence={"count": len(stuck)}
        )
    if (awaited := case.seen.awaited).count:
        text = f"{counted(awaited.count, 'file')} that a DICOMDIR lists did not come"
        finding = new("incomplete", Severity.WARN, text)
        evidence = {"count": awaited.count}
        yield replace(finding, incoming={"files": list(awaited.files)}, evidence=evidence)


def _maybe_incomplete(case: Case) -> Iterator[Finding]:
    if case.gaps:
        scans = {gap.scan: gap.text for gap in case.gaps}
        finding = new("maybe-incomplete", Severity.INFO, complete.text(case.gaps))
        yield replace(finding, evidence={"missing": scans})


RULES: Final[tuple[Callable[[Case], Iterator[Finding]], ...]] = (
    _session_exists,
    _study_elsewhere,
    _subject_changed,
    _study_mismatch,
    _mixed_studies,
    _no_project,
    _schema_invalid,
    _modality_changed,
    _label_shared,
    _incomplete,
    _maybe_incomplete,
)
