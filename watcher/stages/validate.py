"""What would happen if a session were archived now: reads, compares, and writes nothing."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from watcher.core import names, plan
from watcher.core.case import Elsewhere
from watcher.core.check import check
from watcher.core.errors import DocumentError, StorageError
from watcher.core.match import path_in
from watcher.core.model import (
    Archived,
    ArchivedResource,
    ArchivedScan,
    Finding,
    Scan,
    Session,
)
from watcher.core.scans import arrange
from watcher.dicom import catalog, document
from watcher.io import files
from watcher.io.reader import same_data_set
from watcher.stages.parts import Parts


@dataclass(frozen=True, slots=True)
class Judged:
    """A session beside what is archived under its project and label.

    `xml` and `catalogs` (by path relative to the archived session) are the documents read, so
    that a plan can tell whether they changed since.
    """

    session: Session
    scans: tuple[Scan, ...]
    archived: Archived | None
    merge: plan.Merge
    findings: tuple[Finding, ...]
    xml: bytes | None
    catalogs: Mapping[str, bytes]


def judge(
    parts: Parts,
    session: Session,
    scans: Sequence[Scan] | None = None,
    *,
    passed: frozenset[str] = frozenset(),
) -> Judged:
    """Every finding of a session, and what archiving it would do.

    `scans` where a build has just arranged them; `passed` are codes a person forces now, besides
    those decided before. DocumentError where the archived session can't be read.
    """
    arranged = tuple(scans or arrange(parts.ledger.instances(session.id), known=session.scan_ids))
    shelf = _Shelf(parts, session, arranged)
    merge = _merge(parts, shelf, session, arranged)
    before = {code for each in session.decisions for code in each.passed}
    findings = check(
        session,
        arranged,
        project=parts.project(session),
        archived=shelf.archived,
        merge=merge,
        elsewhere=_elsewhere(parts, session),
        label_shared=_sharers(parts, session),
        document_fault=_document_fault(session, arranged),
        passed=passed | before,
    )
    return Judged(session, arranged, shelf.archived, merge, findings, shelf.xml, shelf.catalogs)


class _Shelf:
    """The archived session of a project and label, with the entries of scans that can match."""

    def __init__(self, parts: Parts, session: Session, scans: Sequence[Scan]) -> None:
        self.catalogs: dict[str, bytes] = {}
        self.xml: bytes | None = None
        self.archived: Archived | None = None
        self.folder = ""
        if session.project is None:
            return
        parts.storage.require("archive")  # nothing follows from the absence of a store
        self.folder = parts.storage.archived(session.project, session.label)
        self.xml = files.read_if_there(f"{self.folder}.xml")
        if self.xml is not None:
            self.archived = self._archived(document.read(self.xml), scans)

    def _archived(self, found: Archived, scans: Sequence[Scan]) -> Archived:
        uids = {scan.uid for scan in scans if scan.uid}
        ids = {scan.id.casefold() for scan in scans}
        return replace(
            found,
            scans=tuple(
                self._filled(scan) if scan.uid in uids or scan.id.casefold() in ids else scan
                for scan in found.scans
            ),
        )

    def _filled(self, scan: ArchivedScan) -> ArchivedScan:
        return replace(scan, resources=tuple(self._listed(scan, each) for each in scan.resources))

    def _listed(self, scan: ArchivedScan, resource: ArchivedResource) -> ArchivedResource:
        if not resource.catalog.endswith(".xml"):
            return resource  # not a catalogued resource: none of our files are in it
        data = files.read_if_there(os.path.join(self.folder, resource.catalog))
        if data is None:
            raise DocumentError(
                f"archived scan {scan.id} has no catalog for {resource.label}",
                hint="restore the catalog, then `watcher rebuild` this session",
            )
        self.catalogs[resource.catalog] = data
        return replace(resource, entries=catalog.read(data)[1])

    def forget_missing(self, merged: plan.Merge) -> bool:
        """Whether a newcomer was to be dropped for an archived file that is not there any more.

        Then the file is not known as archived, and the newcomer goes where it was. DocumentError
        where it is there and is not what its catalog says: neither copy may be dropped.
        """
        gone = {each.target for each in merged.same if not self._is_there(each)}
        if gone and self.archived is not None:
            self.archived = _without(self.archived, gone)
        return bool(gone)

    def _is_there(self, same: plan.Same) -> bool:
        if not same.listed:
            return True  # its twin comes with it
        found = files.print_of(os.path.join(self.folder, same.target))
        if found is not None and same.size not in {None, found.size}:
            raise DocumentError(
                f"an archived file is not what its catalog says: {same.target}",
                hint="restore it from backup, then `watcher rebuild` this session",
            )
        return found is not None


def _without(archived: Archived, gone: set[str]) -> Archived:
    def listed(resource: ArchivedResource) -> ArchivedResource:
        entries = resource.entries
        kept = tuple(each for each in entries if path_in(resource, each.uri) not in gone)
        return replace(resource, entries=kept)

    scans = (
        replace(scan, resources=tuple(listed(each) for each in scan.resources))
        for scan in archived.scans
    )
    return replace(archived, scans=tuple(scans))


def _merge(parts: Parts, shelf: _Shelf, session: Session, scans: Sequence[Scan]) -> plan.Merge:
    same = _same_data(parts, shelf, session, scans)
    present: dict[str, frozenset[str]] = {}
    while True:  # a folder is looked at when a file is to go there; few are
        merged = plan.merge(scans, shelf.archived, same_data=same, present=present)
        if shelf.forget_missing(merged):
            continue
        wanted = {os.path.dirname(add.target) for add in merged.adds} - present.keys()
        if not wanted or not shelf.folder:
            return merged
        for folder in sorted(wanted):
            found = files.names_in(os.path.join(shelf.folder, folder))
            present[folder] = _without_ours(parts, session, folder, found)


def _without_ours(
    parts: Parts, session: Session, folder: str, found: frozenset[str]
) -> frozenset[str]:
    """Names on disk that are not half-done links of an earlier try with this session's files."""
    if not found:
        return found
    ours = {
        each.place.name: os.path.join(parts.storage.folder(session), each.place.path)
        for each in parts.ledger.instances(session.id)
        if each.place.name in found
    }
    base = os.path.join(parts.storage.archived(session.project or "", session.label), folder)
    return frozenset(
        name
        for name in found
        if name not in ours or not files.same_inode(ours[name], os.path.join(base, name))
    )


