"""Placing, syncing, swapping and removing files, so that a crash at any step loses nothing.

Names in stores are made by `core.names`; no link below a store is followed, see `reaching`. Those
in drops are not trusted at all, see `sources`.
Nothing here overwrites a file except `swap`, whose successor is durable before it takes the name.
"""

import errno
import os
import stat
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from watcher.core.errors import ClashError, SyncError, storage_error
from watcher.io import blocks, ways
from watcher.io.halves import NO_LINKS, clear_half, placed, temporary
from watcher.io.opening import FILE
from watcher.io.reaching import (
    check_store,
    check_way,
    digest,
    guard,
    is_readable,
    may_be_file,
    names_in,
    opened,
    print_of,
    read,
    read_if_there,
    same_inode,
    walk,
)

__all__ = [
    "clear_half",
    "digest",
    "guard",
    "is_readable",
    "make_folder",
    "make_store",
    "match_folder",
    "may_be_file",
    "names_in",
    "place",
    "placed",
    "print_of",
    "read",
    "read_if_there",
    "remove",
    "remove_empty",
    "remove_empty_below",
    "rename_store",
    "same_inode",
    "swap",
    "sync",
    "sync_all",
    "sync_folders",
    "temporary",
    "transfer",
    "walk",
]

UMASK = os.umask(0o077)  # read by setting it, at import: no thread creates files yet
os.umask(UMASK)
SYNC_THREADS = 8  # stack-facts 2.1: parallel fsync beats syncfs and flushes nobody else's data
_SYNCING = ThreadPoolExecutor(SYNC_THREADS, "fsync")  # starts a thread when there is work for it


def sync(path: str) -> None:
    """Make one file's bytes, or one directory's names, durable. SyncError where that fails."""
    try:
        fd = os.open(path, FILE)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        number = error.errno or 0
        raise SyncError(f"fsync: {error.strerror}", number=number, place=path) from error


def sync_all(paths: Iterable[str]) -> dict[str, SyncError]:
    """Make many durable, several at once; those that failed, with why."""
    wanted = list(dict.fromkeys(paths))
    if len(wanted) <= 1:
        return _sync_each(wanted)
    shares = (wanted[at::SYNC_THREADS] for at in range(SYNC_THREADS))
    return {path: why for some in _SYNCING.map(_sync_each, shares) for path, why in some.items()}


def _sync_each(paths: Iterable[str]) -> dict[str, SyncError]:
    failed: dict[str, SyncError] = {}
    for path in paths:
        try:
            sync(path)
        except SyncError as error:
            failed[path] = error
    return failed


def make_folder(path: str) -> None:
    """The directory and its missing parents, durable. Modes follow umask and setgid parents.

    `path` is absolute, and below a store that is there. Another process may make it at the same
    time; StorageError where something that is no directory has its name, or there is no store.
    """
    check_way(os.path.join(path, ""))
    if not os.path.isdir(path):
        make_folder(os.path.dirname(path))
        check_store(path)  # now: it may have been unmounted since the last step
        _make(path)


def make_store(path: str, *, is_open: bool = False) -> None:
    """The same for a directory that lies below no store: one that is to become a store.

    `is_open`: one that is made is for everybody to read, whatever umask says; not its parents.
    """
    if not os.path.isdir(path):
        make_store(os.path.dirname(path))
        _make(path)
        if is_open:
            _open_to_all(path)


def _open_to_all(folder: str) -> None:
    """Where the file system has modes; one that refuses has those its mount was given."""
    try:
        os.chmod(folder, stat.S_IMODE(os.stat(folder).st_mode) | 0o055)  # noqa: S103  to be read, not written
    except PermissionError:
        return
    except OSError as error:
        raise storage_error(error, "setting a folder's mode") from error


def _make(path: str) -> None:
    try:
        os.mkdir(path, 0o777)
    except OSError as error:
        if not isinstance(error, FileExistsError) or not os.path.isdir(path):
            raise storage_error(error, "making a folder") from error
    sync(os.path.dirname(path))  # also where another made it: it may not have come to that yet


