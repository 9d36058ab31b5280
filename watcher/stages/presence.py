"""Whether a drop is there, and on what kind of file system."""

import os
from collections.abc import Callable
from typing import TypeVar

from watcher.core.errors import MissingPlaceError, StorageError
from watcher.core.policy import Drop
from watcher.io.lookup import MOUNT
from watcher.io.mounts import (
    AUTOFS,
    bare_point,
    may_hang,
    mount_of,
    mounted_at,
    read_mounts,
    resolved,
)
from watcher.io.scan import Look
from watcher.stages.parts import Parts

T = TypeVar("T")


def is_remote(drop: Drop) -> bool:
    """Whether a drop lies on a file system that others change unseen, or may not answer.

    Nothing is asked of that: a start does not wait for a drop that hangs.
    """
    mounts = read_mounts()
    return may_hang(mount_of(resolved(drop.path, mounts), mounts), mounts)


def is_native(drop: Drop) -> bool:
    """Whether a drop is watched by change events."""
    return drop.watch == "native" or (drop.watch == "auto" and not is_remote(drop))


def check_mount(parts: Parts, drop: Drop) -> None:
    """MissingPlaceError while the mount is not there that a drop must be, or was when last seen.

    The mount is known by its type and source, never by a device number (spec 5). Nor is a drop
    there while a mount point that the machine's configuration names, at or above it, is bare.
    """
    mounts = read_mounts()
    if bare_point(drop.path, parts.storage.points, mounts):
        raise MissingPlaceError("nothing is mounted at the mount point it lies at or below")
    here = mounted_at(drop.path, mounts)
    key = f"{MOUNT}{drop.name}"
    before = parts.ledger.recall(key)
    if (drop.mount or before) and not here:
        raise MissingPlaceError("its mount is not there")
    if here.startswith(f"{AUTOFS} "):  # what comes there when it is entered is the mount
        return
    if here and before and here != before:
        raise MissingPlaceError("another file system is mounted there")
    if here and not before:
        parts.ledger.remember(key, here)


def while_there(parts: Parts, drop: Drop, looking: Callable[[], T]) -> T:
    """What a look gives, if the drop's mount was there before it and after.

    A look at the bare mount point, in between, says nothing about the drop. MissingPlaceError
    where the drop can't be looked at; StorageError is the ledger's.
    """
    check_mount(parts, drop)
    try:
        seen = looking()
    except StorageError as error:
        raise MissingPlaceError(str(error)) from error
    check_mount(parts, drop)
    return seen


def tell_unavailable(parts: Parts, drop: Drop, text: str) -> None:
    """Say once that a drop is not there."""
    where = {"drop": drop.name, "path": drop.path}
    parts.conditions.raise_("drop.unavailable", _key(drop), parts.clock.now(), **where, text=text)


def tell_available(parts: Parts, drop: Drop) -> None:
    """Say that it is back, if it was said to be gone."""
    parts.conditions.clear("drop.available", _key(drop), drop=drop.name, path=drop.path)


def _key(drop: Drop) -> str:
    return f"drop/{drop.name}"


def tell_unreadable(parts: Parts, drop: Drop, found: Look) -> None:
    """A directory that can't be read hides files: no session of the drop rests meanwhile."""
    key = f"unreadable/{drop.name}"
    if not found.failed:
        parts.conditions.clear("drop.restored", key, drop=drop.name)
        return
    path, number = found.failed[0]
    text, now = f"a directory can't be read: {os.strerror(number)}", parts.clock.now()
    parts.conditions.raise_(
        "drop.degraded",
        key,
        now,
        drop=drop.name,
        path=path,
        text=text,
        message="A directory of the drop can't be read",
        hint="let the daemon's user read it; sessions of this drop wait for that",
    )
