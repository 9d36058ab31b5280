"""What a placing leaves that a crash cut off: its temporary file, and a name that it reserved.

Where a file system has no links, a new name is reserved by an empty file, which the temporary then
replaces. A crash between the two leaves both: the empty file is known by the whole temporary of its
name, which is older. Without it an empty file is somebody's, and stays.
"""

import errno
import hashlib
import os
from typing import Final

from watcher.core.errors import storage_error
from watcher.core.file import Fingerprint
from watcher.io.reaching import print_of

NAME_LENGTH: Final = 255  # bytes; NAME_MAX of Linux
NO_LINKS: Final = frozenset(
    {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.ENOTSUP}
)


def temporary(path: str) -> str:
    """The one temporary name beside `path`; a crash leaves it for the repeated step to replace."""
    folder, name = os.path.split(path)
    if len(os.fsencode(name)) > NAME_LENGTH - len("..new"):
        name = hashlib.sha256(os.fsencode(name)).hexdigest()
    return os.path.join(folder, f".{name}.new")


def placed(path: str) -> Fingerprint | None:
    """What lies under a name in a store, or None; also where that is only reserved."""
    found = print_of(path)
    reserved = found is not None and found.size == 0 and clear_half(path, temporary(path))
    return None if reserved else found


def clear_half(path: str, temp: str) -> bool:
    """Give a name free that `temp` was about to take when it was cut off; whether it was.

    The temporary stays, so that this can be repeated. StorageError.
    """
    there = print_of(path)
    if there is None or there.size > 0:
        return False
    source = print_of(temp)
    if source is None or source.size == 0 or there.ctime_ns < source.ctime_ns:
        return False
    try:
        os.remove(path)
    except OSError as error:
        raise storage_error(error, "giving a name free") from error
    return True
