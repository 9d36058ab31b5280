"""What lies in an archived session, and what its session XML and catalogs list of it.

Everything is read as it is at this moment; nothing is written. Paths are relative to the session's
folder. One catalog at a time, so that memory is bounded by the largest.
"""

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from watcher.core import uris
from watcher.core.archived import Entry
from watcher.core.errors import DocumentError, OutsideError, StorageError
from watcher.core.file import Fingerprint
from watcher.core.session import Session, Status
from watcher.core.soundness import Item
from watcher.dicom import catalog
from watcher.dicom.repair import Named, named
from watcher.io import files
from watcher.stages import promise as promises
from watcher.stages.entries import CATALOGS, instance_paths
from watcher.stages.parts import Parts

LOGS: Final = "logs/"
ARC: Final = "arc001"


@dataclass(frozen=True, slots=True)
class Document:
    """The session XML, as it lies there. `fault`: why it can't be used; empty where it can."""

    data: bytes | None
    named: tuple[Named, ...] = ()
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Listing:
    """One catalog, as it lies there."""

    path: str
    said: Named
    told: bool  # the session XML names it
    data: bytes | None
    items: tuple[Item, ...] = ()
    fault: str = ""  # why it can't be used
    series: str = ""  # as the catalog says

    @property
    def folder(self) -> str:
        """The folder its URIs are relative to."""
        return os.path.dirname(self.path)


def session_document(base: str) -> Document:
    """The session XML beside the session's folder `base`."""
    data = None
    try:
        data = files.read_if_there(f"{base}.xml")
        if data is None:
            return Document(None, fault="the session XML is not there")
        return Document(data, named(data))
    except DocumentError as error:
        return Document(data, fault=str(error))


def listings(base: str, document: Document) -> Iterator[Listing]:
    """Every catalog: those the session XML names, then those it does not, as they are read."""
    for path, said, told in _catalogs(base, document):
        yield read_listing(base, path, said, told=told)


def _catalogs(base: str, document: Document) -> Iterator[tuple[str, Named, bool]]:
    seen = set()
    for each in document.named:
        path = _path_of(base, each.uri)
        if path not in seen:
            seen.add(path)
            yield path, each, True
    for path in _walk(os.path.join(base, "SCANS")):
        inside = f"SCANS/{path}"
        hidden = os.path.basename(path).startswith(".")
        if path.endswith(CATALOGS) and not hidden and inside not in seen:
            yield inside, _unnamed(inside), False


def listed(base: str, paths: Collection[str]) -> Iterator[tuple[str, Item]]:
    """Whatever lists one of these files: the catalog's path and the entry, as they are now.

    A damaged catalog lists what can still be read of it.
    """
    wanted = {path.rpartition("/")[2] for path in paths}
    for path, said, told in _catalogs(base, session_document(base)):
        if _is_catalog(path):
            entries = _named(base, path, wanted)
            found = [item_of(base, os.path.dirname(path), each) for each in entries]
        else:
            found = [*read_listing(base, path, said, told=told).items]
        yield from ((path, item) for item in found if item.path in paths)


def archived_uids(base: str, wanted: Collection[str]) -> tuple[set[str], list[str]]:
    """Those of the SOP UIDs that the session's catalogs list, and files of which none says a UID.

    Those are all files of a resource of which the catalog can't be used.
    """
    found: set[str] = set()
    bare: list[str] = []
    for path, *_ in _catalogs(base, session_document(base)):
        folder = os.path.dirname(path)
        try:
            entries = catalog.select(_data(base, path) or b"", wanted, ()).entries
        except DocumentError:
            bare += instance_paths(base, folder)
            continue
        found.update(each.uid for each in entries)
        bare += [item_of(base, folder, each).path for each in entries if not each.uid.strip()]
    return found & {*wanted}, bare


def _named(base: str, path: str, wanted: Collection[str]) -> Sequence[Entry]:
    """The entries of a catalog that may be files of these names."""
    data = _data(base, path) or b""
    try:
        return catalog.select(data, (), wanted).entries
    except DocumentError:
        return [Entry(uri, "", digest, None) for uri, digest in catalog.salvage(data).items()]


def _path_of(base: str, uri: str) -> str:
    """Where a resource's URI leads inside the session; gzipped catalogs lie beside their name."""
    tail = uri.rpartition(f"/{os.path.basename(base)}/")[2] if uri.startswith("/") else uri
    meant = [path for text in (uri, tail) for path in uris.candidates(text, "")]
    there = (path for each in meant for path in (each, f"{each}.gz") if _seen(base, path))
    return next(there, meant[0] if meant else "")


