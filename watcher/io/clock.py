"""The one clock: moments that can be kept across a restart and never jump while running."""

import time
from datetime import datetime

from watcher.core import names


class Clock:
    """Seconds since the epoch as of the start, carried on by the monotonic clock."""

    def __init__(self) -> None:
        self._epoch = time.time() - time.monotonic()

    def now(self) -> float:
        """This moment, in seconds since the epoch; never goes backwards."""
        return self._epoch + time.monotonic()

    def monotonic(self) -> float:
        """This moment on the monotonic clock, in seconds, for what is measured and not kept."""
        return time.monotonic()

    def stamp(self) -> str:
        """This moment as a session id, `yyyyMMdd_HHmmssSSS` in local time."""
        return names.timestamp(datetime.fromtimestamp(self.now()).astimezone())