def rename_store(old: str, new: str, doing: str = "naming a store") -> None:
    """Give a store's directory, or one in it, a name that is free, durable there.

    StorageError, which says what was being done, where that is not so.
    """
    ways.forget(old)
    try:
        os.rename(old, new)
    except OSError as error:
        raise storage_error(error, doing) from error
    sync(os.path.dirname(new))


def place(source: str, target: str) -> None:
    """Give the file at `source` the name `target` too; ClashError where the name is taken.

    Where the file system has no links the name is reserved by an empty file of our own, which
    the source then replaces: still nobody else's file is overwritten. A crash between the two:
    see `halves`.
    """
    check_way(source)
    check_way(target)
    try:
        os.link(source, target, follow_symlinks=False)
    except FileExistsError as error:
        raise ClashError("the name is taken") from error
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise storage_error(error, "placing a file") from error
        _reserve_and_rename(source, target)


def _reserve_and_rename(source: str, target: str) -> None:
    try:
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
    except FileExistsError as error:
        raise ClashError("the name is taken") from error
    except OSError as error:
        raise storage_error(error, "placing a file") from error
    try:
        os.rename(source, target)
    except OSError as error:
        remove(target)  # the reservation is ours, and empty
        raise storage_error(error, "placing a file") from error


def transfer(source: str, target: str) -> None:
    """`source`'s bytes under `target`, durable but for the directory; `source` stays.

    A link where the file system allows it, else a copy under a temporary name beside the target.
    ClashError where the name is taken.
    """
    check_way(source)
    clear_half(target, temporary(target))
    try:
        os.link(source, target, follow_symlinks=False)
    except FileExistsError as error:
        raise ClashError("the name is taken") from error
    except OSError as error:
        if error.errno != errno.EXDEV and error.errno not in NO_LINKS:
            raise storage_error(error, "placing a file") from error
        _copy_beside(source, target)


def _copy_beside(source: str, target: str) -> None:
    temp = temporary(target)
    remove(temp)
    try:
        try:
            with opened(source) as old, open(temp, "xb") as new:
                blocks.copy(old.fileno(), new)
                os.fsync(new.fileno())
        except OSError as error:
            raise storage_error(error, "copying a file", temp) from error
        place(temp, target)
    finally:
        remove(temp)  # half a copy would only fill a full disk further


def swap(path: str, data: bytes, *, mode: int | None = None) -> None:
    """Give `path` new contents in one step; a reader sees the old bytes or the new ones, whole.

    `mode` None: what umask leaves, as of any file made here.
    """
    temp = temporary(path)
    remove(temp)  # a new inode: an fsync that failed on the old one is not repeated
    try:
        with open(temp, "xb") as file:
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        guard(path)  # writing may take long
        os.rename(temp, path)
    except OSError as error:
        raise storage_error(error, "writing a document", path) from error
    sync(os.path.dirname(path))


def remove(path: str) -> bool:
    """Remove a file of ours; whether it was there."""
    check_way(path)
    try:
        os.remove(path)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise storage_error(error, "removing a file") from error
    return True


def remove_empty(folder: str) -> bool:
    """Remove a directory if it is empty; whether it is gone now."""
    check_way(folder)
    ways.forget(folder)
    try:
        os.rmdir(folder)
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno in {errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY}:
            return False
        raise storage_error(error, "removing a folder") from error
    return True


def remove_empty_below(folder: str) -> bool:
    """Remove every empty directory below and then this one; whether it is gone."""
    check_way(os.path.join(folder, ""))
    for base, _folders, _files in os.walk(folder, topdown=False):
        remove_empty(base)
    return not os.path.lexists(folder)


def match_folder(path: str) -> None:
    """Give a linked-in file the mode and group a file made here would have (spec 8)."""
    try:
        os.chmod(path, 0o666 & ~UMASK)
        folder = os.stat(os.path.dirname(path))
        if folder.st_mode & stat.S_ISGID:
            os.chown(path, -1, folder.st_gid)
    except OSError as error:
        raise storage_error(error, "setting a file's mode") from error


def sync_folders(paths: Sequence[str]) -> None:
    """Make the directories of these files durable; the first failure is raised."""
    failed = sync_all(os.path.dirname(path) for path in paths)
    if failed:
        raise next(iter(failed.values()))
