"""Digests of many files, two at a time, remembered while their fingerprints stay the same."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from watcher.core.errors import StorageError, storage_error
from watcher.core.file import Fingerprint
from watcher.dicom.structure import looks_dicom
from watcher.io import files

THREADS: Final = 2
BATCH: Final = 256  # files asked for at once
HEAD: Final = 132  # bytes that tell a DICOM file
_HASHING: Final = ThreadPoolExecutor(THREADS, "md5")  # starts a thread when there is work for it


class Digests:
    """MD5s by path. A file that has not changed since is not read again.

    `before` is called before each file is read, and may raise; `after` with its size in bytes.
    Both are called in threads.
    """

    def __init__(self, before: Callable[[], None], after: Callable[[int], None]) -> None:
        self._before = before
        self._after = after
        self._known: dict[str, tuple[Fingerprint, str]] = {}

    def of(self, wanted: Sequence[tuple[str, Fingerprint]]) -> list[str | StorageError]:
        """The digest of each of these files, in order, or why it can't be read."""
        batches = (wanted[at : at + BATCH] for at in range(0, len(wanted), BATCH))
        return [found for some in batches for found in _HASHING.map(self._one, some)]

    def _one(self, wanted: tuple[str, Fingerprint]) -> str | StorageError:
        path, seen = wanted
        known = self._known.get(path)
        if known is not None and known[0] == seen:
            return known[1]
        self._before()
        try:
            digest = files.digest(path)
        except StorageError as error:
            return error
        self._known[path] = seen, digest
        self._after(seen.size)
        return digest


def is_dicom(path: str) -> bool:
    """Whether a regular file begins as DICOM does. StorageError where none can tell."""
    if files.print_of(path) is None:
        return False
    try:
        with open(path, "rb") as file:
            return looks_dicom(file.read(HEAD))
    except OSError as error:
        raise storage_error(error, "reading a file") from error
