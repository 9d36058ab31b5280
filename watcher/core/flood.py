"""More conditions in a minute than anybody reads: a hundred are said, the others become a crowd.

A crowd is a condition itself, one for each event and drop, and says for how many it stands. What is
in it is neither raised nor cleared by a line of its own (spec 12).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from watcher.core.events import EVENTS

MOST: Final = 100  # conditions of one event and drop that are said one by one in a minute
SPAN: Final = 60.0  # seconds
HEAD: Final = "crowd/"
WITHIN: Final = "crowd"
"""The field of a kept condition that names its crowd."""


def crowd_key(event: str, drop: str) -> str:
    """The key of a crowd."""
    return f"{HEAD}{drop}/{event}"


def is_crowd(key: str) -> bool:
    """Whether it is one of a crowd."""
    return key.startswith(HEAD)


def of_crowd(key: str) -> tuple[str, str]:
    """Drop and event of a crowd."""
    drop, _, event = key.removeprefix(HEAD).rpartition("/")
    return drop, event


@dataclass(slots=True)
class _Minute:
    began: float
    said: int = 0


@dataclass
class Flood:
    """Counts what is said, minute by minute; moments in seconds since the epoch."""

    _minutes: dict[str, _Minute] = field(default_factory=dict)

    def takes(self, event: str, fields: Mapping[str, object], now: float) -> str:
        """The crowd that a new condition goes into; empty where it is said by itself.

        Only conditions of a drop are many: those whose event has a count.
        """
        drop = fields.get("drop")
        if not isinstance(drop, str) or "count" not in EVENTS[event].fields:
            return ""
        key = crowd_key(event, drop)
        minute = self._minutes.setdefault(key, _Minute(now))
        if self.is_over(key, now):
            minute = self._minutes[key] = _Minute(now)
        minute.said += 1
        return key if minute.said > MOST else ""

    def is_over(self, key: str, now: float) -> bool:
        """Whether a crowd's minute has ended, or was another run's: then it is said how many.

        A clock that was put back ends it too.
        """
        minute = self._minutes.get(key)
        return minute is None or not 0 <= now - minute.began < SPAN
