"""When a file has stopped growing: the same fingerprint in looks `settle` apart (spec 5, *Quiet*).

Events say where to look; what is seen there is told to a `Settler`, which says where to look next
and which files are ripe for taking. `now` is always the monotonic clock, in seconds: file times
are the sender's and prove nothing. Nothing here costs more than O(log n) for each file.

    WAITING ──looks agree──► RIPE ──take──► TAKEN ──gone──► forgotten
       ▲ ▲                     │              │ └──hold──► HELD   (until its fingerprint changes)
       │ └───────change────────┘              │              │
       └── busy, unproven, retry ─────────────┘◄───change────┘
"""

import math
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from enum import IntEnum

from watcher.core.alarms import Alarms
from watcher.core.file import Fingerprint, Refusal, RefusalCode
from watcher.core.line import Line
from watcher.core.turns import State, Told

LONG = 12  # times the full quiet: a minute on a local disk, three on a network


class Quiet(IntEnum):
    """For how long looks at a file have agreed."""

    QUICK = 0  # enough where a read lease proves that nobody writes
    FULL = 1  # enough without a lease
    LONG = 2  # enough for a file with holes, which may be laid out and not yet filled


@dataclass(frozen=True, slots=True)
class Waiting:
    """A pending file. `since`: when it was first seen; `reason` is empty while it only settles."""

    path: bytes
    print: Fingerprint
    since: float
    reason: str
    text: str
    stuck: bool


@dataclass(slots=True)
class _File:
    shown: Waiting
    state: State
    changed: float  # first seen, or its last change: its stuck time counts from here
    quiet_from: float  # the quiet time counts from here
    looked: float  # the last look
    counted: float  # the last look that was far enough from the one before to count
    not_before: float  # ripe no sooner than at a look from then on
    looks: int = 1  # that count
    wants: float = 0.0  # seconds of quiet it wants besides


