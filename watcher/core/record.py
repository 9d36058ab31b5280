"""A session as a plain record and back: what `LABEL.json` holds, and what `--json` shows.

What a newer version wrote down besides is passed over, so that one can go back to this one. A
record that must not be read without it leaves a field out that this version wants.
"""

from collections.abc import Mapping
from typing import Any

from watcher.core.session import Decision, Finding, Session, Severity, Status


def known(kind: type[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the values of a record that this dataclass has a field for."""
    return {name: values[name] for name in kind.__match_args__ if name in values}


def finding_of(values: Mapping[str, Any]) -> Finding:
    """A finding from its JSON."""
    return Finding(
        code=values["code"],
        xnat=tuple(values["xnat"]),
        severity=Severity(values["severity"]),
        text=values["text"],
        scope=values["scope"],
        incoming=values["incoming"],
        archived=values["archived"],
        evidence=values["evidence"],
        resolve=tuple(values["resolve"]),
    )


def finding_values(finding: Finding) -> dict[str, Any]:
    """A finding as `watcher validate --json` shows it."""
    return {
        "code": finding.code,
        "xnat": list(finding.xnat),
        "severity": finding.severity.value,
        "text": finding.text,
        "scope": finding.scope,
        "incoming": dict(finding.incoming),
        "archived": dict(finding.archived),
        "evidence": dict(finding.evidence),
        "resolve": list(finding.resolve),
    }


def decision_values(decision: Decision) -> dict[str, Any]:
    """A decision as JSON."""
    return {
        "when": decision.when,
        "who": decision.who,
        "command": decision.command,
        "reason": decision.reason,
        "passed": list(decision.passed),
        "study": decision.study,
        "key_from": decision.key_from,
        "key_to": decision.key_to,
        "subject": decision.subject,
        "studies": list(decision.studies),
        "policy": decision.policy,
    }


def decision_of(values: Mapping[str, Any]) -> Decision:
    """A decision from its JSON."""
    pair = {k: tuple(values[k]) if values[k] else None for k in ("key_from", "key_to")}
    lists = {k: tuple(values.get(k, ())) for k in ("passed", "studies")}
    return Decision(**{**known(Decision, values), **lists, **pair})


def session_values(row: Session) -> dict[str, Any]:
    """A session as a plain record: what `LABEL.json` holds, and the row's columns."""
    return {
        "id": row.id,
        "project": row.project,
        "subject": row.subject,
        "label": row.label,
        "study": row.study,
        "status": row.status.value,
        "opened": row.opened,
        "receiving_since": row.receiving_since,
        "last_arrival": row.last_arrival,
        "inactivity": row.inactivity,
        "generation": row.generation,
        "revision": row.revision,
        "auto_archive": row.auto_archive,
        "hold_auto": row.hold_auto,
        "drops": list(row.drops),
        "origins": dict(row.origins),
        "scan_ids": dict(row.scan_ids),
        "target": row.target,
        "error": row.error,
        "partly": row.partly,
        "dest": row.dest,
        "place": row.place,
        "landing": row.landing,
        "whole": row.whole,
        "findings": [finding_values(finding) for finding in row.findings],
        "decisions": [decision_values(decision) for decision in row.decisions],
    }


def session_of(values: Mapping[str, Any]) -> Session:
    """The session in such a record."""
    target = values["target"]
    return Session(
        **{
            **known(Session, values),
            "status": Status(values["status"]),
            "drops": tuple(values["drops"]),
            "target": tuple(target) if target else None,
            "findings": tuple(finding_of(each) for each in values["findings"]),
            "decisions": tuple(decision_of(each) for each in values["decisions"]),
        }
    )
