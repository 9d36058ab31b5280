"""One file under its name in the prearchive, linked or copied; what else lies there stays."""

import errno
import os
from typing import Final

from watcher.core.errors import ClashError, StorageError
from watcher.core.policy import Drop
from watcher.io import files, sources
from watcher.io.desk import Incoming
from watcher.io.halves import NO_LINKS
from watcher.stages.parts import Parts

# a link would not do after all: another file system behind the same device number, or a policy
NOT_LINKABLE: Final = NO_LINKS | {errno.EXDEV, errno.EACCES}
# what lies there is a link or a folder, or may not be read: none of ours
STRANGE: Final = frozenset({errno.ELOOP, errno.EISDIR, errno.EACCES, errno.EPERM})


class ChangedError(Exception):
    """The source is not what was read any more; it was left alone."""


def put(parts: Parts, drop: Drop, incoming: Incoming, target: str) -> bool:
    """Whether the name has these bytes now; False where something else lies there.

    StorageError where the machine said no, or it can't be told; ChangedError.
    """
    try:
        if temp := incoming.examined.temp:
            files.transfer(os.path.join(parts.storage.incoming, temp), target)
        else:
            _link(drop, incoming, target)
    except ClashError:
        return _has(target, incoming.examined.digest)
    return True


def _link(drop: Drop, incoming: Incoming, target: str) -> None:
    with sources.parent_of_drop(drop.path, incoming.candidate.path) as (folder, name):
        sources.link_from(folder, name, target)
    found = files.print_of(target)
    if found is None or not found.same_content(incoming.candidate.print):
        files.remove(target)
        raise ChangedError
    files.match_folder(target)


def _has(target: str, digest: str) -> bool:
    """Whether a name that the ledger does not know has these very bytes, as a crash may leave."""
    try:
        return files.digest(target) == digest
    except StorageError as error:
        if error.number in STRANGE:
            return False
        raise
