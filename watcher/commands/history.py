"""`watcher history`: what left a session, looked at, staged again, or purged."""

from dataclasses import asdict
from typing import Annotated, Any

from cyclopts import App, Parameter

from watcher.commands import coded
from watcher.commands.acting import DONE, OPEN, UNSETTLED, show
from watcher.commands.options import PLAIN, Common
from watcher.commands.output import print_json, print_table
from watcher.commands.several import on_each
from watcher.core.errors import ConfigurationError
from watcher.core.session import UNASSIGNED, Session
from watcher.io.lease import login
from watcher.io.lookup import sizes_below
from watcher.report import kept as report
from watcher.report.text import printable, printable_rows
from watcher.stages import history as entries
from watcher.stages import restore as acts
from watcher.stages.history import Kept
from watcher.stages.parts import Parts

history = App(
    name="history",
    help="""What left a session: deleted, replaced or set aside, with who did it, when and why.

Example: watcher history list --project PROJ1""",
)

Reason = Annotated[str, Parameter(help="Why; kept with the decision.")]


@history.command(name="list")
def listed(
    *,
    project: Annotated[str | None, Parameter(help="Only of this project, or Unassigned.")] = None,
    common: Common = PLAIN,
) -> int:
    """List the entries of the history, by project, label and time.

    Example: watcher history list --project PROJ1
    """
    wanted = project.casefold() if project else None
    with common.parts() as parts:
        found = [
            record(each)
            for each in entries.entries(parts)
            if wanted in {None, (each.project or UNASSIGNED).casefold()}
        ]
    if common.json:
        print_json(found)
    else:
        rows = printable_rows(report.rows(found))
        nothing = "nothing in the history fits" if project else "the history is empty"
        print_table(report.HISTORY, rows, nothing=nothing)
    return DONE


@history.command(name="show")
def shown(entry: str, /, *, common: Common = PLAIN) -> int:
    """Everything known of one entry, and its files.

    ENTRY is PROJECT/LABEL/STAMP or any unambiguous part of it.

    Example: watcher history show PROJ1/S001/20260619_091425123
    """
    with common.parts() as parts:
        found = _entry(parts, entry)
        document = {
            **record(found),
            "folder": entries.folder_of(parts, found),
            "paths": _files(parts, found),
        }
    if common.json:
        print_json(document)
    else:
        print_entry(document)
    return DONE


def print_entry(document: dict[str, Any]) -> None:
    """An entry for people, of the history or of the quarantine: what is known, then its files."""
    for line in report.lines(document):
        print(printable(line))
    print()
    if document.get("reasons"):
        rows = printable_rows(report.reason_rows(document["reasons"]))
        print_table(report.REASONS, rows, nothing="")
        print()
    rows = printable_rows(report.file_rows(document["paths"]))
    print_table(report.FILES, rows, nothing="no files")


@history.command(name="restore")
def restored(*ids: str, reason: Reason, common: Common = PLAIN) -> int:
    """Stage files of the history again, as sessions that wait for a person to archive them.

    A deleted session gets its own id back where that is free. Of files that were replaced or set
    aside the archive has others: `watcher archive ID --overwrite` puts them back.

    Example: watcher history restore S001/20260619_091425123 --reason "deleted by mistake"
    """

    def act(parts: Parts, each: Kept) -> Session:
        return acts.restore(parts, each, who=login(), reason=reason)

    with common.parts() as parts:
        done, code = on_each(_chosen(parts, ids), lambda each: act(parts, each), _called)
        show(done, json=common.json)
    unsettled = any(each.status in UNSETTLED for each in done)
    return code or (OPEN if unsettled else DONE)


@history.command(name="purge")
def purged(*ids: str, reason: Reason, common: Common = PLAIN) -> int:
    """Remove entries of the history for good. There is no way back.

    Example: watcher history purge S001/20260619_091425123 --reason "consent withdrawn"
    """

    def act(parts: Parts, each: Kept) -> Kept:
        return acts.purge(parts, each, who=login(), reason=reason)

    with common.parts() as parts:
        done, code = on_each(_chosen(parts, ids), lambda each: act(parts, each), _called)
    if common.json:
        print_json([record(each) for each in done])
    else:
        rows = printable_rows((each.id, each.files) for each in done)
        print_table(("PURGED", "FILES"), rows, nothing="nothing was purged")
    return code


def record(kept: Kept) -> dict[str, Any]:
    """An entry as `--json` gives it; bytes, and times in UTC."""
    values = asdict(kept)
    del values["stamp"]
    return {"id": kept.id, **values}


def _files(parts: Parts, kept: Kept) -> list[dict[str, Any]]:
    paths = entries.paths(parts, kept)
    return sizes_below(entries.folder_of(parts, kept), paths)


def _chosen(parts: Parts, ids: tuple[str, ...]) -> list[Kept]:
    found = {each.id: each for each in (_entry(parts, text) for text in ids)}
    if not found:
        raise ConfigurationError("no entry given", hint="watcher history list")
    return list(found.values())


def _entry(parts: Parts, text: str) -> Kept:
    places = entries.tree(parts.storage.require("history"))
    known = (each for place in places for each in (place[1], "/".join(place)))
    return entries.entry(parts, coded.plain(parts, text, *known))


def _called(kept: Kept) -> str:
    return kept.id
