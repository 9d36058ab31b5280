"""What `watcher check` says of the machine: the kernel's bounds, memory, the clock, the program."""

import os
import re
import sys
import time
from collections.abc import Iterator
from importlib import metadata
from typing import Final

from watcher.commands.looked import Scene
from watcher.core.errors import ConfigurationError, WorkerError
from watcher.core.notation import format_size
from watcher.io import access, files, memory
from watcher.io.mounts import is_network
from watcher.io.serving import serving
from watcher.io.stores import KINDS
from watcher.io.units import Unit
from watcher.io.workers import try_one
from watcher.report.checked import Line
from watcher.report.mending import Mender

ACCOUNT: Final = "watcher"
DISTRIBUTION: Final = "prearchive-watcher"
KERNEL: Final = "/proc/sys/fs/inotify"
WATCHES: Final = 65536  # inotify watches, one a directory; fewer are soon used up
PLENTY: Final = 524288
INSTANCES: Final = 512
MEMORY: Final = 512 << 20  # bytes: the daemon, and two readers with a large file
FILES: Final = 256  # open at once: the ledger, pipes, folders of the files in hand
ENOUGH: Final = 1024
_VERSION: Final = re.compile(r"([\w.-]+)(?:\[[^]]*])?>=([\d.]+)$")


def machine_lines(scene: Scene) -> Iterator[Line]:
    """Everything that does not belong to one place of the configuration."""
    yield from _watches(scene)
    yield from _readers(scene)
    yield from _memory(scene)
    yield from _open_files(scene)
    yield from _clock(scene)
    yield from _account(scene)
    yield from libraries(scene.mend)


def _watches(scene: Scene) -> Iterator[Line]:
    """Each folder of a drop takes a watch, each program that watches an instance."""
    drops = [drop.path for drop in scene.settings.drops if drop.watch != "poll"]
    local = [path for path in drops if _is_local(scene, path)]
    most = int(files.read_if_there(f"{KERNEL}/max_user_watches") or PLENTY)
    count = sum(access.folders(path, most) for path in local)
    if most < WATCHES or count >= most:
        text = f"max_user_watches is {most}: more folders than that are seen by looks only"
        text += f"; the drops have {count}"
        command = scene.mend.setting("fs.inotify.max_user_watches", max(PLENTY, 8 * count))
        yield Line("warning", "inotify", text, command=command)
    if local and not access.can_watch():
        text = f"{scene.mend.user} gets no inotify instance more: drops are seen by looks only"
        command = scene.mend.setting("fs.inotify.max_user_instances", INSTANCES)
        yield Line("warning", "inotify", text, command=command)


def _is_local(scene: Scene, path: str) -> bool:
    return path not in scene.silent and not is_network(scene.mount(path), scene.mounts)


def _readers(scene: Scene) -> Iterator[Line]:
    """One is started, as the daemon does to read a file."""
    try:
        try_one()
    except WorkerError as error:
        hint = "raise what is too low of memory and processes"
        yield Line("error", "readers", str(error), hint, 2, _limits(scene))
    else:
        yield Line("ok", "readers", "a process that reads files can be started")


def _limits(scene: Scene) -> str:
    """The command that shows what bounds this process."""
    if (unit := _daemon(scene)) and memory.is_of(unit):
        return f"systemctl show -p TasksMax,MemoryMax,LimitNPROC,LimitAS {unit.name}"
    return "ulimit -a"


def _daemon(scene: Scene) -> Unit | None:
    """The unit whose bounds are the daemon's: that which runs this check, else the first."""
    return next(filter(memory.is_of, scene.units), next(iter(scene.units), None))


def _memory(scene: Scene) -> Iterator[Line]:
    unit = _daemon(scene)
    found = memory.room(unit)
    if found.bytes >= MEMORY:
        return
    bound = f"the control group {found.group}" if found.group else "this machine"
    text = f"{bound} has {format_size(found.bytes)} of memory: large files may be refused"
    if unit and os.path.basename(found.group) == unit.name:
        command = scene.mend.drop_in(unit.name, "zz-check-memory", f"MemoryMax={MEMORY}")
        yield Line("warning", "memory", text, "and restart it", command=command)
    else:  # not the unit's own bound: one of its own would be lower than none
        hint = f"give it {format_size(MEMORY)} at the least"
        yield Line("warning", "memory", text, hint, command="free -h")


def _open_files(scene: Scene) -> Iterator[Line]:
    unit, hint = _daemon(scene), ""
    who = unit.name if unit else "this shell"
    now, most = memory.open_files(unit)
    if now >= FILES:
        return
    text = f"{who} may have {now} files open at once, and {FILES} are needed"
    if unit:
        limit, hint = f"LimitNOFILE={ENOUGH}:{max(most, ENOUGH)}", "and restart it"
        command = scene.mend.drop_in(unit.name, "zz-check-files", limit)
    elif most >= ENOUGH:
        command = f"ulimit -n {ENOUGH}"
    else:
        command = f"{scene.mend.root('prlimit', f'--nofile={ENOUGH}')} --pid $$"
    yield Line("warning", "open files", text, hint, command=command)


def _clock(scene: Scene) -> Iterator[Line]:
    """Sessions are named by the local time, and the log's lines are sorted by theirs."""
    yield Line("ok", "clock", f"ids of sessions are local time, {time.strftime('%Z (UTC%z)')}")
    if not access.is_timed():
        text = "no time server keeps it: ids, logs and receipts may be wrong"
        command = scene.mend.root("timedatectl", "set-ntp", "true")
        yield Line("advice", "clock", text, "in a container: the host's", command=command)


def _account(scene: Scene) -> Iterator[Line]:
    """A root that found nobody else's stores has stayed root; one that is silent may be theirs."""
    stores = scene.settings.stores
    places = [scene.storage.path(kind) for kind in KINDS]
    if os.geteuid() != 0 or not scene.silent.isdisjoint([*places, stores.root]):
        return
    there = sorted(filter(os.path.lexists, [*places, f"{stores.root}/log.key"]))
    is_known = access.number_of(ACCOUNT) is not None
    text, hint = "the daemon runs as root: a fault of it may do anything", "and User= in the unit"
    command = scene.mend.account(ACCOUNT, stores.root, there, is_known=is_known)
    yield Line("advice", "user", text, hint, command=command)


def libraries(mend: Mender) -> Iterator[Line]:
    """Those older than what this version is tested with."""
    for name, wanted in _wanted():
        here = metadata.version(name)
        if _numbers(here) < _numbers(wanted):
            text = f"{name} {here} is older than {wanted}, the oldest that was tested"
            own = access.may(sys.prefix, "w")
            command = mend.library(sys.executable, f"{name}>={wanted}", own=own)
            yield Line("warning", "libraries", text, command=command)


def _wanted() -> Iterator[tuple[str, str]]:
    """Names and lowest versions; none where the program is run without being installed."""
    try:
        said = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return
    for line in said:
        if hit := _VERSION.match(line):
            yield hit[1], hit[2]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(each) for each in re.findall(r"\d+", version)[:3])


def metrics_lines(scene: Scene) -> Iterator[Line]:
    """Whether the metrics can be served; a daemon that runs has the address."""
    address = scene.settings.listen
    if not address or scene.runs():
        return
    try:
        with serving(address, lambda: b""):
            yield Line("ok", "metrics.listen", address)
    except ConfigurationError as error:
        hint = f"another address; {error.hint}"
        text, code = str(error), error.exit_code
        yield Line("error", "metrics.listen", text, hint, code, scene.mend.edit())
