"""One picture of the installation: what `status`, the status page and the metrics are made of.

Values that JSON can say, plain: `report.coded` gives what may leave the machine. A command reads
what the daemon kept of itself at its last heartbeat; the daemon gives it (`live`).
"""

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from watcher import __version__
from watcher.core import rates
from watcher.core.errors import MissingPlaceError, StorageError
from watcher.core.policy import Drop
from watcher.core.session import Session, Status
from watcher.io import agenda
from watcher.io.clock import Clock
from watcher.io.lease import is_locked
from watcher.io.lookup import Lookup, Raised
from watcher.io.mounts import free
from watcher.io.registry import SetAside
from watcher.io.stores import KINDS, Storage
from watcher.report import standing
from watcher.report.text import printable
from watcher.report.times import iso
from watcher.settings import Settings
from watcher.stages.parts import Parts

HEARTBEAT: Final = "heartbeat"  # where the ledger keeps the last one
LIVE: Final = "live"  # and what the daemon knew then
RATES: Final = "rates"  # and how many files each hour brought
SESSIONS: Final = 200  # that are shown one by one
PRESSING: Final = (Status.CONFLICT, Status.ERROR)  # a person acts

Document: TypeAlias = dict[str, Any]
Live: TypeAlias = Mapping[str, Any]
"""`started` (ISO), `lost` (lines of the log), `drops`: of each the keys of `UNKNOWN`, or some."""

UNKNOWN: Final[Mapping[str, Any]] = {
    "watch": None,  # "native" while change events come, "poll"
    "waiting": None,  # files pending
    "oldest_pending": None,  # seconds since the first of them was seen; 0: none
    "filed": None,  # since the start, as the next two
    "duplicates": None,
    "quarantined": None,
    "units": None,  # that have not landed
    "landing": False,  # whether one of them lands
}


def survey(settings: Settings, parts: Parts, live: Live | None = None) -> Document:
    """How the installation stands. `live`: what only the running daemon knows, where it asks.

    StorageError where the ledger can't be read. No drop is looked at for the daemon: one that hangs
    would hold it.
    """
    now = parts.clock.now()
    running = live is not None or is_locked(parts.storage.marker("state"))
    known = _kept(parts, running=running) if live is None else live
    heartbeat = now if live is not None else _beat(parts)
    raised = Lookup(parts.ledger).raised()
    unhealthy = standing.health(
        running=running, heartbeat=heartbeat, every=settings.log.heartbeat, now=now
    )
    counts = _counts(parts)
    return {
        **_head(settings, now),
        "running": running,
        "has_run": True,
        "healthy": not unhealthy,
        "unhealthy": unhealthy,
        "heartbeat": iso(heartbeat) if heartbeat else None,
        "started": known.get("started"),
        "lost": known.get("lost"),
        "drops": _drops(settings.drops, known.get("drops", {}), {each.key for each in raised}),
        "stores": [_store(parts.storage, kind) for kind in KINDS],
        "sessions": counts,
        "ahead": sum(each.place == "archive" for each in agenda.sendable(parts.ledger)),
        "conditions": [_condition(each) for each in raised],
        "quarantine": [entry_values(each) for each in parts.registry.aside()],
        **_sessions(parts, counts, now),
        "rates": _rates(parts, now),
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
        "drops": _drops(settings.drops, {}, set()),
        "stores": [_store(storage, kind) for kind in KINDS],
        "sessions": {},
        "ahead": 0,
        "conditions": [],
        "quarantine": [],
        "open_sessions": [],
        "more_sessions": 0,
        "oldest": {},
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


def _beat(parts: Parts) -> float | None:
    said = parts.ledger.recall(HEARTBEAT)
    return float(said) if said else None


def count_filed(parts: Parts, files: int) -> None:
    """So many files were filed in this hour, for the rates. StorageError where it can't be kept."""
    now = parts.clock.now()
    kept = rates.counted(_kept_rates(parts), now, files)
    parts.ledger.remember(RATES, json.dumps(kept))


def _kept_rates(parts: Parts) -> dict[int, int]:
    said = parts.ledger.recall(RATES)
    return {int(hour): files for hour, files in json.loads(said).items()} if said else {}


def _rates(parts: Parts, now: float) -> list[tuple[str, int]]:
    return [(iso(hour), files) for hour, files in rates.series(_kept_rates(parts), now)]


def _kept(parts: Parts, *, running: bool) -> Live:
    """What the daemon's last heartbeat left; nothing of a run that is over.

    Whether a drop is there is not among it: that is looked at now.
    """
    said = parts.ledger.recall(LIVE) if running else None
    return dict(json.loads(said)) if said else {}


def keep_live(parts: Parts, live: Live) -> None:
    """What commands are to know of the daemon. StorageError where it can't be kept."""
    drops = {
        name: {key: value for key, value in each.items() if key != "available"}
        for name, each in live["drops"].items()
    }
    parts.ledger.remember(LIVE, json.dumps({**live, "drops": drops}))


def _drops(drops: Sequence[Drop], known: Mapping[str, Any], raised: set[str]) -> list[Document]:
    return [_drop(drop, known.get(drop.name, {}), raised) for drop in drops]


def _drop(drop: Drop, known: Mapping[str, Any], raised: set[str]) -> Document:
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


def _is_there(drop: Drop, raised: set[str]) -> bool:
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


def _counts(parts: Parts) -> dict[str, int]:
    """The prearchive's sessions by status; ARCHIVED counts what stands in the archive."""
    counts = parts.ledger.counts()
    ended = {Status.ARCHIVED: parts.registry.count(), Status.DELETED: 0}
    return {each.value: number for each in Status if (number := (counts | ended).get(each, 0))}


def _condition(raised: Raised) -> Document:
    return {
        "event": raised.event,
        "key": raised.key,
        "since": iso(raised.raised),
        "text": standing.meaning(raised.event),
        "hint": standing.hint(raised.event, raised.key, raised.fields),
        **({"fields": raised.fields} if raised.fields else {}),
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


def _sessions(parts: Parts, counts: Mapping[str, int], now: float) -> Document:
    """Those not archived: the first of them one by one, and how old the oldest of each status is.

    `oldest` in seconds since its first file was filed.
    """
    lookup = Lookup(parts.ledger)
    shown = lookup.pressing(PRESSING, SESSIONS)
    waiting = sum(counts.values()) - counts.get(Status.ARCHIVED, 0)
    oldest = {each.value: max(0.0, round(now - at, 1)) for each, at in lookup.oldest().items()}
    return {
        "open_sessions": [_session(parts, each) for each in shown],
        "more_sessions": max(0, waiting - len(shown)),
        "oldest": oldest,
    }


def _session(parts: Parts, session: Session) -> Document:
    scans, files, size = parts.ledger.sizes(session.id).get(session.id, (0, 0, 0))
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
        "error": session.error,
        "findings": [
            {"code": each.code, "severity": each.severity.value, "text": each.text}
            for each in session.findings
        ],
        "resolve": _resolve(parts, session),
        "due": iso(due) if due is not None else None,
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
        return [f"watcher rebuild {session.id}"]
    waits = session.status is Status.READY and not parts.auto_archive(session)
    return [f"watcher archive {session.id}"] if waits else []
