"""`watcher show`."""

import os
from typing import Any

from watcher.commands import coded, select
from watcher.commands.options import PLAIN, Common
from watcher.commands.output import print_json, print_table
from watcher.commands.sessions import archived_record
from watcher.core.errors import DocumentError, StorageError
from watcher.core.record import finding_values
from watcher.core.scans import arrange
from watcher.core.session import Session, Status
from watcher.io import files
from watcher.io.lookup import Lookup
from watcher.io.registry import Shelf
from watcher.report import listing, review, standing
from watcher.report.text import printable, printable_rows
from watcher.report.times import iso
from watcher.stages.parts import Parts
from watcher.survey import entry_values

CHRONICLE = "logs/events.jsonl"


def show(session: str, /, *, common: Common = PLAIN) -> int:
    """The review of a session: labels, scans, findings, what is not filed, timeline, decisions.

    SESSION is an id, any unambiguous part of PROJECT/TIMESTAMP/LABEL, or PROJECT/LABEL of an
    archived session.

    Example: watcher show 20260619_091425123
    """
    with common.parts() as parts:
        document = _document(parts, session)
    if common.json:
        print_json(document)
    else:
        _print(document)
    return 0


def _document(parts: Parts, text: str) -> dict[str, Any]:
    """By id, whatever became of it; else by PROJECT/LABEL of the archive; else in the prearchive.

    UnknownSessionError where none fits, or several do.
    """
    text = coded.plain(parts, text)
    if parts.ledger.has(text):
        return _known_by_id(parts, parts.ledger.session(text))
    shelf = select.shelf(parts, text) or _first_called(parts, text)
    if shelf is not None:
        return _shelved(parts, shelf, None)
    return _staged(parts, select.session(parts, text))


def _known_by_id(parts: Parts, session: Session) -> dict[str, Any]:
    if session.status is Status.ARCHIVED:
        shelf = parts.registry.shelf(session.project or "", session.label)
        return _shelved(parts, shelf, session) if shelf else _gone(parts, session)
    return _gone(parts, session) if session.status is Status.DELETED else _staged(parts, session)


def _first_called(parts: Parts, text: str) -> Shelf | None:
    """The archived session that had this id, for a ledger that was rebuilt since."""
    return next((each for each in parts.registry.shelved() if each.session == text), None)


def _staged(parts: Parts, session: Session) -> dict[str, Any]:
    instances = parts.ledger.instances(session.id)
    sizes = parts.ledger.sizes().get(session.id, (0, 0, 0))
    scans = arrange(instances, known=session.scan_ids)
    return {
        **_known(session, sizes),
        "folder": parts.storage.folder(session),
        "scans": review.scans(scans, review.missing(session, scans)),
        **_unfiled(parts, session),
        "timeline": _past(parts, session),
    }


def _past(parts: Parts, session: Session) -> list[dict[str, Any]]:
    """What happened to a session that waits, with what of it is archived already."""
    log = b""
    if session.project is not None:
        folder = parts.storage.archived(session.project, session.label)
        log = files.read_if_there(f"{folder}/{CHRONICLE}") or b""
    own = [line for line in log.splitlines() if session.id.encode() in line]
    told = [*review.timeline(session), *review.chronicle(b"\n".join(own))]
    return sorted(told, key=lambda each: str(each["when"]))


def _gone(parts: Parts, session: Session) -> dict[str, Any]:
    """A deleted session, or an archived one that is no longer in the archive."""
    history = parts.storage.history(session.project, session.label, session.id)
    return {
        **_known(session, parts.ledger.kept_sizes(session.id)),
        "folder": history if session.status is Status.DELETED else "",
        "scans": [],
        "waiting": [],
        "refused": [],
        "timeline": review.timeline(session),
    }


def _known(session: Session, sizes: listing.Sizes) -> dict[str, Any]:
    """What the ledger knows of a session, wherever its files are."""
    return {
        **listing.record(session, sizes),
        "shown": session.shown,
        "origins": dict(session.origins),
        "drops": list(session.drops),
        "error": session.error,
        "whole": session.whole,
        "findings": [finding_values(each) for each in listing.findings_of(session)],
        "decisions": [review.decision(each) for each in session.decisions],
    }


