"""Putting files back into a drop, where names are hostile: no link is followed, nothing replaced.

A file is copied to an ignored name beside its place, made durable, and only then named: whoever
looks at the drop sees all of it or nothing.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from watcher.core.errors import ClashError, storage_error
from watcher.io import files, sources
from watcher.io.opening import NotTakenError, open_regular
from watcher.io.reaching import digest_of

FORBIDDEN: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
"""What a drop says that may not be written."""


def is_inside(path: bytes) -> bool:
    """Whether a path leads to a place below the folder it is relative to."""
    return {b"", b".", b".."}.isdisjoint(path.split(b"/")) and b"\0" not in path


def give_back(source: str, root: str, path: bytes) -> None:
    """Copy a file of ours to `path` in the drop `root`, durable; its own bytes there are enough.

    ClashError where the name, or that of a folder on the way, is taken. StorageError where it
    can't be written, or the path leads out of the drop.
    """
    *folders, name = path.split(b"/")
    if not is_inside(path):
        raise storage_error(OSError(errno.EINVAL, "the path leaves the drop"), "giving a file back")
    with _folder(root, folders) as folder:
        here = f"/proc/self/fd/{folder}"  # the folder itself, whatever its path means by now
        target = os.path.join(here, os.fsdecode(name))
        temp = files.temporary(target)
        files.clear_half(target, temp)
        files.remove(temp)
        store, own = os.path.split(source)
        with sources.parent_of_drop(store, os.fsencode(own)) as (fd, base):
            sources.copy_from(fd, base, temp)
        try:
            files.place(temp, target)
        except ClashError:
            if _digest(root, path) != files.digest(source):
                raise
        finally:
            files.remove(temp)
        files.sync(os.path.join(here, "."))


@contextmanager
def _folder(root: str, folders: list[bytes]) -> Iterator[int]:
    """A folder below the drop, made where it is not there."""
    fd = _open(root)
    try:
        for name in folders:
            deeper = _enter(fd, name)
            os.close(fd)
            fd = deeper
        yield fd
    finally:
        os.close(fd)


def _open(root: str) -> int:
    try:
        return os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise storage_error(error, "opening a drop") from error


def _enter(fd: int, name: bytes) -> int:
    try:
        try:
            os.mkdir(name, dir_fd=fd)
            os.fsync(fd)
        except FileExistsError:
            pass
        return os.open(name, sources.FOLDER, dir_fd=fd)
    except OSError as error:
        if error.errno in sources.GONE:  # a link, or something that is no folder
            raise ClashError("a folder's name is taken") from error
        raise storage_error(error, "making a folder in a drop") from error


def _digest(root: str, path: bytes) -> str:
    """The MD5 of what has the name; empty where that is no regular file, or may not be read."""
    try:
        with (
            open_regular(root, os.fsdecode(path)) as fd,
            open(fd, "rb", closefd=False) as file,
        ):
            return digest_of(file)
    except NotTakenError:
        return ""
    except OSError as error:
        raise storage_error(error, "reading a dropped file") from error


def may_be_written(root: str) -> bool:
    """Whether a drop is a directory that this process may make files in."""
    return os.access(root, os.W_OK | os.X_OK, effective_ids=True)
