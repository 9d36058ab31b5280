"""`watcher check --accept`: a change that was meant is taken; what was remembered is forgotten."""

import os
from collections.abc import Collection, Iterator

from watcher.core.errors import (
    ConfigurationError,
    LedgerError,
    MissingPlaceError,
    OutsideError,
    RefusedError,
    StorageError,
)
from watcher.io.lease import is_locked
from watcher.io.ledger import NAME, Ledger
from watcher.io.lookup import MOUNT, STORE_MOUNT, Lookup
from watcher.io.stores import KINDS, Storage
from watcher.report.checked import Line
from watcher.report.mending import Mender
from watcher.settings import Settings


def take(
    settings: Settings, storage: Storage, silent: Collection[str], mend: Mender
) -> Iterator[Line]:
    """Take what is there for ours; says what. RefusedError where another daemon holds a store.

    Or where a place does not answer. A store whose mount is named and not there is not taken.
    """
    if silent:
        raise RefusedError(f"{min(silent)} does not answer", hint=mend.watcher("check"))
    if not storage.id:
        raise ConfigurationError(
            "there is nothing to accept: no store is made yet", hint="watcher run"
        )
    drops = _remembered(settings, storage)
    foreign = [kind for kind in KINDS if not storage.is_there(kind)]
    for kind in foreign:
        if is_locked(storage.marker(kind)):
            raise RefusedError(
                f"another installation's daemon runs on {storage.path(kind)}", hint="stop it first"
            )
    taken = {kind: _taken(storage, kind, mend) for kind in foreign}
    yield from taken.values()
    for name, mount in drops.items():
        if mount:
            yield Line("ok", f"drop {name}", f"{mount} is forgotten; what is there now counts")
    forgotten = [f"{STORE_MOUNT}{kind}" for kind, line in taken.items() if line.severity == "ok"]
    _forget(settings, storage, [*forgotten, *(f"{MOUNT}{name}" for name in drops)])


def _taken(storage: Storage, kind: str, mend: Mender) -> Line:
    of, path = f"store {kind}", storage.path(kind)
    try:
        storage.accept(kind)
    except MissingPlaceError as error:
        return Line("error", of, f"{path} is not taken: {error}", error.hint, 10)
    except StorageError as error:
        made = f"{mend.folder(path, closed=True, mode='2750')} && {mend.accept()}"
        return Line("error", of, f"{path}: {error}", "", 2, made, final=True)
    return Line("ok", of, f"{path} is taken for ours")


def _remembered(settings: Settings, storage: Storage) -> dict[str, str]:
    """The same; a damaged ledger is made anew, and remembers nothing."""
    try:
        return remembered_mounts(settings, storage)
    except LedgerError:
        return {}


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
    if not storage.is_there("state") or not os.path.lexists(ledger):
        return False
    if not os.path.isfile(ledger):  # opening a FIFO would wait for ever
        raise OutsideError("the ledger is no file")
    return True


def _forget(settings: Settings, storage: Storage, keys: list[str]) -> None:
    if keys and _has_ledger(settings, storage):
        try:
            ledger = Ledger.open(settings.stores.state)
        except LedgerError:
            return
        try:
            for key in keys:
                ledger.remember(key, "")
        finally:
            ledger.close()
