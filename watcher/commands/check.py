"""`watcher check`."""

import os
import shlex
from collections.abc import Iterator
from typing import Annotated, Final

from cyclopts import Parameter

from watcher.assembly import open_storage
from watcher.commands.accepting import ACCEPT, remembered_mounts, take
from watcher.commands.options import PLAIN, Common
from watcher.commands.output import print_json, print_table
from watcher.core.errors import ConfigurationError, MissingPlaceError, StorageError, WorkerError
from watcher.core.notation import format_size
from watcher.core.policy import Drop, Stores
from watcher.io import files
from watcher.io.lease import is_locked
from watcher.io.lookup import is_linkable
from watcher.io.mounts import (
    FSTAB,
    Mount,
    bare_point,
    free,
    is_network,
    mount_of,
    mounted_at,
    read_mounts,
)
from watcher.io.serving import serving
from watcher.io.stores import KINDS, Storage
from watcher.io.workers import try_one
from watcher.report.checked import HEAD, Line, document, exit_code, rows
from watcher.report.manner import bounds, manner, more, units
from watcher.settings import Settings

WATCHES: Final = 65536  # inotify watches, one a directory; fewer are soon used up
LIMIT: Final = "/proc/sys/fs/inotify/max_user_watches"
INODES: Final = 0.01  # of all inodes must be free (spec 3, `reserve`)


def check(
    *,
    accept: Annotated[
        bool, Parameter(help="Take stores and mounts as they are now for ours.", negative="")
    ] = False,
    common: Common = PLAIN,
) -> int:
    """Check configuration and machine: what is wrong, and the command that mends it.

    Nothing is written, but with --accept: stores whose marker is missing or foreign are taken for
    ours, and the mounts remembered of drops are forgotten.

    Example: watcher check --config /etc/watcher/watcher.toml
    """
    settings = common.settings()
    storage = _storage(settings)
    lines = list(take(settings, storage)) if accept else []
    lines += _lines(settings, storage)
    if common.json:
        print_json(document(lines))
    else:
        print_table(HEAD, rows(lines), nothing="nothing was looked at")
    return exit_code(lines)


def _storage(settings: Settings) -> Storage:
    """The stores with the id of this installation; empty before the first start.

    A root looks as the user the state belongs to: what that one may not do does not work.
    """
    try:
        return open_storage(settings)
    except MissingPlaceError:
        storage = Storage(settings.stores)
        storage.id = next(iter(storage.ids().values()), "")
        return storage


def _lines(settings: Settings, storage: Storage) -> Iterator[Line]:
    yield Line("ok", "configuration", settings.source)
    yield Line("ok", "limits", bounds(settings.limits))
    for name in settings.not_yet:
        text = "accepted, but this version does nothing with it"
        yield Line("warning", name, text, "take it out, or leave it for a later version")
    mounts = read_mounts()
    remembered = remembered_mounts(settings, storage)
    for drop in settings.drops:
        yield from _manner(settings, drop, mounts)
        yield from _drop(settings, storage, drop, mounts, remembered.get(drop.name, ""))
    for kind in KINDS:
        yield from _store(settings, storage, kind, mounts)
    yield from _watches()
    yield from _readers()
    yield from _log(settings.log.file)
    if settings.listen and not is_locked(storage.marker("state")):  # else a daemon has it
        yield _listen(settings.listen)


# -- drops -----------------------------------------------------------------------------------------


def _drop(
    settings: Settings, storage: Storage, drop: Drop, mounts: tuple[Mount, ...], remembered: str
) -> Iterator[Line]:
    of, path = f"drop {drop.name}", shlex.quote(drop.path)
    if point := bare_point(drop.path, storage.points, mounts):
        yield _bare(of, point)
        return
    if not os.path.isdir(drop.path):
        yield Line("error", of, f"{drop.path} is not there", f"mount it, or mkdir -p {path}", 10)
        return
    fault = _mount_fault(drop, mounts, remembered)
    if fault is not None:
        yield fault
        return
    yield from _drop_faults(settings, drop, mounts)


def _manner(settings: Settings, drop: Drop, mounts: tuple[Mount, ...]) -> Iterator[Line]:
    """How it takes what lies there, and where to."""
    of = f"drop {drop.name}"
    yield Line("ok", of, f"{drop.path}: {manner(drop)}")
    yield Line("ok", of, units(drop, drop.inactivity or settings.sessions.inactivity))
    if said := more(drop):
        yield Line("ok", of, said)
    if drop.dest == "archive" and not _is_one_mount(settings.stores, mounts):
        text = "prearchive and archive lie on two mounts: what it sends there is copied once more"
        yield Line("warning", of, text, "set storage.prearchive beside storage.archive")


def _is_one_mount(stores: Stores, mounts: tuple[Mount, ...]) -> bool:
    """Whether a file of the prearchive can be linked into the archive; also before they are."""
    points = {
        mount_of(os.path.realpath(path), mounts).id for path in (stores.prearchive, stores.archive)
    }
    return len(points) == 1


def _bare(of: str, point: str) -> Line:
    text = f"nothing is mounted at {point}, which {FSTAB} or a mount unit names"
    return Line("error", of, text, f"mount {shlex.quote(point)}", 10)


