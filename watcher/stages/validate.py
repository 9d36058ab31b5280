"""What would happen if a session were archived now: reads, compares, and writes nothing."""

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from watcher.core import complete, match, plan
from watcher.core.archived import Archived
from watcher.core.case import Elsewhere
from watcher.core.check import Seen, check, held
from watcher.core.decisions import policy_of
from watcher.core.errors import DocumentError, StorageError, WatcherError
from watcher.core.match import Comparison
from watcher.core.scans import arrange
from watcher.core.session import Finding, Instance, Place, Scan, Session
from watcher.dicom import document, schema
from watcher.io import files
from watcher.stages import inventory
from watcher.stages.comparing import Pair, compare_all
from watcher.stages.documents import Documents, documents_of
from watcher.stages.expected import awaited, listed, stuck
from watcher.stages.parts import Parts
from watcher.stages.shelf import GZIP, Shelf


@dataclass(frozen=True, slots=True)
class Judged:
    """A session beside what is archived under its project and label.

    `scans` are all of it; `going` those that no finding holds (none where the whole session is
    held), and `merge` and `documents` are about them.
    """

    session: Session
    scans: tuple[Scan, ...]
    shelf: Shelf
    findings: tuple[Finding, ...]
    going: tuple[Scan, ...]
    merge: plan.Merge
    documents: Documents | None  # None where nothing can go in
    seen: Seen

    @property
    def archived(self) -> Archived | None:
        """The archived session, with the entries that matter."""
        return self.shelf.archived

    @property
    def staying(self) -> tuple[Scan, ...]:
        """The scans that findings hold."""
        going = {scan.id for scan in self.going}
        return tuple(scan for scan in self.scans if scan.id not in going)

    @property
    def partly(self) -> bool:
        """Whether findings hold some scans and let others in."""
        return bool(self.going) and len(self.going) < len(self.scans)


def judge(parts: Parts, session: Session, scans: Sequence[Scan] | None = None) -> Judged:
    """Every finding of a session, and what archiving it would do.

    `scans` where a build has just arranged them. DocumentError where the archived session can't
    be read.
    """
    arranged = tuple(scans or arrange(parts.ledger.instances(session.id), known=session.scan_ids))
    shelf = Shelf.of(parts, session, arranged)
    met = {m.scan.id: m.old for m in match.meet(arranged, shelf.archived) if m.old}
    numbers = listed(shelf)
    gaps, notes = complete.look(arranged, met, numbers)
    arranged = tuple(replace(scan, note=notes.get(scan.id)) for scan in arranged)
    seen = _seen(parts, session, arranged)
    answers = _compared(parts, shelf, session, arranged)
    merge = _merge(parts, shelf, session, arranged, answers)
    documents, fault = _documents(session, arranged, merge, shelf)
    findings = check(
        session,
        arranged,
        project=parts.project(session),
        archived=shelf.archived,
        merge=merge,
        elsewhere=_elsewhere(parts, session, arranged),
        label_shared=_sharers(parts, session),
        document_fault=fault,
        seen=seen,
        gaps=gaps,
    )
    judged = Judged(session, arranged, shelf, findings, arranged, merge, documents, seen)
    return _partly(parts, judged, answers)


def _partly(parts: Parts, judged: Judged, answers: Mapping[str, Comparison]) -> Judged:
    """The judgement with what can go in, where findings hold some of it."""
    kept = held(judged.findings, whole=judged.session.whole)
    if kept is not None and not kept:
        return judged
    session, shelf = judged.session, judged.shelf
    together = None if kept is None else _with_partners(kept, judged.merge)
    going = tuple(s for s in judged.scans if together is not None and s.id not in together)
    merge = _merge(parts, shelf, session, going, answers, beside=judged.scans)
    while going and (clashing := _undecided(merge)):  # they met what is held before
        going = tuple(scan for scan in going if scan.id not in clashing)
        merge = _merge(parts, shelf, session, going, answers, beside=judged.scans)
    if not going:
        return replace(judged, going=(), merge=plan.Merge(), documents=None)
    documents, fault = _documents(session, going, merge, shelf)
    if fault:
        raise DocumentError(f"What would be written is not valid: {fault}")
    return replace(judged, going=going, merge=merge, documents=documents)


def _with_partners(kept: frozenset[str], merge: plan.Merge) -> frozenset[str]:
    """The scans that are held, and those with a file that one of theirs was decided against."""
    pairs = [{*each.scans} for each in merge.duplicates]
    while more := {scan for pair in pairs if pair & kept for scan in pair} - kept:
        kept |= more
    return kept


def _undecided(merge: plan.Merge) -> set[str]:
    """The scans of files that differ from what has their UIDs, with nothing decided."""
    differing = {each.scan for each in merge.differs if not each.policy}
    pairs = (each.scans for each in merge.duplicates if not each.policy)
    return differing.union(*pairs)


def _merge(
    parts: Parts,
    shelf: Shelf,
    session: Session,
    scans: Sequence[Scan],
    answers: Mapping[str, Comparison],
    *,
    beside: Sequence[Scan] = (),
) -> plan.Merge:
    """The merge of these scans; those `beside` them keep their IDs."""
    policy = policy_of(session, parts.project(session))
    while True:  # again where an archived file turns out to be gone
        merged = plan.merge(
            scans,
            shelf.archived,
            compared=answers,
            taken=shelf.holds_other,
            policy=policy,
            staying=[scan.id for scan in beside],
        )
        if not shelf.forget_missing(merged):
            return merged


