"""`watcher status`."""

import json
import os
from collections.abc import Mapping
from typing import Annotated, Any, Final

from cyclopts import Parameter

from watcher.commands.options import PLAIN, Common
from watcher.commands.output import print_json, print_table
from watcher.core.errors import MissingPlaceError, StorageError
from watcher.core.policy import Drop
from watcher.core.session import Status
from watcher.io import agenda
from watcher.io.clock import Clock
from watcher.io.lease import is_locked
from watcher.io.lookup import Lookup, Raised
from watcher.io.mounts import free
from watcher.io.registry import SetAside
from watcher.io.stores import KINDS, Storage
from watcher.report import standing
from watcher.report.text import printable, printable_rows
from watcher.report.times import iso
from watcher.settings import Settings
from watcher.stages.parts import Parts

UNHEALTHY: Final = 12
HEARTBEAT: Final = "heartbeat"  # where the ledger keeps the last one
UNITS: Final = "units"  # and how many units there are
DROP: Final = ("DROP", "PATH", "", "TAKES", "UNITS")
CONDITION: Final = ("SINCE", "EVENT", "WHAT", "OF", "DO")
ENTRY: Final = ("ENTRY", "DROP", "CODE", "FILES", "PATH", "WHY")


def status(
    *,
    health: Annotated[
        bool, Parameter(help="Exit 12 where the daemon does not run or is stalled.", negative="")
    ] = False,
    common: Common = PLAIN,
) -> int:
    """How the installation stands: the daemon, drops, stores, sessions, and what is open.

    Example: watcher status --health && echo well
    """
    settings = common.settings()
    try:
        with common.parts() as parts:
            document = _document(settings, parts)
    except MissingPlaceError as error:  # the daemon has never run here
        document = _unborn(settings, str(error))
    if common.json:
        print_json(document)
    elif health:
        print(document["unhealthy"] or "healthy")
    else:
        _print(document)
    return UNHEALTHY if health and document["unhealthy"] else 0


def _document(settings: Settings, parts: Parts) -> dict[str, Any]:
    now = parts.clock.now()
    running = is_locked(parts.storage.marker("state"))
    said = parts.ledger.recall(HEARTBEAT)
    heartbeat = float(said) if said else None
    raised = Lookup(parts.ledger).raised()
    keys = {each.key for each in raised}
    unhealthy = standing.health(
        running=running, heartbeat=heartbeat, every=settings.log.heartbeat, now=now
    )
    return {
        "running": running,
        "has_run": True,
        "healthy": not unhealthy,
        "unhealthy": unhealthy,
        "heartbeat": iso(heartbeat) if heartbeat else None,
        "drops": [_drop(each, keys, _units(parts, running=running)) for each in settings.drops],
        "stores": [_store(parts.storage, kind) for kind in KINDS],
        "sessions": _counts(parts),
        "ahead": sum(each.place == "archive" for each in agenda.sendable(parts.ledger)),
        "conditions": [_condition(each) for each in raised],
        "quarantine": [entry_values(each) for each in parts.registry.aside()],
    }


def _unborn(settings: Settings, why: str) -> dict[str, Any]:
    """The same document before the first start."""
    unhealthy = standing.health(
        running=False, heartbeat=None, every=settings.log.heartbeat, now=Clock().now()
    )
    storage = Storage(settings.stores)
    return {
        "running": False,
        "has_run": False,
        "healthy": False,
        "unhealthy": f"{unhealthy}: {why}",
        "heartbeat": None,
        "drops": [_drop(each, set(), {}) for each in settings.drops],
        "stores": [_store(storage, kind) for kind in KINDS],
        "sessions": {},
        "ahead": 0,
        "conditions": [],
        "quarantine": [],
    }


def _units(parts: Parts, *, running: bool) -> Mapping[str, Any]:
    """Of each drop the units that wait or land, as the daemon's last heartbeat says."""
    said = parts.ledger.recall(UNITS) if running else None
    return dict(json.loads(said)) if said else {}


def _drop(drop: Drop, raised: set[str], units: Mapping[str, Any]) -> dict[str, Any]:
    """There: its directory is, and the daemon said nothing else (a mount that is not there)."""
    there = os.path.isdir(drop.path) and f"drop/{drop.name}" not in raised
    return {
        "name": drop.name,
        "path": drop.path,
        "available": there,
        "import": drop.mode,
        "dest": drop.dest,
        **units.get(drop.name, {"units": None, "landing": False}),
    }


def _store(storage: Storage, kind: str) -> dict[str, Any]:
    path = storage.path(kind)
    there = storage.is_there(kind)
    try:
        left = free(path).bytes_free if there else None
    except (MissingPlaceError, StorageError):  # it went between the two looks
        there, left = False, None
    return {"store": kind, "path": path, "available": there, "free": left}


def _counts(parts: Parts) -> dict[str, int]:
    """The prearchive's sessions by status; ARCHIVED counts what stands in the archive."""
    counts = parts.ledger.counts()
    ended = {Status.ARCHIVED: len(parts.registry.shelved()), Status.DELETED: 0}
    return {each.value: number for each in Status if (number := (counts | ended).get(each, 0))}


def _condition(raised: Raised) -> dict[str, Any]:
    return {
        "event": raised.event,
        "key": raised.key,
        "since": iso(raised.raised),
        "text": standing.meaning(raised.event),
        "hint": standing.hint(raised.event, raised.key, raised.fields),
        **({"fields": raised.fields} if raised.fields else {}),
    }


def entry_values(entry: SetAside) -> dict[str, Any]:
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


def _print(document: dict[str, Any]) -> None:
    for line in standing.lines(document):
        print(line)
    print()
    print_table(DROP, standing.drops(document), nothing="no drops")
    print()
    print_table(("STORE", "PATH", "", "FREE"), standing.stores(document), nothing="no stores")
    print()
    print_table(CONDITION, printable_rows(standing.conditions(document)), nothing="nothing is open")
    print()
    print_table(
        ENTRY, printable_rows(standing.quarantine(document)), nothing="nothing is in quarantine"
    )
