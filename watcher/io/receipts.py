"""Our folder RECEIPTS at the top of a drop: written by descriptor, following no link (spec 13).

A drop is hostile: what is planted under a name of ours is replaced or left, never written through.
"""

import errno
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from typing import Final

from watcher.core.errors import MissingPlaceError, storage_error
from watcher.io.descent import opened
from watcher.io.ignore import RECEIPTS
from watcher.io.opening import FILE, read_at, write_all
from watcher.io.sources import FOLDER, GONE

MODE: Final = 0o644
FOLDER_MODE: Final = 0o755  # as we make it; whoever wants it closer may change it
TEMP: Final = ".receipt.tmp"
"""What is being written: nobody's input, and what a crash leaves of it goes with the next."""
LONGEST: Final = 1 << 18  # bytes of a receipt of ours that is read again
SYNCS: Final = 8  # at once: they share a commit of the file system's journal
_UNSYNCED: Final = GONE | {errno.EINVAL, errno.ENOTSUP}  # some can't make a directory durable
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def folder(root: str, identity: tuple[int, int] | None, *, make: bool) -> Iterator[int | None]:
    """The folder, open; None where it is not there and not to be made.

    `identity`: device and inode of the drop as it was looked at; MissingPlaceError where another
    directory is in its place. StorageError where a link or a file has the folder's name, or a
    sender's folder that differs in case alone.
    """
    with opened(root) as top:
        found = os.fstat(top)
        if identity not in {None, (found.st_dev, found.st_ino)}:
            raise MissingPlaceError("another directory is in its place")
        try:
            here = _entered(top, make=make)
        except OSError as error:
            raise storage_error(error, f"opening {RECEIPTS}") from error
        try:
            yield here
        finally:
            if here is not None:
                os.close(here)


def _entered(top: int, *, make: bool) -> int | None:
    made = make and _made(top)
    try:
        here = os.open(RECEIPTS, FOLDER, dir_fd=top)
    except FileNotFoundError:
        return None
    try:
        _check_name(top, here)
        if made:
            _open_to_all(here, FOLDER_MODE)
    except OSError:
        os.close(here)
        raise
    return here


def _made(top: int) -> bool:
    try:
        os.mkdir(RECEIPTS, FOLDER_MODE, dir_fd=top)
    except FileExistsError:
        return False
    return True


def _check_name(top: int, here: int) -> None:
    """On a share that ignores case a folder `receipts` answers to ours, and is input."""
    try:
        other = os.stat(RECEIPTS.lower(), dir_fd=top, follow_symlinks=False)
    except FileNotFoundError:
        return
    if os.path.samestat(other, os.fstat(here)) and RECEIPTS not in os.listdir(top):
        raise OSError(errno.EEXIST, "a folder of a sender has the name in other letters")


def _open_to_all(here: int, mode: int) -> None:
    """Senders read it, whatever our umask is."""
    found = os.fstat(here)
    if found.st_uid == os.geteuid() and found.st_mode & mode != mode:
        with suppress(OSError):  # a share that keeps no modes has its own
            os.fchmod(here, stat.S_IMODE(found.st_mode) | mode)


def write(here: int, name: str, data: bytes) -> None:
    """Give a receipt new contents in one step. StorageError."""
    try:
        _clear(here)
        file = os.open(TEMP, _NEW, MODE, dir_fd=here)
        try:
            _open_to_all(file, MODE)
            write_all(file, memoryview(data))
        finally:
            os.close(file)
        os.rename(TEMP, name, src_dir_fd=here, dst_dir_fd=here)
    except OSError as error:
        with suppress(OSError):  # half a receipt would only fill a full disk further
            _clear(here)
        raise storage_error(error, "writing a receipt") from error


def _clear(here: int) -> None:
    with suppress(FileNotFoundError):
        os.unlink(TEMP, dir_fd=here)


def sync(here: int, some: Iterable[str]) -> None:
    """Make receipts durable, several at once, and the names in the folder. StorageError.

    In threads of their own: a share that hangs stops nobody else's.
    """
    with ThreadPoolExecutor(SYNCS) as threads:
        failed = [each for each in threads.map(partial(_sync, here), [*some, "."]) if each]
    if failed:
        raise storage_error(failed[0], "fsync of a receipt") from failed[0]


def _sync(here: int, name: str) -> OSError | None:
    """Why that can't be done; what is gone again needs it no more."""
    try:
        file = os.open(name, FILE, dir_fd=here)
        try:
            os.fsync(file)
        finally:
            os.close(file)
    except OSError as error:
        return None if error.errno in _UNSYNCED else error
    return None


def remove(here: int, name: str) -> None:
    """Remove a receipt; one that is gone is gone. StorageError."""
    try:
        _clear(here)
        os.unlink(name, dir_fd=here)
    except OSError as error:
        if error.errno not in GONE:
            raise storage_error(error, "removing a receipt") from error


def names(here: int) -> list[str]:
    """What lies there, whoever made it; sorted. StorageError."""
    try:
        return sorted(os.listdir(here))
    except OSError as error:
        raise storage_error(error, "listing the receipts") from error


def written(here: int, some: Iterable[str]) -> Mapping[str, bytes]:
    """The documents of these names that lie there; by what is said before `.json`.

    Anybody may have made them: what is large, or no file, is left out. StorageError.
    """
    found: dict[str, bytes] = {}
    try:
        for name in some:
            data = _read(here, name)
            if data is not None:
                found[name.removesuffix(".json")] = data
    except OSError as error:
        raise storage_error(error, "reading receipts") from error
    return found


def _read(here: int, name: str) -> bytes | None:
    """What a small regular file holds; None for anything else, and for what may not be read."""
    try:
        file = os.open(name, FILE, dir_fd=here)
    except OSError as error:
        if error.errno in GONE | {errno.EACCES, errno.EPERM, errno.ENXIO}:
            return None
        raise
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode) or found.st_size > LONGEST:
            return None
        return read_at(file, 0, LONGEST)
    finally:
        os.close(file)
