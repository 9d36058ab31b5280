"""A dropped file's last moments: it is renamed aside, looked at once more, and only then removed.

Between a look at a name and its removal somebody may rename another file to it, or write to it.
What has our own name can't be replaced nor opened by the name its sender knows; who has it open
still holds back our lease. What turns out to be another file gets its name back. A crash between
the two leaves the file aside: a look finds it, and gives it back.
"""

import ctypes
import errno
import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from watcher.core.file import Fingerprint
from watcher.io.halves import NAME_LENGTH
from watcher.io.opening import FILE, NotTakenError, lease

LEAVING: Final = ".watcher-leaving-"
_MARK: Final = 4  # random bytes: whatever a crash left is never replaced
_NOREPLACE: Final = 1  # renameat2(2); Python 3.11 has no call of its own for it
_UNKNOWN: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})
_renameat2: Final = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)


def remove(folder: int, name: bytes, expected: Fingerprint) -> bool:
    """Remove a file of an open folder if it has this content still; whether it was. OSError passes.

    A name too long to be put aside is removed as it is.
    """
    if expected != Fingerprint.of(os.stat(name, dir_fd=folder, follow_symlinks=False)):
        return False
    aside = os.fsencode(f"{LEAVING}{os.urandom(_MARK).hex()}.") + name
    if len(aside) > NAME_LENGTH:
        os.unlink(name, dir_fd=folder)
        return True
    os.rename(name, aside, src_dir_fd=folder, dst_dir_fd=folder)
    try:
        if _is_that(folder, aside, expected):
            os.unlink(aside, dir_fd=folder)
            return True
    except OSError:
        _return(folder, aside, name)
        raise
    _return(folder, aside, name)
    return False


def give_back(folder: int, aside: bytes) -> None:
    """Give what a crash left aside its name again, or one beside it. OSError passes."""
    _return(folder, aside, name_of(aside))


def name_of(aside: bytes) -> bytes:
    """The name of what lies aside."""
    return aside.partition(b".")[2].partition(b".")[2]


def finish(folder: int, aside: bytes, expected: Fingerprint) -> bool:
    """Remove what a crash left aside on its way out, if it is that still. OSError passes."""
    if not _is_that(folder, aside, expected):
        return False
    os.unlink(aside, dir_fd=folder)
    return True


def _is_that(folder: int, name: bytes, expected: Fingerprint) -> bool:
    """Whether it has the content expected, and nobody has it open for writing."""
    try:
        file = os.open(name, FILE, dir_fd=folder)
    except OSError:  # a link or what may not be opened: not what was read, its name comes back
        return False
    try:
        lease(file, "try")
        return Fingerprint.of(os.fstat(file)).same_content(expected)
    except NotTakenError:
        return False
    finally:
        os.close(file)


def _return(folder: int, aside: bytes, name: bytes) -> None:
    for free in _names(name):
        try:
            rename_free(folder, aside, free)
        except FileExistsError:
            continue
        return


def rename_free(folder: int, old: bytes, new: bytes) -> None:
    """Rename within a folder; FileExistsError where the name is taken. OSError passes.

    On file systems that know no RENAME_NOREPLACE, as NFS, somebody may take it in between. A link
    would not do: where nothing can be removed it would leave another name at every try.
    """
    if _renameat2 is not None:
        if _renameat2(folder, old, folder, new, _NOREPLACE) == 0:
            return
        number = ctypes.get_errno()
        if number not in _UNKNOWN:
            raise OSError(number, os.strerror(number))
    with suppress(FileNotFoundError):
        os.stat(new, dir_fd=folder, follow_symlinks=False)
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    os.rename(old, new, src_dir_fd=folder, dst_dir_fd=folder)


def _names(name: bytes) -> Iterator[bytes]:
    yield name
    number = 1
    while True:
        yield b"%b-%d" % (name, number)
        number += 1
