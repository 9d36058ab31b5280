"""One picture of the installation: what `status`, the status page and the metrics are made of.

Values that JSON can say, plain: `report.coded` gives what may leave the machine. A command reads
what the daemon kept of itself at its last heartbeat; the daemon gives it (`live`). Its length is
bounded, whatever waits: what is left off is counted.
"""

import os
from collections.abc import Container, Mapping, Sequence
from typing import Any, Final, TypeAlias

from watcher import __version__
from watcher.core.errors import MissingPlaceError, StorageError
from watcher.core.policy import Drop
from watcher.core.record import finding_values
from watcher.core.session import Finding, Session, Status
from watcher.io.clock import Clock
from watcher.io.glance import Glance, glance
from watcher.io.lease import is_locked
from watcher.io.lookup import Raised
from watcher.io.registry import SetAside
from watcher.io.room import free
from watcher.io.stores import KINDS, Storage
from watcher.remembered import UNKNOWN, Live, filed_by_hour, kept_live, last_beat
from watcher.report import standing
from watcher.report.text import brief, printable
from watcher.report.times import iso
from watcher.settings import Settings
from watcher.stages.parts import Parts

SESSIONS: Final = 200  # that are shown one by one
ROWS: Final = 1000  # conditions, and entries of the quarantine
MANY: Final = 20  # findings of a session, commands about it, values of a list
LONG: Final = 1000  # characters of a text
SIDE: Final = 200  # characters of a value of a finding's sides

Document: TypeAlias = dict[str, Any]


def survey(
    settings: Settings, parts: Parts, live: Live | None = None, *, rows: int = ROWS
) -> Document:
    """How the installation stands. `live`: what only the running daemon knows, where it asks.

    StorageError where the ledger can't be read. No drop is looked at for the daemon: one that hangs
    would hold it.
    """
    now = parts.clock.now()
    running = live is not None or is_locked(parts.storage.marker("state"))
    known = (kept_live(parts) if running else {}) if live is None else live
    heartbeat = now if live is not None else last_beat(parts)
    seen = glance(parts.ledger, sessions=SESSIONS, rows=rows)
    unhealthy = standing.health(
        running=running, heartbeat=heartbeat, every=settings.log.heartbeat, now=now
    )
    return {
        **_head(settings, now),
        "running": running,
        "has_run": True,
        "healthy": not unhealthy,
        "unhealthy": unhealthy,
        "heartbeat": iso(heartbeat) if heartbeat else None,
        "started": known.get("started"),
        "lost": known.get("lost"),
        "drops": _drops(settings.drops, known.get("drops", {}), parts.conditions.open()),
        "stores": [_store(parts.storage, kind) for kind in KINDS],
        **_sessions(parts, seen, now),
        **_rows(seen),
        "rates": filed_by_hour(parts, now),
    }


def unborn(settings: Settings, why: str) -> Document:
    """The same document before the first start."""
    now = Clock().now()
    unhealthy = standing.health(
        running=False, heartbeat=None, every=settings.log.heartbeat, now=now
    )
    storage = Storage(settings.stores)
    return {
        **_head(settings, now),
        "running": False,
        "has_run": False,
        "healthy": False,
        "unhealthy": f"{unhealthy}: {why}",
        "heartbeat": None,
        "started": None,
        "lost": None,
        "drops": _drops(settings.drops, {}, ()),
        "stores": [_store(storage, kind) for kind in KINDS],
        "sessions": {},
        "ahead": 0,
        "open_sessions": [],
        "more_sessions": 0,
        "oldest": {},
        "conditions": [],
        "more_conditions": 0,
        "open_conditions": {},
        "quarantine": [],
        "more_quarantine": 0,
        "rates": [],
    }


def _head(settings: Settings, now: float) -> Document:
    return {
        "version": __version__,
        "host": os.uname().nodename,
        "made": iso(now),
        "every": settings.log.heartbeat,  # seconds
        "contact": "; ".join(dict.fromkeys(d.contact for d in settings.drops if d.contact)),
    }


def _drops(
    drops: Sequence[Drop], known: Mapping[str, Any], raised: Container[str]
) -> list[Document]:
    return [_drop(drop, known.get(drop.name, {}), raised) for drop in drops]


def _drop(drop: Drop, known: Mapping[str, Any], raised: Container[str]) -> Document:
    there = known.get("available")
    return {
        "name": drop.name,
        "path": drop.path,
        "import": drop.mode,
        "dest": drop.dest,
        "contact": drop.contact,
        **UNKNOWN,
        **known,
        "available": _is_there(drop, raised) if there is None else there,
    }


