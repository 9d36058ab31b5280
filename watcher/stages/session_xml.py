"""The XML of an archived session: lost, torn, or knowing of more than its catalogs list."""

import os
from collections.abc import Iterator

from watcher.core.archived import Archived, ArchivedResource
from watcher.core.errors import DocumentError
from watcher.core.session import Session, Status
from watcher.dicom import document
from watcher.dicom.repair import Named, named
from watcher.io import files
from watcher.stages.parts import Parts

LOGS = "logs/"


def parsed(xml: bytes, session: Session) -> Archived:
    """What the XML tells; DocumentError that says whose it is."""
    try:
        return document.read(xml)
    except DocumentError as error:
        raise _fault(session, str(error)) from error


def check_new(parts: Parts, session: Session, folder: str) -> None:
    """DocumentError where a label without session XML has files in the archive: it is not new.

    Links to the session's own files are half-done work of an earlier try; while another session
    is being archived there, its XML is still to come.
    """
    if any(True for _ in _strangers(parts, session, folder)) and not _is_coming(parts, session):
        raise _fault(session, "its files are there, but its session XML is gone")


def _fault(session: Session, text: str) -> DocumentError:
    where = f"{session.project}/{session.label}"
    hint = f"`watcher refresh {where}`, then rebuild"
    return DocumentError(f"archived as {where}: {text}", hint=hint)


def _strangers(parts: Parts, session: Session, folder: str) -> Iterator[str]:
    """Files of the archived session's folder that are neither links of ours nor its own log."""
    found = [path for path in files.walk(folder) if _counts(path)]
    base = parts.storage.folder(session)
    own = {_inode(base, path) for path in files.walk(base)} if found else set()
    return (path for path in found if _inode(folder, path) not in own)


def _counts(path: str) -> bool:
    return not (path.startswith(LOGS) or os.path.basename(path).startswith("."))


def _inode(base: str, path: str) -> tuple[int, int] | None:
    found = files.print_of(os.path.join(base, path))
    return (found.device, found.inode) if found else None


def _is_coming(parts: Parts, session: Session) -> bool:
    return any(
        other.status is Status.ARCHIVING and other.id != session.id
        for other in parts.ledger.labelled(session.project, session.label)
    )


def more(
    xml: bytes, scan: str, resource: ArchivedResource, listed: tuple[int, int]
) -> tuple[int, int]:
    """Files and bytes that a session XML counts beyond what is `listed`; (0, 0) where it doesn't.

    Files were lost together with what listed them: no later count may hide that.
    """
    claim = _claim(xml, scan, resource)
    if claim is None or claim.files is None or claim.files <= listed[0]:
        return 0, 0
    return claim.files - listed[0], max(0, (claim.size or 0) - listed[1])


def is_behind(xml: bytes, scan: str, resource: ArchivedResource) -> bool:
    """Whether a sound catalog has what its session XML does not count yet: a merge was cut off."""
    claim = _claim(xml, scan, resource)
    if resource.fault or claim is None or claim.files is None:
        return False
    same = claim.files == resource.files
    return claim.files < resource.files or (same and claim.size != resource.size)


def _claim(xml: bytes, scan: str, resource: ArchivedResource) -> Named | None:
    return next((e for e in named(xml) if (e.scan, e.label) == (scan, resource.label)), None)
