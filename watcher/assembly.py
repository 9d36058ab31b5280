"""The devices built from the settings, for the daemon and for every command alike."""

import os
import pwd
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TextIO

from watcher.core.coding import Coder
from watcher.core.emit import Emit
from watcher.core.errors import ConfigurationError, MissingPlaceError, StorageError, WatcherError
from watcher.core.failure import fault
from watcher.io import intact
from watcher.io.clock import Clock
from watcher.io.lease import Leases, is_locked
from watcher.io.ledger import NAME, Ledger
from watcher.io.lookup import STORE_MOUNT, Lookup
from watcher.io.mounts import is_network, mount_of, read_mounts
from watcher.io.receiving import Receiving
from watcher.io.registry import Registry
from watcher.io.said import Conditions, Outbox
from watcher.io.stores import Storage
from watcher.log import Log, load_key
from watcher.settings import Settings
from watcher.stages.parts import Parts


def coder_of(settings: Settings) -> Coder:
    """What codes identifiers; its key is made where there is none."""
    names = {*settings.projects.known, *(drop.name for drop in settings.drops)}
    return Coder(load_key(os.path.join(settings.stores.root, "log.key")), names)


def open_log(settings: Settings, stream: TextIO | None, journal: str = "") -> Log:
    """The log as configured; `journal`: what JOURNAL_STREAM says."""
    return Log(
        stream=stream,
        journal=journal,
        file=settings.log.file,
        rotate=settings.log.rotate,
        keep=settings.log.keep,
        level=settings.log.level,
        coder=coder_of(settings) if settings.log.identifiers == "coded" else None,
        clock=lambda: datetime.now(UTC),
    )


def prepare_storage(settings: Settings) -> Storage:
    """The stores, made on the first start. ConfigurationError for `state` on a network."""
    storage = Storage(settings.stores)
    check_state(settings.stores.state)
    try:
        if "state" in storage.ids():
            check_owner(storage)
        storage.prepare()
    except StorageError as error:
        where = settings.stores.root
        raise ConfigurationError(
            f"the stores in {where} can't be made: {error}", hint=f"watcher check; ls -ld {where}"
        ) from error
    return storage


def check_state(state: str) -> None:
    """Refuse a state folder on a network file system: SQLite's locks don't hold there."""
    mounts = read_mounts()
    mount = mount_of(os.path.realpath(state), mounts)
    if is_network(mount, mounts):
        raise ConfigurationError(
            f"storage.state lies on {mount.type}, and the ledger needs a local file system",
            hint='set storage.state = "/var/lib/watcher" or another local directory',
        )


def open_storage(settings: Settings) -> Storage:
    """The stores as a command finds them; it makes none. MissingPlaceError before a first start."""
    storage = Storage(settings.stores)
    found = storage.ids()
    if "state" not in found:
        raise MissingPlaceError(
            f"there is no state in {settings.stores.state}",
            hint="`watcher run --once` makes it, or rebuilds it from the stores",
        )
    storage.id = found["state"]
    check_owner(storage)
    return storage


def check_owner(storage: Storage) -> None:
    """Be the owner of `state`, which root can; ConfigurationError for anybody else."""
    owner = os.stat(storage.stores.state).st_uid
    me = os.geteuid()
    if me == owner:
        return
    if me == 0:
        group = os.stat(storage.stores.state).st_gid
        os.setgroups([])
        os.setgid(group)
        os.setuid(owner)
        return
    try:
        name = pwd.getpwuid(owner).pw_name
    except KeyError:
        name = f"#{owner}"
    raise ConfigurationError(
        f"the stores belong to {name}",
        hint=shlex.join(["sudo", "-u", name, *sys.argv]),
    )


def open_ledger(storage: Storage, emit: Emit, *, damaged: bool = False) -> Ledger:
    """The ledger for a run that holds the stores; one that can't be used is set aside, and said.

    `damaged`: it failed a run that is over. MissingPlaceError where the state folder is gone.
    """
    state, prearchive = storage.require("state"), storage.stores.prearchive
    staged = storage.is_there("prearchive")
    path = os.path.join(state, NAME)
    why = intact.fault_of(path, prearchive if staged else "")
    if why or damaged:
        aside = intact.set_aside(path)
        kept = f"; set aside as {os.path.basename(aside)}" if aside else ""
        text = f"the ledger: {why or 'it failed a run'}{kept}; made anew from the stores"
        emit("daemon.recovered", count=1, text=text, outcome="rebuilt")
    return Ledger.open(state)


def sign_run(storage: Storage, ledger: Ledger) -> None:
    """Write into ledger and prearchive that they belong together, as of this run.

    StorageError where either refuses: a run waits for it, see `starting`.
    """
    if storage.is_there("prearchive"):
        runs = intact.next_runs(storage.stores.prearchive)
        ledger.remember(intact.RUNS, runs)
        intact.sign(storage.stores.prearchive, runs)


def parts_of(settings: Settings, storage: Storage, ledger: Ledger, emit: Emit) -> Parts:
    """Everything the stages work with."""
    storage.mounted = Lookup(ledger).mounts(STORE_MOUNT)
    return Parts(
        storage=storage,
        ledger=ledger,
        receiving=Receiving(ledger),
        registry=Registry(ledger),
        leases=Leases(settings.stores.state, ledger),
        conditions=Conditions(ledger, emit),
        projects=settings.projects,
        rules=settings.sessions,
        emit=emit,
        clock=Clock(),
    )


@contextmanager
def command_parts(settings: Settings) -> Iterator[Parts]:
    """The parts for a command, beside a running daemon or not.

    Its events go through the outbox: a running daemon writes them within a second; else the
    command appends them to `log.file` and standard error when it ends.
    """
    storage = open_storage(settings)
    if not os.path.lexists(os.path.join(settings.stores.state, NAME)):
        raise MissingPlaceError(
            f"there is no ledger in {settings.stores.state}",
            hint="`watcher run` makes it, or rebuilds it from the stores",
        )
    log = open_log(settings, None)
    ledger = Ledger.open(settings.stores.state)
    outbox = Outbox(ledger)

    def emit(event: str, /, **fields: object) -> None:
        outbox.put(log.line(event, fields))

    parts = parts_of(settings, storage, ledger, emit)
    try:
        yield parts
        parts.conditions.tell_own_crowds(parts.clock.now())
    except (WatcherError, BrokenPipeError):  # a refusal; a reader that has read enough
        raise
    except Exception as error:
        emit("daemon.fault", **fault(error, "command"))
        raise
    finally:
        if not is_locked(storage.marker("state")):
            own = open_log(settings, sys.stderr)
            say_outbox(outbox, own)
            own.close()
        ledger.close()


def say_outbox(outbox: Outbox, log: Log) -> None:
    """Write the lines that wait, and forget them."""
    waiting = outbox.waiting()
    for _, line in waiting:
        log.write_line(line)
    if waiting:
        outbox.said([number for number, _ in waiting])