def _drop_faults(settings: Settings, drop: Drop, mounts: tuple[Mount, ...]) -> Iterator[Line]:
    of, path = f"drop {drop.name}", shlex.quote(drop.path)
    if not os.access(drop.path, os.R_OK | os.X_OK):
        yield Line("error", of, "this user may not read it", f"chmod u+rx {path}, or chgrp", 2)
    if drop.after == "remove" and not os.access(drop.path, os.W_OK):
        text = "this user may not remove what was filed; every source stays and is remembered"
        yield Line("warning", of, text, f'chmod u+w {path}, or set after = "keep"')
    mount = mount_of(os.path.realpath(drop.path), mounts)
    remote = is_network(mount, mounts)
    if remote and drop.watch == "native":
        text = f"it lies on {mount.type}: changes made by others are not told, only found by looks"
        yield Line("warning", of, text, 'set watch = "auto"')
    elif remote:
        text = f"it lies on {mount.type}: it is polled every rescan_interval"
        yield Line("ok", of, text)
    if drop.after == "remove" and not is_linkable(drop.path, settings.stores.prearchive):
        text = "files are copied, not linked: another owner, or another file system than prearchive"
        yield Line("ok", of, text)


def _mount_fault(drop: Drop, mounts: tuple[Mount, ...], remembered: str) -> Line | None:
    """As the daemon sees it (stages/looking.py): a mount is known by its type and source."""
    here = mounted_at(drop.path, mounts)
    of = f"drop {drop.name}"
    if drop.mount and not here:
        return Line("error", of, "nothing is mounted there, and mount = true", "mount it", 10)
    if remembered and not here:
        text = f"{remembered} was mounted there and is not now"
        return Line("error", of, text, f"mount it, or {ACCEPT}", 10)
    if remembered and here != remembered:
        text = f"{here} is mounted there, and before it was {remembered}"
        return Line("error", of, text, f"mount the other, or {ACCEPT}", 10)
    return None


# -- stores ----------------------------------------------------------------------------------------


def _store(
    settings: Settings, storage: Storage, kind: str, mounts: tuple[Mount, ...]
) -> Iterator[Line]:
    of, path = f"store {kind}", storage.path(kind)
    if kind == "state":
        yield from _state_fault(path, mounts)
    if point := bare_point(path, storage.points, mounts):
        yield _bare(of, point)
    elif not storage.id:
        yield from _unborn(of, path)
    elif not storage.is_there(kind):
        yield _missing(of, kind, path)
    elif not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        hint = f"chmod u+rwx {shlex.quote(path)}, or chown"
        yield Line("error", of, f"this user may not write {path}", hint, 2)
    else:
        yield _space(settings, of, path)


def _state_fault(path: str, mounts: tuple[Mount, ...]) -> Iterator[Line]:
    mount = mount_of(os.path.realpath(path), mounts)
    if is_network(mount, mounts):
        text = f"it lies on {mount.type}, and the ledger needs a local file system"
        hint = 'set storage.state = "/var/lib/watcher" or another local directory'
        yield Line("error", "store state", text, hint, 2)


def _unborn(of: str, path: str) -> Iterator[Line]:
    """Before the first start: it is made then, if its nearest parent lets us."""
    parent = path
    while not os.path.lexists(parent):
        parent = os.path.dirname(parent)
    if os.access(parent, os.W_OK | os.X_OK):
        yield Line("ok", of, f"{path} is made at the first start")
    else:
        hint = f"sudo install -d -o $USER {shlex.quote(path)}"
        yield Line("error", of, f"this user can't make {path}: {parent} is closed to it", hint, 2)


def _missing(of: str, kind: str, path: str) -> Line:
    if kind == "state" and not os.path.lexists(path):
        text = f"{path} has no marker: the next start makes a new one, filled from the tree"
        return Line("warning", of, text, "mount it if it should be there")
    text = f"{path} has no marker of this installation"
    return Line("error", of, text, f"mount it, or {ACCEPT}", 10)


def _space(settings: Settings, of: str, path: str) -> Line:
    try:
        left = free(path)
    except (MissingPlaceError, StorageError) as error:
        return Line("error", of, f"{path}: {error}", f"ls -ld {shlex.quote(path)}", 10)
    said = f"{path}: {format_size(left.bytes_free)} free"
    if left.bytes_free < settings.reserve:
        text = f"{said}, less than the reserve of {format_size(settings.reserve)}: work pauses"
        return Line("warning", of, text, f"make room: du -xh {shlex.quote(path)} | sort -h | tail")
    if left.inodes_total and left.inodes_free < INODES * left.inodes_total:
        text = f"{said}, but fewer than 1 % of its inodes: work pauses"
        return Line("warning", of, text, f"make room: du --inodes -x {shlex.quote(path)} | tail")
    return Line("ok", of, said)


# -- the rest --------------------------------------------------------------------------------------


def _watches() -> Iterator[Line]:
    said = files.read_if_there(LIMIT)
    if said is not None and int(said) < WATCHES:
        text = f"max_user_watches is {int(said)}: more folders than that are seen by looks only"
        yield Line("warning", "inotify", text, f"sysctl fs.inotify.max_user_watches={WATCHES * 8}")


def _readers() -> Iterator[Line]:
    """One is started, as the daemon does to read a file."""
    try:
        try_one()
    except WorkerError as error:
        hint = "look at memory and at the limits of the service: ulimit -a"
        yield Line("error", "readers", str(error), hint, 2)
    else:
        yield Line("ok", "readers", "a process that reads files can be started")


def _listen(address: str) -> Line:
    """Whether the metrics can be served there."""
    try:
        with serving(address, lambda: b""):
            return Line("ok", "metrics.listen", address)
    except ConfigurationError as error:
        return Line("error", "metrics.listen", str(error), error.hint, error.exit_code)


def _log(path: str | None) -> Iterator[Line]:
    if path is None:
        return
    there = os.path.lexists(path)
    folder = os.path.dirname(path)
    if os.access(path, os.W_OK) if there else os.access(folder, os.W_OK | os.X_OK):
        yield Line("ok", "log.file", path)
    else:
        hint = f"sudo install -d -o $USER {shlex.quote(folder)}"
        yield Line("warning", "log.file", f"this user can't write {path}: stdout only", hint)
