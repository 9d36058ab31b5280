"""How drops, sessions, quarantine and disk stand, as the status page's tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any, Final, Literal

from watcher.core.explain import EXPLANATIONS
from watcher.core.notation import format_duration, format_size
from watcher.core.session import UNASSIGNED, Status
from watcher.report.standing import units

Kind = Literal["text", "when", "number", "state", "code", "advice", "share"]

DECIDE: Final = (Status.CONFLICT.value, Status.ERROR.value)  # these wait for a person (spec 9)
MOST: Final = 50  # rows of a table whose length nobody bounds
STATUSES: Final = {one.word: one for one in EXPLANATIONS if one.kind == "status"}


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under named columns; `more` says what is left off, and where it is found."""

    caption: str
    columns: Sequence[tuple[str, Kind]]
    rows: Sequence[Sequence[object]]
    more: str = ""


@dataclass(frozen=True, slots=True)
class Times:
    """Moments and spans as the page writes them, seen at `made`; `zone` None: this machine's."""

    made: datetime
    zone: tzinfo | None

    def at(self, moment: str | None) -> str:
        """A moment of the survey to the minute: `22 Nov 09:33`; nothing for none."""
        if not moment:
            return ""
        local = datetime.fromisoformat(moment).astimezone(self.zone)
        year = "" if local.year == self.made.astimezone(self.zone).year else f"{local:%Y} "
        return f"{local.day} {local:%b} {year}{local:%H:%M}"


def span(seconds: float | None) -> str:
    """Seconds in whole minutes, so that a page does not change with each of them."""
    if seconds is None:
        return ""
    return format_duration(seconds // 60 * 60) if seconds >= 60 else "under a minute"


def size(session: Mapping[str, Any]) -> str:
    """How many files a session has, and how much that is."""
    files = "1 file" if session["files"] == 1 else f"{session['files']:,} files"
    return f"{files}, {format_size(session['bytes'])}"


def more(left: int, command: str) -> str:
    """How many rows are left off, and the command that shows them; nothing for none."""
    return f"{left:,} more: {command}" if left > 0 else ""


def drops(document: Mapping[str, Any]) -> Table:
    """Each drop: how it is, what waits in it, what came of its files."""
    return Table(
        "The folders that are watched; files since the daemon started",
        (
            *(("Drop", "text"), ("State", "state"), ("Watched", "when"), ("Takes", "text")),
            *(("Waiting", "number"), ("Oldest", "when"), ("Filed", "number")),
            *(("Duplicates", "number"), ("Quarantined", "number")),
        ),
        [_drop(each) for each in document["drops"]],
    )


def _drop(each: Mapping[str, Any]) -> tuple[object, ...]:
    how = {"native": "by events", "poll": "by polling"}.get(each["watch"], "")
    waiting = units(each["units"] or 0, landing=each["landing"])
    return (
        *(each["name"], "there" if each["available"] else "MISSING", how),
        f"{each['import']}, to the {each['dest']}" + (f"; units: {waiting}" if waiting else ""),
        *(each["waiting"], span(each["oldest_pending"]) if each["waiting"] else ""),
        *(each["filed"], each["duplicates"], each["quarantined"]),
    )


def statuses(document: Mapping[str, Any]) -> Table:
    """How many sessions are in each status."""
    oldest = document["oldest"]
    return Table(
        "How many sessions there are in each status",
        (("Status", "state"), ("Sessions", "number"), ("Oldest", "when"), ("Meaning", "advice")),
        [
            (status, count, span(oldest.get(status)), STATUSES[status].meaning)
            for status, count in document["sessions"].items()
            if count
        ],
    )


def sessions(document: Mapping[str, Any], times: Times) -> Table:
    """The open sessions that wait for nobody."""
    others = [each for each in document["open_sessions"] if each["status"] not in DECIDE]
    return Table(
        "The other sessions in the prearchive, the oldest first",
        (
            *(("Session", "text"), ("Status", "state"), ("Number", "when"), ("Size", "when")),
            *(("Last arrival", "when"), ("To be built", "when"), ("Command", "code")),
        ),
        [_session(each, times) for each in others],
        more(document["more_sessions"], "watcher sessions"),
    )


def _session(each: Mapping[str, Any], times: Times) -> tuple[object, ...]:
    return (
        f"{each['project'] or UNASSIGNED} / {each['label']}",
        *(each["status"], each["id"], size(each), times.at(each["last_arrival"])),
        times.at(each["due"]),
        next(iter(each["resolve"]), ""),
    )


def quarantine(document: Mapping[str, Any], times: Times) -> Table:
    """What is set aside and not settled: what waits for somebody first, the newest first."""
    entries = document["quarantine"]
    left = len(entries) + document["more_quarantine"] - MOST
    return Table(
        "Files that were refused, with the reason",
        (
            *(("Entry", "text"), ("Drop", "text"), ("Reason", "text"), ("Files", "number")),
            *(("Since", "when"), ("Command", "code")),
        ),
        [_entry(each, times) for each in entries[:MOST]],
        more(left, "watcher quarantine list"),
    )


def _entry(each: Mapping[str, Any], times: Times) -> tuple[object, ...]:
    return (
        *(each["path"], each["drop"], f"{each['code']}: {each['text']}", each["files"]),
        *(times.at(each["set_aside"]), f"watcher quarantine show {each['id']}"),
    )


def stores(document: Mapping[str, Any]) -> Table:
    """Each store: whether it is there, and the room on its disk."""
    return Table(
        "Where the files lie, and the room that is left there",
        (("Store", "text"), ("State", "state"), ("Free", "when"), ("Used", "share")),
        [_store(each) for each in document["stores"]],
    )


def _store(each: Mapping[str, Any]) -> tuple[object, ...]:
    state = "there" if each["available"] else "MISSING"
    if each["free"] is None or not each["total"]:
        return (each["store"], state, "", None)
    free = f"{format_size(each['free'])} of {format_size(each['total'])}"
    return (each["store"], state, free, round(100 * (1 - each["free"] / each["total"])))
