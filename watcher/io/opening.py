"""Opening a file of a drop: nothing outside the drop, nothing but a regular file (spec 13).

Each folder is opened below the one before without following links: a link swapped in between two
looks leads nowhere.
"""

import errno
import fcntl
import os
import signal
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from watcher.core.file import Fingerprint, Refusal, RefusalCode
from watcher.io.remote import is_remote

__all__ = [
    "FailedError",
    "NotTakenError",
    "doing",
    "lease",
    "open_regular",
    "read_at",
    "unchanged",
    "write_all",
]

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_BELOW: Final = _FOLDER | os.O_NOFOLLOW
# O_NONBLOCK: a FIFO does not hang us; O_NOCTTY: nor does a terminal become ours.
FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

_GONE: Final = Refusal(RefusalCode.GONE, "It is not there any more.")
_DENIED: Final = Refusal(
    RefusalCode.DENIED, "It may not be read.", "Let the daemon's user read the file and its folder."
)
_IRREGULAR: Final = Refusal(RefusalCode.NOT_REGULAR, "It is a link or a device, not a file.")
_CHANGED: Final = Refusal(RefusalCode.CHANGED, "It changed while it was read.")
_ERRNOS: Final = {
    errno.ENOENT: _GONE,
    errno.ENOTDIR: _GONE,
    errno.EACCES: _DENIED,
    errno.EPERM: _DENIED,
    errno.ELOOP: _IRREGULAR,
    errno.ENXIO: _IRREGULAR,  # a socket
    errno.ENODEV: _IRREGULAR,
}


class NotTakenError(Exception):
    """The file is refused at this look."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.text)
        self.refusal = refusal


class FailedError(Exception):
    """The machine said no; it may say yes later."""

    def __init__(self, number: int, doing: str, place: str) -> None:
        super().__init__(doing)
        self.number, self.doing, self.place = number, doing, place


@contextmanager
def doing(what: str, place: str) -> Iterator[None]:
    """Turns an OSError of the block into a FailedError that tells what was done, and where."""
    try:
        yield
    except OSError as error:
        raise FailedError(error.errno or errno.EIO, what, place) from error


def read_at(file: int, at: int, count: int) -> bytes:
    """So many bytes, fewer only at the end of the file: a read of a share may be short."""
    data = os.pread(file, count, at)
    while 0 < len(data) < count and (more := os.pread(file, count - len(data), at + len(data))):
        data += more
    return data


@contextmanager
def open_regular(root: str, path: str) -> Iterator[int]:
    """Descriptor of the regular file `path` below `root`.

    Raises NotTakenError (gone, denied, not-regular) and other OSErrors as they come.
    """
    *folders, name = path.split("/")
    if not {"", ".", ".."}.isdisjoint({*folders, name}) or "\0" in path:
        raise NotTakenError(_IRREGULAR)
    with ExitStack() as stack:
        folder = _open(stack, root, _FOLDER, None)
        for part in folders:
            folder = _open(stack, part, _BELOW, folder)
        file = _open(stack, name, FILE, folder)
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise NotTakenError(_IRREGULAR)
        yield file


def _open(stack: ExitStack, name: str, flags: int, folder: int | None) -> int:
    try:
        descriptor = os.open(name, flags, dir_fd=folder)
    except OSError as error:
        refusal = _ERRNOS.get(error.errno or 0)
        if refusal is None or (refusal is _IRREGULAR and _is(stat.S_ISREG, name, folder)):
            raise  # a regular file whose device is gone is no device
        if error.errno == errno.ENOTDIR and _is(stat.S_ISLNK, name, folder):
            refusal = _IRREGULAR
        raise NotTakenError(refusal) from error
    stack.callback(os.close, descriptor)
    return descriptor


def _is(kind: Callable[[int], bool], name: str, folder: int | None) -> bool:
    """Whether a name stands for that kind: of a link where a folder should be Linux says ENOTDIR.

    False where there is no such name any more.
    """
    try:
        return kind(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def lease(file: int, policy: str) -> None:
    """Ask the kernel whether somebody has the file open for writing (stack-facts 1.5).

    policy: `require` refuses where no lease can be had (not the owner, not on this file system),
    `try` then relies on the quiet time, `skip` does not ask. Raises NotTakenError (busy, unleased).
    A network file system is not asked: NFS 4.2 says that every file has a writer (measured), and
    none knows of those on other hosts.
    """
    if policy == "skip":
        return
    number = errno.EOPNOTSUPP if is_remote(file) else _asked(file)
    if number == errno.EAGAIN:
        refusal = Refusal(RefusalCode.BUSY, "Somebody still has it open for writing.")
        raise NotTakenError(refusal)
    if number and policy == "require":
        raise NotTakenError(Refusal(RefusalCode.UNLEASED, "No lease can be had on it."))


def _asked(file: int) -> int:
    """The errno of a read lease; 0: it was granted, and given back."""
    try:
        # A writer who comes now breaks the lease: by a signal that does nothing, not by SIGIO.
        fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return error.errno or errno.EIO
    return 0


def unchanged(file: int, before: os.stat_result, policy: str) -> Fingerprint:
    """The file's print now, if nobody wrote meanwhile; else NotTakenError (changed, busy)."""
    lease(file, policy)
    after = Fingerprint.of(os.fstat(file))
    if not after.same_content(Fingerprint.of(before)):
        raise NotTakenError(_CHANGED)
    return after


def write_all(out: int, block: memoryview) -> None:
    """All of a block: a write may be short."""
    while block:
        block = block[os.write(out, block) :]
