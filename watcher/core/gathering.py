"""Which pending files of a transactional drop make a unit, and when that is complete (spec 7).

A unit is what has one name at the top of the drop. A `Settler` tells of its files: each change
costs a count, no look costs more than what it found changed. `now` is the monotonic clock.

A unit is complete once all its files are ripe, none is in hand or held, and nothing in or below it
has changed for `rest` seconds; at once where a `.complete` speaks of it, and for an archive file.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from watcher.core.alarms import Alarms
from watcher.core.file import Fingerprint
from watcher.core.turns import State
from watcher.core.unit import is_packed

SIGN: Final = b".complete"
"""`NAME/.complete`, or `NAME.complete` beside it: its sender calls the unit NAME complete."""


def unit_of(path: bytes) -> bytes:
    """The name of the unit a file belongs to."""
    return path.partition(b"/")[0]


def spoken_of(path: bytes) -> bytes:
    """The unit that a `NAME.complete` at the top of the drop speaks of; empty: it is none."""
    beside = b"/" not in path and path.endswith(SIGN)
    return path.removesuffix(SIGN) if beside else b""


@dataclass(slots=True)
class _Unit:
    """The pending files of one name, counted by state."""

    counts: dict[State, int] = field(default_factory=lambda: dict.fromkeys(State, 0))
    changed: float = 0.0  # the last change of any of them
    not_before: float = 0.0  # it was tried, or could not be looked at
    pause: float = 0.0  # the last one
    loose: bool = False  # a file, not a directory

    def __len__(self) -> int:
        return sum(self.counts.values())

    @property
    def settled(self) -> bool:
        """Whether all its files are ripe."""
        return self.counts[State.RIPE] == len(self) > 0


class Gathering:
    """The units of one drop. `rest` in seconds."""

    def __init__(self, *, rest: float) -> None:
        self.rest = rest
        self._units: dict[bytes, _Unit] = {}
        self._touched: set[bytes] = set()  # something in them changed since the last `settle`
        self._moved: set[bytes] = set()  # they want to be judged anew
        self._signed: set[bytes] = set()  # by a `.complete` in their directory
        self._beside: dict[bytes, State] = {}  # by a `NAME.complete`: where that is on its way
        self._complete_at = Alarms()
        self._complete: dict[bytes, None] = {}  # in the order they became so
        self._minded: dict[bytes, Fingerprint] = {}  # names never input, in units

    # -- what is told --------------------------------------------------------------------------

    def changes(self, path: bytes) -> None:
        """A file came, changed, or went."""
        if not spoken_of(path):
            self._touched.add(unit_of(path))

    def turns(self, path: bytes, before: State | None, after: State | None) -> None:
        """A file goes on; a unit is there from its first file to its last."""
        if name := spoken_of(path):
            self._turn_beside(name, after)
            return
        name = unit_of(path)
        self._moved.add(name)
        unit = self._units.setdefault(name, _Unit())
        unit.loose = path == name
        if before is not None:
            unit.counts[before] -= 1
        if after is not None:
            unit.counts[after] += 1

    def _turn_beside(self, name: bytes, after: State | None) -> None:
        self._moved.add(name)
        if after is None:
            self._beside.pop(name, None)
        else:
            self._beside[name] = after

    def sign(self, name: bytes, *, given: bool) -> None:
        """Whether a `.complete` lies in the directory of this name."""
        if given is not (name in self._signed):
            self._moved.add(name)
            self._signed.symmetric_difference_update({name})

    def mind(self, path: bytes, seen: Fingerprint) -> None:
        """A name that is never input, in a unit: a file may be arriving under it."""
        if b"/" in path and self._minded.get(path) != seen:
            self._minded[path] = seen
            self._touched.add(unit_of(path))

    def mind_only(self, paths: Collection[bytes], *, below: bytes = b"") -> None:
        """Of these names, all that there are (`below` a directory), some may be gone."""
        for path in [path for path in self._minded if unit_of(path) == below or not below]:
            if path not in paths:
                del self._minded[path]
                self._touched.add(unit_of(path))

    def put_off(self, name: bytes, now: float, shortest: float, longest: float) -> None:
        """Not tried again before a pause is over that doubles, until something in it changes."""
        if unit := self._units.get(name):
            unit.pause = min(max(shortest, 2 * unit.pause), longest)
            unit.not_before = now + unit.pause
            self._moved.add(name)

    # -- what is asked -------------------------------------------------------------------------

    def complete(self, now: float) -> bytes | None:
        """The unit that has been complete for longest, as far as was seen; None: there is none."""
        self._settle(now)
        for name in self._complete_at.due(now):
            self._complete[name] = None
        return next(iter(self._complete), None)

    def is_complete(self, name: bytes, now: float) -> bool:
        """Whether this one is."""
        self._settle(now)
        unit = self._units.get(name)
        return unit is not None and unit.settled and now >= self._due(name, unit)

    def next_due(self, now: float) -> float | None:
        """When `complete` gives something next."""
        self._settle(now)
        return now if self._complete else self._complete_at.next()

    def count(self, name: bytes) -> int:
        """How many pending files a unit has."""
        return len(self._units.get(name, ()))

    def units(self) -> int:
        """How many units have pending files."""
        return sum(len(unit) > 0 for unit in self._units.values())

    def hopeful(self) -> bool:
        """Whether any unit may still become complete by itself: no file of it is held."""
        return any(unit.counts[State.HELD] == 0 < len(unit) for unit in self._units.values())

    def lonely(self, now: float) -> list[bytes]:
        """The `NAME.complete` files, settled, of units that have no file that is pending."""
        self._settle(now)
        ripe = (name for name, state in self._beside.items() if state is State.RIPE)
        return [name + SIGN for name in ripe if name not in self._units]

    # -- judging -------------------------------------------------------------------------------

    def _settle(self, now: float) -> None:
        """Judge what moved; `now` is the time of what changed since this was done last."""
        for name in self._touched | self._moved:
            unit = self._units.get(name)
            if unit is not None and name in self._touched:
                unit.changed, unit.not_before, unit.pause = now, 0.0, 0.0
            if unit is not None and not len(unit):
                del self._units[name]
            self._judge(name)
        self._touched.clear()
        self._moved.clear()

    def _judge(self, name: bytes) -> None:
        unit = self._units.get(name)
        self._complete.pop(name, None)
        if unit is not None and unit.settled:
            self._complete_at.set(name, self._due(name, unit))
        else:
            self._complete_at.drop(name)

    def _due(self, name: bytes, unit: _Unit) -> float:
        packed = unit.loose and is_packed(name)
        at_once = packed or name in self._signed or name in self._beside
        return max(unit.not_before, unit.changed + (0.0 if at_once else self.rest))
