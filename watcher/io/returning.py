"""Putting files back into a drop, where names are hostile: no link is followed, nothing replaced.

A file is copied to an ignored name beside its place, made durable, and only then named: whoever
looks at the drop sees all of it or nothing.
"""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from watcher.core.errors import ClashError, storage_error
from watcher.io import aside, blocks, files, sources
from watcher.io.opening import NotTakenError, open_regular

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


def give_folder_back(source: str, root: str, path: bytes, temp: bytes) -> None:
    """Copy a folder of ours, whole and durable, to `path` in the drop `root`.

    All of it lies below `temp`, an ignored name beside it, before it is named in one step. Nothing
    is used of what an earlier try left there; empty folders under the name itself are nobody's.
    ClashError, StorageError as of `give_back`.
    """
    *folders, name = path.split(b"/")
    with _folder(root, folders) as above:
        here = f"/proc/self/fd/{above}"
        _remove_hollow(above, name)
        if os.path.lexists(os.path.join(here, os.fsdecode(name))):
            raise ClashError("the name is taken")  # before all of it is copied
        _clear(here, above, temp)
        try:
            _copy_below(source, here, temp)
            aside.rename_free(above, temp, name)
        except FileExistsError as error:
            raise ClashError("the name is taken") from error
        except OSError as error:
            raise storage_error(error, "giving a folder back") from error
        finally:
            _clear(here, above, temp)
        files.sync(os.path.join(here, "."))


def has_all(source: str, root: str, path: bytes) -> bool:
    """Whether a file or folder of ours lies at `path` in the drop `root`, with all its bytes."""
    inside = list(files.walk(source)) if os.path.isdir(source) else [""]
    return all(
        _digest(root, os.path.join(path, os.fsencode(each)) if each else path)
        == files.digest(os.path.join(source, each) if each else source)
        for each in inside
    )


def _copy_below(source: str, root: str, temp: bytes) -> None:
    made: dict[str, None] = {}
    for path in files.walk(source):
        *folders, name = path.split("/")
        store, own = os.path.split(os.path.join(source, path))
        with (
            _folder(root, [temp, *map(os.fsencode, folders)]) as folder,
            sources.parent_of_drop(store, os.fsencode(own)) as (fd, base),
        ):
            target = f"/proc/self/fd/{folder}/{name}"
            sources.copy_from(fd, base, target, durable=False)
        made |= dict.fromkeys(_chain(os.path.join(root, os.fsdecode(temp)), folders, name))
    for failed in files.sync_all(made).values():
        raise failed


def _remove_hollow(above: int, name: bytes) -> None:
    """Remove a folder that holds nothing but empty folders, as what left a drop leaves it.

    What can't be removed has its name still: that is found by whoever wants it.
    """
    with suppress(OSError):
        if any(found for _, _, found, _ in os.fwalk(name, dir_fd=above)):
            return
        for _, folders, _, here in os.fwalk(name, topdown=False, dir_fd=above):
            for each in folders:
                os.rmdir(each, dir_fd=here)
        os.rmdir(name, dir_fd=above)


def _chain(top: str, folders: list[str], name: str) -> Iterator[str]:
    """A file below a folder, and every folder on the way to it."""
    yield top
    for part in (*folders, name):
        top = os.path.join(top, part)
        yield top


def _clear(here: str, above: int, temp: bytes) -> None:
    """Remove a folder of ours in a drop with all that is in it; no link is followed."""
    if not os.path.lexists(os.path.join(here, os.fsdecode(temp))):
        return
    try:
        shutil.rmtree(temp, dir_fd=above)
    except OSError as error:
        raise storage_error(error, "removing a folder in a drop") from error


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
            return blocks.digest(file)
    except NotTakenError:
        return ""
    except OSError as error:
        raise storage_error(error, "reading a dropped file") from error


def may_be_written(root: str) -> bool:
    """Whether a drop is a directory that this process may make files in."""
    return os.access(root, os.W_OK | os.X_OK, effective_ids=True)
