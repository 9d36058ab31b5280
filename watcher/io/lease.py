"""Held locks: who works on a session, and on its destination, on this host.

An open-file-description lock on one byte of `state/leases`, at an offset made from the key. The
kernel frees it when its owner dies, however it dies; nothing is ever cleaned up by hand. Who
holds it stands in the ledger, for the message only.
"""

import errno
import fcntl
import getpass
import hashlib
import os
import struct
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import delete, insert, select

from watcher.core.errors import AlreadyRunningError, HeldError, storage_error
from watcher.io import tables
from watcher.io.ledger import Ledger

FILE: Final = "leases"
# struct flock of Linux: type, whence, start, length, pid
FLOCK: Final = "hhqqi4x"


class Leases:
    """The leases of one `state` folder."""

    def __init__(self, state: str, ledger: Ledger) -> None:
        self._path = os.path.join(state, FILE)
        self._ledger = ledger

    @contextmanager
    def hold(self, keys: list[str], now: float) -> Iterator[None]:
        """Hold all these keys, or none: HeldError says who has one.

        Keys are `session/<id>` and `archive/<project>/<label>`.
        """
        with ExitStack() as held:
            for key in sorted(set(keys)):
                held.enter_context(self._one(key, now))
            yield

    @contextmanager
    def _one(self, key: str, now: float) -> Iterator[None]:
        fd = self._open()
        try:
            if not _lock(fd, _offset(key)):
                raise HeldError(f"{key} is held by {self._holder(key)}", hint="try again shortly")
            self._sign(key, now)
            try:
                yield
            finally:
                self._strike(key)
        finally:
            os.close(fd)  # frees the lock

    @contextmanager
    def exclusive(self, key: str) -> Iterator[None]:
        """Wait for a moment's work on something small, as the swap of one record; never refused."""
        fd = self._open()
        try:
            _lock(fd, _offset(key), wait=True)
            yield
        finally:
            os.close(fd)

    def _open(self) -> int:
        self._ledger.require()
        try:
            return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise storage_error(error, "opening the leases") from error

    def _sign(self, key: str, now: float) -> None:
        row = {"key": key, "owner": owner(), "since": now}
        with self._ledger.write() as tx:
            tx.execute(insert(tables.lease).prefix_with("OR REPLACE"), [row])

    def _strike(self, key: str) -> None:
        with self._ledger.write() as tx:
            tx.execute(delete(tables.lease).where(tables.lease.c.key == key))

    def _holder(self, key: str) -> str:
        with self._ledger.read() as tx:
            row = tables.lease.c
            found = tx.execute(select(row.owner, row.since).where(row.key == key)).first()
        if found is None:
            return "another process"
        since = datetime.fromtimestamp(found.since, UTC).isoformat(timespec="seconds")
        return f"{found.owner} since {since}"


def session_key(session: str) -> str:
    """The lease on a session."""
    return f"session/{session}"


def destination_key(project: str | None, label: str) -> str:
    """The lease on a place in the archive; labels differing only by case share it."""
    return f"archive/{project or ''}/{label.casefold()}"


def owner() -> str:
    """This process, as a person would name it."""
    program = os.path.basename(sys.argv[0]).encode("utf-8", "replace").decode()
    return f"{login()}, process {os.getpid()} ({program})"


def login() -> str:
    """The login user; behind sudo, the person who called it."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # a container's user that no passwd knows; OSError since 3.13
        return f"uid {os.getuid()}"


def lock_store(path: str) -> int:
    """Lock a store for one daemon by its marker file; the descriptor holds it while open."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise storage_error(error, "locking a store") from error
    locked = False
    try:
        locked = _lock(fd, 0)
    finally:
        if not locked:
            os.close(fd)
    if not locked:
        raise AlreadyRunningError(
            f"another daemon runs on {os.path.dirname(path)}", hint="watcher status"
        )
    return fd


def is_file_of(fd: int, path: str) -> bool:
    """Whether this path still names the open file: not where it is gone, or out of reach."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except OSError:
        return False


def is_locked(path: str) -> bool:
    """Whether a daemon holds the store with this marker; StorageError where it can't be told.

    It only asks: a daemon that starts at this moment is not refused because somebody looked.
    """
    asked = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 1, 0)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            found: int = struct.unpack(FLOCK, fcntl.fcntl(fd, fcntl.F_OFD_GETLK, asked))[0]
        finally:
            os.close(fd)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise storage_error(error, "looking at a store's lock") from error
    return found != fcntl.F_UNLCK


def _offset(key: str) -> int:
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") >> 2  # below the largest file offset


def _lock(fd: int, offset: int, *, wait: bool = False) -> bool:
    wanted = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, offset, 1, 0)
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLKW if wait else fcntl.F_OFD_SETLK, wanted)
    except OSError as error:
        if error.errno in {errno.EAGAIN, errno.EACCES}:
            return False
        raise storage_error(error, "locking") from error
    return True
