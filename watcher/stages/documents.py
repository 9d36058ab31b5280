"""What archiving a session writes: the next text of every catalog it touches, and of the XML."""

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from watcher.core import names
from watcher.core.archived import Archived, ArchivedResource, ArchivedScan, Entry
from watcher.core.check import merged_type
from watcher.core.errors import DocumentError
from watcher.core.listing import entry_of
from watcher.core.match import path_of
from watcher.core.plan import Add, Merge
from watcher.core.scans import studies
from watcher.core.session import UNASSIGNED, Scan, ScanResource, Session
from watcher.dicom import catalog, document
from watcher.dicom.scan import dimensions_of
from watcher.io import files
from watcher.stages.parts import Parts
from watcher.stages.session_xml import is_behind, more
from watcher.stages.shelf import BARE, Shelf

Totals = Mapping[tuple[str, str], tuple[int, int]]  # files and bytes, by scan ID and resource


@dataclass(frozen=True, slots=True)
class Documents:
    """`xml` is the session XML as it will be; `accepted` the studies besides its own."""

    xml: bytes
    own: str
    accepted: tuple[str, ...]


def experiment(session: Session) -> str:
    """The experiment ID a session has or would have."""
    return names.experiment_id(session.project or UNASSIGNED, session.label)


def documents_of(session: Session, scans: Sequence[Scan], merge: Merge, shelf: Shelf) -> Documents:
    """The session XML once these scans are in. DocumentError where that can't be written."""
    archived = shelf.archived
    instances = [each for scan in scans for each in scan.instances]
    found = studies(instances)
    own = archived.study if archived and archived.study else next(iter(found), session.study)
    before = archived.accepted if archived else ()
    accepted = tuple(dict.fromkeys((*before, *(study for study in found if study != own))))
    totals = {key: _held(shelf, key, merge) for key in (*merge.touched, *_behind(shelf, merge))}
    if archived is None or shelf.xml is None:
        xml = document.compose(
            session, merge.new_scans, experiment_id=experiment(session), accepted=accepted
        )
    else:
        xml = _merged_xml(
            session,
            scans,
            merge,
            archived=archived,
            old=shelf.xml,
            totals=totals,
            accepted=accepted,
        )
    return Documents(xml, own, accepted)


@dataclass(frozen=True, slots=True)
class Next:
    """A document's next text; a catalog that is there gains or replaces these entries.

    `own`: a catalog of the prearchive session that has the very text, relative to its folder. Then
    only the `digest` is held here, SHA-256 in hex.
    """

    text: bytes
    adds: tuple[Entry, ...] = ()
    replaces: Mapping[str, Entry] = field(default_factory=dict)
    own: str = ""
    digest: str = ""


def catalogs_of(session: Session, merge: Merge, shelf: Shelf) -> dict[str, Next]:
    """The next text of every catalog that is touched or new, by path in the archived session."""
    project = session.project or ""
    texts = {
        path: _new(shelf, path, whole_catalog(scan, resource, project))
        for scan in (*merge.new_scans, *(scan for _, scan in merge.new_resources))
        for resource in scan.resources
        for path in [names.catalog_path(scan.id, resource.label)]
    }
    for key in merge.touched:
        scan, resource = _find(shelf.archived, key)
        adds = [add for add in merge.adds if (add.scan, add.folder) == key]
        texts[resource.catalog] = _catalog(shelf, scan, resource, adds, project)
    return texts


def _new(shelf: Shelf, path: str, text: bytes) -> Next:
    """A catalog where there is none: what the build has made, where that is the very same."""
    own = os.path.join(shelf.parts.storage.folder(shelf.session), path)
    free = not os.path.lexists(os.path.join(shelf.folder, path))
    if free and files.may_be_file(own) and files.read_if_there(own) == text:
        return Next(b"", own=path, digest=sha256(text).hexdigest())
    return Next(text)


def waiting_xml(parts: Parts, session: Session, scans: Sequence[Scan]) -> bytes:
    """The XML of a prearchive session that holds these scans."""
    accepted = studies([each for scan in scans for each in scan.instances])[1:]
    return document.compose(
        session,
        scans,
        experiment_id=experiment(session),
        prearchive_path=parts.storage.folder(session),
        accepted=accepted if session.decisions else (),
    )


