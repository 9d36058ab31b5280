"""Stores that go away, run full or refuse: said once, and what writes there pauses meanwhile.

Two causes are told apart. What a look finds (missing, read-only, less room than the reserve) stops
the work beforehand. What only a write meets (over quota, an I/O error, a file that does not fit) is
told by the work that failed, and is over when none fails any more.
"""

import os
from dataclasses import dataclass, field

from watcher.core.errors import FullError, MissingPlaceError, StorageError
from watcher.io.lookup import STORE_MOUNT
from watcher.io.mounts import mounted_at, read_mounts
from watcher.io.room import Space, free
from watcher.io.stores import KINDS, Storage
from watcher.stages.failing import GRACE, Met
from watcher.stages.parts import Parts

RESUME = 1.5  # times the reserve, before work goes on
INODES = 0.01  # of all inodes must be free
EVERY = 5.0  # seconds between two looks
LEDGER = "ledger"  # the work of keeping what was said


@dataclass
class Disk:
    """Which stores are there, and which are low. `reserve` in bytes."""

    parts: Parts
    reserve: int
    low: set[str] = field(default_factory=set)
    missing: set[str] = field(default_factory=set)
    readonly: set[str] = field(default_factory=set)
    free: dict[str, int] = field(default_factory=dict)
    """Bytes free for each store, as of the last look; those that are missing are left out."""

    def __post_init__(self) -> None:
        """What the last run said holds on: it was low, or refused, until this one finds out."""
        known, now = self.parts.conditions.open(), self.parts.clock.monotonic()
        self.low |= {kind for kind in KINDS if f"low/{kind}" in known}
        self._since_before = {kind: now + GRACE for kind in KINDS if f"refuses/{kind}" in known}

    def check(self) -> None:
        """Look at every store once, and tell; StorageError only where the ledger can't be read."""
        before = self._shut()
        for kind in KINDS:
            self._look(kind)
        self._tell_refusals(explained=before | self._shut())
        self._keep()
        for kind in sorted(set(KINDS) - self.missing - {"state"}):
            self._remember_mount(kind)

    def pauses_intake(self) -> bool:
        """Whether nothing may be written where files are filed."""
        return self.is_shut("prearchive")

    def pauses_archive(self) -> bool:
        """Whether nothing may be written where sessions are archived."""
        return self.is_shut("archive")

    def is_shut(self, kind: str) -> bool:
        """Whether nothing may be written to a store for now, or nothing recorded."""
        return not (self.low | self.readonly).isdisjoint({kind, "state"})

    def shut(self) -> list[str]:
        """The stores that are low or read-only, or refuse, by name."""
        known = self.parts.conditions.open()
        refusing = {kind for kind in KINDS if f"refuses/{kind}" in known}
        return sorted(self.low | self.readonly | refusing)

    def _shut(self) -> set[str]:
        return self.low | self.missing | self.readonly

    # -- what a look finds --------------------------------------------------------------------

    def _look(self, kind: str) -> None:
        space = self._space(kind) if self.parts.storage.is_there(kind) else None
        _in_or_out(self.missing, kind, is_in=space is None)
        self.free.pop(kind, None)
        _in_or_out(self.readonly, kind, is_in=space is not None and space.readonly)
        key = f"storage/{kind}"
        fields: dict[str, object] = {"store": kind, "path": self.parts.storage.path(kind)}
        if space is None:
            hint = "mount it, or `watcher check --accept` if the change was meant"
            self._raise("storage.unavailable", key, **fields, hint=hint)
        elif space.readonly:
            text = "its file system is mounted read-only"
            self._raise(
                "storage.unavailable",
                key,
                **fields,
                text=text,
                hint="mount -o remount,rw, when its cause is mended",
            )
        else:
            self.parts.conditions.end("storage.available", key, **fields)
            self.free[kind] = space.bytes_free
            self._measure(kind, space)

    def _space(self, kind: str) -> Space | None:
        try:
            return free(self.parts.storage.path(kind))
        except (StorageError, MissingPlaceError):
            return None  # it went since

    def _remember_mount(self, kind: str) -> None:
        """A store that is a mount point is not there without that mount, ever after (spec 5)."""
        known = self.parts.storage.mounted
        here = "" if known.get(kind) else mounted_at(self.parts.storage.path(kind), read_mounts())
        if here:
            self.parts.ledger.remember(f"{STORE_MOUNT}{kind}", here)
            known[kind] = here

    def _measure(self, kind: str, space: Space) -> None:
        key, path = f"low/{kind}", self.parts.storage.path(kind)
        fields = {"store": kind, "path": path, "free": space.bytes_free, "reserve": self.reserve}
        is_low = self._is_low(space, RESUME if kind in self.low else 1.0)
        _in_or_out(self.low, kind, is_in=is_low)
        if is_low:
            self._raise("storage.low", key, **fields, inodes=space.inodes_free)
        else:
            self.parts.conditions.end("storage.recovered", key, **fields, inodes=space.inodes_free)

    def _is_low(self, space: Space, factor: float) -> bool:
        few = space.inodes_total and space.inodes_free < factor * INODES * space.inodes_total
        return space.bytes_free < factor * self.reserve or bool(few)

    def _raise(self, event: str, key: str, **fields: object) -> None:
        self.parts.conditions.tell(event, key, self.parts.clock.now(), **fields)

    # -- what a write met ---------------------------------------------------------------------

    def _tell_refusals(self, explained: set[str]) -> None:
        now = self.parts.clock.monotonic()
        failing = self.parts.failing.open(now)
        for kind in KINDS:
            met = {work: each for work, each in failing.items() if self._store(each) == kind}
            if kind in explained and f"refuses/{kind}" not in self.parts.conditions.open():
                self.parts.failing.forget(set(met))  # one cause, and it is said
            else:
                self._tell_refusal(kind, met, now)

    def _tell_refusal(self, kind: str, met: dict[object, Met], now: float) -> None:
        key, known = f"refuses/{kind}", self.parts.conditions.open()
        if met:
            self._refused(kind, key, [each.error for each in met.values()])
        elif kind not in self._shut() and key in known and self._is_over(kind, now):
            event = "recovered" if known[key] == "storage.low" else "available"
            path = self.parts.storage.path(kind)
            self.parts.conditions.end(f"storage.{event}", key, store=kind, path=path)

    def _refused(self, kind: str, key: str, errors: list[StorageError]) -> None:
        event = "low" if all(isinstance(each, FullError) for each in errors) else "unavailable"
        said = self.parts.conditions.open().get(key, f"storage.{event}")
        path = self.parts.storage.path(kind)
        self._raise(said, key, store=kind, path=path, text=str(errors[0]), hint="watcher check")

    def _is_over(self, kind: str, now: float) -> bool:
        """Nothing fails any more; after a start only once something worked, or was to be tried."""
        if kind not in self._since_before:
            return True
        over = self.parts.failing.has_worked(kind) or self._since_before[kind] < now
        if over:
            del self._since_before[kind]
        return over

    def _store(self, met: Met) -> str:
        """The store a refusal concerns; empty where it is none, as of a drop."""
        place = met.error.place
        return store_at(self.parts.storage, place) if place else met.store

    def _keep(self) -> None:
        now = self.parts.clock.monotonic()
        try:
            kept = self.parts.conditions.keep()
        except StorageError as error:
            self.parts.failing.met(LEDGER, error, now, EVERY, store="state")
        else:
            self.parts.failing.over(LEDGER, *(["state"] if kept else []))


def store_at(storage: Storage, place: str) -> str:
    """The store that a path lies in; empty where it is in none."""
    around = [kind for kind in KINDS if _is_below(place, storage.path(kind))]
    return max(around, key=lambda kind: len(storage.path(kind)), default="")


def _in_or_out(group: set[str], kind: str, *, is_in: bool) -> None:
    if is_in:
        group.add(kind)
    else:
        group.discard(kind)


def _is_below(place: str, folder: str) -> bool:
    return os.path.join(place, "").startswith(os.path.join(folder, ""))
