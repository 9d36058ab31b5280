"""A file of lines that is written in one go and read once: never whole in memory."""

import os
from collections.abc import Iterable, Iterator

from watcher.core.errors import storage_error
from watcher.io.reaching import check_way, opened

_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC


def append(path: str, lines: Iterable[str]) -> None:
    """Lines at the end of a file in a store, which is made where it is not there.

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
