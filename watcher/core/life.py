"""The life of a session: states, events, the table of moves, and when a session is idle.

(new) ──► RECEIVING ──IDLE──► BUILDING ──BUILT──► READY ──ARCHIVE──► ARCHIVING ──► ARCHIVED
              ▲                  │                  │                    │
              │                  ├── CONFLICTED ──► CONFLICT ◄───────────┤
              │                  └── FAILED ──────► ERROR ◄──────────────┘
              └──FILE── BUILDING READY CONFLICT ERROR

a person, from RECEIVING READY CONFLICT ERROR:
    REBUILD ──► BUILDING     ARCHIVE ──► ARCHIVING     (builds first where there is no build)
    MOVE ──► MOVING ──MOVED──► BUILDING                (move, relabel, split)
    DELETE ──► DELETING ──DELETED──► DELETED
cut off: BUILDING ──► RECEIVING     ARCHIVING, before its first swap, ──► READY
         ARCHIVING after it, MOVING and DELETING are carried forward: no move

CONFLICT: the data disagree, somebody who knows the study decides. ERROR: the machine could not.
A session of which findings hold some scans goes by ARCHIVING to CONFLICT: the others are in.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from watcher.core.errors import RefusedError
from watcher.core.session import Session, Status


class Event(StrEnum):
    """What happens to a session."""

    FILE = "file"  # a new file was reserved for it
    IDLE = "idle"
    BUILT = "built"
    CONFLICTED = "conflicted"
    FAILED = "failed"
    ARCHIVE = "archive"  # the machine asks for it only from READY
    ARCHIVED = "archived"
    REBUILD = "rebuild"
    MOVE = "move"  # move, relabel, split
    MOVED = "moved"
    DELETE = "delete"
    DELETED = "deleted"
    CUT_OFF_BUILD = "cut-off-build"
    CUT_OFF_ARCHIVE = "cut-off-archive"  # before its first swap


OPEN: Final = frozenset({Status.RECEIVING, Status.READY, Status.CONFLICT, Status.ERROR})
"""The statuses in which nobody works on a session, so that a person may."""

_ASKED: Final = {
    Event.REBUILD: Status.BUILDING,
    Event.ARCHIVE: Status.ARCHIVING,
    Event.MOVE: Status.MOVING,
    Event.DELETE: Status.DELETING,
}

MOVES: Final[Mapping[tuple[Status, Event], Status]] = MappingProxyType(
    {(status, event): target for status in OPEN for event, target in _ASKED.items()}
    | {(status, Event.FILE): Status.RECEIVING for status in OPEN | {Status.BUILDING}}
    | {
        (Status.RECEIVING, Event.IDLE): Status.BUILDING,
        (Status.BUILDING, Event.BUILT): Status.READY,
        (Status.BUILDING, Event.CONFLICTED): Status.CONFLICT,
        (Status.BUILDING, Event.FAILED): Status.ERROR,
        (Status.BUILDING, Event.CUT_OFF_BUILD): Status.RECEIVING,
        (Status.ARCHIVING, Event.ARCHIVED): Status.ARCHIVED,
        (Status.ARCHIVING, Event.CONFLICTED): Status.CONFLICT,
        (Status.ARCHIVING, Event.FAILED): Status.ERROR,
        (Status.ARCHIVING, Event.CUT_OFF_ARCHIVE): Status.READY,
        (Status.MOVING, Event.MOVED): Status.BUILDING,
        (Status.DELETING, Event.DELETED): Status.DELETED,
    }
)

TAKES_FILES: Final = frozenset(status for status, event in MOVES if event is Event.FILE)
"""The others leave a new file to a new session, merged later."""

RENEWED: Final = frozenset({Status.RECEIVING})
"""Where a duplicate renews the timer; it changes no other status."""


def may(status: Status, event: Event) -> bool:
    """Whether the table has the move."""
    return (status, event) in MOVES


def move(status: Status, event: Event) -> Status:
    """The status after an event. RefusedError where the table has no such move."""
    if not may(status, event):
        raise RefusedError(f"A session that is {status} does not take `{event}`.")
    return MOVES[status, event]


@dataclass(frozen=True, slots=True)
class Idle:
    """Whether a session may be built, why (not), and when time alone may change that.

    `at` is in seconds since the epoch; None: only a look at a drop can change it.
    """

    ready: bool
    because: str
    at: float | None = None


def idle(
    session: Session,
    *,
    now: float,
    looked: Mapping[str, float | None],
    available: Mapping[str, bool],
    holding: bool,
    max_open: float,
) -> Idle:
    """Whether a RECEIVING session has come to rest (spec 9, *Idle*).

    `looked`: by drop, when its last complete look began (None: not since the start); `available`:
    by drop, whether it is there; `holding`: whether a pending file lies in a directory the session
    took files from. Moments are seconds since the epoch, durations seconds. A drop that stands in
    neither is no longer configured, and nothing is expected of it. A session in which a unit has
    just landed is complete: no look at a drop can add to it.
    """
    if said := _of_unit(session, now, holding=holding):
        return said
    drops = [drop for drop in session.drops if drop in available]
    deadline = session.receiving_since + max_open
    for drop in drops:
        if available[drop] and looked.get(drop) is None:
            return Idle(False, f"drop {drop} was not looked at since the start")
    if now >= deadline:
        return Idle(True, "it has been open for max_open", now)
    quiet = session.last_arrival + session.inactivity
    if now < quiet:
        return Idle(False, "files came within inactivity", min(quiet, deadline))
    if reason := _held(session, drops, looked, available, holding=holding):
        return Idle(False, reason, deadline)
    return Idle(True, "nothing came for inactivity", now)


def _of_unit(session: Session, now: float, *, holding: bool) -> Idle | None:
    """What is to be said of a session that a unit fed last; None: nothing else than of others."""
    if session.landing:
        return Idle(False, "a unit lands in it")
    if session.whole and session.inactivity == 0.0 and not holding:
        return Idle(True, "a unit has landed in it", now)
    return None


def _held(
    session: Session,
    drops: list[str],
    looked: Mapping[str, float | None],
    available: Mapping[str, bool],
    *,
    holding: bool,
) -> str:
    """Why a session that is quiet must wait all the same; empty: it need not."""
    for drop in drops:
        if not available[drop]:
            return f"drop {drop} is unavailable"
        if (looked[drop] or 0.0) < session.last_arrival:
            return f"drop {drop} was not looked at since the last file"
    return "a file is pending beside those it took" if holding else ""
