"""`watcher quarantine`: files that could not be filed, looked at, given back, or purged."""

from typing import Annotated, Any

from cyclopts import App, Parameter

from watcher.commands.acting import DONE
from watcher.commands.history import Reason, print_entry
from watcher.commands.options import PLAIN, Common
from watcher.commands.output import print_json, print_table
from watcher.commands.several import on_each
from watcher.commands.status import ENTRY
from watcher.core.errors import ConfigurationError
from watcher.io.lease import login
from watcher.io.lookup import sizes_below
from watcher.io.registry import SetAside
from watcher.report import standing
from watcher.report.text import printable_rows
from watcher.stages import requeue as acts
from watcher.stages.parts import Parts
from watcher.survey import entry_values

quarantine = App(
    name="quarantine",
    help="""Files that could not be filed, set aside unchanged, with the reason beside them.

Example: watcher quarantine list --code missing-uid""",
)

OfDrop = Annotated[str | None, Parameter(help="Only those that came from this drop.")]
OfCode = Annotated[str | None, Parameter(help="Only those set aside for this reason.")]


@quarantine.command(name="list")
def listed(
    *,
    drop: OfDrop = None,
    code: OfCode = None,
    every: Annotated[
        bool, Parameter(name="--all", help="Those that are settled too.", negative="")
    ] = False,
    common: Common = PLAIN,
) -> int:
    """List the quarantine: the entries that are open, or all that are known.

    Example: watcher quarantine list --drop mri --code missing-uid
    """
    with common.parts() as parts:
        found = _selected(parts, drop, code, only_open=not every)
    narrowed = drop is not None or code is not None
    nothing = "nothing in quarantine fits" if narrowed else "nothing is in quarantine"
    _tell(found, json=common.json, nothing=nothing, state=every)
    return DONE


@quarantine.command(name="show")
def shown(entry: str, /, *, common: Common = PLAIN) -> int:
    """Everything known of one entry, and its files.

    ENTRY is an id, or any unambiguous part of DROP/DATE/ID.

    Example: watcher quarantine show 0a1b2c3d4e5f
    """
    with common.parts() as parts:
        found = acts.entry(parts, entry)
        folder = acts.folder_of(parts, found)
        document = {
            **entry_values(found),
            "sop_instance": found.sop,
            "hint": found.hint,
            "folder": folder,
            "reasons": acts.reasons(parts, found),
            "paths": sizes_below(folder, acts.paths(parts, found)),
        }
    if common.json:
        print_json(document)
    else:
        print_entry(document)
    return DONE


@quarantine.command(name="requeue")
def requeued(
    *ids: str,
    drop: OfDrop = None,
    code: OfCode = None,
    reason: Reason = "",
    common: Common = PLAIN,
) -> int:
    """Put files back into their drop, to be looked at as new: those named, and those selected.

    Each gets its own name again where that is free, else one below `requeued-ID/`. A unit that was
    refused goes back whole and under its own name, or not at all.

    Example: watcher quarantine requeue --code missing-uid --reason "headers mended"
    """
    drops = {each.name: each for each in common.settings().drops}

    def act(parts: Parts, each: SetAside) -> SetAside:
        return acts.requeue(parts, drops, each, who=login(), reason=reason)

    with common.parts() as parts:
        found = _named(parts, ids)
        if drop is not None or code is not None:
            found += _selected(parts, drop, code, only_open=True)
        found = _some({each.id: each for each in found})
        done, failed = on_each(found, lambda each: act(parts, each), _called)
    _tell(done, json=common.json, nothing="nothing was requeued")
    return failed


@quarantine.command(name="purge")
def purged(*ids: str, reason: Reason, common: Common = PLAIN) -> int:
    """Remove files that were set aside for good. There is no way back.

    Example: watcher quarantine purge 0a1b2c3d4e5f --reason "holiday pictures"
    """

    def act(parts: Parts, each: SetAside) -> SetAside:
        return acts.purge(parts, each, who=login(), reason=reason)

    with common.parts() as parts:
        found = _some({each.id: each for each in _named(parts, ids)})
        done, failed = on_each(found, lambda each: act(parts, each), _called)
    _tell(done, json=common.json, nothing="nothing was purged")
    return failed


def _named(parts: Parts, ids: tuple[str, ...]) -> list[SetAside]:
    return [acts.entry(parts, text) for text in ids]


def _selected(
    parts: Parts, drop: str | None, code: str | None, *, only_open: bool
) -> list[SetAside]:
    return [
        each
        for each in parts.registry.aside(only_open=only_open)
        if drop in {None, each.drop} and code in {None, each.code}
    ]


def _some(found: dict[str, SetAside]) -> list[SetAside]:
    if not found:
        hint = "watcher quarantine list"
        raise ConfigurationError("no entry given, and none selected", hint=hint)
    return list(found.values())


def _called(aside: SetAside) -> str:
    return aside.id


def _tell(found: list[SetAside], *, json: bool, nothing: str, state: bool = False) -> None:
    """`state`: in the table too, whether each is open."""
    records: list[dict[str, Any]] = [entry_values(each) for each in found]
    if json:
        print_json(records)
        return
    rows = standing.quarantine({"quarantine": records})
    if state:
        told = ["open" if each.open else "settled" for each in found]
        stated = [(*row, how) for row, how in zip(rows, told, strict=True)]
        print_table((*ENTRY, "STATE"), printable_rows(stated), nothing=nothing)
    else:
        print_table(ENTRY, printable_rows(rows), nothing=nothing)
