"""How the installation stands, as text: `watcher status`."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from watcher.core.events import EVENTS
from watcher.core.notation import format_duration, format_size
from watcher.core.session import UNASSIGNED, Severity

BLOCKING: Final = frozenset({Severity.CONFLICT.value, Severity.FAIL.value})
STALLED: Final = 3  # heartbeats that may be missed (spec 4, `status --health`)


def health(*, running: bool, heartbeat: float | None, every: float, now: float) -> str:
    """Why the daemon is not healthy; empty where it is.

    `heartbeat`: the last one, in seconds since the epoch; `every`: seconds between two.
    """
    if not running:
        return "the daemon is not running"
    if heartbeat is None:
        return "the daemon runs, and no heartbeat was ever written"
    silent = now - heartbeat
    if silent > STALLED * every:
        return f"no heartbeat for {format_duration(silent)}"
    return ""


def hint(event: str, key: str, fields: Mapping[str, Any]) -> str:
    """What to type about an open condition: its own hint, its entry's command, else the advice."""
    if fields.get("hint"):
        return str(fields["hint"])
    kind, _, name = key.partition("/")
    if kind == "session":
        return f"watcher show {name}"
    if kind == "quarantine":
        return f"watcher find {name}"
    return EVENTS[event].todo if event in EVENTS else ""


def meaning(event: str) -> str:
    """The fixed text of an event; its name where the catalogue has none."""
    return EVENTS[event].message if event in EVENTS else event


def lines(document: Mapping[str, Any]) -> list[str]:
    """The head of the page: the daemon and what stands where."""
    said = ["the daemon is running" if document["running"] else "the daemon is not running"]
    if document["heartbeat"]:
        said.append(f"last heartbeat {document['heartbeat']}")
    if document["unhealthy"] and document["running"]:
        said.append(document["unhealthy"])
    counts = [f"{number} {status}" for status, number in document["sessions"].items() if number]
    ahead = f"; {document['ahead']} of them in the archive already" if document["ahead"] else ""
    return [", ".join(said), f"sessions: {', '.join(counts) or 'none'}{ahead}"]


def waiting(document: Mapping[str, Any]) -> list[Sequence[object]]:
    """A row for each session that waits for a person: why it does, and what to type first."""
    return [
        (
            *(each["id"], each["status"], f"{each['project'] or UNASSIGNED}/{each['label']}"),
            *(reason(each), each["resolve"][0]),
        )
        for each in document["open_sessions"]
        if each["resolve"]
    ]


def reason(session: Mapping[str, Any]) -> str:
    """Why a session waits for a person: its error, or the findings that block it."""
    blocking = [
        f"{each['code']}: {each['text']}"
        for each in session["findings"]
        if each["severity"] in BLOCKING
    ]
    more = f" (and {len(blocking) - 1} more)" if len(blocking) > 1 else ""
    return session["error"] or (f"{blocking[0]}{more}" if blocking else "not archived by itself")


def drops(document: Mapping[str, Any]) -> list[Sequence[object]]:
    """A row for each drop."""
    return [
        (
            each["name"],
            each["path"],
            "there" if each["available"] else "MISSING",
            f"{each['import']}, to the {each['dest']}",
            pending(each),
            "" if each["filed"] is None else each["filed"],
        )
        for each in document["drops"]
    ]


def pending(drop: Mapping[str, Any]) -> str:
    """What of a drop waits: files, units, and since when the first of the files does."""
    files, since = drop["waiting"] or 0, drop["oldest_pending"] or 0
    age = f", the first for {format_duration(since)}" if since >= 1 else ""
    counted = f"{files:,} file{'s' if files > 1 else ''}{age}" if files else ""
    told = units(drop["units"] or 0, landing=drop["landing"])
    return "; ".join(filter(None, [counted, f"units: {told}" if told else ""]))


def units(count: int, *, landing: bool) -> str:
    """How many units of a drop wait, and whether one of them is landing."""
    said = f"{count - landing} waiting" if count > landing else ""
    return ", ".join(filter(None, [said, "1 landing" if landing else ""]))


def stores(document: Mapping[str, Any]) -> list[Sequence[object]]:
    """A row for each store."""
    absent = "MISSING" if document["has_run"] else "not made yet"
    return [
        (
            each["store"],
            each["path"],
            "there" if each["available"] else absent,
            format_size(each["free"]) if each["free"] is not None else "",
        )
        for each in document["stores"]
    ]


def conditions(document: Mapping[str, Any]) -> list[Sequence[object]]:
    """A row for each open condition."""
    return [
        (
            *(each["since"], each["event"], each["text"]),
            each.get("fields", {}).get("path") or each["key"],
            each["hint"],
        )
        for each in document["conditions"]
    ]


def quarantine(document: Mapping[str, Any]) -> list[Sequence[object]]:
    """A row for each open entry of the quarantine."""
    return [
        (each["id"], each["drop"], each["code"], each["files"], each["path"], each["text"])
        for each in document["quarantine"]
    ]
