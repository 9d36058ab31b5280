"""The storage directories: their markers, their locks, and each session's own record.

Every store carries `.watcher-store` with one id. After the first start a store whose marker is
missing or foreign is *missing*: it is not created, not read, not written (spec 5). So is one that
lies at or below a mount point where nothing is mounted, whatever the bare directory holds.
"""

import json
import os
import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from watcher.core.errors import (
    AlreadyRunningError,
    ClashError,
    MissingPlaceError,
    StorageError,
    WatcherError,
)
from watcher.core.policy import Stores
from watcher.core.record import session_of, session_values
from watcher.core.session import Session
from watcher.io import files, mounts, reaching
from watcher.io.lease import is_file_of, lock_store
from watcher.io.tenure import Tenures

MARKER: Final = reaching.MARKER
MAKING: Final = ".watcher-making"  # in state, during the first start
INCOMING: Final = ".watcher-incoming"  # in the prearchive: copies being read; hidden from XNAT
OPEN: Final = frozenset({"status"})  # what lies there is for others to read (spec 12)
KINDS: Final = ("state", "prearchive", "archive", "quarantine", "history", "status")


class Storage:
    """The stores of one installation. `points` are the mount points the machine should have.

    `mounted` is what was mounted at a store when last seen, `type source` by kind.
    """

    def __init__(self, stores: Stores, points: Sequence[str] | None = None) -> None:
        self.stores = stores
        self.id = ""
        self._held: dict[str, int] | None = None  # by kind; None where nobody locks
        self._locking = threading.Lock()
        self.tenures = Tenures()
        self.points = mounts.named_points() if points is None else points
        self.mounted: dict[str, str] = {}

    def path(self, kind: str) -> str:
        """Where a store is."""
        found: str = getattr(self.stores, kind)
        return found

    def marker(self, kind: str) -> str:
        """Where a store's marker is."""
        return os.path.join(self.path(kind), MARKER)

    def prepare(self) -> None:
        """Make the stores on the first start; know their id ever after.

        A `state` that is gone although other stores stand is no loss: a new one is made, and the
        ledger rebuilt. One that is there without its marker, or with that of others, is a mount
        that is missing: MissingPlaceError. So is, at a first start, any store's. Other stores that
        lack their marker are missing. StorageError where no marker is found and one can't be
        looked for: that is no first start.
        """
        self._check_mount("state")
        known = self.ids()
        making = os.path.join(self.stores.state, MAKING)
        cut_off = (files.read_if_there(making) or b"").decode("ascii", "replace").strip()
        if not known or cut_off:
            for kind in KINDS:
                self._check_mount(kind)
                files.read_if_there(self.marker(kind))
            self.id = cut_off or secrets.token_hex(16)
            self._make_all(making)
            return
        self.id = known.get("state") or next(iter(known.values()))
        self._check_state(known)
        if "state" not in known:
            self._make_state()

    def _check_mount(self, kind: str) -> None:
        """MissingPlaceError for a store whose mount is not there."""
        if point := mounts.bare_point(self.path(kind), self.points):
            raise MissingPlaceError(
                f"the {kind} store is missing: nothing is mounted at {point}",
                hint=f"mount {point}, or take it out of {mounts.FSTAB} if nothing belongs there",
            )

    def _check_state(self, known: Mapping[str, str]) -> None:
        """MissingPlaceError for a state that is not that of the stores around it."""
        others = {mark for kind, mark in known.items() if kind != "state"}
        bare = "state" not in known and os.path.lexists(self.stores.state)
        if bare or (others and self.id not in others):
            why = f"no {MARKER}" if bare else f"the {MARKER} of another installation"
            raise MissingPlaceError(
                f"the state store is missing: {why} in {self.stores.state}",
                hint="mount it, or `watcher check --accept` if it is to be made anew",
            )

    def _make_state(self) -> None:
        """A new one takes its name with the marker in it: a bare folder is no state of ours."""
        new = f"{self.stores.state}.new"
        files.make_store(new)
        files.swap(os.path.join(new, MARKER), f"{self.id}\n".encode())
        files.rename_store(new, self.stores.state)

    def _make_all(self, making: str) -> None:
        """The first start: noted before, so that one cut off is carried on by the next.

        AlreadyRunningError where others took one of the stores at the same moment.
        """
        files.make_store(self.stores.state)
        self.id = self._claim(making)
        made: list[str] = []
        for kind in KINDS:
            self._check_mount(kind)
            files.make_store(self.path(kind), is_open=kind in OPEN)
            new = not self._marked(kind)
            if self._claim(self.marker(kind)) != self.id:
                for each in (*made, making):
                    files.remove(each)
                    files.remove_empty(os.path.dirname(each))
                raise AlreadyRunningError(
                    f"another daemon has just taken {self.path(kind)}", hint="watcher status"
                )
            made += [self.marker(kind)] if new else []
        files.remove(making)

    def _claim(self, path: str) -> str:
        """Write our id there unless there is one; gives the one that is there."""
        temp = f"{path}.{secrets.token_hex(4)}"
        files.swap(temp, f"{self.id}\n".encode())
        try:
            files.place(temp, path)
        except ClashError:
            if found := files.read(path).decode("ascii", "replace").strip():
                return found
            files.swap(path, f"{self.id}\n".encode())  # an empty one is nobody's
        finally:
            files.remove(temp)
        files.sync(os.path.dirname(path))
        return self.id

    def ids(self, kinds: Sequence[str] = KINDS) -> dict[str, str]:
        """The ids found in the markers that are there and can be read."""
        found = {kind: self._marked(kind) for kind in kinds}
        return {kind: mark for kind, mark in found.items() if mark}

    def _marked(self, kind: str) -> str:
        """What a store's marker says; empty where there is none, or it can't be read."""
        try:
            data = files.read_if_there(self.marker(kind)) or b""
        except StorageError:
            return ""
        return data.decode("ascii", "replace").strip()

    def accept(self, kind: str) -> None:
        """Make a store, or take the one that is there for ours. MissingPlaceError: no mount."""
        self._check_mount(kind)
        self.mounted.pop(kind, None)
        files.make_store(self.path(kind), is_open=kind in OPEN)
        if not self.is_there(kind):
            files.swap(self.marker(kind), f"{self.id}\n".encode())

    def is_there(self, kind: str) -> bool:
        """Whether a store carries our marker, and its mount is the one it was."""
        if self.id == "" or self._marked(kind) != self.id:
            return False
        before, path = self.mounted.get(kind), self.path(kind)
        if before and before != mounts.mounted_at(path, mounts.read_mounts()):
            return False
        return not mounts.bare_point(path, self.points) and self._holds(kind)

    def require(self, kind: str) -> str:
        """A store's path; MissingPlaceError where it is not there.

        For a daemon AlreadyRunningError where another host has it, see `tenure`.
        """
        if not self.is_there(kind):
            raise MissingPlaceError(
                f"the {kind} store is missing: no {MARKER} of this installation",
                hint="mount it, or `watcher check --accept` if the change was meant",
            )
        self.tenures.check(self.path(kind))
        return self.path(kind)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold every store that is there for this daemon; AlreadyRunningError where one is held.

        Meanwhile a store that comes, or whose marker is another file, is there once it is held too.
        """
        here = [kind for kind in KINDS if self.is_there(kind)]
        self._held = {}
        try:
            for kind in here:
                self._held[kind] = lock_store(self.marker(kind))
                self.tenures.add(self.path(kind))
            self.tenures.take()
            yield
        finally:
            self.tenures.release()
            for fd in self._held.values():
                os.close(fd)
            self._held = None

    def _holds(self, kind: str) -> bool:
        """Whether nobody else has this store: it is held, or can be now."""
        with self._locking:
            if self._held is None:
                return True
            try:
                self._lock(kind, self._held)
                return self.tenures.has(self.path(kind))
            except (AlreadyRunningError, StorageError):
                return False

    def _lock(self, kind: str, held: dict[str, int]) -> None:
        fd = held.get(kind)
        if fd is None or not is_file_of(fd, self.marker(kind)):
            self.tenures.add(self.path(kind))
            held[kind] = lock_store(self.marker(kind))
            if fd is not None:
                os.close(fd)

    # -- places -----------------------------------------------------------------------------

    @property
    def incoming(self) -> str:
        """The folder of copies that are being read, in the prearchive's file system."""
        return os.path.join(self.stores.prearchive, INCOMING)

    def folder(self, session: Session) -> str:
        """A prearchive session's folder."""
        return os.path.join(self.stores.prearchive, session.folder)

    def beside(self, session: Session, ending: str) -> str:
        """A sibling of a session's folder: `LABEL.xml`, `LABEL.json`, `LABEL.plan.json`."""
        return f"{self.folder(session)}.{ending}"

    def archived(self, project: str, label: str) -> str:
        """An archived session's folder."""
        return os.path.join(self.stores.archive, project, "arc001", label)

    def history(self, project: str | None, label: str, stamp: str) -> str:
        """Where what left a session at this time goes."""
        return os.path.join(self.stores.history, project or "Unassigned", label, stamp)

    @property
    def decisions(self) -> str:
        """The record of every decision, one JSON line each."""
        return os.path.join(self.stores.history, "decisions.jsonl")

    # -- records ----------------------------------------------------------------------------

    def write_record(self, session: Session) -> None:
        """Swap in `LABEL.json`."""
        text = json.dumps(session_values(session), indent=1)
        files.swap(self.beside(session, "json"), text.encode() + b"\n")


def read_record(path: str) -> Session | None:
    """The session in a `LABEL.json`, or None where it does not hold one."""
    try:
        return session_of(_values(path))
    except (ValueError, KeyError, TypeError, WatcherError):
        return None


def read_revision(path: str) -> int | None:
    """How often the session in a `LABEL.json` was changed, or None where it does not say so.

    It costs a third of `read_record`, for a start that looks at all of them.
    """
    try:
        return int(_values(path)["revision"])
    except (ValueError, KeyError, TypeError, WatcherError):
        return None


def _values(path: str) -> Mapping[str, Any]:
    values = json.loads(files.read(path))
    if not isinstance(values, Mapping):
        raise TypeError("a record is a table")
    return values
