"""The storage directories: their markers, their locks, and each session's own record.

Every store carries `.watcher-store` with one id. After the first start a store whose marker is
missing or foreign is *missing*: it is not created, not read, not written (spec 5).
"""

import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from watcher.core.errors import MissingPlaceError, StorageError, WatcherError
from watcher.core.model import Session
from watcher.core.policy import Stores
from watcher.core.record import session_of, session_values
from watcher.io import files, reaching
from watcher.io.lease import lock_store

MARKER: Final = reaching.MARKER
MAKING: Final = ".watcher-making"  # in state, during the first start
INCOMING: Final = ".watcher-incoming"  # in the prearchive: copies being read; hidden from XNAT
KINDS: Final = ("state", "prearchive", "archive", "quarantine", "history", "status")


class Storage:
    """The stores of one installation."""

    def __init__(self, stores: Stores) -> None:
        self.stores = stores
        self.id = ""

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
        ledger rebuilt. Other stores that lack their marker are missing. StorageError where no
        marker is found and one can't be looked for: that is no first start.
        """
        known = self.ids()
        making = os.path.join(self.stores.state, MAKING)
        cut_off = (files.read_if_there(making) or b"").decode("ascii", "replace").strip()
        if not known or cut_off:
            for kind in KINDS:
                files.read_if_there(self.marker(kind))
            self.id = cut_off or secrets.token_hex(16)
            self._make_all(making)
            return
        self.id = known.get("state") or next(iter(known.values()))
        self.accept("state")

    def _make_all(self, making: str) -> None:
        """The first start: noted before, so that one cut off is carried on by the next."""
        files.make_folder(self.stores.state)
        files.swap(making, f"{self.id}\n".encode())
        for kind in KINDS:
            self.accept(kind)
        files.remove(making)

    def ids(self) -> dict[str, str]:
        """The ids found in the markers that are there and can be read."""
        found = {kind: self._marked(kind) for kind in KINDS}
        return {kind: mark for kind, mark in found.items() if mark}

    def _marked(self, kind: str) -> str:
        """What a store's marker says; empty where there is none, or it can't be read."""
        try:
            data = files.read_if_there(self.marker(kind)) or b""
        except StorageError:
            return ""
        return data.decode("ascii", "replace").strip()

    def accept(self, kind: str) -> None:
        """Make a store, or take the one that is there for ours."""
        files.make_folder(self.path(kind))
        if not self.is_there(kind):
            files.swap(self.marker(kind), f"{self.id}\n".encode())

    def is_there(self, kind: str) -> bool:
        """Whether a store carries our marker."""
        return self.id != "" and self._marked(kind) == self.id

    def require(self, kind: str) -> str:
        """A store's path; MissingPlaceError where it is not there."""
        if not self.is_there(kind):
            raise MissingPlaceError(
                f"the {kind} store is missing: no {MARKER} of this installation",
                hint="mount it, or `watcher check --accept` if the change was meant",
            )
        return self.path(kind)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold every store that is there for this daemon; AlreadyRunningError where one is held."""
        held: list[int] = []
        try:
            held.extend(lock_store(self.marker(kind)) for kind in KINDS if self.is_there(kind))
            yield
        finally:
            for fd in held:
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
        values = json.loads(files.read(path))
        return session_of(values) if isinstance(values, Mapping) else None
    except (ValueError, KeyError, TypeError, WatcherError):
        return None
