"""The errors, each a state the caller can act on.

WatcherError                    .permanent: trying again will not help; .hint: what to type
├── ConfigurationError          exit 2   the file, or what it names, is wrong
├── UnknownSessionError         exit 2   no such session, or the name fits several
├── RefusedError                exit 4   the state forbids it; nothing changed
│   └── HeldError               exit 4   somebody holds the session: who, since when
├── MissingPlaceError           exit 10  a store or drop is not there
├── AlreadyRunningError         exit 11  another daemon holds this store
├── StorageError                a file system said no (errno kept); transient unless told
│   ├── FullError               no space, no inodes, over quota
│   ├── LedgerError             the ledger is damaged, or no longer the one that was opened
│   ├── OutsideError            a link leads out of a store: permanent
│   └── SyncError               fsync failed: the copy is worthless, its source is not
├── ClashError                  a name is taken by other content; nothing was overwritten
├── DocumentError               an XML is not what it should be
└── WorkerError                 the worker processes can't be used
"""

import errno as _errno


class WatcherError(Exception):
    """Something a person can act on. `hint` says how; `exit_code` is API."""

    permanent = True
    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class ConfigurationError(WatcherError):
    """The configuration, or what it names, is wrong. `faults` are all of them, one line each."""

    exit_code = 2

    def __init__(self, message: str, *, faults: tuple[str, ...] = (), hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.faults = faults


class UnknownSessionError(WatcherError):
    """No session fits the name, or several do."""

    exit_code = 2


class RefusedError(WatcherError):
    """The state forbids it; nothing was changed."""

    exit_code = 4


class HeldError(RefusedError):
    """Somebody holds the session or its destination."""

    permanent = False


class MissingPlaceError(WatcherError):
    """A store or drop is not there (a mount that is gone, a marker that is foreign)."""

    permanent = False
    exit_code = 10


class AlreadyRunningError(WatcherError):
    """Another daemon holds a store."""

    permanent = False
    exit_code = 11


class StorageError(WatcherError):
    """A file system said no. `number` is its errno; `place` the path, where known: never said."""

    permanent = False

    def __init__(self, message: str, *, number: int, hint: str = "", place: str = "") -> None:
        super().__init__(message, hint=hint)
        self.number = number
        self.place = place


class FullError(StorageError):
    """No space, no inodes, or over quota."""


class LedgerError(StorageError):
    """The ledger is damaged, emptied, or not the file any more that was opened: made anew."""


class OutsideError(StorageError):
    """A link, or what is no file, has the name of one in a store: nothing is touched."""

    permanent = True

    def __init__(self, message: str) -> None:
        super().__init__(message, number=_errno.ELOOP, hint="put files and folders in its place")


class SyncError(StorageError):
    """fsync failed. Never retried on the same inode: the kernel has forgotten the dirty pages."""


class ClashError(WatcherError):
    """A name is taken by other content. Nothing was overwritten."""


class DocumentError(WatcherError):
    """An XML document can't be read, or would not be valid."""


class WorkerError(WatcherError):
    """The worker processes can't be started or used."""

    permanent = False


def told(error: Exception) -> str:
    """What may be said of an error: our own words, else its type; others may quote the data."""
    return str(error) if isinstance(error, WatcherError) else type(error).__name__


FULL_NUMBERS = frozenset({_errno.ENOSPC, _errno.EDQUOT})


def storage_error(error: OSError, doing: str, place: str | bytes = "") -> StorageError:
    """The tree's own error for an OSError; `doing` is a phrase without names of files.

    `place`: the path it happened at, where the OSError does not say it, as of a write.
    """
    number = error.errno or 0
    kind = FullError if number in FULL_NUMBERS else StorageError
    where = place or error.filename2 or error.filename or ""  # of a link the new name comes second
    text = where.decode("utf-8", "surrogateescape") if isinstance(where, bytes) else str(where)
    return kind(f"{doing}: {error.strerror or error}", number=number, place=text)


def damaged(why: str) -> LedgerError:
    """What is said of a ledger that can't be used any more."""
    hint = "`watcher run` sets it aside and rebuilds it from the stores"
    return LedgerError(f"the ledger: {why}", number=_errno.EIO, hint=hint)
