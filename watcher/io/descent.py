"""Down into a drop by descriptor of directory, following no link: what lies at a path there.

Between listing and opening, anything may vanish or become something else: a race is normal.
"""

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from stat import S_IFBLK, S_IFCHR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK
from typing import Final, Literal

from watcher.core.errors import MissingPlaceError, storage_error
from watcher.core.file import Fingerprint

Kind = Literal["file", "link", "fifo", "socket", "device"]

FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_KINDS: Final[dict[int, Kind]] = {
    S_IFREG: "file",
    S_IFLNK: "link",
    S_IFIFO: "fifo",
    S_IFSOCK: "socket",
    S_IFBLK: "device",
    S_IFCHR: "device",
}
VANISHED: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
_MISSING = VANISHED | {errno.ENOTCONN, errno.ESTALE, errno.ENODEV, errno.EHOSTDOWN}
_STAYS = VANISHED | {
    *(errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY, errno.EACCES, errno.EPERM, errno.EROFS),
}


@dataclass(frozen=True, slots=True)
class Seen:
    """Something that is no directory. `path` is relative to the drop."""

    path: bytes
    print: Fingerprint
    kind: Kind

    @classmethod
    def of(cls, path: bytes, status: os.stat_result) -> "Seen | None":
        """What a status tells of; None where it is that of a directory."""
        kind = _KINDS.get(S_IFMT(status.st_mode))
        return None if kind is None else cls(path, Fingerprint.of(status), kind)


def stat(root: str, paths: Sequence[bytes]) -> list[Seen | int | None]:
    """What lies at each of `paths`: None, it is gone; a number, the errno that hid it.

    No link is followed in any part of a path. A directory or a place behind a link is no file of
    the drop: gone. MissingPlaceError where root is not there or is no directory, StorageError
    where it can't be opened.
    """
    answers: list[Seen | int | None] = [None] * len(paths)
    together: dict[tuple[bytes, ...], list[int]] = {}
    for index, path in enumerate(paths):
        together.setdefault(parts_of(path)[:-1], []).append(index)
    with opened(root) as top:
        for parts, indexes in together.items():
            try:
                with descended(top, parts) as folder:
                    for index in indexes:
                        answers[index] = _stat(folder, paths[index])
            except OSError as error:
                for index in indexes:
                    answers[index] = _hidden(error)
    return answers


def prune(root: str, folders: Sequence[bytes]) -> list[bytes]:
    """Remove those `folders` that are empty, children before parents; gives those removed.

    Never the root. One that is not empty, busy, or may not be removed stays. StorageError for
    other faults; raises as `stat` does.
    """
    removed = []
    with opened(root) as top:
        for path in sorted(set(folders) - {b""}, key=lambda path: -path.count(b"/")):
            *parts, name = parts_of(path)
            try:
                with descended(top, parts) as parent:
                    os.rmdir(name, dir_fd=parent)
            except OSError as error:
                if error.errno not in _STAYS:
                    raise storage_error(error, "removing an empty directory") from error
            else:
                removed.append(path)
    return removed


def _stat(folder: int, path: bytes) -> Seen | int | None:
    """What lies at `path`, by its last part in the open `folder`."""
    try:
        status = os.stat(path.rpartition(b"/")[2], dir_fd=folder, follow_symlinks=False)
    except OSError as error:
        return _hidden(error)
    return Seen.of(path, status)


def _hidden(error: OSError) -> int | None:
    """None: gone; else why it can't be told."""
    return None if error.errno in VANISHED else error.errno


@contextmanager
def opened(root: str) -> Iterator[int]:
    """The root, open. It comes from the configuration, so its own path may lead over links."""
    try:
        top = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        if error.errno in _MISSING:
            raise MissingPlaceError("the directory is not there") from error
        raise storage_error(error, "opening the directory") from error
    try:
        yield top
    finally:
        os.close(top)


@contextmanager
def descended(top: int, parts: Sequence[bytes]) -> Iterator[int]:
    """A directory below `top`, open; no part of the way may be a link. OSErrors fly."""
    here = os.dup(top)
    try:
        for part in parts:
            above, here = here, os.open(part, FOLDER, dir_fd=here)
            os.close(above)
        yield here
    finally:
        os.close(here)


def parts_of(path: bytes) -> tuple[bytes, ...]:
    """A relative path in parts; ValueError for one that no look gave (`..`, a leading slash)."""
    parts = tuple(path.split(b"/")) if path else ()
    if not {b"", b".", b".."}.isdisjoint(parts):
        raise ValueError("not a plain relative path")
    return parts
