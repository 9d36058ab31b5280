"""What waits for a person, as the status page says it: a sentence, cards and a table."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from watcher.core.events import EVENTS
from watcher.core.session import UNASSIGNED, Severity, Status
from watcher.report.overview import DECIDE, MOST, STATUSES, Table, Times, more, size

Tone = Literal["bad", "warn", "good", "calm"]

FEW: Final = 6  # findings, and commands, of one session
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
class Card:
    """A session that waits for a person."""

    name: str
    status: str
    who: str
    facts: Sequence[tuple[str, object]]
    error: str  # what the machine could not do
    findings: Sequence[Mapping[str, Any]]
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
    return "Nothing waits for a person", "good"


def _bad(document: Mapping[str, Any]) -> list[str]:
    counts = document["sessions"]
    faults = sum(_level(each) == "error" for each in _others(document["conditions"]))
    return _counted(
        (counts.get("CONFLICT", 0), "session waits for a decision", "sessions wait for a decision"),
        (counts.get("ERROR", 0), "session has failed", "sessions have failed"),
        (faults, "fault", "faults"),
    )


def _warnings(document: Mapping[str, Any]) -> list[str]:
    warned = sum(_level(each) == "warning" for each in _others(document["conditions"]))
    aside = len(document["quarantine"])
    return _counted(
        (warned, "warning", "warnings"), (aside, "entry in quarantine", "entries in quarantine")
    )


def _counted(*kinds: tuple[int, str, str]) -> list[str]:
    return [f"{count:,} {one if count == 1 else many}" for count, one, many in kinds if count]


def _level(condition: Mapping[str, Any]) -> str:
    """Of an event this version does not know, as a newer one may have left: a warning."""
    event = EVENTS.get(condition["event"])
    return event.level if event else "warning"


def _others(conditions: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Conditions that are of no session and of no entry of the quarantine: these are counted."""
    return [
        each for each in conditions if not str(each["key"]).startswith(("session/", "quarantine/"))
    ]


# -- what waits for a person -----------------------------------------------------------------------


def cards(document: Mapping[str, Any], times: Times) -> list[Card]:
    """The sessions that wait for a person, in the survey's order."""
    waiting = (each for each in document["open_sessions"] if each["status"] in DECIDE)
    return [_card(each, times) for each in waiting]


def _card(session: Mapping[str, Any], times: Times) -> Card:
    show = f"watcher show {session['id']}"
    findings, commands = _weighty(session["findings"]), session["resolve"] or [show]
    left = max(0, len(findings) - FEW) + max(0, len(commands) - FEW)
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
        findings=findings[:FEW],
        commands=commands[:FEW],
        more=f"{left:,} more: {show}" if left else "",
    )


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
    told.sort(key=lambda each: (_level(each) != "error", each["since"]))
    return Table(
        "What else is out of order, and who mends it",
        (
            *(("What", "text"), ("Level", "state"), ("Since", "when")),
            *(("Who", "text"), ("Do", "advice")),
        ),
        [_condition(each, times) for each in told[:MOST]],
        more(len(told), "watcher status"),
    )


def _condition(each: Mapping[str, Any], times: Times) -> tuple[object, ...]:
    fields = each.get("fields", {})
    named = [str(fields[name]) for name in ("drop", "store", "path") if fields.get(name)]
    of = ", ".join(named) or each["key"]
    what = ": ".join(filter(None, (f"{each['text']} ({of})", str(fields.get("text") or ""))))
    event = EVENTS.get(each["event"])
    who = _WHO.get(event.who, "") if event else ""
    return (what, _level(each), times.at(each["since"]), who, each["hint"])
