"""Sessions as listings show them: `watcher sessions`, one record each (spec 4)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from watcher.core.notation import format_size
from watcher.core.session import UNASSIGNED, Finding, Session, Severity, Status
from watcher.report.times import ago, iso

HEAD: Final = (
    *("ID", "STATUS", "PLACE", "PROJECT", "SUBJECT", "LABEL", "SCANS", "FILES", "SIZE"),
    *("LAST ARRIVAL", "FINDINGS"),
)
Sizes = tuple[int, int, int]
"""Scans, files and bytes."""


def findings_of(session: Session) -> list[Finding]:
    """What is to be said of a session; once it has ended, what happened: the rest is settled."""
    ended = session.status in {Status.ARCHIVED, Status.DELETED}
    return happened(session.findings) if ended else list(session.findings)


def happened(findings: Iterable[Finding]) -> list[Finding]:
    """The findings that ask for nothing."""
    return [each for each in findings if each.severity is Severity.INFO]


def codes(findings: Iterable[Finding]) -> list[str]:
    """Their codes, each once."""
    return list(dict.fromkeys(each.code for each in findings))


def record(session: Session, sizes: Sizes) -> dict[str, Any]:
    """A session as `watcher sessions --json` gives it; times in UTC, size in bytes."""
    scans, files, size = sizes
    return {
        "id": session.id,
        "status": session.status.value,
        "project": session.project,
        "subject": session.subject,
        "label": session.label,
        "study_uid": session.study,
        "scans": scans,
        "files": files,
        "bytes": size,
        "opened": iso(session.opened),
        "last_arrival": iso(session.last_arrival),
        "findings": codes(findings_of(session)),
        "place": place(session),
    }


def place(session: Session) -> str:
    """Where its files lie: "archive" also before catalogs list them; "history" once deleted."""
    ended = {Status.ARCHIVED: "archive", Status.DELETED: "history"}
    return ended.get(session.status, session.place)


def rows(records: Sequence[Mapping[str, Any]], now: float, arrivals: Mapping[str, float]) -> Any:
    """The rows of the table; `arrivals` are last arrivals by id, in seconds since the epoch."""
    return [
        (
            one["id"],
            one["status"],
            one["place"],
            one["project"] or UNASSIGNED,
            one["subject"],
            one["label"],
            one["scans"],
            one["files"],
            format_size(one["bytes"]),
            ago(arrivals[one["id"]], now) if one["id"] in arrivals else "",
            ", ".join(one["findings"]),
        )
        for one in records
    ]
