"""Find or create: which session takes a file, and whether it has it already (spec 6)."""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from watcher.core import life
from watcher.core.file import Examined
from watcher.core.session import Place, Session, SessionKey, Status


class Known(NamedTuple):
    """A file of the session with the newcomer's SOP instance and class."""

    digest: str
    in_hand: bool
    place: Place | None = None


class Fate(StrEnum):
    """What becomes of a newcomer."""

    FILE = "file"
    DUPLICATE = "duplicate"  # the session has these very bytes
    LATER = "later"  # its twin is in hand: not durable yet, so nothing may rely on it


def choose(sessions: Iterable[Session]) -> Session | None:
    """Of the sessions with the key: the RECEIVING one, else the newest that takes files.

    An id tells no age: a layout's `{timestamp}` may be one.
    """
    taking = [each for each in sessions if each.status in life.TAKES_FILES]
    receiving = [each for each in taking if each.status is Status.RECEIVING]
    return max(receiving or taking, key=lambda each: (each.opened, each.id), default=None)


def fitting(
    sessions: Iterable[Session], study: str, *, any_study: bool, timestamp: str = ""
) -> list[Session]:
    """Of the sessions of a place, those a study's files fit; a layout names one for any study.

    `timestamp`: what a layout calls the session besides, as XNAT's session URL does: its id, or
    the name it was opened under. Other sessions are not meant then.
    """
    return [
        each
        for each in sessions
        if (any_study or each.study == study)
        and (not timestamp or timestamp in {each.id, each.origins.get("timestamp")})
    ]


def fate(examined: Examined, known: Sequence[Known]) -> Fate:
    """What becomes of a file, given those with its UIDs in its session."""
    if twin(examined, known) is not None:
        return Fate.DUPLICATE
    same = any(each.digest == examined.digest for each in known)
    return Fate.LATER if same else Fate.FILE


def twin(examined: Examined, known: Sequence[Known]) -> Known | None:
    """The filed file with the very bytes of a newcomer."""
    filed = (each for each in known if not each.in_hand)
    return next((each for each in filed if each.digest == examined.digest), None)


class Bound(NamedTuple):
    """Where a decision sends a study's files."""

    project: str | None
    label: str
    subject: str


def follow(
    key: SessionKey, bindings: Mapping[SessionKey, Bound]
) -> tuple[SessionKey, Bound | None]:
    """The key after every decision on it; the last one, or None where none was made.

    Decisions chain (relabelled twice); a circle ends where it began to repeat.
    """
    seen = {key}
    last: Bound | None = None
    while (bound := bindings.get(key)) is not None:
        last = bound
        key = SessionKey(bound.project, key.study, bound.label)
        if key in seen:
            break
        seen.add(key)
    return key, last
