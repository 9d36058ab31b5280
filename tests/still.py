"""A clock that stands still, for what must be made unique."""

from dataclasses import replace

from watcher.io.clock import Clock


class StillClock(Clock):
    """Always the moment it was made."""

    def __init__(self):
        super().__init__()
        self.moment = super().now()

    def now(self):
        return self.moment


def standing_still(parts):
    """The same devices with a clock that stands still."""
    return replace(parts, clock=StillClock())