def _compared(
    parts: Parts, shelf: Shelf, session: Session, scans: Sequence[Scan]
) -> dict[str, Comparison]:
    """How files with the same UIDs and other digests compare, by the newcomer's place.

    A newcomer that is a twin and a suspect too is compared with the archived file.
    """
    folder = parts.storage.folder(session)
    pairs: dict[str, Pair] = {}
    for twin in plan.twins(scans):
        one, other = (os.path.join(folder, each.place.path) for each in (twin.first, twin.second))
        if _is_whole(one, twin.first) and _is_whole(other, twin.second):
            pairs[twin.second.place.path] = one, other
    for suspect in plan.suspects(scans, shelf.archived):
        pairs.pop(suspect.instance.place.path, None)
        archived = os.path.join(shelf.folder, suspect.path)
        if files.print_of(archived) is None:
            raise DocumentError(
                f"an archived file is gone: {shlex.quote(suspect.path)}",
                hint="restore it from backup, then `watcher rebuild` this session",
            )
        path = os.path.join(folder, suspect.instance.place.path)
        if _is_whole(path, suspect.instance):
            pairs[suspect.instance.place.path] = archived, path
    return compare_all(parts, pairs)


def _is_whole(path: str, instance: Instance) -> bool:
    """Whether a filed file can be read; one that can't is told by `unreadable-file`."""
    return files.is_readable(path, instance.size)


def _documents(
    session: Session, scans: Sequence[Scan], merge: plan.Merge, shelf: Shelf
) -> tuple[Documents | None, str]:
    """What archiving would write, or why that would not be valid."""
    if session.project is None:
        return None, ""  # it goes nowhere before somebody says where
    try:
        documents = documents_of(session, scans, merge, shelf)
        _check_listed_once(shelf, merge)
    except DocumentError as error:
        return None, str(error)
    faults = schema.session_faults(documents.xml, shelf.xml)
    return documents, next(iter(faults), "")


def _check_listed_once(shelf: Shelf, merge: plan.Merge) -> None:
    """DocumentError where something would go on listing a file that is replaced."""
    leaving = {add.replaces.path: add.replaces.resource for add in merge.adds if add.replaces}
    for path, item in inventory.listed(shelf.folder, leaving) if leaving else ():
        own = leaving[item.path]
        uris = {each.uri for each in own.entries if match.path_of(own, each) == item.path}
        if path.removesuffix(GZIP) != own.catalog.removesuffix(GZIP) or item.entry.uri not in uris:
            one, other = shlex.quote(path), shlex.quote(item.path)
            raise DocumentError(f"{one} would go on listing {other}, which is to be replaced")


# -- what lies around ----------------------------------------------------------------------------


def _seen(parts: Parts, session: Session, scans: Sequence[Scan]) -> Seen:
    base = parts.storage.folder(session)
    return Seen(
        strays=_strays(parts, session, scans),
        unreadable={scan.id: lost for scan in scans if (lost := tuple(_unreadable(base, scan)))},
        stuck=stuck(parts, session),
        awaited=awaited(parts, session, scans),
    )


def _unreadable(base: str, scan: Scan) -> list[str]:
    """Filed files that are gone, are not what they were, or can't be opened."""
    return [
        each.place.path
        for each in scan.instances
        if not _is_whole(os.path.join(base, each.place.path), each)
    ]


def _strays(parts: Parts, session: Session, scans: Sequence[Scan]) -> tuple[str, ...]:
    """Files in scan folders that are no instances, nor catalogs of ours; links are left alone."""
    base = parts.storage.folder(session)
    in_hand = parts.ledger.instances(session.id, in_hand=True)
    filed = (each for scan in scans for each in scan.instances)
    known = {each.place for each in (*filed, *in_hand)}
    return tuple(
        path
        for path in files.walk(base)
        if path.startswith("SCANS/")
        and Place.of(path) not in known
        and not _is_ours(path)
        and files.print_of(os.path.join(base, path))
    )


def _is_ours(path: str) -> bool:
    name = path.rpartition("/")[2]
    return name.endswith("_catalog.xml") or (name.startswith(".") and name.endswith(".new"))


def _elsewhere(parts: Parts, session: Session, scans: Sequence[Scan]) -> list[Elsewhere]:
    """Archived sessions, not this one's own, that hold a study of this one."""
    studies = {session.study, *(each.header.study for scan in scans for each in scan.instances)}
    home = (session.project, session.label)
    found = {
        (shelf.project, shelf.label): study
        for study in sorted(studies - {""})
        for shelf in parts.registry.with_study(study)
    }
    return [
        Elsewhere(*key, study, _evidence(parts, *key))
        for key, study in sorted(found.items())
        if key != home
    ]


def _evidence(parts: Parts, project: str, label: str) -> Archived | None:
    """Another archived session, where it can be read: no finding hangs on it."""
    try:
        return document.read(files.read(f"{parts.storage.archived(project, label)}.xml"))
    except (DocumentError, StorageError):
        return None


def _sharers(parts: Parts, session: Session) -> list[str]:
    """Other waiting sessions of the project with this label and another study."""
    return [
        other.id
        for other in parts.ledger.labelled(session.project, session.label)
        if other.id != session.id and other.study != session.study
    ]


def readable(error: Exception) -> str:
    """A fault of the machine or of a document, for people."""
    if isinstance(error, StorageError):
        return f"{error} (errno {error.number})"
    hint = error.hint if isinstance(error, WatcherError) else ""
    return f"{error}; {hint}" if hint else str(error)
