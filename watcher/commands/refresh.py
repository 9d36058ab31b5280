"""`watcher refresh`."""

from typing import Annotated

from cyclopts import Parameter

from watcher.commands import coded
from watcher.commands.options import PLAIN, Common
from watcher.commands.output import print_json, print_table
from watcher.commands.progress import Told, progress
from watcher.commands.several import on_each
from watcher.core.errors import ConfigurationError, UnknownSessionError
from watcher.io.lease import destination_key, login
from watcher.report import soundness
from watcher.report.text import printable, printable_rows
from watcher.stages.parts import Parts
from watcher.stages.refresh import Refreshed
from watcher.stages.refresh import refresh as mend
from watcher.stages.verify import chosen

OPEN = 3


def refresh(
    *sessions: str,
    accept_changed: Annotated[
        bool,
        Parameter(help="Take changed files as they are, missing ones as gone.", negative=""),
    ] = False,
    reason: Annotated[str, Parameter(help="Why; kept with the decision.")] = "",
    common: Common = PLAIN,
) -> int:
    """Mend catalogs and session XML of archived sessions from their files.

    SESSIONS are PROJECT/LABEL. Files that are missing or no longer match their digest stay as they
    are listed and are reported, unless --accept-changed takes them. Exit code 3 where something is
    still wrong.

    Example: watcher refresh PROJ1/S001
    """
    _check(sessions, reason, accept=accept_changed)
    accept = reason if accept_changed else ""
    with common.parts() as parts:
        wanted = chosen(parts, [coded.plain(parts, each) for each in sessions])
        with progress("Refreshing", len(wanted)) as told:

            def act(pair: tuple[str, str]) -> Refreshed:
                return told.done(_one(parts, pair, accept, told))

            found, code = on_each(wanted, act, "/".join)
    _show(found, json=common.json)
    return code or (0 if all(each.checked.is_sound for each in found) else OPEN)


def _check(sessions: tuple[str, ...], reason: str, *, accept: bool) -> None:
    if not sessions:
        raise UnknownSessionError("no session given", hint="watcher refresh PROJECT/LABEL")
    if whole := [text for text in sessions if "/" not in text.strip("/")]:
        raise UnknownSessionError(f"{whole[0]!r} is no PROJECT/LABEL", hint="watcher verify")
    if accept and not reason.strip():
        raise ConfigurationError("--accept-changed wants --reason TEXT")


def _one(parts: Parts, pair: tuple[str, str], accept: str, told: Told) -> Refreshed:
    with parts.leases.hold([destination_key(*pair)], parts.clock.now()):
        return mend(parts, *pair, who=login(), accept=accept, seen=told.seen)


def _show(found: list[Refreshed], *, json: bool) -> None:
    if json:
        print_json([soundness.refreshed(each.checked, each.changed) for each in found])
        return
    for each in found:
        name = f"{each.checked.project}/{each.checked.label}"
        for change in each.changed:
            print(printable(f"{name}: {change.path}: {change.what}"))
        if not each.changed:
            print(f"{name}: nothing to mend")
    if flaws := soundness.flaw_rows([each.checked for each in found]):
        print()
        print_table(soundness.FLAW_HEAD, printable_rows(flaws), nothing="")
