"""Where a pending file is on its way, and who is told of it (core/settle.py draws the way)."""

from enum import Enum, auto
from typing import Protocol


class State(Enum):
    """Where a pending file is."""

    WAITING = auto()  # for looks that agree
    RIPE = auto()
    TAKEN = auto()  # in hand
    HELD = auto()  # until its fingerprint changes


class Told(Protocol):
    """Who is told of every file: the units of a drop count theirs (core/gathering.py)."""

    def changes(self, path: bytes) -> None:
        """It came, changed, went, or is filed."""

    def turns(self, path: bytes, before: State | None, after: State | None) -> None:
        """It goes on; None: it was not, or is no longer, pending."""