def _shelved(parts: Parts, shelf: Shelf, found: Session | None) -> dict[str, Any]:
    """An archived session, from its XML and its own log; `error` says why its XML can't be used."""
    first = found or _first(parts, shelf)
    happened = listing.happened(first.findings) if first else []
    folder = parts.storage.archived(shelf.project, shelf.label)
    log = files.read_if_there(f"{folder}/{CHRONICLE}") or b""
    scans, error = _scans(folder, shelf)
    return {
        **archived_record(shelf, first),
        "shown": f"{shelf.project}/{shelf.label}",
        "experiment": shelf.experiment,
        "accepted": list(shelf.accepted),
        "origins": dict(first.origins) if first else {},
        "drops": list(first.drops) if first else [],
        "error": error,
        "findings": [finding_values(each) for each in happened],
        "folder": folder,
        "scans": scans,
        "waiting": [],
        "refused": [],
        "timeline": review.chronicle(log),
        "decisions": _decisions(log),
    }


def _scans(folder: str, shelf: Shelf) -> tuple[list[dict[str, Any]], str]:
    """The scans in its XML, or why there are none to show."""
    try:
        scans = review.archived_scans(files.read(f"{folder}.xml"))
    except (DocumentError, StorageError) as error:
        return [], f"{error}; watcher refresh {shelf.project}/{shelf.label}"
    if shelf.accepted:
        names = files.walk(f"{folder}/SCANS")
        review.add_studies(scans, (shelf.study, *shelf.accepted), list(names))
    return scans, ""


def _first(parts: Parts, shelf: Shelf) -> Session | None:
    return parts.ledger.session(shelf.session) if parts.ledger.has(shelf.session) else None


def _decisions(log: bytes) -> list[dict[str, Any]]:
    """Every decision in an archived session's own log, of all that was merged into it."""
    return [one for line in log.splitlines() for one in review.decided(line)]


def _unfiled(parts: Parts, session: Session) -> dict[str, Any]:
    """What is stuck or was refused in the dropped folders the session was fed from."""
    heads = tuple(f"file/{drop}/" for drop in session.drops)
    fed = {(drop, _top(folder)) for drop, folder in parts.ledger.source_folders(session.id)}

    def near(drop: str, path: bytes) -> bool:
        return (drop, _top(os.path.dirname(path))) in fed

    waiting = [
        {
            "key": each.key,
            "since": iso(each.raised),
            "path": each.fields.get("path") or each.key,
            "text": each.fields.get("text") or standing.meaning(each.event),
            "hint": standing.hint(each.event, each.key, each.fields),
        }
        for each in Lookup(parts.ledger).raised()
        if each.event == "file.stuck" and each.key.startswith(heads)
        if near(each.fields.get("drop", ""), os.fsencode(each.fields.get("path", "")))
    ]
    refused = [
        entry_values(each)
        for each in parts.registry.aside()
        if near(each.drop, each.path) or each.id.startswith(f"{session.id}-")
    ]
    return {"waiting": waiting, "refused": refused}


def _top(folder: bytes) -> bytes:
    """The dropped folder that a directory lies in; empty for loose files."""
    return folder.partition(b"/")[0]


def _print(document: dict[str, Any]) -> None:
    for line in review.head(document):
        print(printable(line))
    print()
    print_table(review.SCANS, printable_rows(review.scan_rows(document)), nothing="no scans")
    for line in (*review.incomplete(document), *review.findings(document)):
        print(printable(line))
    unfiled = list(review.unfiled(document))
    if unfiled:
        print("\nIn the folders it came from, of this session or another:")
    for line in unfiled:
        print(f"  {printable(line)}")
    print()
    rows = [(each["when"], each["text"], each["event"]) for each in document["timeline"]]
    print_table(review.TIMELINE, printable_rows(rows), nothing="nothing is known of its past")
    told = list(review.decisions(document))
    print("\ndecisions: " + ("" if told else "none"))
    for line in told:
        print(f"  {printable(line)}")