def _is_there(drop: Drop, raised: Container[str]) -> bool:
    """Its directory is, and the daemon said nothing else (a mount that is not there)."""
    return f"drop/{drop.name}" not in raised and os.path.isdir(drop.path)


def _store(storage: Storage, kind: str) -> Document:
    path = storage.path(kind)
    there = storage.is_there(kind)
    try:
        space = free(path) if there else None
    except (MissingPlaceError, StorageError):  # it went between the two looks
        there, space = False, None
    return {
        "store": kind,
        "path": path,
        "available": there,
        "free": space.bytes_free if space else None,
        "total": space.bytes_total if space else None,
    }


def _rows(seen: Glance) -> Document:
    """What is open and what is set aside, as far as it is shown, and how much there is in all."""
    return {
        "conditions": [_condition(each) for each in seen.conditions],
        "more_conditions": sum(seen.events.values()) - len(seen.conditions),
        "open_conditions": dict(seen.events),
        "quarantine": [brief(entry_values(each), LONG, MANY) for each in seen.entries],
        "more_quarantine": seen.aside - len(seen.entries),
    }


def _condition(raised: Raised) -> Document:
    return {
        "event": raised.event,
        "key": raised.key,
        "since": iso(raised.raised),
        "text": standing.meaning(raised.event),
        "hint": standing.hint(raised.event, raised.key, raised.fields),
        **({"fields": brief(raised.fields, LONG, MANY)} if raised.fields else {}),
    }


def entry_values(entry: SetAside) -> Document:
    """An entry of the quarantine as JSON; a path that is not UTF-8 is shown escaped."""
    return {
        "id": entry.id,
        "drop": entry.drop,
        "code": entry.code,
        "files": entry.files,
        "path": printable(os.fsdecode(entry.path)),
        "text": entry.text,
        "place": entry.place,
        "set_aside": iso(entry.set_aside),
        "open": entry.open,
    }


def _sessions(parts: Parts, seen: Glance, now: float) -> Document:
    """By status, those of the archive too; those not archived, the first of them one by one.

    `oldest` of each status in seconds since its first file was filed.
    """
    counts = {each.value: seen.counts[each] for each in Status if seen.counts.get(each)}
    waiting = sum(counts.values()) - counts.get(Status.ARCHIVED, 0)
    return {
        "sessions": counts,
        "ahead": seen.ahead,
        "open_sessions": [
            _session(parts, each, *seen.sizes.get(each.id, (0, 0, 0))) for each in seen.sessions
        ],
        "more_sessions": waiting - len(seen.sessions),
        "oldest": {one.value: max(0.0, round(now - at, 1)) for one, at in seen.oldest.items()},
    }


def _session(parts: Parts, session: Session, scans: int, files: int, size: int) -> Document:
    due = _due(parts, session)
    return {
        "id": session.id,
        "status": session.status.value,
        "project": session.project,
        "subject": session.subject,
        "label": session.label,
        "study": session.study,
        "opened": iso(session.opened),
        "last_arrival": iso(session.last_arrival),
        "scans": scans,
        "files": files,
        "bytes": size,
        "error": brief(session.error, LONG, 0),
        "findings": [_finding(each) for each in session.findings[:MANY]],
        "more_findings": max(0, len(session.findings) - MANY),
        "resolve": _resolve(parts, session)[:MANY],
        "due": iso(due) if due is not None else None,
    }


def _finding(finding: Finding) -> Document:
    """One that blocks with both its sides (spec 10). They stand in their weight's order."""
    values = finding_values(finding)
    sides = {
        side: {name: brief(value, SIDE, MANY) for name, value in values[side].items()}
        for side in ("incoming", "archived", "evidence")
    }
    return {
        "code": finding.code,
        "severity": finding.severity.value,
        "text": brief(finding.text, LONG, 0),
        **(sides if finding.blocks else {}),
    }


def _due(parts: Parts, session: Session) -> float | None:
    """When it is built if nothing more comes; None: it does not wait for that."""
    if session.status is not Status.RECEIVING:
        return None
    rested = session.last_arrival + session.inactivity
    return min(rested, session.receiving_since + parts.rules.max_open)


def _resolve(parts: Parts, session: Session) -> list[str]:
    """What a person types about it; nothing where it goes on by itself."""
    if session.status is Status.CONFLICT:
        found = (way for each in session.findings if each.blocks for way in each.resolve)
        return list(dict.fromkeys([f"watcher show {session.id}", *found]))
    if session.status is Status.ERROR:
        return [parts.anew(session)]
    waits = session.status is Status.READY and not parts.auto_archive(session)
    return [f"watcher archive {session.id}"] if waits else []
