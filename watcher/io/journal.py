"""A file of lines: a listing written in one go and read once, a record that gains durable lines."""

import os
from collections.abc import Iterable, Iterator

from watcher.core.errors import storage_error
from watcher.io.files import make_folder, sync
from watcher.io.opening import write_all
from watcher.io.reaching import check_store, check_way, opened, read_if_there

_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC


def append(path: str, lines: Iterable[str]) -> None:
    """Lines at the end of a listing in a store, which is made where it is not there.

    Not durable: sync the file and its folder once all is written. StorageError.
    """
    check_way(path)
    try:
        with open(os.open(path, _APPEND, 0o666), "w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)
    except OSError as error:
        raise storage_error(error, "writing a journal", path) from error


def lines(path: str) -> Iterator[bytes]:
    """The lines of such a file, one after the other; none where it is not there. StorageError."""
    try:
        with opened(path) as file:
            yield from file
    except FileNotFoundError:
        return
    except OSError as error:
        raise storage_error(error, "reading a journal", path) from error


def append_line(path: str, line: str) -> None:
    """One line at the end of a record, durable; a torn last line is closed first."""
    make_folder(os.path.dirname(path))
    check_store(path)
    try:
        fd = os.open(
            path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666
        )
        try:
            size = os.fstat(fd).st_size
            torn = size > 0 and os.pread(fd, 1, size - 1) != b"\n"
            write_all(fd, memoryview((b"\n" if torn else b"") + line.encode() + b"\n"))
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        raise storage_error(error, "appending to a record", path) from error
    if size == 0:
        sync(os.path.dirname(path))


def append_once(path: str, line: str) -> bool:
    """The same, unless the very line is there already; whether it was written."""
    if line.encode() in (read_if_there(path) or b"").splitlines():
        return False
    append_line(path, line)
    return True
