"""Whether a drop is there, and on what kind of file system."""

import os

from watcher.core.errors import MissingPlaceError
from watcher.core.policy import Drop
from watcher.io.mounts import is_network, mount_of, read_mounts
from watcher.stages.parts import Parts


def is_remote(drop: Drop) -> bool:
    """Whether a drop lies on a file system that others change unseen."""
    mounts = read_mounts()
    return is_network(mount_of(os.path.realpath(drop.path), mounts), mounts)


def is_native(drop: Drop) -> bool:
    """Whether a drop is watched by change events."""
    return drop.watch == "native" or (drop.watch == "auto" and not is_remote(drop))


def check_mount(parts: Parts, drop: Drop) -> None:
    """MissingPlaceError while the mount is not there that a drop must be, or was when last seen.

    The mount is known by its type and source, never by a device number (spec 5).
    """
    path = os.path.realpath(drop.path)
    mount = mount_of(path, read_mounts())
    here = f"{mount.type} {mount.source}" if mount.point == os.fsencode(path) else ""
    key = f"mount/{drop.name}"
    before = parts.ledger.recall(key)
    if (drop.mount or before) and not here:
        raise MissingPlaceError("its mount is not there")
    if here and before and here != before:
        raise MissingPlaceError("another file system is mounted there")
    if here and not before:
        parts.ledger.remember(key, here)
