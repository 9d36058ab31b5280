"""`watcher check --accept`: a change that was meant is taken; what was remembered is forgotten."""

import os
from collections.abc import Iterator
from typing import Final

from watcher.core.errors import ConfigurationError, RefusedError
from watcher.io.lease import is_locked
from watcher.io.ledger import NAME, Ledger
from watcher.io.lookup import MOUNT, STORE_MOUNT, Lookup
from watcher.io.stores import KINDS, Storage
from watcher.report.checked import Line
from watcher.settings import Settings

ACCEPT: Final = "watcher check --accept"


def take(settings: Settings, storage: Storage) -> Iterator[Line]:
    """Take what is there for ours; says what. RefusedError where another daemon holds a store.

    MissingPlaceError where the mount of a store is not there.
    """
    if not storage.id:
        raise ConfigurationError(
            "there is nothing to accept: no store is made yet", hint="watcher run"
        )
    drops = remembered_mounts(settings, storage)
    foreign = [kind for kind in KINDS if not storage.is_there(kind)]
    for kind in foreign:
        if is_locked(storage.marker(kind)):
            raise RefusedError(
                f"another installation's daemon runs on {storage.path(kind)}", hint="stop it first"
            )
    for kind in foreign:
        storage.accept(kind)
        yield Line("ok", f"store {kind}", f"{storage.path(kind)} is taken for ours")
    for name, mount in drops.items():
        if mount:
            yield Line("ok", f"drop {name}", f"{mount} is forgotten; what is there now counts")
    forgotten = [f"{STORE_MOUNT}{kind}" for kind in foreign]
    _forget(settings, storage, [*forgotten, *(f"{MOUNT}{name}" for name in drops)])


def remembered_mounts(settings: Settings, storage: Storage) -> dict[str, str]:
    """The mounts of drops when last seen, and `storage` told its own; none without a ledger."""
    if not _has_ledger(settings, storage):
        return {}
    ledger = Ledger.open(settings.stores.state)
    try:
        storage.mounted = Lookup(ledger).mounts(STORE_MOUNT)
        return Lookup(ledger).mounts()
    finally:
        ledger.close()


def _has_ledger(settings: Settings, storage: Storage) -> bool:
    ledger = os.path.join(settings.stores.state, NAME)
    return storage.is_there("state") and os.path.lexists(ledger)


def _forget(settings: Settings, storage: Storage, keys: list[str]) -> None:
    if keys and _has_ledger(settings, storage):
        ledger = Ledger.open(settings.stores.state)
        try:
            for key in keys:
                ledger.remember(key, "")
        finally:
            ledger.close()
