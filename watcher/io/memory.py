"""How much memory, and how many open files, this process may have, or the daemon of a unit.

A process of the unit sees its own bounds. Another has those of its shell: it goes by the unit's
files, systemd.resource-control(5) and systemd.exec(5).
"""

import os
import re
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from watcher.core.errors import StorageError
from watcher.io import files
from watcher.io.units import Unit

GROUPS: Final = "/proc/self/cgroup"
MACHINE: Final = "/proc/meminfo"
TREE: Final = "/sys/fs/cgroup"
FILES: Final = "1024:524288"  # LimitNOFILE= where a unit says nothing: systemd-system.conf(5)
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)([KMGT%]?)")
_LIMIT: Final = re.compile(r"(?:\d+|infinity)(?::(?:\d+|infinity))?")
_MUCH: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes; `group`: the control group or the unit that sets the bound, empty: the machine."""

    bytes: int
    group: str = ""


def is_of(unit: Unit) -> bool:
    """Whether this process is one of a unit's, as ExecStartPre= is; its bounds are the unit's."""
    return any(unit.name in line.split("/") for line in _text(GROUPS).splitlines())


def room(unit: Unit | None = None) -> Room:
    """The least there is for this process, or for a unit. Without /proc as much as can be."""
    machine = _machine()
    own = _groups() if unit is None or is_of(unit) else iter([_said(unit, machine)])
    return min([machine, *own], key=lambda each: each.bytes)


def open_files(unit: Unit | None = None) -> tuple[int, int]:
    """How many files this process, or a unit, may have open, and how many it may ask for."""
    if unit is None or is_of(unit):
        now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        return (_MUCH if now < 0 else now), (_MUCH if most < 0 else most)
    said = unit.last("LimitNOFILE")
    soft, _, hard = (said if _LIMIT.fullmatch(said) else FILES).partition(":")
    return _count(soft), _count(hard or soft)


def _count(said: str) -> int:
    return int(said) if said.isdigit() else _MUCH


def _said(unit: Unit, machine: Room) -> Room:
    """MemoryMax= of a unit; as much as can be where it is not set, or nothing systemd takes."""
    found = _SIZE.fullmatch(unit.last("MemoryMax"))
    if not found:
        return Room(_MUCH, unit.name)
    number, scale = float(found[1]), found[2]
    if scale == "%":
        return Room(int(number * machine.bytes / 100), unit.name)
    return Room(int(number * 2.0 ** (10 * " KMGT".index(scale or " "))), unit.name)


def _machine() -> Room:
    for line in _text(MACHINE).splitlines():
        if line.startswith("MemTotal:"):
            return Room(int(line.split()[1]) * 1024)
    return Room(_MUCH)


def _groups() -> Iterator[Room]:
    """Those of version 2 and of version 1: cgroups(7)."""
    for line in _text(GROUPS).splitlines():
        number, kinds, group = line.split(":", 2)
        if number == "0":
            yield from _bounds(TREE, group, "memory.max")
            yield from _bounds(f"{TREE}/unified", group, "memory.max")
        elif "memory" in kinds.split(","):
            yield from _bounds(f"{TREE}/memory", group, "memory.limit_in_bytes")


def _bounds(tree: str, group: str, name: str) -> Iterator[Room]:
    """That of a group and of each one above it; none says `max`."""
    while True:
        said = _text(f"{tree}{group.rstrip('/')}/{name}").strip()
        if said.isdigit():
            yield Room(int(said), group)
        if group in {"/", ""}:
            return
        group = os.path.dirname(group)


def _text(path: str) -> str:
    try:
        return (files.read_if_there(path) or b"").decode("utf-8", "replace")
    except StorageError:
        return ""
