"""Files in hand: reserved in the ledger, not yet known to be durable in the prearchive."""

import os
from collections.abc import Sequence
from contextlib import suppress

from watcher.core.errors import StorageError
from watcher.core.session import Instance
from watcher.io import files, sources
from watcher.io.desk import Hand, Reserved
from watcher.stages.parts import Parts


def settle_hands(parts: Parts) -> int:
    """Finish or take back what a crash, or a full disk, left between reserve and record.

    Gives how many files were concerned. Those taken back have their source still and are filed
    again; those finished are known as duplicates. What can't be done now stays in hand.
    """
    number = 0
    for owner, instances in parts.receiving.reserved().items():
        session = parts.ledger.session(owner)
        folder = parts.storage.folder(session)
        for instance in instances:
            with suppress(StorageError):
                _settle(parts, Hand(session, instance), folder, instance)
                number += 1
    return number


def _settle(parts: Parts, hand: Hand, folder: str, instance: Instance) -> None:
    target = os.path.join(folder, instance.place.path)
    files.clear_half(target, files.temporary(target))
    files.remove(files.temporary(target))
    if _is_whole(target, instance.digest) and _is_own(target, instance.digest):
        files.sync(target)
        files.sync_folders([target])
        parts.receiving.record([hand], {})
        return
    if not _is_all_there_is(parts, target, instance) and files.remove(target):
        files.sync_folders([target])  # the reservation, perhaps on another disk, tells of it
    release(parts, [hand])


def _is_whole(target: str, digest: str) -> bool:
    """Whether the very bytes are there; what can't be read is filed again from its source."""
    try:
        return files.print_of(target) is not None and files.digest(target) == digest
    except StorageError:
        return False


def _is_own(target: str, digest: str) -> bool:
    """Whether nobody can change it any more, as who still has its source could."""
    return sources.is_alone(target) or sources.make_own(target, digest)


def make_all_own(paths: Sequence[str]) -> None:
    """The same of files that no ledger knows: those that may share an inode get one each."""
    for path in paths:
        if not sources.is_alone(path):
            sources.make_own(path)


def _is_all_there_is(parts: Parts, target: str, instance: Instance) -> bool:
    """Whether its source is gone already: somebody wrote to it while it was taken.

    Such a file stays, unknown to the ledger; the start reads it anew, with the tree.
    """
    found = files.print_of(target)
    if found is None or sources.has_other_name(target):
        return False
    return parts.receiving.is_of(found.inode, instance)


def release(parts: Parts, failed: Sequence[Reserved | Hand]) -> None:
    """Give reservations back that came to nothing, and the sessions that only they held."""
    for session in parts.receiving.release(failed):
        record = parts.storage.beside(session, "json")
        files.remove(record)
        files.remove(files.temporary(record))
        files.remove_empty_below(os.path.dirname(parts.storage.folder(session)))
