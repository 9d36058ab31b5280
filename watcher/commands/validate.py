"""`watcher validate`."""

from watcher.commands import select
from watcher.commands.options import PLAIN, Common
from watcher.commands.output import print_json
from watcher.core.check import verdict
from watcher.core.record import finding_values
from watcher.stages.parts import Parts
from watcher.stages.validate import judge


def validate(*ids: str, common: Common = PLAIN) -> int:
    """What archiving these sessions would find. A pure dry run: nothing is written.

    Example: watcher validate 20260619_091425123
    """
    with common.parts() as parts:
        found = select.sessions(parts, ids)
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


def _print(judged: dict[str, object]) -> None:
    print(f"{judged['id']}: {judged['verdict']}")
    findings = judged["findings"]
    for finding in findings if isinstance(findings, list) else ():
        numbers = f" (XNAT {', '.join(map(str, finding['xnat']))})" if finding["xnat"] else ""
        print(f"\n{finding['severity']} {finding['code']}{numbers}, {finding['scope']}")
        print(f"  {finding['text']}")
        for side in ("incoming", "archived", "evidence"):
            for name, value in finding[side].items():
                print(f"  {side:9} {name}: {value}")
        for command in finding["resolve"]:
            print(f"  settle it: {command}")
