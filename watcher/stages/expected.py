"""What a session should have: files known to be missing (spec 10, `incomplete`), and numbers.

A stuck file says so itself; a DICOMDIR lists what its medium holds.
"""

import os
from collections.abc import Collection, Sequence

from watcher.core.case import FEW, Awaited
from watcher.core.listed import plain
from watcher.core.match import path_of
from watcher.core.receipt import Dropped
from watcher.core.session import Scan, Session
from watcher.dicom.numbering import numbers
from watcher.io.lists import Lists, Missing
from watcher.io.lookup import Lookup, Raised
from watcher.stages import inventory
from watcher.stages.entries import reread
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


def awaited(parts: Parts, session: Session, scans: Sequence[Scan]) -> Awaited:
    """Files of its studies that DICOMDIRs of its drops list, and that have not come.

    One that is filed in another session of the study, pending in the drop or archived has come.
    """
    studies = {session.study, *(each.header.study for scan in scans for each in scan.instances)}
    left = Lists(parts.ledger).missing(session.id, session.drops, studies - {""})
    if not left or not parts.storage.is_there("archive"):
        return Awaited()  # nothing follows from the absence of a store
    for folder in _homes(parts, session, studies):
        there = _archived(parts, folder, {each.sop for each in left})
        left = [each for each in left if each.sop not in there]
    return Awaited(len(left), tuple(each.file for each in left[:FEW]))


def absent(parts: Parts, dropped: Dropped) -> Awaited:
    """Files of one dropped thing that DICOMDIRs list and that have not come.

    Of whatever studies: of some of them nothing may have come.
    """
    found = Lists(parts.ledger).absent(dropped.drop, dropped.key)
    left = [each for path, each in found if _is_of(dropped.key, path, each)]
    if not left or not parts.storage.is_there("archive"):
        return Awaited()
    homes = {(each.project, each.label) for each in dropped.went if each.project}
    for study in {each.study for each in left}:
        homes |= {(each.project, each.label) for each in parts.registry.with_study(study)}
    for home in sorted(homes):
        there = _archived(parts, parts.storage.archived(*home), {each.sop for each in left})
        left = [each for each in left if each.sop not in there]
    return Awaited(len(left), tuple(each.file for each in left[:FEW]))


def _is_of(key: bytes, path: bytes, each: Missing) -> bool:
    """Whether a listed file is of this thing; `path`: where its list lies."""
    top, slash, _ = (path if b"/" in path else each.file.encode()).partition(b"/")
    return bool(slash) and plain(top) == plain(key)


def _homes(parts: Parts, session: Session, studies: Collection[str]) -> list[str]:
    """The folders of archived sessions that may hold files of these studies."""
    shelves = (each for study in sorted(studies) for each in parts.registry.with_study(study))
    homes = [(each.project, each.label) for each in shelves]
    if session.project is not None:
        homes.append((session.project, session.label))
    return [parts.storage.archived(*home) for home in dict.fromkeys(homes)]


def _archived(parts: Parts, folder: str, sops: Collection[str]) -> set[str]:
    """Those of the SOP UIDs that are archived in a session, whatever its catalogs say of UIDs."""
    found, bare = inventory.archived_uids(folder, sops)
    told = reread(parts, folder, bare).whole if bare else {}
    return found | {each.header.sop_instance for each in told.values()}


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
