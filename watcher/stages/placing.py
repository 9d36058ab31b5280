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

# a link would not do after all: another file system behind the same device number, a policy, or a
# share on which names are not counted or have an inode number each
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
    """Link it, if what then lies there is told to be the source, and to have two names.

    Else nobody could tell later whether a name is left by which a sender may change what is filed:
    StorageError, and it is to be copied. SMB counts no names; a share may number each of them.
    """
    read, path = incoming.candidate.print, incoming.candidate.path
    with sources.parent_of_drop(drop.path, path) as (folder, name):
        sources.link_from(folder, name, target)
    linked = files.print_of(target)
    same = linked is not None and linked.same_content(read)
    if same and sources.has_other_name(target):
        files.match_folder(target)
        return
    source = sources.print_in(drop.path, path)
    if same and (source is None or source.inode != read.inode):  # its sender took its name away
        if sources.is_alone(target):  # it is all there is
            files.match_folder(target)
            return
        sources.link_back(drop.path, path, target)  # it comes again
    files.remove(target)
    if source is None or not source.same_content(read):
        raise ChangedError
    raise StorageError("its link is not told to be the same file", number=errno.EXDEV, place=target)


def _has(target: str, digest: str) -> bool:
    """Whether a name that the ledger does not know has these very bytes, as a crash may leave."""
    try:
        return files.digest(target) == digest
    except StorageError as error:
        if error.number in STRANGE:
            return False
        raise
