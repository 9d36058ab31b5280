"""Reaching what lies in a store: neither through links nor what is no regular file (spec 13).

A store is known by its marker. Folders above it are the administrator's and may be links; below it
a link, or a `..`, leads outside. What is read is reached by descriptors, each folder opened below
the one before: a link swapped in between leads nowhere. What is written is reached by its path,
which is looked at before: who can swap a link in then may write in the store anyway.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedReader
from typing import Final

from watcher.core.errors import DocumentError, OutsideError, StorageError, storage_error
from watcher.core.file import Fingerprint
from watcher.io import blocks, ways
from watcher.io.opening import FILE
from watcher.io.service import alive

MARKER: Final = ".watcher-store"
OWNER: Final = ".watcher-owner"  # beside it: see `tenure`
GUARDS: Final[dict[str, Callable[[], None]]] = {}
"""What must hold before anything is changed in a store, by its folder: see `tenure`."""

MOST: Final = 256 << 20  # bytes of a document that is read whole
FEW: Final = 1 << 16
NOT_THERE: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG})
GONE: Final = NOT_THERE | {errno.ELOOP}
DENIED: Final = frozenset({errno.EACCES, errno.EPERM, errno.ENXIO})
IRREGULAR: Final = frozenset({errno.ELOOP, errno.ENXIO})  # a link; a socket
_WAY: Final = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_BELOW: Final = _WAY | os.O_NOFOLLOW
_LIST: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def check_way(path: str) -> None:
    """OutsideError where a folder on the way, below the store that holds `path`, is none of ours.

    A path that ends with a slash is a folder that is on the way itself. The store must be ours
    still, see `guard`: whatever changes a store asks here first.
    """
    alive()
    guard(path)
    folder = os.path.dirname(path)
    if ways.kept(folder) is not None:
        return
    way, below = _parted(folder)
    for name in below:
        way = f"{way}/{name}"
        if os.path.islink(way):
            raise _outside()


def guard(path: str) -> None:
    """AlreadyRunningError, or StorageError, where the store that holds `path` is not ours now."""
    for folder, check in tuple(GUARDS.items()):
        if path.startswith(f"{folder}/") and OWNER not in os.path.basename(path):
            check()


def _parted(folder: str) -> tuple[str, list[str]]:
    """The store that holds a folder, and the parts of the way below it; none outside of stores."""
    parts = folder.split("/")
    for length in range(2, len(parts) + 1):
        way = "/".join(parts[:length])
        if os.path.lexists(f"{way}/{MARKER}"):
            below = [part for part in parts[length:] if part not in {"", "."}]
            if ".." in below:
                raise _outside()
            return way, below
    return folder or ".", []


def _outside() -> OutsideError:
    return OutsideError("a folder of a store is a link: nothing behind it is touched")


@contextmanager
def _entered(folder: str) -> Iterator[int]:
    """A folder, open: below a store each part without following links. OSError passes.

    Whoever looks at many files one by one does not wait for all of them: each is a sign of life.
    """
    alive()
    if (fd := ways.kept(folder)) is not None:
        yield fd
        return
    fd = _reach(folder)
    if ways.keep(folder, fd):
        yield fd
        return
    try:
        yield fd
    finally:
        os.close(fd)


def _reach(folder: str) -> int:
    way, below = _parted(folder)
    fd = os.open(way, _WAY)
    for name in below:
        try:
            deeper = _enter(name, fd)
        finally:
            os.close(fd)
        fd = deeper
    return fd


def _enter(name: str, folder: int) -> int:
    try:
        return os.open(name, _BELOW, dir_fd=folder)
    except NotADirectoryError:  # what Linux says of a link, too
        if stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            raise _outside() from None
        raise


def _open(path: str) -> int:
    folder, name = os.path.split(path)
    with _entered(folder) as fd:
        return os.open(name, FILE, dir_fd=fd)


def _look(path: str) -> os.stat_result:
    folder, name = os.path.split(path)
    with _entered(folder) as fd:
        return os.stat(name, dir_fd=fd, follow_symlinks=False)


def check_store(path: str) -> None:
    """StorageError unless a folder above `path` is a store: a bare mount point is none."""
    way = os.path.dirname(path)
    while not os.path.lexists(f"{way}/{MARKER}"):
        if way in {"/", ""}:
            gone = "the store is not there: nothing is written beneath its mount"
            raise StorageError(gone, number=errno.ENOENT, hint="mount it")
        way = os.path.dirname(way)


@contextmanager
def opened(path: str) -> Iterator[BufferedReader]:
    """A regular file, open for reading. OutsideError for what is none; OSError passes."""
    try:
        fd = _open(path)
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
    """A file's bytes; StorageError (errno kept) where it can't be read.

    DocumentError where it is larger than any document of ours: it is not read.
    """
    try:
        with opened(path) as file:
            data = file.read(FEW)  # /proc refuses a large buffer: ENOMEM
            data += file.read(MOST + 1 - FEW) if len(data) == FEW else b""
    except OSError as error:
        raise storage_error(error, "reading a document") from error
    if len(data) > MOST:
        raise DocumentError(f"a document is larger than {MOST >> 20} MiB")
    return data


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
            return blocks.digest(file)
    except OSError as error:
        raise storage_error(error, "reading a file") from error


def walk(folder: str) -> Iterator[str]:
    """Every file below, as paths relative to it; links are not followed. Sorted, deterministic."""
    todo = [""]
    while todo:
        inside = todo.pop()
        folders, names = _listed(os.path.join(folder, inside))
        yield from (os.path.join(inside, name) for name in names)
        todo += [os.path.join(inside, name) for name in reversed(folders)]


def _listed(folder: str) -> tuple[list[str], list[str]]:
    """The folders and the files in one, sorted; a link to a folder is neither.

    A folder that is gone holds nothing; one that can't be read is no empty one: StorageError.
    """
    try:
        with _entries(folder) as entries:
            found = sorted((each.name, _kind(each)) for each in entries)
    except OSError as error:
        if error.errno in GONE:
            return [], []
        raise storage_error(error, "listing a folder") from error
    folders = [name for name, kind in found if kind == "folder"]
    return folders, [name for name, kind in found if kind == "file"]


def _kind(entry: os.DirEntry[str]) -> str:
    if entry.is_dir(follow_symlinks=False):
        return "folder"
    return "link" if entry.is_dir() else "file"


@contextmanager
def _entries(folder: str) -> Iterator[Iterator[os.DirEntry[str]]]:
    with _entered(folder) as way:
        fd = os.open(".", _LIST, dir_fd=way)
    try:
        with os.scandir(fd) as entries:
            yield entries
    finally:
        os.close(fd)


def names_in(folder: str) -> frozenset[str]:
    """The names in a directory; none where it does not exist."""
    try:
        with _entries(folder) as entries:
            return frozenset(each.name for each in entries)
    except FileNotFoundError:
        return frozenset()
    except OSError as error:
        raise storage_error(error, "listing a folder") from error


def print_of(path: str) -> Fingerprint | None:
    """The fingerprint of a regular file, or None where there is none; StorageError if unsure."""
    try:
        found = _look(path)
    except OSError as error:
        if error.errno in GONE:
            return None
        raise storage_error(error, "looking at a file") from error
    return Fingerprint.of(found) if stat.S_ISREG(found.st_mode) else None


def may_be_file(path: str) -> bool:
    """Whether a regular file is there or could be made; StorageError if unsure."""
    try:
        found = _look(path)
    except OSError as error:
        if error.errno in GONE:
            return error.errno == errno.ENOENT
        raise storage_error(error, "looking at a file") from error
    return stat.S_ISREG(found.st_mode)


def is_readable(path: str, size: int) -> bool:
    """Whether a regular file of that many bytes is there and may be read; StorageError if unsure.

    Nothing is read: bytes that have changed are found by `verify`.
    """
    try:
        fd = _open(path)
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
