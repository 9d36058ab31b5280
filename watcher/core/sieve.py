"""Which lines of the log a person wants to see (`watcher log`)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from watcher.core.events import LEVELS


def parsed(line: bytes) -> dict[str, Any] | None:
    """A line of the log; None where it is not one of ours: torn, or of another program."""
    start = line.find(b"{", 0, 4)  # behind a priority, `<6>`
    if start < 0:
        return None
    try:
        found = json.loads(line[start:])
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("event"), str) else None


@dataclass(frozen=True, slots=True)
class Sieve:
    """What lines must be: of one session, of one event or a family of them, not older, not lower.

    `since` as the log writes moments; empty: whatever there is.
    """

    session: str = ""
    event: str = ""
    since: str = ""
    level: str = "debug"

    def is_open(self) -> bool:
        """Whether everything passes, what is no line of ours too."""
        return self == Sieve()

    def passes(self, line: Mapping[str, Any]) -> bool:
        """Whether a line is wanted. A level that is not known is as high as any."""
        if LEVELS.get(str(line.get("level")), LEVELS["error"]) < LEVELS[self.level]:
            return False
        if self.session and self.session != line.get("session"):
            return False
        name = str(line.get("event"))
        if self.event and name != self.event and not name.startswith(f"{self.event}."):
            return False
        return str(line.get("timestamp", "")) >= self.since
