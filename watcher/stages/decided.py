"""What persons decided: kept for good in `history/decisions.jsonl`, and said."""

import json

from watcher.core.model import Decision, Session
from watcher.io import files
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
) -> Decision:
    """A decision on a session, made now."""
    return Decision(
        when=parts.clock.now(),
        who=who,
        command=command,
        reason=reason,
        passed=passed,
        study=session.study,
    )


def note_all(parts: Parts, session: Session) -> None:
    """Keep and say every decision on a session that a crash left unsaid."""
    for decision in session.decisions:
        note(parts, session, decision)


def note(parts: Parts, session: Session, decision: Decision) -> None:
    """Keep a decision for good and say it, once."""
    parts.storage.require("history")
    line = json.dumps(
        {
            "timestamp": iso(decision.when),
            "who": decision.who,
            "command": decision.command,
            "reason": decision.reason,
            "session": session.id,
            "passed": list(decision.passed),
            "study": decision.study,
            "from": decision.key_from,
            "to": decision.key_to,
            "subject": decision.subject,
        }
    )
    path = parts.storage.decisions
    if line.encode() in (files.read_if_there(path) or b"").splitlines():
        return
    files.append_line(path, line)
    parts.emit(
        "session.decided",
        **parts.said(session, command=decision.command, user=decision.who),
        reason=decision.reason,
        passed=list(decision.passed),
    )


def told(session: Session) -> list[dict[str, object]]:
    """Who decided what of a session, as its own log keeps it."""
    return [
        {
            "when": iso(each.when),
            "who": each.who,
            "command": each.command,
            "reason": each.reason,
            "passed": list(each.passed),
        }
        for each in session.decisions
    ]
