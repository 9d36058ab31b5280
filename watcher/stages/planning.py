"""From the judgement on a session to the plan of its archiving (spec 11)."""

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain, count
from typing import Final

from watcher.core import names
from watcher.core.errors import DocumentError
from watcher.core.session import Finding, Scan, Session
from watcher.dicom import document
from watcher.io import files
from watcher.report.times import iso
from watcher.stages import history
from watcher.stages import promise as promises
from watcher.stages.asides import place_aside
from watcher.stages.documents import Next, catalogs_of, experiment, waiting_xml
from watcher.stages.parts import Parts
from watcher.stages.promise import Aside, Carry, Drop, Promise, Remains, Retire
from watcher.stages.shelf import GZIP
from watcher.stages.validate import Judged

REPLACED: Final = "replaced"  # kinds of entries of the history
KEPT: Final = "kept"
CATALOG: Final = "catalog"
DONE: Final = frozenset({"same-instance", "instance-other-class", "stray-file"})


def plan(parts: Parts, judged: Judged) -> Promise:
    """What archiving a judged session does, file by file and document by document."""
    session, merge, archived, shelf = judged.session, judged.merge, judged.archived, judged.shelf
    documents = judged.documents
    if documents is None:
        raise DocumentError("a session without a project can't be archived")
    instances = [each for scan in judged.going for each in scan.instances]
    catalogs = catalogs_of(session, merge, shelf)
    new = _in_place_of_new(judged, catalogs)
    orphans = [path for path, data in new.items() if data not in {None, catalogs[path].text}]
    broken = [*_broken(judged, catalogs), *orphans]
    stamps = _stamps(parts, judged, [*broken, *shelf.zipped])
    before = {**new, **shelf.catalogs}
    return Promise(
        session=session,
        made=iso(parts.clock.now()),
        new=archived is None,
        carries=tuple(Carry.of(a.source, a.target, a.instance.digest) for a in merge.adds),
        drops=tuple(Drop(s.source, s.target, s.instance.digest) for s in merge.same),
        asides=tuple(_asides(parts, judged, stamps)),
        retires=tuple(_retires(judged, stamps, broken, catalogs)),
        swaps=promises.swaps_of(
            before,
            shelf.prints,
            catalogs,
            (shelf.xml, documents.xml),
            folder=parts.storage.folder(session),
        ),
        leftovers=_own_catalogs(parts, session, judged.going),
        sizes=(len(judged.going), len(instances), sum(each.size for each in instances)),
        experiment=archived.id if archived and archived.id else experiment(session),
        studies=(documents.own, *documents.accepted),
        subject=archived.subject if archived else session.subject,
        totals=(len(document.read(documents.xml).scans), *document.totals(documents.xml)),
        replaced=sum(add.replaces is not None for add in merge.adds),
        remains=_remains(parts, judged) if judged.partly else None,
    )


def _stamps(parts: Parts, judged: Judged, documents: Collection[str]) -> dict[str, str]:
    """A folder of the history, relative to the store, for each kind of thing that goes there."""
    session, merge = judged.session, judged.merge
    wanted = {
        REPLACED: any(add.replaces for add in merge.adds),
        KEPT: bool(merge.aside),
        CATALOG: bool(documents),
    }
    stamp, stamps = history.new_stamp(parts, session.project, session.label), {}
    for kind in (kind for kind, is_wanted in wanted.items() if is_wanted):
        while os.path.lexists(parts.storage.history(session.project, session.label, stamp)):
            stamp = names.next_timestamp(stamp)
        stamps[kind] = f"{session.project}/{session.label}/{stamp}"
        stamp = names.next_timestamp(stamp)
    return stamps


def _broken(judged: Judged, catalogs: Mapping[str, Next]) -> list[str]:
    """Catalogs that are there, can't be used and become others."""
    before = judged.shelf.catalogs
    resources = (
        resource
        for scan in (judged.archived.scans if judged.archived else ())
        for resource in scan.resources
        if resource.fault and resource.catalog in catalogs
    )
    found = (resource.catalog for resource in resources)
    return [path for path in found if before[path] not in {None, catalogs[path].text}]


