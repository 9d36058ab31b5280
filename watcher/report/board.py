"""What waits for a person, as the status page says it: a sentence, cards and a table."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from watcher.core.events import EVENTS
from watcher.core.session import UNASSIGNED, Severity, Status
from watcher.report.overview import DECIDE, MOST, STATUSES, Kind, Table, Times, more, size
from watcher.report.sides import Sides, sides

Tone = Literal["bad", "warn", "good", "calm"]

FEW: Final = 6  # findings, and commands, of one session
_ELSEWHERE: Final = {"session.conflict", "session.error", "file.quarantined"}
"""What these raise is counted as the sessions and entries that it is of."""
_WHO: Final = {
    "data": "somebody who knows the study",
    "admin": "an administrator",
    "sender": "who sent the files",
}
_TONES: Final[Mapping[str, Tone]] = {
    **dict.fromkeys((*DECIDE, "MISSING", "error", "FAIL"), "bad"),
    **dict.fromkeys(("warning", "WARN"), "warn"),
    **dict.fromkeys((Status.READY.value, Status.ARCHIVED.value, "there"), "good"),
}


@dataclass(frozen=True, slots=True)
class Told:
    """A finding: what it says, both its sides where they differ, what speaks for what."""

    severity: str
    text: str
    code: str
    sides: Table | None
    notes: Sequence[str]


@dataclass(frozen=True, slots=True)
class Card:
    """A session that waits for a person."""

    name: str
    status: str
    who: str
    facts: Sequence[tuple[str, object]]
    error: str  # what the machine could not do
    findings: Sequence[Told]
    commands: Sequence[str]
    more: str  # how many findings and commands are left off


def tone(word: str) -> Tone:
    """How a word is coloured; the word itself is always there."""
    return _TONES.get(word, "calm")


# -- what is said first ----------------------------------------------------------------------------


def headline(document: Mapping[str, Any]) -> tuple[str, Tone]:
    """The state in a line, the title of the page: what waits for a person, the worst first."""
    if bad := _bad(document):
        return ", ".join(bad), "bad"
    if warnings := _warnings(document):
        return ", ".join(warnings), "warn"
    waits = (ready(document), "session waits to be archived", "sessions wait to be archived")
    if said := _counted(waits):
        return said[0], "calm"
    return "Nothing waits for a person", "good"


def ready(document: Mapping[str, Any]) -> int:
    """How many of the sessions shown are READY and go no further by themselves."""
    shown = document["open_sessions"]
    return sum(each["status"] == Status.READY and bool(each["resolve"]) for each in shown)


def _bad(document: Mapping[str, Any]) -> list[str]:
    counts = document["sessions"]
    faults = _raised(document, "error")
    return _counted(
        (counts.get("CONFLICT", 0), "session waits for a decision", "sessions wait for a decision"),
        (counts.get("ERROR", 0), "session has failed", "sessions have failed"),
        (faults, "fault", "faults"),
    )


def _warnings(document: Mapping[str, Any]) -> list[str]:
    warned = _raised(document, "warning")
    aside = document["open_conditions"].get("file.quarantined", 0)
    return _counted(
        (warned, "warning", "warnings"), (aside, "entry in quarantine", "entries in quarantine")
    )


def _counted(*kinds: tuple[int, str, str]) -> list[str]:
    return [f"{count:,} {one if count == 1 else many}" for count, one, many in kinds if count]


def _raised(document: Mapping[str, Any], level: str) -> int:
    """How many conditions of a level are of no session and of no entry of the quarantine."""
    return sum(
        count
        for event, count in document["open_conditions"].items()
        if event not in _ELSEWHERE and _level(event) == level
    )


def _level(name: str) -> str:
    """Of an event this version does not know, as a newer one may have left: a warning."""
    event = EVENTS.get(name)
    return event.level if event else "warning"


# -- what waits for a person -----------------------------------------------------------------------


def cards(document: Mapping[str, Any], times: Times) -> list[Card]:
    """The sessions that wait for a person, in the survey's order."""
    waiting = (each for each in document["open_sessions"] if each["status"] in DECIDE)
    return [_card(each, times) for each in waiting]


def _card(session: Mapping[str, Any], times: Times) -> Card:
    show = f"watcher show {session['id']}"
    findings, commands = _weighty(session["findings"]), session["resolve"] or [show]
    left = max(0, len(findings) - FEW) + max(0, len(commands) - FEW) + session["more_findings"]
    return Card(
        name=session["label"],
        status=session["status"],
        who=_WHO[STATUSES[session["status"]].who],
        facts=[
            ("Number", session["id"]),
            ("Project", session["project"] or UNASSIGNED),
            ("Subject", session["subject"]),
            ("Size", size(session)),
            ("Last arrival", times.at(session["last_arrival"])),
        ],
        error=session["error"],
        findings=list(_told(findings[:FEW])),
        commands=commands[:FEW],
        more=f"{left:,} more: {show}" if left else "",
    )


def _told(findings: Iterable[Mapping[str, Any]]) -> Iterator[Told]:
    """The findings; two that have the same sides show them once."""
    shown: list[object] = []
    for each in findings:
        found = sides(each)
        is_new = found not in shown
        shown.append(found)
        table = _compared(found) if is_new and found.differing else None
        notes = _notes(found) if is_new else []
        yield Told(each["severity"], each["text"], each["code"], table, notes)


def _compared(found: Sides) -> Table:
    one, other = (name.capitalize() for name in found.names)
    columns: Sequence[tuple[str, Kind]] = (("What", "text"), (one, "text"), (other, "text"))
    return Table("What differs", columns, found.differing)


def _notes(found: Sides) -> list[str]:
    same = [f"The same: {', '.join(found.same)}"] if found.same else []
    return [*same, *found.notes]


def _weighty(findings: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """What asks for something; what is only told, where nothing else is."""
    return [each for each in findings if each["severity"] != Severity.INFO.value] or findings


def conditions(document: Mapping[str, Any], times: Times) -> Table:
    """What is open beside the sessions and entries shown elsewhere, the worst first."""
    carded = (each for each in document["open_sessions"] if each["status"] in DECIDE)
    shown = {f"session/{each['id']}" for each in carded}
    told = [
        each
        for each in document["conditions"]
        if each["key"] not in shown and not str(each["key"]).startswith("quarantine/")
    ]
    told.sort(key=lambda each: (_level(each["event"]) != "error", each["since"]))
    rows = told[:MOST]
    others = sum(each["event"] not in _ELSEWHERE for each in rows)
    left = _raised(document, "error") + _raised(document, "warning") - others
    return Table(
        "What else is out of order, and who mends it",
        (
            *(("What", "text"), ("Level", "state"), ("Since", "when")),
            *(("Who", "text"), ("Do", "advice")),
        ),
        [_condition(each, times) for each in rows],
        more(left, "watcher status"),
    )


def _condition(each: Mapping[str, Any], times: Times) -> tuple[object, ...]:
    fields = each.get("fields", {})
    named = [str(fields[name]) for name in ("drop", "store", "path") if fields.get(name)]
    of = ", ".join(named) or each["key"]
    what = ": ".join(filter(None, (f"{each['text']} ({of})", str(fields.get("text") or ""))))
    event = EVENTS.get(each["event"])
    who = _WHO.get(event.who, "") if event else ""
    return (what, _level(each["event"]), times.at(each["since"]), who, each["hint"])
