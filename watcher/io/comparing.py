"""Two files compared, in a reader process: both may be hostile (spec 13).

A pair that passes a bound is told to be neither the same nor different, and why.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from watcher.core.errors import OutsideError, StorageError, storage_error
from watcher.dicom.compare import Compared, Source, compare
from watcher.io.opening import read_at
from watcher.io.reaching import opened

__all__ = ["compared", "reply_to"]

_DOING = "comparing two files"


def reply_to(pair: Sequence[str]) -> dict[str, Any]:
    """A reader's answer about two files, whatever they are or hold.

    The fields of `Compared`, or `errno doing`.
    """
    try:
        found = compared(*pair)
    except StorageError as error:
        return {"errno": error.number, "doing": _DOING}
    except Exception as error:  # the error border: no bytes may end the worker
        text = f"it failed with {type(error).__name__}"  # the message may show values
        found = Compared(None, text=text)
    return asdict(found)


def compared(one: str, other: str) -> Compared:
    """Whether two files hold the same data set, and where they differ.

    None where it can't be told, as of what is no regular file. Raises StorageError.
    """
    try:
        with _source(one) as first, _source(other) as second:
            return compare(first, second)
    except OutsideError:
        return Compared(None)
    except OSError as error:
        raise storage_error(error, _DOING) from error


@contextmanager
def _source(path: str) -> Iterator[Source]:
    with opened(path) as file:
        fd = file.fileno()
        yield Source(lambda at, count: read_at(fd, at, count), os.fstat(fd).st_size)
