"""Files in hand: reserved in the ledger, not yet known to be durable in the prearchive."""

import os
from collections.abc import Sequence

from watcher.core.errors import StorageError
from watcher.io import files
from watcher.io.reserve import Hand, Reserved
from watcher.stages.parts import Parts


def settle_hands(parts: Parts) -> int:
    """Finish or take back what a crash, or a full disk, left between reserve and record.

    Gives how many files were concerned. Their sources were not removed, so those taken back are
    filed again and those finished are known as duplicates.
    """
    number = 0
    for owner, instances in parts.receiving.reserved().items():
        session = parts.ledger.session(owner)
        folder = parts.storage.folder(session)
        for instance in instances:
            target = os.path.join(folder, instance.place.path)
            hand = Hand(session, instance)
            if _is_whole(target, instance.digest):
                files.sync(target)
                files.sync_folders([target])
                parts.receiving.record([hand], {})
            else:
                files.remove(target)
                release(parts, [hand])
            number += 1
    return number


def _is_whole(target: str, digest: str) -> bool:
    """Whether the very bytes are there; what can't be read is filed again from its source."""
    try:
        return files.print_of(target) is not None and files.digest(target) == digest
    except StorageError:
        return False


def release(parts: Parts, failed: Sequence[Reserved | Hand]) -> None:
    """Give reservations back that came to nothing, and the sessions that only they held."""
    for session in parts.receiving.release(failed):
        record = parts.storage.beside(session, "json")
        files.remove(record)
        files.remove(files.temporary(record))
        files.remove_empty_below(os.path.dirname(parts.storage.folder(session)))