def _same_data(
    parts: Parts, shelf: _Shelf, session: Session, scans: Sequence[Scan]
) -> dict[str, bool | None]:
    """Whether files with the same UIDs and other digests hold the same data set."""
    folder = parts.storage.folder(session)
    same: dict[str, bool | None] = {}
    for twin in plan.twins(scans):
        same[twin.second.place.path] = same_data_set(
            os.path.join(folder, twin.first.place.path),
            os.path.join(folder, twin.second.place.path),
        )
    for suspect in plan.suspects(scans, shelf.archived):
        parts.check_stop()
        if files.print_of(os.path.join(shelf.folder, suspect.path)) is None:
            raise DocumentError(
                f"an archived file is gone: {suspect.path}",
                hint="restore it from backup, then `watcher rebuild` this session",
            )
        same[suspect.instance.place.path] = same_data_set(
            os.path.join(folder, suspect.instance.place.path),
            os.path.join(shelf.folder, suspect.path),
        )
    return same


def _elsewhere(parts: Parts, session: Session) -> list[Elsewhere]:
    return [
        Elsewhere(shelf.project, shelf.label, shelf.study)
        for shelf in parts.registry.with_study(session.study)
        if (shelf.project, shelf.label) != (session.project, session.label)
    ]


def _sharers(parts: Parts, session: Session) -> list[str]:
    """Other waiting sessions of the project with this label and another study."""
    return [
        other.id
        for other in parts.ledger.labelled(session.project, session.label)
        if other.id != session.id and other.study != session.study
    ]


def _document_fault(session: Session, scans: Sequence[Scan]) -> str:
    """Why the session's XML can't be written; empty where it can."""
    try:
        document.compose(session, scans, experiment_id=experiment(session))
    except DocumentError as error:
        return str(error)
    return ""


def experiment(session: Session) -> str:
    """The experiment ID a session has or would have."""
    return names.experiment_id(session.project or "Unassigned", session.label)


def readable(error: Exception) -> str:
    """A fault of the machine or of a document, for people."""
    if isinstance(error, StorageError):
        return f"{error} (errno {error.number})"
    return str(error)