def _in_place_of_new(judged: Judged, catalogs: Collection[str]) -> dict[str, bytes | None]:
    """What lies where new catalogs go: an abandoned plan leaves some that no XML names.

    DocumentError where something there, or in the place of the XML, is no file.
    """
    base = judged.shelf.folder
    new = sorted(set(catalogs) - judged.shelf.catalogs.keys())
    places = {path: os.path.join(base, path) for path in new}
    if not all(map(files.may_be_file, [f"{base}.xml", *places.values()])):
        raise DocumentError("in the archive something that is no file has a document's name")
    return {path: files.read_if_there(place) for path, place in places.items()}


def _asides(parts: Parts, judged: Judged, stamps: dict[str, str]) -> Iterator[Aside]:
    yield from _quarantined(parts, judged)
    for each in judged.merge.aside:
        target = f"{stamps[KEPT]}/{each.source}"
        yield Aside(each.source, "history", target, each.policy, each.instance.digest)


def _quarantined(parts: Parts, judged: Judged) -> Iterator[Aside]:
    """Each under a name that nothing else has: the entry may be of an earlier archiving."""
    store, session = parts.storage.require("quarantine"), judged.session
    folder, given = parts.storage.folder(session), set[str]()
    for path, drop, code, name, digest in _set_aside(judged):
        plain = place_aside(session, drop, code, name)
        source = os.path.join(folder, path)
        longer = (f"{plain}.{n}" for n in count(2))
        target = next(
            target
            for target in chain([plain], longer)
            if target not in given and _is_free(os.path.join(store, target), source)
        )
        given.add(target)
        yield Aside(path, "quarantine", target, code, digest)


def _is_free(target: str, source: str) -> bool:
    there = os.path.lexists(target)
    return not there or files.same_inode(source, target)


def _set_aside(judged: Judged) -> Iterator[tuple[str, str, str, str, str]]:
    """What goes to the quarantine: path, drop, code, name there, and digest if it is known."""
    for other in judged.merge.other_class:
        instance = other.instance
        yield other.source, instance.drop, "other-class", instance.place.name, instance.digest
    staying = {each.place.scan for scan in judged.staying for each in scan.instances}
    for path in judged.seen.strays:
        if path.split("/")[1] not in staying:
            yield path, "", "stray-file", path, ""


def _retires(
    judged: Judged, stamps: dict[str, str], broken: Sequence[str], catalogs: Collection[str]
) -> Iterator[Retire]:
    for add in judged.merge.adds:
        if add.replaces:
            path = add.replaces.path
            yield Retire(path, f"{stamps[REPLACED]}/{path}")
    for path in broken:
        yield Retire(path, f"{stamps[CATALOG]}/{path}", kept=True)
    for path in sorted(judged.shelf.zipped.keys() & set(catalogs)):
        yield Retire(path + GZIP, f"{stamps[CATALOG]}/{path}{GZIP}")


def _remains(parts: Parts, judged: Judged) -> Remains:
    return Remains(
        files=sum(len(scan.instances) for scan in judged.staying),
        xml=waiting_xml(parts, judged.session, judged.staying).decode(),
        findings=tuple(each for each in judged.findings if _still_holds(judged, each)),
    )


def _still_holds(judged: Judged, finding: Finding) -> bool:
    """Whether a finding is about what stays; those about files that go are done with."""
    staying = {f"scan {scan.id}" for scan in judged.staying}
    return finding.scope in staying or (finding.scope == "session" and finding.code not in DONE)


def _own_catalogs(parts: Parts, session: Session, scans: Sequence[Scan]) -> tuple[str, ...]:
    found = (
        names.catalog_path(scan.id, resource.label) for scan in scans for resource in scan.resources
    )
    folder = parts.storage.folder(session)
    return tuple(path for path in found if os.path.lexists(os.path.join(folder, path)))