def _catalog(
    shelf: Shelf, scan: ArchivedScan, resource: ArchivedResource, adds: Sequence[Add], project: str
) -> Next:
    replaced = {add.replaces.entry.uri: add.entry for add in adds if add.replaces}
    added = tuple(add.entry for add in adds if not add.replaces)
    drop = _leaving(shelf, resource, adds) - replaced.keys()
    if resource.fault and resource.fault != BARE:  # made again from the files
        kept = [each for each in resource.entries if each.uri not in replaced]
        entries = [*kept, *(add.entry for add in adds)]
        text = catalog.compose(
            scan.uid, entries, catalog_id=resource.label, dimensions=None, project=project
        )
        return Next(text)
    told = {each.uri: each for each in resource.entries} if resource.fault else {}
    old, new = shelf.text(resource.catalog), {**told, **replaced}
    cut = shelf.cuts.get(resource.catalog)
    text = catalog.merge(old, added, replace=new, drop=drop, cut=cut)
    return Next(text) if drop else Next(text, added, new)


def _leaving(shelf: Shelf, resource: ArchivedResource, adds: Sequence[Add]) -> set[str]:
    """URIs of the files that leave, by every name they have, and of those that come again."""
    paths = {add.replaces.path for add in adds if add.replaces}
    listed = {each.uri for each in resource.entries if path_of(resource, each) in paths}
    return listed | shelf.gone[resource.catalog]


def _find(archived: Archived | None, key: tuple[str, str]) -> tuple[ArchivedScan, ArchivedResource]:
    for scan in archived.scans if archived else ():
        for resource in scan.resources:
            if (scan.id, resource.label) == key:
                return scan, resource
    raise DocumentError(f"archived scan {shlex.quote(key[0])} has no such resource")


def _held(shelf: Shelf, key: tuple[str, str], merge: Merge) -> tuple[int, int]:
    """Files and bytes of a resource when the merge is carried out, and what it has lost before."""
    _, resource = _find(shelf.archived, key)
    adds = [add for add in merge.adds if (add.scan, add.folder) == key]
    old = [shelf.size_of(each.path, each.entry.size) for add in adds if (each := add.replaces)]
    lost, missed = more(shelf.xml or b"", key[0], resource, shelf.listed[resource.catalog])
    size = resource.size + sum(add.instance.size for add in adds) - sum(old)
    return resource.files + len(adds) - len(old) + lost, size + missed


def _behind(shelf: Shelf, merge: Merge) -> Iterator[tuple[str, str]]:
    """Resources with files that are there already and that the session XML does not count yet."""
    met = {same.target.rpartition("/")[0] for same in merge.same if same.listed}
    for scan in shelf.archived.scans if shelf.archived and met else ():
        for resource in scan.resources:
            here = resource.catalog in shelf.listed and resource.catalog.rpartition("/")[0] in met
            if here and is_behind(shelf.xml or b"", scan.id, resource):
                yield scan.id, resource.label


def _merged_xml(
    session: Session,
    scans: Sequence[Scan],
    merge: Merge,
    *,
    archived: Archived,
    old: bytes,
    totals: Totals,
    accepted: tuple[str, ...],
) -> bytes:
    if not merge.adds and not totals and set(accepted) == set(archived.accepted):
        return old  # an identical resend changes nothing
    return document.merge(
        old,
        session,
        merge.new_scans,
        totals,
        new_resources=merge.new_resources,
        accepted=accepted,
        element=merged_type(merge.new_scans, archived) if merge.new_scans else None,
        notes=_notes(scans, merge, archived),
    )


def _notes(scans: Sequence[Scan], merge: Merge, archived: Archived) -> dict[str, str]:
    """What seems missing of the archived scans that are joined, by their ID, where it is known."""
    old = {scan.id for scan in archived.scans}
    moved = {**merge.renamed, **merge.joined}
    ids = {scan.id: moved.get(scan.uid or scan.id, (scan.id, scan.id))[1] for scan in scans}
    told = ((ids[scan.id], scan.note) for scan in scans)
    return {final: note for final, note in told if note is not None and final in old}


def whole_catalog(scan: Scan, resource: ScanResource, project: str) -> bytes:
    """The catalog of one resource whose files lie where their places say."""
    return catalog.compose(
        scan.uid,
        [entry_of(each, each.place.name) for each in resource.instances],
        catalog_id=resource.label,
        dimensions=dimensions_of(resource.instances),
        project=project,
    )
