"""What a session should have: files known to be missing (spec 10, `incomplete`), and numbers.

A stuck file says so itself; lists of what a medium holds (DICOMDIR) are not read yet.
"""

import os
from collections.abc import Sequence

from watcher.core.match import path_of
from watcher.core.model import Session
from watcher.dicom.numbering import numbers
from watcher.io.lookup import Lookup, Raised
from watcher.stages.parts import Parts
from watcher.stages.shelf import Shelf


def listed(shelf: Shelf) -> dict[str, Sequence[int | None]]:
    """The InstanceNumbers in the catalogs of archived scans that are joined, by catalog.

    Only where the shelf has not all their entries (core.complete wants them).
    """
    scans = shelf.archived.scans if shelf.archived else ()
    return {
        resource.catalog: numbers(shelf.text(resource.catalog), shelf.cuts.get(resource.catalog))
        for scan in scans
        for resource in scan.resources
        if len({path_of(resource, each) for each in resource.entries}) < resource.files
    }


def stuck(parts: Parts, session: Session) -> tuple[str, ...]:
    r"""The stuck files of directories the session took files from, relative to their drop.

    Sorted; bytes of a name that are not UTF-8 are shown as `\xe9`.
    """
    raised = [each for each in Lookup(parts.ledger).raised() if each.event == "file.stuck"]
    folders = parts.ledger.source_folders(session.id) if raised else set()
    found = (_path(each) for each in raised if _path(each) and _folder(each) in folders)
    return tuple(sorted(path.decode("utf-8", "backslashreplace") for path in found))


def _folder(raised: Raised) -> tuple[str, bytes]:
    """Its drop and directory, as the ledger tells those a session took files from."""
    return str(raised.fields.get("drop", "")), os.path.dirname(_path(raised))


def _path(raised: Raised) -> bytes:
    """Where it lies in the drop; the ledger keeps the condition's path as os.fsdecode made it."""
    return os.fsencode(str(raised.fields.get("path", "")))
