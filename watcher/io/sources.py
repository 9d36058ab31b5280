"""Reaching dropped files: names there are hostile, so no component of a path follows a link."""

import errno
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from watcher.core.errors import ClashError, storage_error
from watcher.core.file import Fingerprint
from watcher.io import aside, blocks, files
from watcher.io.halves import NO_LINKS
from watcher.io.ignore import Ignore
from watcher.io.opening import FILE, NotTakenError, lease
from watcher.io.scan import NOTHING, Known, Look, look

FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
GONE: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})  # nor would it take a copy


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
            return aside.remove(folder, name, expected)
    except OSError as error:
        if error.errno in GONE:
            return False
        raise


def give_back(
    root: str,
    paths: Sequence[bytes],
    taken: Mapping[bytes, Fingerprint] = MappingProxyType({}),
) -> list[tuple[bytes, int]]:
    """Give files that a crash left aside their names again; the folders where it fails, and errno.

    Those that are gone are gone. One that is `taken`, as it was then, was on its way out: it goes.
    """
    failed: dict[bytes, int] = {}
    for path in paths:
        expected = taken.get(
            os.path.join(os.path.dirname(path), aside.name_of(os.path.basename(path)))
        )
        try:
            with parent_of(root, path) as (folder, name):
                if expected is None or not aside.finish(folder, name, expected):
                    aside.give_back(folder, name)
        except OSError as error:
            if error.errno not in GONE:
                failed[os.path.dirname(path)] = error.errno or errno.EIO
    return list(failed.items())


def look_wholly(
    root: str,
    ignore: Ignore,
    beat: Callable[[], None],
    known: Known = NOTHING,
    *,
    mind: bool = False,
    taken: Mapping[bytes, Fingerprint] = MappingProxyType({}),
) -> Look:
    """As `scan.look` at a whole drop; what a crash left aside has its name again before.

    What of it is `taken` is gone instead: in a transactional drop the rest of a unit would be one.
    """
    found = look(root, ignore=ignore, beat=beat, known=known, mind=mind)
    if not found.aside:
        return found
    failed = give_back(root, found.aside, taken)
    again = look(root, ignore=ignore, beat=beat, known=known, mind=mind)
    return replace(again, failed=[*again.failed, *failed])


def link_back(root: str, path: bytes, target: str) -> bool:
    """Give a file that was linked into a store its name in the drop again; whether it has it."""
    try:
        with parent_of(root, path) as (folder, name):
            with suppress(FileExistsError):
                os.link(target, name, dst_dir_fd=folder, follow_symlinks=False)
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        return os.path.samestat(found, os.lstat(target))
    except OSError as error:
        if error.errno in GONE:
            return False
        raise storage_error(error, "giving a file back") from error


def print_in(root: str, path: bytes) -> Fingerprint | None:
    """The fingerprint of what has a name in a drop, or None; StorageError if unsure."""
    try:
        with parent_of(root, path) as (folder, name):
            return Fingerprint.of(os.stat(name, dir_fd=folder, follow_symlinks=False))
    except OSError as error:
        if error.errno in GONE:
            return None
        raise storage_error(error, "looking at a dropped file") from error


def count_names(path: str) -> int:
    """How many names a file has, as its file system tells. OSError passes."""
    return os.lstat(path).st_nlink


def has_other_name(path: str) -> bool:
    """Whether a placed file has a second link somewhere; False where it is not there."""
    try:
        return count_names(path) > 1
    except OSError as error:
        if error.errno in GONE:
            return False
        raise storage_error(error, "looking at a placed file") from error


def is_alone(path: str) -> bool:
    """Whether a placed file has no other name, and that is counted where it lies; or it is gone.

    It is given a second name for a moment: SMB says of every file that it has one. Where it can't
    have one it was not linked from anywhere.
    """
    if has_other_name(path):
        return False
    temp = files.temporary(path)
    files.remove(temp)
    try:
        os.link(path, temp, follow_symlinks=False)
        return count_names(path) > 1
    except OSError as error:
        if error.errno in GONE | NO_LINKS | FULL:
            return True
        raise storage_error(error, "counting a file's names") from error
    finally:
        files.remove(temp)


def make_own(path: str, digest: str = "") -> bool:
    """Give a placed file an inode of its own, so that no other name of it reaches it; durable.

    Whether it was done: where its bytes do not have this digest any more, nothing is changed.
    """
    temp = files.temporary(path)
    files.remove(temp)
    try:
        folder = os.open(os.path.dirname(path), FOLDER)
        try:
            copy_from(folder, os.fsencode(os.path.basename(path)), temp)
        finally:
            os.close(folder)
        if digest and files.digest(temp) != digest:
            return False
        files.guard(path)  # copying may take long
        os.rename(temp, path)
    except OSError as error:
        raise storage_error(error, "copying a placed file") from error
    finally:
        files.remove(temp)
    files.sync_folders([path])
    return True


def copy_from(folder: int, name: bytes, target: str, *, durable: bool = True) -> None:
    """Copy a drop's regular file to a new name in a store; ClashError if it is taken.

    Durable, but for one of many that are made so together. Half a copy is removed again.
    """
    try:
        source = os.open(name, FILE, dir_fd=folder)
        try:
            if not stat.S_ISREG(os.fstat(source).st_mode):
                raise OSError(errno.ESTALE, "it is no regular file any more")
            _copy(source, target, durable=durable)
        finally:
            os.close(source)
    except FileExistsError as error:
        raise ClashError("the name is taken") from error
    except OSError as error:
        raise storage_error(error, "copying a file") from error


def _copy(source: int, target: str, *, durable: bool) -> None:
    with open(target, "xb") as new:
        try:
            blocks.copy(source, new)
            if durable:
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
