"""Reaching what lies in a store: neither through links nor what is no regular file (spec 13).

A store is known by its marker. Folders above it are the administrator's and may be links; below it
a link, or a `..`, leads outside. The way is looked at before each step, so a link that is swapped
in between the two passes: who can do that may write in the store anyway.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from typing import Final

from watcher.core.errors import OutsideError, StorageError, storage_error
from watcher.core.model import Fingerprint
from watcher.io.opening import FILE

MARKER: Final = ".watcher-store"
NOT_THERE: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG})
GONE: Final = NOT_THERE | {errno.ELOOP}
DENIED: Final = frozenset({errno.EACCES, errno.EPERM, errno.ENXIO})
IRREGULAR: Final = frozenset({errno.ELOOP, errno.ENXIO})  # a link; a socket


def check_way(path: str) -> None:
    """OutsideError where a folder on the way, below the store that holds `path`, is none of ours.

    A path that ends with a slash is a folder that is on the way itself.
    """
    parts = os.path.dirname(path).split("/")
    ways = ["/".join(parts[:length]) for length in range(2, len(parts) + 1)]
    for at, way in enumerate(ways):
        if os.path.lexists(f"{way}/{MARKER}"):
            if ".." in parts[at + 2 :] or any(map(os.path.islink, ways[at + 1 :])):
                raise OutsideError("a folder of a store is a link: nothing behind it is touched")
            return


@contextmanager
def opened(path: str) -> Iterator[BufferedReader]:
    """A regular file, open for reading. OutsideError for what is none; OSError passes."""
    check_way(path)
    try:
        fd = os.open(path, FILE)
    except OSError as error:
        if error.errno in IRREGULAR:
            raise _irregular() from error
        raise
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise _irregular()
    with open(fd, "rb") as file:
        yield file


def _irregular() -> OutsideError:
    return OutsideError("a link, a folder, a FIFO or a device has the name of a file")


def read(path: str) -> bytes:
    """A file's bytes; StorageError (errno kept) where it can't be read."""
    try:
        with opened(path) as file:
            return file.read()
    except OSError as error:
        raise storage_error(error, "reading a document") from error


def read_if_there(path: str) -> bytes | None:
    """A file's bytes, or None where there is no such file; StorageError where none can tell."""
    try:
        return read(path)
    except StorageError as error:
        if error.number not in NOT_THERE:
            raise
    return None


def digest(path: str) -> str:
    """The MD5 of a file, lower-case hex."""
    try:
        with opened(path) as file:
            return digest_of(file)
    except OSError as error:
        raise storage_error(error, "reading a file") from error


def digest_of(file: BufferedReader) -> str:
    """The MD5 of an open file. OSError passes."""
    return hashlib.file_digest(file, _md5).hexdigest()


def _md5() -> "hashlib._Hash":
    return hashlib.md5(usedforsecurity=False)


def walk(folder: str) -> Iterator[str]:
    """Every file below, as paths relative to it; links are not followed. Sorted, deterministic."""
    check_way(os.path.join(folder, ""))
    for base, folders, names in os.walk(folder, onerror=_unlisted):
        folders.sort()
        for name in sorted(names):
            yield os.path.relpath(os.path.join(base, name), folder)


def _unlisted(error: OSError) -> None:
    """A folder that is gone holds nothing; one that can't be read is no empty one."""
    if error.errno not in GONE:
        raise storage_error(error, "listing a folder") from error


def names_in(folder: str) -> frozenset[str]:
    """The names in a directory; none where it does not exist."""
    check_way(os.path.join(folder, ""))
    try:
        return frozenset(os.listdir(folder))
    except FileNotFoundError:
        return frozenset()
    except OSError as error:
        raise storage_error(error, "listing a folder") from error


def print_of(path: str) -> Fingerprint | None:
    """The fingerprint of a regular file, or None where there is none; StorageError if unsure."""
    check_way(path)
    try:
        found = os.lstat(path)
    except OSError as error:
        if error.errno in GONE:
            return None
        raise storage_error(error, "looking at a file") from error
    return Fingerprint.of(found) if stat.S_ISREG(found.st_mode) else None


def may_be_file(path: str) -> bool:
    """Whether a regular file is there or could be made; StorageError if unsure."""
    check_way(path)
    try:
        found = os.lstat(path)
    except OSError as error:
        if error.errno in GONE:
            return error.errno == errno.ENOENT
        raise storage_error(error, "looking at a file") from error
    return stat.S_ISREG(found.st_mode)


def is_readable(path: str, size: int) -> bool:
    """Whether a regular file of that many bytes is there and may be read; StorageError if unsure.

    Nothing is read: bytes that have changed are found by `verify`.
    """
    check_way(path)
    try:
        fd = os.open(path, FILE)
    except OSError as error:
        if error.errno in GONE | DENIED:
            return False
        raise storage_error(error, "opening a file") from error
    try:
        found = os.fstat(fd)
    finally:
        os.close(fd)
    return stat.S_ISREG(found.st_mode) and found.st_size == size


def same_inode(one: str, other: str) -> bool:
    """Whether two names are links to one file."""
    first, second = print_of(one), print_of(other)
    return first is not None and second is not None and first.same_content(second)
