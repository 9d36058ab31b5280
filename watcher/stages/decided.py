"""What persons decided: kept for good in `history/decisions.jsonl`, said, and binding."""

import json
from collections.abc import Mapping
from typing import Any

from watcher.core.find import Bound
from watcher.core.scans import studies
from watcher.core.session import Decision, Policy, Session, SessionKey
from watcher.io import files, journal
from watcher.stages.parts import Parts, iso

ARRIVING = "files of it are being filed at this moment"


def decision_on(
    parts: Parts,
    session: Session,
    command: str,
    who: str,
    reason: str,
    *,
    passed: tuple[str, ...] = (),
    policy: Policy = "",
) -> Decision:
    """A decision on a session and every study it holds, made now."""
    return Decision(
        when=parts.clock.now(),
        who=who,
        command=command,
        reason=reason,
        passed=passed,
        study=session.study,
        studies=studies(parts.ledger.instances(session.id)),
        policy=policy,
    )


def note_all(parts: Parts, session: Session) -> None:
    """Keep and say every decision on a session that a crash left unsaid."""
    for decision in session.decisions:
        note(parts, session, decision)


def note(parts: Parts, session: Session, decision: Decision) -> None:
    """Keep a decision for good and say it, once; later files of its studies follow it."""
    parts.storage.require("history")
    values = {"timestamp": iso(decision.when), "session": session.id, **_words(decision)}
    line = json.dumps(values)
    path = parts.storage.decisions
    if line.encode() in (files.read_if_there(path) or b"").splitlines():
        return
    bind(parts, values)
    journal.append_line(path, line)
    parts.emit(
        "session.decided",
        **parts.said(session, command=decision.command, user=decision.who),
        reason=decision.reason,
        passed=list(decision.passed),
    )


def bind(parts: Parts, kept: Mapping[str, Any]) -> None:
    """Send later files of the studies of a decision, as it was kept, where it says (spec 6)."""
    if not (kept.get("from") and kept.get("to")):
        return
    (project, label), (to_project, to_label) = kept["from"], kept["to"]
    to = Bound(to_project, to_label, kept["subject"])
    for study in dict.fromkeys((kept["study"], *kept.get("studies", ()))):
        parts.receiving.bind(SessionKey(project, study, label), to)


def told(session: Session) -> list[dict[str, object]]:
    """Who decided what of a session, as its own log keeps it."""
    return [{"when": iso(each.when), **_words(each)} for each in session.decisions]


def _words(decision: Decision) -> dict[str, object]:
    return {
        "who": decision.who,
        "command": decision.command,
        "reason": decision.reason,
        "passed": list(decision.passed),
        "policy": decision.policy,
        "study": decision.study,
        "studies": list(decision.studies),
        "from": decision.key_from,
        "to": decision.key_to,
        "subject": decision.subject,
    }
