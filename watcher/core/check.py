"""Session x archive -> findings: one function for every build, `validate` and archiving (spec 10).

It collects everything the rules find, then weighs it by the project's policy and by what a person
has decided.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final, Literal

from watcher.core.case import CODES, Case, Elsewhere
from watcher.core.model import Archived, Finding, Scan, Session, Severity
from watcher.core.plan import Merge
from watcher.core.policy import Project
from watcher.core.rules import RULES, merged_type

__all__ = [
    "ALLOWABLE",
    "CODES",
    "FORCEABLE",
    "HOLDABLE",
    "Elsewhere",
    "Verdict",
    "check",
    "merged_type",
    "verdict",
]

HOLDABLE: Final = frozenset({"incomplete", "maybe-incomplete", "label-shared"})
ALLOWABLE: Final = frozenset({"study-uid-mismatch", "modality-changed", "study-elsewhere"})
FORCEABLE: Final = frozenset({"study-elsewhere", "study-uid-mismatch", "mixed-studies"}) | HOLDABLE

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
    passed: frozenset[str] = frozenset(),
    also: Sequence[Finding] = (),
) -> tuple[Finding, ...]:
    """Every finding of a session, those that block first, then in the order of spec 10.

    `archived` is the session of the same project and label; `elsewhere` other archived sessions
    with the study; `label_shared` ids of waiting sessions with this label and another study;
    `document_fault` why the session's XML would not be valid; `also` what was found on disk;
    `passed` the codes a person forced.
    """
    case = Case(session, scans, archived, merge or Merge(), elsewhere, label_shared, document_fault)
    found = [*also, *(finding for rule in RULES for finding in rule(case))]
    weighed = (_weighed(case, finding, project, passed) for finding in found)
    return tuple(sorted(weighed, key=lambda f: (not f.blocks, _WEIGHT[f.code])))


def verdict(findings: Iterable[Finding]) -> Verdict:
    """What the findings come to."""
    severities = {finding.severity for finding in findings}
    if Severity.FAIL in severities:
        return "fail"
    return "conflict" if Severity.CONFLICT in severities else "ok"


def _weighed(
    case: Case, finding: Finding, project: Project | None, passed: frozenset[str]
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
    conflict = finding.severity is Severity.CONFLICT and finding.scope == "session"
    if conflict and code in passed & FORCEABLE:
        return replace(finding, severity=Severity.WARN, resolve=())
    return finding
