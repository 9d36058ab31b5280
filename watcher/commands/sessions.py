"""`watcher sessions`."""

from typing import Annotated, Any

from cyclopts import Parameter

from watcher.commands import select
from watcher.commands.options import PLAIN, Common
from watcher.commands.output import print_json, print_table
from watcher.core.session import UNASSIGNED, Session, Status
from watcher.io.registry import Shelf
from watcher.report import listing
from watcher.report.times import iso
from watcher.stages.parts import Parts


def sessions(
    *,
    status: Annotated[
        Status | None, Parameter(help="Only these; ARCHIVED lists the archive.")
    ] = None,
    project: Annotated[str | None, Parameter(help="Only of this project, or Unassigned.")] = None,
    common: Common = PLAIN,
) -> int:
    """List the sessions of the prearchive, oldest first.

    Example: watcher sessions --status CONFLICT --project PROJ1
    """
    with common.parts() as parts:
        if status is Status.ARCHIVED:
            records, arrivals = _archive(parts, project)
        else:
            records, arrivals = _prearchive(parts, status, project)
        now = parts.clock.now()
    if common.json:
        print_json(records)
    else:
        print_table(listing.HEAD, listing.rows(records, now, arrivals), nothing="no sessions")
    return 0


Found = tuple[list[dict[str, Any]], dict[str, float]]


def _prearchive(parts: Parts, status: Status | None, project: str | None) -> Found:
    found = select.selected(parts, status, project)
    sizes = parts.ledger.sizes()
    records = [listing.record(each, sizes.get(each.id) or _kept(parts, each)) for each in found]
    return records, {each.id: each.last_arrival for each in found}


def _kept(parts: Parts, session: Session) -> listing.Sizes:
    return parts.ledger.kept_sizes(session.id)


def _archive(parts: Parts, project: str | None) -> Found:
    known = {each.id: each for each in parts.ledger.sessions((Status.ARCHIVED,))}
    wanted = project.casefold() if project else None
    shelves = [
        each for each in parts.registry.shelved() if wanted in {None, each.project.casefold()}
    ]
    records = [archived_record(each, known.get(each.session)) for each in shelves]
    return records, {each.session: each.changed for each in shelves}


def archived_record(shelf: Shelf, first: Session | None) -> dict[str, Any]:
    """An archived session as listings show it; `first` is the session it was made of, if known.

    `last_arrival` is when it last changed.
    """
    return {
        "id": shelf.session,
        "status": Status.ARCHIVED.value,
        "project": shelf.project or UNASSIGNED,
        "subject": shelf.subject,
        "label": shelf.label,
        "study_uid": shelf.study,
        "scans": shelf.scans,
        "files": shelf.files,
        "bytes": shelf.bytes,
        "opened": iso(first.opened) if first else None,
        "last_arrival": iso(shelf.changed),
        "findings": listing.codes(listing.happened(first.findings)) if first else [],
        "place": "archive",
    }
