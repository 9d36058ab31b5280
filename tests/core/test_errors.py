"""The errors are states: what they keep, and what a program ends with."""

import errno

import pytest

from watcher.core import errors
from watcher.core.errors import (
    ConfigurationError,
    FullError,
    StorageError,
    SyncError,
    WatcherError,
    storage_error,
)

CODES = {
    "WatcherError": 1,
    "ConfigurationError": 2,
    "UnknownSessionError": 2,
    "RefusedError": 4,
    "HeldError": 4,
    "MissingPlaceError": 10,
    "AlreadyRunningError": 11,
    "StorageError": 1,
    "FullError": 1,
    "LedgerError": 1,
    "OutsideError": 1,
    "SyncError": 1,
    "ClashError": 1,
    "DocumentError": 1,
    "WorkerError": 1,
}
PASSING = {  # trying again may help
    "HeldError",
    "MissingPlaceError",
    "AlreadyRunningError",
    "StorageError",
    "FullError",
    "LedgerError",
    "SyncError",
    "WorkerError",
}
ALL = [
    each
    for each in vars(errors).values()
    if isinstance(each, type) and issubclass(each, WatcherError)
]


def test_codes():
    """Exit codes are API (spec 4), and every error stands in the drawing."""
    assert {each.__name__: each.exit_code for each in ALL} == CODES
    assert all(each.__name__ in errors.__doc__ for each in ALL)


def test_permanent():
    """Exactly the passing faults are worth another try."""
    assert {each.__name__ for each in ALL if not each.permanent} == PASSING


def test_fields():
    """An error carries what a person needs: text, hint, faults, errno."""
    wrong = ConfigurationError("wrong", faults=("a", "b"), hint="watcher check")
    assert ("wrong", ("a", "b"), "watcher check") == (str(wrong), wrong.faults, wrong.hint)
    sync = SyncError("fsync", number=errno.EIO)
    assert (errno.EIO, "") == (sync.number, sync.hint)


@pytest.mark.parametrize(
    ("number", "kind"),
    [(errno.ENOSPC, FullError), (errno.EDQUOT, FullError), (errno.EIO, StorageError)],
)
def test_storage_error(number, kind):
    """A full disk and a full quota are their own state; no name of a file is in the text."""
    error = storage_error(OSError(number, "no", "/srv/DOE^JOHN"), "placing a file")
    assert (kind, number, "placing a file: no") == (type(error), error.number, str(error))


def test_storage_error_without_number():
    """An OSError that says nothing is a StorageError with errno 0, and its own text."""
    error = storage_error(OSError("odd"), "reading")
    assert (0, "reading: odd") == (error.number, str(error))


def test_place():
    """Where it happened: as given, else as the system says it, of a link the new name."""
    link = OSError(28, "No space left", "old", None, "new")
    found = [storage_error(link, "x"), storage_error(OSError(5, "no", "a"), "x")]
    found += [
        storage_error(OSError(5, "no"), "x", b"caf\xe9"),
        storage_error(OSError(5, "no"), "x"),
    ]
    assert ["new", "a", "caf\udce9", ""] == [each.place for each in found]
