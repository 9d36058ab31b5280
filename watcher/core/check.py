"""Session x archive -> findings: one function for every build, `validate` and archiving (spec 10).

It collects everything the rules find, then weighs it by the project's policy and by what a person
has decided.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final, Literal

from watcher.core.archived import Archived
from watcher.core.case import CODES, Case, Elsewhere, Seen
from watcher.core.complete import Gap
from watcher.core.decisions import passed
from watcher.core.file_rules import FILE_RULES
from watcher.core.plan import Merge
from watcher.core.policy import Project
from watcher.core.rules import RULES, merged_type
from watcher.core.session import Finding, Scan, Session, Severity

__all__ = [
    "ALLOWABLE",
    "CODES",
    "FORCEABLE",
    "HOLDABLE",
    "Elsewhere",
    "Seen",
    "Verdict",
    "check",
    "held",
    "merged_type",
    "verdict",
]

HOLDABLE: Final = frozenset({"incomplete", "maybe-incomplete", "label-shared"})
ALLOWABLE: Final = frozenset({"study-uid-mismatch", "modality-changed", "study-elsewhere"})
FORCEABLE: Final = frozenset({"study-elsewhere", "study-uid-mismatch", "mixed-studies"}) | HOLDABLE

NOTHING_SEEN: Final = Seen()
Verdict = Literal["ok", "conflict", "fail"]
_WEIGHT: Final = {code: n for n, code in enumerate(CODES)}


def check(
    session: Session,
    scans: Sequence[Scan],
    *,
    project: Project | None,
    archived: Archived | None,
    merge: Merge | None,
    elsewhere: Sequence[Elsewhere] = (),
    label_shared: Sequence[str] = (),
    document_fault: str = "",
    seen: Seen = NOTHING_SEEN,
    gaps: Sequence[Gap] = (),
) -> tuple[Finding, ...]:
    """Every finding of a session, those that block first, then in the order of spec 10.

    `archived` is the session of the same project and label; `elsewhere` other archived sessions
    with the study; `label_shared` ids of waiting sessions with this label and another study;
    `document_fault` why the session's XML would not be valid; `seen` what was found on disk and
    in the drops; `gaps` what the headers say is missing.
    """
    case = Case(
        session,
        scans,
        archived,
        merge or Merge(),
        elsewhere,
        label_shared,
        document_fault,
        seen,
        gaps,
    )
    found = [finding for rule in (*RULES, *FILE_RULES) for finding in rule(case)]
    codes = passed(session, case.studies)
    weighed = _barred(case, [_weighed(case, finding, project, codes) for finding in found])
    return tuple(sorted(weighed, key=lambda f: (not f.blocks, _WEIGHT[f.code])))


def _barred(case: Case, found: Sequence[Finding]) -> list[Finding]:
    """The findings without the force that would not help: none passes a FAIL about the session."""
    if not any(each.severity is Severity.FAIL and each.scope == "session" for each in found):
        return list(found)
    ways = ((each, tuple(way for way in each.resolve if way != case.force)) for each in found)
    return [replace(each, resolve=left) for each, left in ways]


def verdict(findings: Iterable[Finding]) -> Verdict:
    """What the findings come to."""
    severities = {finding.severity for finding in findings}
    if Severity.FAIL in severities:
        return "fail"
    return "conflict" if Severity.CONFLICT in severities else "ok"


def held(findings: Iterable[Finding], *, whole: bool = False) -> frozenset[str] | None:
    """The scans that findings hold, by incoming ID; None: the whole session is held.

    `whole`: a transactional unit fed it, so that what holds some of it holds all (spec 10).
    """
    scopes = {finding.scope for finding in findings if finding.blocks}
    if "session" in scopes or (whole and scopes):
        return None
    return frozenset(scope.removeprefix("scan ") for scope in scopes)


def _weighed(
    case: Case, finding: Finding, project: Project | None, codes: frozenset[str]
) -> Finding:
    """The finding as the project and a person's decision leave it."""
    code = finding.code
    allowed = project is not None and code in project.allow & ALLOWABLE
    held = project is not None and code in project.hold & HOLDABLE
    if finding.blocks and allowed:
        xnat = (19,) if code == "study-uid-mismatch" else finding.xnat  # XNAT: uid_mod on
        return replace(finding, severity=Severity.WARN, xnat=xnat, resolve=())
    if held and not finding.blocks:
        resolve = (case.force, *finding.resolve)
        finding = replace(finding, severity=Severity.CONFLICT, resolve=resolve)
    if finding.severity is Severity.CONFLICT and code in codes & FORCEABLE:
        return replace(finding, severity=Severity.WARN, resolve=())
    return finding
