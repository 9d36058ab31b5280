"""Reaching dropped files: names there are hostile, so no component of a path follows a link."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from watcher.core.errors import ClashError, storage_error
from watcher.core.model import Fingerprint
from watcher.io import files
from watcher.io.opening import FILE, NotTakenError, lease

FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
GONE: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})


@contextmanager
def parent_of(root: str, path: bytes) -> Iterator[tuple[int, bytes]]:
    """A descriptor of the directory a drop's file lies in, and its name there.

    Every component is opened without following links (spec 13). OSError passes: the caller
    knows whether it matters.
    """
    *folders, name = path.split(b"/")
    if not {b"", b".", b".."}.isdisjoint({*folders, name}):
        raise OSError(errno.EINVAL, "a path that leaves the drop")
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for folder in folders:
            deeper = os.open(folder, FOLDER, dir_fd=fd)
            os.close(fd)
            fd = deeper
        yield fd, name
    finally:
        os.close(fd)


@contextmanager
def parent_of_drop(root: str, path: bytes) -> Iterator[tuple[int, bytes]]:
    """`parent_of`, with its OSError translated."""
    try:
        with parent_of(root, path) as found:
            yield found
    except OSError as error:
        raise storage_error(error, "reaching a dropped file") from error


def link_from(folder: int, name: bytes, target: str) -> None:
    """Link a drop's file into a store; ClashError where the name is taken."""
    try:
        os.link(name, target, src_dir_fd=folder, follow_symlinks=False)
    except FileExistsError as error:
        raise ClashError("the name is taken") from error
    except OSError as error:
        raise storage_error(error, "linking a file") from error


def unlink_if(root: str, path: bytes, expected: Fingerprint) -> bool:
    """Remove a drop's file if it is still that one; whether it was removed. OSError passes.

    A link or a file where a folder was: it is not that one any more.
    """
    try:
        with parent_of(root, path) as (folder, name):
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if expected != Fingerprint.of(found):
                return False
            os.unlink(name, dir_fd=folder)
    except OSError as error:
        if error.errno in GONE:
            return False
        raise
    return True


def copy_from(folder: int, name: bytes, target: str) -> None:
    """Copy a drop's regular file to a new name in a store, durable; ClashError if it is taken.

    Half a copy is removed again.
    """
    try:
        source = os.open(name, FILE, dir_fd=folder)
        try:
            if not stat.S_ISREG(os.fstat(source).st_mode):
                raise OSError(errno.ESTALE, "it is no regular file any more")
            _copy(source, target)
        finally:
            os.close(source)
    except FileExistsError as error:
        raise ClashError("the name is taken") from error
    except OSError as error:
        raise storage_error(error, "copying a file") from error


def _copy(source: int, target: str) -> None:
    with open(target, "xb") as new:
        try:
            while block := os.read(source, files.BLOCK):
                new.write(block)
            new.flush()
            times = os.fstat(source)
            os.utime(new.fileno(), ns=(times.st_atime_ns, times.st_mtime_ns))
            os.fsync(new.fileno())
        except OSError:
            files.remove(target)
            raise


def has_writer(path: str) -> bool:
    """Whether somebody has a placed file open for writing, as far as a read lease can tell."""
    try:
        file = os.open(path, FILE)
    except OSError as error:
        raise storage_error(error, "opening a placed file") from error
    try:
        lease(file, "try")
    except NotTakenError:
        return True
    finally:
        os.close(file)
    return False
