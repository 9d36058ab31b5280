"""How much memory this process may have: the machine's, or that of its control groups."""

import os
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from watcher.core.errors import StorageError
from watcher.io import files

GROUPS: Final = "/proc/self/cgroup"
MACHINE: Final = "/proc/meminfo"
TREE: Final = "/sys/fs/cgroup"


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes; `group` is the control group that sets the bound, empty where the machine does."""

    bytes: int
    group: str = ""


def room() -> Room:
    """The least of them. Without /proc as much as can be."""
    return min([_machine(), *_groups()], key=lambda each: each.bytes)


def open_files() -> tuple[int, int]:
    """How many files this process may have open, and how many it may ask for."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)


def _machine() -> Room:
    for line in _text(MACHINE).splitlines():
        if line.startswith("MemTotal:"):
            return Room(int(line.split()[1]) * 1024)
    return Room(1 << 62)


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
