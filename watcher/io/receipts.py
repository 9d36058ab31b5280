"""Our folder RECEIPTS at the top of a drop: written by descriptor, following no link (spec 13).

A drop is hostile: what is planted under a name of ours is replaced or left, never written through.
"""

import errno
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Final

from watcher.core.errors import MissingPlaceError, storage_error
from watcher.io.descent import opened
from watcher.io.ignore import RECEIPTS
from watcher.io.opening import FILE, read_at, write_all
from watcher.io.sources import FOLDER, GONE

MODE: Final = 0o644
LONGEST: Final = 1 << 18  # bytes of a receipt of ours that is read again
MOST: Final = 10_000  # of them
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
    if make:
        with suppress(FileExistsError):
            os.mkdir(RECEIPTS, 0o755, dir_fd=top)
    try:
        here = os.open(RECEIPTS, FOLDER, dir_fd=top)
    except FileNotFoundError:
        return None
    try:
        _check_name(top, here)
        if make:
            _open_to_all(here, 0o755)
    except OSError:
        os.close(here)
        raise
    return here


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
        os.fchmod(here, stat.S_IMODE(found.st_mode) | mode)


def write(here: int, name: str, data: bytes, *, durable: bool = False) -> None:
    """Give a receipt new contents in one step. StorageError.

    Under its temporary name it is nobody's input: that begins with a dot and ends in `.tmp`.
    """
    temp = f".{name}.tmp"
    try:
        with suppress(FileNotFoundError):
            os.unlink(temp, dir_fd=here)
        file = os.open(temp, _NEW, MODE, dir_fd=here)
        try:
            _open_to_all(file, MODE)
            write_all(file, memoryview(data))
            if durable:
                os.fsync(file)
        finally:
            os.close(file)
        os.rename(temp, name, src_dir_fd=here, dst_dir_fd=here)
    except OSError as error:
        with suppress(OSError):  # half a receipt would only fill a full disk further
            os.unlink(temp, dir_fd=here)
        raise storage_error(error, "writing a receipt") from error


def remove(here: int, name: str) -> None:
    """Remove a receipt; one that is gone is gone. StorageError."""
    try:
        os.unlink(name, dir_fd=here)
    except OSError as error:
        if error.errno not in GONE:
            raise storage_error(error, "removing a receipt") from error


def written(here: int) -> Mapping[str, bytes]:
    """The documents that lie there, by their names without `.json`: anybody may have made them."""
    found: dict[str, bytes] = {}
    try:
        for name in sorted(os.listdir(here)):
            if name.endswith(".json") and len(found) < MOST:
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
