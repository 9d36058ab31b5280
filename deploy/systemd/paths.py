#!/usr/bin/python3
"""Open the unit's sandbox for the stores and drops of a configuration, and for nothing else.

    python3 paths.py --config /etc/watcher/watcher.toml [--unit watcher.service]

Writes `paths.conf`, a drop-in of the unit, and says where. To be run again when a path changes.
The mounts on the way to each path are waited for at boot (Wants=, After=); where one does not come
the daemon starts all the same, and waits for it. Needs nothing but Python 3.11.
"""

import argparse
import os
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

KINDS = ("root", "prearchive", "archive", "quarantine", "history", "state", "status")
UNITS = Path("/etc/systemd/system")
HEAD = "# By deploy/systemd/paths.py, from {config}. Run it again when a path changes there.\n"


def paths_of(settings: dict) -> list[str]:
    """The stores that are named, the drops, and the folder of the log."""
    storage = settings.get("storage", {})
    found = [storage[kind] for kind in KINDS if kind in storage]
    found += [drop["path"] for drop in settings.get("drop", [])]
    if file := settings.get("log", {}).get("file"):
        found.append(os.path.dirname(file))
    return list(dict.fromkeys(map(os.path.normpath, found)))


def mounts_on(path: str) -> Iterator[str]:
    """The mount units that may be on the way to a path: of it, and of each folder above."""
    for place in dict.fromkeys((path, os.path.realpath(path))):
        parts = place.strip("/").split("/")
        for end in range(1, len(parts) + 1):
            yield f"{escaped('/'.join(parts[:end]))}.mount"


def escaped(path: str) -> str:
    """As `systemd-escape --path`: a name in which a slash is a dash."""
    text = re.sub(rb"[^A-Za-z0-9:_./]|^\.", lambda one: b"\\x%02x" % one[0][0], os.fsencode(path))
    return text.decode("ascii").replace("/", "-")


def quoted(path: str) -> str:
    """A path as a value of a unit: no specifier, no escape, no word boundary in it."""
    text = path.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"-{text}"'


def drop_in(config: str, settings: dict) -> str:
    """The text of the drop-in."""
    paths = paths_of(settings)
    units = list(dict.fromkeys(unit for path in paths for unit in mounts_on(path)))
    lines = ["[Unit]"]
    for unit in units:
        lines += [f"Wants={unit}", f"After={unit}"]
    lines += ["", "[Service]", "ReadWritePaths=", *(f"ReadWritePaths={quoted(p)}" for p in paths)]
    return HEAD.format(config=config) + "\n".join(lines) + "\n"


def main() -> None:
    """What is typed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--config", required=True, help="the configuration to read")
    parser.add_argument("--unit", default="watcher.service", help="the unit it is for")
    parser.add_argument("--units", type=Path, default=UNITS, help="where the units lie")
    typed = parser.parse_args()
    with open(typed.config, "rb") as file:
        settings = tomllib.load(file)
    target = typed.units / f"{typed.unit}.d" / "paths.conf"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(drop_in(typed.config, settings), encoding="utf-8")
    then = f"now `systemctl daemon-reload`, then `systemctl restart {typed.unit}`"
    sys.stdout.write(f"{target}: {then}\n")


if __name__ == "__main__":
    main()
