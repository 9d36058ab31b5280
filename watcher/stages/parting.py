"""What was filed is parted from its source: nobody who knows the one can change the other.

A file that was linked into place is its source's inode. It is ours alone only when the name in the
drop is gone and nobody has it open: then nobody can reach it any more.
"""

import os
from enum import Enum

from watcher.core import life
from watcher.core.file import Fingerprint
from watcher.core.policy import Drop
from watcher.core.session import Place
from watcher.io import files, sources
from watcher.io.desk import Reserved
from watcher.stages.parts import Parts
from watcher.stages.reading import mark


class Parted(Enum):
    """What became of a file that was linked into place."""

    OWN = "own"  # it is as it was read, and ours alone
    BACK = "back"  # somebody came to it before its name was gone: it is in the drop only
    IN_HAND = "in hand"  # the same, and its name has another file: it stays, see `hands`


def is_as_read(each: Reserved, target: str) -> bool:
    """Whether a linked file is as it was read, and nobody has it open for writing."""
    found = files.print_of(target)
    same = found is not None and found.same_content(each.incoming.candidate.print)
    return same and not sources.has_writer(target)


def part(
    drop: Drop, each: Reserved, target: str, stays: Fingerprint | None
) -> tuple[Parted, Fingerprint | None]:
    """Part a linked file from its source, which is gone, or `stays` as it can't be removed.

    Gives what became of it, and the source where it lies there still. StorageError where it can't
    be told or done now.
    """
    path = each.incoming.candidate.path
    if stays is not None and sources.make_own(target, each.incoming.examined.digest):
        found = sources.print_in(drop.path, path)  # its ctime has changed with the link
        return Parted.OWN, found if found and found.same_content(stays) else None
    if stays is None and is_as_read(each, target) and _is_own(each, target):
        return Parted.OWN, None
    if not sources.link_back(drop.path, path, target):
        return Parted.IN_HAND, None
    files.remove(target)
    return Parted.BACK, None


def _is_own(each: Reserved, target: str) -> bool:
    """Whether it has an inode of its own now.

    A source that is another by its ctime alone, as a share may tell late, keeps its name.
    """
    digest = each.incoming.examined.digest
    return not sources.has_other_name(target) or sources.make_own(target, digest)


def is_there(parts: Parts, each: Reserved, twin: Place) -> bool:
    """Whether the filed twin of a duplicate is there to rely on; a lost one is forgotten."""
    session = parts.ledger.session(each.session.id)  # it may have been moved since
    found = files.print_of(os.path.join(parts.storage.folder(session), twin.path))
    if found is not None and found.size == each.incoming.examined.print.size:
        return True
    if session.folder == each.session.folder and session.status in life.OPEN:
        parts.ledger.drop_instances(session.id, [twin])
    return False


def remove_source(parts: Parts, drop: Drop, path: bytes, expected: Fingerprint) -> bool:
    """Remove a source whose content is durable elsewhere; whether it is gone, or another now.

    One that changed since is another file: it stays, and is looked at as new. One that can't be
    removed is remembered, and `drop.readonly` says so once. Nothing goes once another host has a
    store of ours: AlreadyRunningError, StorageError as of `Tenure.check`.
    """
    parts.storage.tenures.check_all()
    folder = os.path.dirname(path)
    key = f"readonly/{drop.name}/{mark(folder)}"  # permission is the directory's
    try:
        removed = sources.unlink_if(drop.path, path, expected)
    except OSError as error:  # whatever it is, the content is safe: the source stays for now
        text = error.strerror or "not permitted"
        now = parts.clock.now()
        parts.conditions.raise_("drop.readonly", key, now, drop=drop.name, path=folder, text=text)
        return False
    if removed or sources.print_in(drop.path, path) is None:  # else nothing is proven
        parts.conditions.clear("drop.writable", key, drop=drop.name, path=folder)
    return True
