"""`watcher status`."""

from collections.abc import Sequence
from typing import Annotated, Any, Final

from cyclopts import Parameter

from watcher.commands.options import PLAIN, Common
from watcher.commands.output import print_json, print_table
from watcher.core.errors import MissingPlaceError
from watcher.report import standing
from watcher.report.text import printable_rows
from watcher.survey import survey, unborn

UNHEALTHY: Final = 12
DROP: Final = ("DROP", "PATH", "", "TAKES", "WAITING", "FILED")
SESSION: Final = ("SESSION", "STATUS", "LABEL", "WHY", "DO")
CONDITION: Final = ("SINCE", "EVENT", "WHAT", "OF", "DO")
ENTRY: Final = ("ENTRY", "DROP", "CODE", "FILES", "PATH", "WHY")


def status(
    *,
    health: Annotated[
        bool, Parameter(help="Exit 12 where the daemon does not run or is stalled.", negative="")
    ] = False,
    common: Common = PLAIN,
) -> int:
    """How the installation stands: the daemon, drops, stores, sessions, and what is open.

    Example: watcher status --health && echo well
    """
    settings = common.settings()
    try:
        with common.parts() as parts:
            document = survey(settings, parts)
    except MissingPlaceError as error:  # the daemon has never run here
        document = unborn(settings, str(error))
    if common.json:
        print_json(document)
    elif health:
        print(document["unhealthy"] or "healthy")
    else:
        _print(document)
    return UNHEALTHY if health and document["unhealthy"] else 0


def _print(document: dict[str, Any]) -> None:
    for line in standing.lines(document):
        print(line)
    _list(SESSION, standing.waiting(document), nothing="no session waits for a person")
    _more(document["more_sessions"], "sessions", "watcher sessions")
    _list(DROP, standing.drops(document), nothing="no drops")
    _list(("STORE", "PATH", "", "FREE"), standing.stores(document), nothing="no stores")
    _list(CONDITION, standing.conditions(document), nothing="nothing is open")
    _more(document["more_conditions"], "conditions", "watcher log")
    _list(ENTRY, standing.quarantine(document), nothing="nothing is in quarantine")
    _more(document["more_quarantine"], "entries", "watcher quarantine list")


def _list(head: Sequence[str], rows: Sequence[Sequence[object]], *, nothing: str) -> None:
    print()
    print_table(head, printable_rows(rows), nothing=nothing)


def _more(count: int, what: str, command: str) -> None:
    if count:
        print(f"and {count:,} {what} more: {command}")
