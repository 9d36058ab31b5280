"""What `watcher check` says of the systemd unit that starts this program, where one is installed.

Its sandbox shuts out whatever the configuration has come to name since: systemd.exec(5).
"""

import os
import re
from collections.abc import Iterator
from typing import Final

from watcher.commands.looked import Scene
from watcher.core.notation import parse_duration
from watcher.io.stores import KINDS
from watcher.io.units import Unit
from watcher.report.checked import Line

STOP: Final = 10.0  # seconds; the program ends within two (spec 4), but on a slow disk
# The names of what is written sort after `paths.conf`, which takes back the paths before it.
HIDDEN: Final = {
    "ProtectHome": ("/home", "/root", "/run/user"),
    "PrivateTmp": ("/tmp", "/var/tmp"),  # noqa: S108  nothing is made there: they are hidden
}


def unit_lines(scene: Scene) -> Iterator[Line]:
    """Of each unit that starts it on this configuration."""
    for unit in scene.units:
        of = f"unit {unit.name}"
        hidden = list(_hidden(scene, of, unit))
        closed = list(_closed(scene, of, unit))
        slow = list(_stop(scene, of, unit))
        yield from (*hidden, *closed, *slow)
        if not (hidden or closed or slow):
            yield Line("ok", of, "it reaches every store and drop, and has time to stop")


def _written(scene: Scene) -> dict[str, str]:
    """What the daemon writes, by what it is: stores, drops but those kept, the log's folder."""
    settings = scene.settings
    found = {f"store {kind}": scene.storage.path(kind) for kind in KINDS}
    found |= {f"drop {d.name}": d.path for d in settings.drops if d.after == "remove" or d.receipts}
    if settings.log.file:
        found["log.file"] = os.path.dirname(settings.log.file)
    return found


def _closed(scene: Scene, of: str, unit: Unit) -> Iterator[Line]:
    """Paths it may not write to."""
    if unit.last("ProtectSystem") != "strict":
        return
    open_ = [*unit.paths("ReadWritePaths"), *unit.made()]
    paths = _written(scene)
    shut = {name: path for name, path in paths.items() if not any(_is_in(path, o) for o in open_)}
    if shut:
        text = (
            f"its sandbox shuts out {', '.join(f'{path} ({name})' for name, path in shut.items())}"
        )
        wanted = [f"ReadWritePaths={_word(f'-{path}')}" for path in dict.fromkeys(paths.values())]
        command = scene.mend.drop_in(unit.name, "zz-check-paths", *wanted)
        hint = "and restart it"
        bad = any(name.startswith("store") for name in shut)
        yield Line("error" if bad else "warning", of, text, hint, 2 if bad else 0, command)


def _hidden(scene: Scene, of: str, unit: Unit) -> Iterator[Line]:
    """Paths it does not see at all."""
    paths = {*_written(scene).values(), *(drop.path for drop in scene.settings.drops)}
    for key, tops in HIDDEN.items():
        if unit.last(key) in {"", "no", "false", "0", "off"}:
            continue
        if gone := sorted(path for path in paths if any(_is_in(path, top) for top in tops)):
            text = f"{key}={unit.last(key)} hides {', '.join(gone)}"
            command = scene.mend.drop_in(unit.name, f"zz-check-{key.lower()}", f"{key}=no")
            yield Line("error", of, text, "and restart it", 2, command)


def _stop(scene: Scene, of: str, unit: Unit) -> Iterator[Line]:
    said = unit.last("TimeoutStopSec")
    if said and _seconds(said) < STOP:
        text = f"TimeoutStopSec={said}: it is killed before it has come to its end"
        command = scene.mend.drop_in(unit.name, "zz-check-stop", "TimeoutStopSec=20")
        yield Line("warning", of, text, "nothing is lost by that", command=command)


def _is_in(path: str, top: str) -> bool:
    return f"{path}/".startswith(f"{top.rstrip('/')}/")


def _word(text: str) -> str:
    """One word of a unit file, systemd.syntax(7)."""
    word = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{word}"' if re.search(r"[^\w./%+@:,=-]", word) else word


def _seconds(said: str) -> float:
    """A time of systemd's that is one number, with or without a unit; else as long as may be."""
    try:
        return parse_duration(f"{said}s" if said.isdigit() else said)
    except ValueError:
        return float("inf")
