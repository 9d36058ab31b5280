"""What persons decided: kept for good in `history/decisions.jsonl`, said, and binding."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from watcher.core.find import Bound
from watcher.core.scans import studies
from watcher.core.session import Decision, Policy, Session, SessionKey
from watcher.io import files, journal
from watcher.report.times import iso
from watcher.stages.parts import Parts

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


def note_all(parts: Parts, session: Session, known: set[bytes] | None = None) -> None:
    """Keep and say every decision on a session that a crash left unsaid; `known` see `lines`."""
    for decision in session.decisions:
        note(parts, session, decision, known)


def note(
    parts: Parts, session: Session, decision: Decision, known: set[bytes] | None = None
) -> None:
    """Keep a decision for good and say it, once; later files of its studies follow it.

    `known`: what `lines` gave, for a caller that has many.
    """
    parts.storage.require("history")
    values = {"timestamp": iso(decision.when), "session": session.id, **_words(decision)}
    line = json.dumps(values)
    known = lines(parts) if known is None else known
    if line.encode() in known:
        return
    bind(parts, values)
    journal.append_line(parts.storage.decisions, line)
    known.add(line.encode())
    parts.emit(
        "session.decided",
        **parts.said(session, command=decision.command, user=decision.who),
        reason=decision.reason,
        passed=list(decision.passed),
    )


def lines(parts: Parts) -> set[bytes]:
    """The decisions kept for good, as they are written now."""
    data = files.read_if_there(parts.storage.decisions) or b""
    return set(data.replace(b'+00:00", ', b'Z", ').splitlines())  # until 0.4.0


def kept(parts: Parts) -> Iterator[dict[str, Any]]:
    """The decisions kept for good, the oldest first."""
    for line in (files.read_if_there(parts.storage.decisions) or b"").splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            continue  # a torn last line of a crash; its decision is in the session's record


def bind(parts: Parts, values: Mapping[str, Any]) -> None:
    """Send later files of the studies of a decision, as it was kept, where it says (spec 6)."""
    for key, to in bound(values).items():
        parts.receiving.bind(key, to)


def bound(values: Mapping[str, Any]) -> dict[SessionKey, Bound]:
    """Where a decision, as it was kept, sends later files of its studies."""
    if not (values.get("from") and values.get("to")):
        return {}
    (project, label), (to_project, to_label) = values["from"], values["to"]
    to = Bound(to_project, to_label, values["subject"])
    of = dict.fromkeys((values["study"], *values.get("studies", ())))
    return {SessionKey(project, study, label): to for study in of}


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
