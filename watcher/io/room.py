"""How much room a file system has left."""

import errno
import os
from dataclasses import dataclass

from watcher.core.errors import MissingPlaceError, storage_error


@dataclass(frozen=True, slots=True)
class Space:
    """Room for this user. A file system without a count of inodes says 0 of 0."""

    bytes_free: int
    bytes_total: int
    inodes_free: int
    inodes_total: int
    readonly: bool = False  # mounted so, or gone so after a fault


def free(path: str) -> Space:
    """What is left on the file system of `path`, in bytes and inodes, for one who is not root.

    MissingPlaceError where there is no such path, StorageError where it can't be asked.
    """
    try:
        status = os.statvfs(path)
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ENOTDIR}:
            raise MissingPlaceError("the place is not there") from error
        raise storage_error(error, "asking for free space") from error
    unit = status.f_frsize
    return Space(
        bytes_free=status.f_bavail * unit,
        bytes_total=status.f_blocks * unit,
        inodes_free=status.f_favail,
        inodes_total=status.f_files,
        readonly=bool(status.f_flag & os.ST_RDONLY),
    )
