"""`watcher validate`."""

from collections.abc import Mapping
from typing import Annotated, Any

from cyclopts import Parameter

from watcher.commands import select
from watcher.commands.options import PLAIN, Common
from watcher.commands.output import print_json
from watcher.core.check import verdict
from watcher.core.record import finding_values
from watcher.core.session import Status
from watcher.report import review
from watcher.report.text import printable
from watcher.stages.parts import Parts
from watcher.stages.validate import judge


def validate(
    *ids: str,
    status: Annotated[Status | None, Parameter(help="All sessions in this status.")] = None,
    project: Annotated[str | None, Parameter(help="All sessions of this project.")] = None,
    common: Common = PLAIN,
) -> int:
    """What archiving these sessions would find. A pure dry run: nothing is written.

    Example: watcher validate --status CONFLICT
    """
    with common.parts() as parts:
        found = select.sessions(parts, ids, status, project)
        judged = [_judged(parts, select.in_prearchive(each).id) for each in found]
    if common.json:
        print_json(judged[0] if len(judged) == 1 else judged)
    else:
        for each in judged:
            _print(each)
    return 3 if any(each["verdict"] != "ok" for each in judged) else 0


def _judged(parts: Parts, session_id: str) -> dict[str, object]:
    findings = judge(parts, parts.ledger.session(session_id)).findings
    return {
        "id": session_id,
        "verdict": verdict(findings),
        "findings": [finding_values(each) for each in findings],
    }


def _print(judged: Mapping[str, Any]) -> None:
    print(f"{judged['id']}: {judged['verdict']}")
    for line in review.findings(judged):
        print(printable(line))