def _unnamed(path: str) -> Named:
    """What a catalog's own place says of it."""
    match path.split("/"):
        case ["SCANS", scan, label, _]:
            return Named(path, label, scan)
        case _:
            return Named(path)


def read_listing(base: str, path: str, said: Named, *, told: bool) -> Listing:
    """One catalog and the files its entries mean; a resource that is no catalog lists itself."""
    if not _is_catalog(path):
        itself = Item(Entry(said.uri, "", "", said.size), path, _seen(base, path))
        return Listing(path, said, told, b"", (itself,))
    data = None
    try:
        data = _data(base, path)
        if data is None:
            return Listing(path, said, told, None, fault="the catalog is not there")
        series, entries = catalog.read(data)
    except DocumentError as error:
        return Listing(path, said, told, data, fault=str(error))
    folder = os.path.dirname(path)
    items = tuple(item_of(base, folder, one) for one in entries)
    return Listing(path, said, told, data, items, series=series)


def _is_catalog(path: str) -> bool:
    return path.removesuffix(".gz").endswith(".xml")


def item_of(base: str, folder: str, entry: Entry) -> Item:
    """An entry of a catalog in `folder` and the file it means: the first of its readings there."""
    meant = uris.candidates(entry.uri, folder)
    for path in meant:
        if (seen := _seen(base, path)) is not None:
            return Item(entry, path, seen)
    return Item(entry, meant[0] if meant else folder, None)


def links(base: str) -> list[str]:
    """Symbolic links in the place of folders, the session's own ("") or those in it.

    What is behind them is not there, for everything here.
    """
    if os.path.islink(base):
        return [""]
    places = [os.path.join(at, name) for at, folders, _ in os.walk(base) for name in folders]
    return sorted(os.path.relpath(place, base) for place in places if os.path.islink(place))


def _seen(base: str, path: str) -> Fingerprint | None:
    try:
        return files.print_of(os.path.join(base, path))
    except OutsideError:
        return None


def _data(base: str, path: str) -> bytes | None:
    try:
        return files.read_if_there(os.path.join(base, path))
    except OutsideError:
        return None


def _walk(folder: str) -> Iterator[str]:
    with suppress(OutsideError):
        yield from files.walk(folder)


def strangers(base: str, known: set[str]) -> Iterator[str]:
    """What lies in the session's folder and is not `known`; its own logs aside."""
    for path in _walk(base):
        if path not in known and not path.startswith(LOGS):
            yield path


# -- sessions --------------------------------------------------------------------------------------


def archived_labels(parts: Parts, project: str) -> Sequence[str]:
    """Every session of a project that the tree or the index has, sorted."""
    folder = os.path.join(parts.storage.stores.archive, project, ARC)
    here = {_label(folder, name) for name in files.names_in(folder) if not name.startswith(".")}
    known = {shelf.label for shelf in parts.registry.shelved() if shelf.project == project}
    return sorted((here | known) - {""})


def _label(folder: str, name: str) -> str:
    if name.endswith(".xml"):
        return name.removesuffix(".xml")
    path = os.path.join(folder, name)
    return name if any(True for _ in files.walk(path)) else ""


def archived_projects(parts: Parts) -> Sequence[str]:
    """Every project that the tree or the index has, sorted."""
    archive = parts.storage.stores.archive
    here = {name for name in files.names_in(archive) if not name.startswith(".")}
    folders = {name for name in here if os.path.isdir(os.path.join(archive, name, ARC))}
    return sorted(folders | {shelf.project for shelf in parts.registry.shelved()})


def merging(parts: Parts, project: str, label: str) -> list[Session]:
    """The prearchive's sessions that are being merged into this one, or were when cut off."""
    return [
        each
        for each in parts.ledger.sessions((Status.ARCHIVING,))
        if each.project == project and each.label.casefold() == label.casefold()
    ]


def half_done(parts: Parts, project: str, label: str) -> frozenset[str]:
    """The paths that merges in progress may have placed, or have still to retire."""
    found: set[str] = set()
    for session in merging(parts, project, label):
        found |= _planned(promises.path_of(parts, session))
    return frozenset(found | {files.temporary(each) for each in found})


def _planned(path: str) -> set[str]:
    try:
        plan = promises.read(path)
    except (DocumentError, StorageError):  # not written yet, or struck: nothing is half done
        return set()
    return {
        *(carry.target for carry in plan.carries),
        *(retire.path for retire in plan.retires),
        *(swap.path for swap in plan.swaps),
    }
