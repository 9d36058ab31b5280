"""`watcher check`."""

import shlex
import sys
from collections.abc import Iterator, Sequence
from io import TextIOWrapper
from typing import Annotated

from cyclopts import Parameter

from watcher.commands.accepting import take
from watcher.commands.drop_check import drop_lines
from watcher.commands.looked import Scene, mender, scene
from watcher.commands.machine_check import libraries, machine_lines, metrics_lines
from watcher.commands.options import PLAIN, Common
from watcher.commands.output import print_json, print_table
from watcher.commands.store_check import log_lines, store_lines
from watcher.commands.unit_check import unit_lines
from watcher.core.errors import ConfigurationError, StorageError
from watcher.core.notation import format_duration
from watcher.io.stores import KINDS
from watcher.report.checked import HEAD, Line, document, exit_code, rows, script
from watcher.report.manner import bounds
from watcher.settings import Retention, load


def check(
    *,
    accept: Annotated[
        bool, Parameter(help="Take stores and mounts as they are now for ours.", negative="")
    ] = False,
    common: Common = PLAIN,
) -> int:
    """Check configuration and machine: what is wrong, and the command that mends it.

    Below the table stand the commands, for a shell as they are; those that decide for good are
    comments. Nothing is written, but with --accept: stores whose marker is missing or foreign are
    taken for ours, except below a named mount that is not there, and the mounts remembered of drops
    are forgotten. Root looks as the user whose daemon it is.

    Example: watcher check --config /etc/watcher/watcher.toml
    """
    lines = _lines(common, accept=accept)
    if common.json:
        print_json(document(lines))
    else:
        _print(lines)
    return exit_code(lines)


def _print(lines: Sequence[Line]) -> None:
    if isinstance(sys.stdout, TextIOWrapper):  # a name that is not UTF-8 is typed as it is
        sys.stdout.reconfigure(errors="surrogateescape")
    print_table(HEAD, rows(lines), nothing="nothing was looked at")
    if mending := list(script(lines)):
        print("\n# what mends it:")
        print("\n".join(mending))


def _lines(common: Common, *, accept: bool) -> list[Line]:
    """Everything that was found; of a configuration that does not load, its faults."""
    source = common.source()
    try:
        settings = load(source)
    except ConfigurationError as error:
        mend = mender(source)
        faults = error.faults or (str(error),)
        found = [Line("error", "configuration", each, "", 2, mend.edit()) for each in faults]
        return [*found, *libraries(mend)]
    try:
        seen = scene(settings)
        taken = list(take(settings, seen.storage, seen.silent, seen.mend)) if accept else []
        return [*taken, *_found(seen)]
    except StorageError as error:  # what a check stands on, as the table of mounts, can't be read
        mend = mender(source)
        look = mend.root(*shlex.split(mend.watcher("check")))
        return [Line("error", "machine", str(error), error.hint, 2, look)]


def _purges(retention: Retention) -> Iterator[Line]:
    """What goes for good without being asked for each time."""
    for store in ("history", "quarantine"):
        if (seconds := getattr(retention, store)) is not None:
            text = f"entries are purged after {format_duration(seconds)}"
            yield Line("ok", f"retention.{store}", text)


def _found(seen: Scene) -> Iterator[Line]:
    settings = seen.settings
    yield Line("ok", "configuration", settings.source)
    yield Line("ok", "limits", bounds(settings.limits))
    yield from _purges(settings.retention)
    yield from place_lines(seen)
    yield from machine_lines(seen)
    yield from metrics_lines(seen)


def place_lines(seen: Scene) -> Iterator[Line]:
    """Drops, stores, the files, and the unit that must reach them; no process is started."""
    yield from seen.readable()
    for drop in seen.settings.drops:
        yield from drop_lines(seen, drop)
    for kind in KINDS:
        yield from store_lines(seen, kind)
    yield from log_lines(seen)
    yield from unit_lines(seen)