class Settler:
    """The pending files of one drop. Durations in seconds, moments on the monotonic clock.

    A file is ripe once `looks` looks agree that span `quick`: enough where a read lease then
    proves that nobody writes. It is quiet in full once they span `quiet`, and for long once they
    span that twelve times.
    """

    def __init__(
        self,
        *,
        quick: float,
        quiet: float,
        looks: int,
        stuck_after: float,
        told: Told | None = None,
    ) -> None:
        self._step = quick / max(1, looks - 1)
        self._quiet = quiet
        self._looks = max(2, looks)
        self._stuck_after = stuck_after
        self._files: dict[bytes, _File] = {}
        self._ripe = Line()
        self._next_looks = Alarms()
        self._stuck_times = Alarms()
        self._folders: Counter[bytes] = Counter()
        self._released: list[bytes] = []
        self._told = told

    def __len__(self) -> int:
        return len(self._files)

    def see(self, path: bytes, seen: Fingerprint, now: float) -> None:
        """A look at a file. A new or changed fingerprint restarts its time and ends a hold."""
        file = self._files.get(path)
        if file is None:
            self._folders[_folder(path)] += 1
            self._begin(Waiting(path, seen, now, "", "", stuck=False), State.WAITING, now, now)
        elif file.shown.print != seen:
            self._change(file, seen, now)
        else:
            file.looked = now
            if file.state is State.WAITING:
                self._agree(file, now)

    def gone(self, path: bytes) -> bool:
        """It is not there any more, or filed. Whether it had been said to be stuck."""
        file = self._files.pop(path, None)
        if file is None:
            return False
        self._ripe.pop(path, None)
        self._next_looks.drop(path)
        self._stuck_times.drop(path)
        self._tell(path, file.state, None, changed=True)
        if not file.shown.stuck:
            self._folders[_folder(path)] -= 1
        return file.shown.stuck

    def vanished(self, path: bytes) -> bool:
        """A look found no file there: `gone`, unless it is in hand."""
        file = self._files.get(path)
        return file is not None and file.state is not State.TAKEN and self.gone(path)

    def keep_only(self, paths: Collection[bytes], *, began: float = math.inf) -> list[bytes]:
        """After a full look: forget what it did not meet; gives those said to be stuck.

        What was seen later than it `began` stays, and so does what is in hand.
        """
        met = frozenset(paths)
        lost = [
            path
            for path, file in self._files.items()
            if path not in met and file.state is not State.TAKEN and file.looked < began
        ]
        return [path for path in lost if self.gone(path)]

    def to_look(self, now: float) -> list[bytes]:
        """The paths whose next look is due. Until seen, each is due again one step later."""
        paths = self._next_looks.due(now)
        for path in paths:
            self._next_looks.set(path, now + self._step)
        return paths

    def ripe(self, now: float, limit: int | None = None) -> list[tuple[bytes, Fingerprint, Quiet]]:
        """The files to take, in turns of their folders (core.line), and how quiet each has been."""
        files = (self._files[path] for path, since in self._ripe.items(limit) if since <= now)
        return [(file.shown.path, file.shown.print, self._how_quiet(file)) for file in files]

    def pending(self, path: bytes) -> tuple[Waiting, Quiet] | None:
        """A pending file, and how quiet it has been."""
        file = self._files.get(path)
        return (file.shown, self._how_quiet(file)) if file else None

    def _how_quiet(self, file: _File) -> Quiet:
        if file.looked >= file.quiet_from + LONG * self._quiet:
            return Quiet.LONG
        return Quiet.FULL if file.looked >= file.quiet_from + self._quiet else Quiet.QUICK

    def take(self, path: bytes) -> bool:
        """It is in hand, until `gone`, `hold`, `busy`, `unproven` or `retry`. False: not ripe."""
        if not self._ripe.take(path):
            return False
        self._turn(self._files[path], State.TAKEN)
        return True

    def unproven(self, path: bytes, seen: Fingerprint, refusal: Refusal) -> None:
        """Nothing proves that this fingerprint is the last: no lease, or holes. It must be quieter.

        A file with holes says so; that no lease is to be had is nobody's concern.
        """
        if file := self._files.get(path):
            if file.shown.print == seen:
                hollow = refusal.code is RefusalCode.HOLLOW
                file.wants = max(file.wants, self._quiet * (LONG if hollow else 1))
                if hollow:
                    file.shown = replace(file.shown, reason=refusal.code, text=refusal.text)
            self._wait(file)

    def busy(self, path: bytes, now: float) -> None:
        """A writer has it open: its quiet time starts again, its stuck time does not."""
        if file := self._files.get(path):
            file.shown = replace(file.shown, reason=RefusalCode.BUSY, text="")
            file.quiet_from = file.looked = file.counted = now
            file.looks, file.wants = 1, 0.0
            self._wait(file)

    def hold(self, path: bytes, seen: Fingerprint, reason: str, text: str) -> None:
        """It was examined and can't be taken as it is: it waits until its fingerprint changes."""
        if file := self._files.get(path):
            file.shown = replace(file.shown, print=seen, reason=reason, text=text)
            self._turn(file, State.HELD)
            self._ripe.pop(path, None)
            self._next_looks.drop(path)
            self._watch(file)

    def retry(
        self, path: bytes, now: float, after: float, reason: str = "", text: str = ""
    ) -> None:
        """A fault that passes: looked at again after so many seconds."""
        if file := self._files.get(path):
            file.shown = replace(file.shown, reason=reason, text=text)
            file.not_before = now + after
            self._wait(file)

    def next_due(self, *, ripe: bool = True) -> float | None:
        """When `to_look` or `stuck` gives something next; the past while files are `ripe`."""
        first = next(iter(self._ripe.values()), None) if ripe else None
        times = (first, self._next_looks.next(), self._stuck_times.next())
        return min((at for at in times if at is not None), default=None)

    def stuck(self, now: float) -> list[Waiting]:
        """Files unchanged and not taken for `stuck_after`, each once until it changes or goes.

        Files that are ripe or in hand wait for us, not for their sender, and are never stuck.
        """
        files = [self._files[path] for path in self._stuck_times.due(now)]
        for file in files:
            file.shown = replace(file.shown, stuck=True)
            self._folders[_folder(file.shown.path)] -= 1
        return [file.shown for file in files]

    def released(self) -> list[bytes]:
        """The stuck files that have changed since the last call."""
        paths, self._released = self._released, []
        return paths

    def waiting(self) -> Iterator[Waiting]:
        """All pending files, with what they wait for."""
        return (file.shown for file in self._files.values())

    def holding_folders(self) -> set[bytes]:
        """The folders of pending files that are not stuck: they hold their sessions' timers."""
        self._folders = +self._folders  # without those that hold none any more
        return set(self._folders)

    def _begin(self, shown: Waiting, state: State, now: float, changed: float) -> None:
        before = self._files.get(shown.path)
        self._files[shown.path] = file = _File(shown, state, changed, now, now, now, now)
        self._tell(shown.path, before.state if before else None, state, changed=True)
        if state is State.WAITING:
            self._wait(file)

    def _change(self, file: _File, seen: Fingerprint, now: float) -> None:
        """All starts anew, but what is in hand; links, owner and mode put off no stuck time."""
        if file.shown.stuck:
            self._released.append(file.shown.path)
            self._folders[_folder(file.shown.path)] += 1
        shown = replace(file.shown, print=seen, reason="", text="", stuck=False)
        state = State.TAKEN if file.state is State.TAKEN else State.WAITING
        same = file.shown.print.same_content(seen) and not file.shown.stuck
        self._begin(shown, state, now, file.changed if same else now)

    def _agree(self, file: _File, now: float) -> None:
        if now >= file.counted + self._step:
            file.looks += 1
            file.counted = now
        if now >= self._ripe_from(file):
            self._ready(file, now)
        else:
            self._wait(file)

    def _ripe_from(self, file: _File) -> float:
        """The earliest time at which a look that agrees makes it ripe, or counts towards it."""
        if file.looks < self._looks:
            return max(file.not_before, file.counted + self._step)
        return max(file.not_before, file.quiet_from + file.wants)

    def _ready(self, file: _File, now: float) -> None:
        path = file.shown.path
        self._turn(file, State.RIPE)
        self._ripe[path] = now
        self._next_looks.drop(path)
        self._stuck_times.drop(path)

    def _wait(self, file: _File) -> None:
        path = file.shown.path
        self._turn(file, State.WAITING)
        self._ripe.pop(path, None)
        self._next_looks.set(path, self._ripe_from(file))
        self._watch(file)

    def _turn(self, file: _File, state: State) -> None:
        self._tell(file.shown.path, file.state, state)
        file.state = state

    def _tell(
        self, path: bytes, before: State | None, after: State | None, *, changed: bool = False
    ) -> None:
        if self._told is not None:
            if changed:
                self._told.changes(path)
            if before is not after:
                self._told.turns(path, before, after)

    def _watch(self, file: _File) -> None:
        if not file.shown.stuck:
            self._stuck_times.set(file.shown.path, file.changed + self._stuck_after)


def _folder(path: bytes) -> bytes:
    return path.rpartition(b"/")[0]
