"""Bugs that were met and outlived: each is said once in a run, however often it is met."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from watcher.core.emit import Emit
from watcher.core.errors import WatcherError
from watcher.core.failure import fault


@dataclass
class Faults:
    """Those said in this run."""

    _said: set[str] = field(default_factory=set)

    def tell(self, emit: Emit, error: BaseException, part: str) -> None:
        """Say `daemon.fault`, but not of an error of ours: those have events of their own."""
        if not isinstance(error, WatcherError):
            self.say(emit, fault(error, part))

    def say(self, emit: Emit, told: Mapping[str, object]) -> None:
        """Say `daemon.fault` with these fields, unless the same was said before."""
        if repr(told) not in self._said:
            self._said.add(repr(told))
            emit("daemon.fault", **told)
