"""The archived session of a project and label, as its documents tell; nothing is written.

Only catalogs of scans that can meet what comes are read, and of them only the entries that can
matter. One that can't be used is read anew from its files, and says so.
"""

import os
import shlex
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from watcher.core import names, uris
from watcher.core.archived import Archived, ArchivedResource, ArchivedScan, Entry
from watcher.core.errors import DocumentError
from watcher.core.file import Fingerprint
from watcher.core.match import beside, path_of
from watcher.core.plan import Merge, Same
from watcher.core.session import Instance, Scan, Session
from watcher.dicom import catalog
from watcher.dicom.excerpt import Excerpt, excerpt
from watcher.io import files
from watcher.stages import sent
from watcher.stages.doubt import settled
from watcher.stages.entries import completed, entries_of, reread
from watcher.stages.parts import Parts
from watcher.stages.session_xml import check_new, parsed

GZIP = ".gz"


@dataclass
class Shelf:
    """What is archived under a session's project and label.

    `catalogs`: the documents read, by the path a plan swaps (None: not there); `zipped`: those that
    lie there gzipped, with `.gz` added to it; `gone`: by catalog, the URIs of listed files that are
    not there and that newcomers bring again.
    """

    parts: Parts
    session: Session
    folder: str = ""
    xml: bytes | None = None
    archived: Archived | None = None
    catalogs: dict[str, bytes | None] = field(default_factory=dict)
    zipped: dict[str, bytes] = field(default_factory=dict)
    prints: dict[str, Fingerprint | None] = field(default_factory=dict)  # of `catalogs`
    cuts: dict[str, Excerpt] = field(default_factory=dict)  # large catalogs, for `catalog.merge`
    gone: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    listed: dict[str, tuple[int, int]] = field(default_factory=dict)  # entries, bytes: as read
    ahead: sent.Sent = field(default_factory=dict)  # what of the session lies here already

    @classmethod
    def of(cls, parts: Parts, session: Session, scans: Sequence[Scan]) -> "Shelf":
        """Read it; MissingPlaceError where the store is not there, DocumentError for its XML."""
        shelf = cls(parts, session, ahead=sent.read(parts, session))
        if session.project is not None:
            parts.storage.require("archive")  # nothing follows from the absence of a store
            shelf.folder = parts.storage.archived(session.project, session.label)
            shelf.xml = files.read_if_there(f"{shelf.folder}.xml")
            if shelf.xml is None:
                check_new(parts, session, shelf.folder)
            else:
                found = shelf._filled(parsed(shelf.xml, session), scans)
                shelf.archived = settled(shelf.folder, found, shelf.listed)
        return shelf

    # -- reading ------------------------------------------------------------------------------

    def _filled(self, found: Archived, scans: Sequence[Scan]) -> Archived:
        series = {scan.uid for scan in scans if scan.uid}
        ids = {scan.id.casefold() for scan in scans}
        instances = [each for scan in scans for each in scan.instances]
        wanted = _Wanted.of(instances)
        return replace(
            found,
            scans=tuple(
                self._read(scan, wanted)
                if scan.uid in series or scan.id.casefold() in ids
                else scan
                for scan in found.scans
            ),
        )

    def _read(self, scan: ArchivedScan, wanted: "_Wanted") -> ArchivedScan:
        resources = (self._resource(scan, each, wanted) for each in scan.resources)
        return replace(scan, resources=tuple(resources))

    def _resource(
        self, scan: ArchivedScan, resource: ArchivedResource, wanted: "_Wanted"
    ) -> ArchivedResource:
        if resource.label not in names.FOLDERS:
            return resource  # somebody else's files: none of ours are compared with them
        resource = replace(resource, catalog=self._where(resource.catalog))
        data = self._document(resource.catalog)
        fault, found = self._selected(resource.catalog, data, wanted)
        if found is None or fault == EMPTY:
            return self._remade(scan, resource, fault, data)
        if found.cut:
            self.cuts[resource.catalog] = found.cut
        placed = [each for one in found.entries if (each := self._placed(resource, one))]
        told = self._told(resource, placed) if fault else placed
        number, size = self._amount(resource, found)
        self.listed[resource.catalog] = found.files, size
        return replace(resource, entries=tuple(told), files=number, size=size, fault=fault)

    def _amount(self, resource: ArchivedResource, found: catalog.Selected) -> tuple[int, int]:
        """The files that a catalog lists, each once, and their bytes: by SIZE, else as they are."""
        if found.cut and found.cut.is_even and len(found.sizes) == found.files:
            return found.files, found.size
        folder = os.path.dirname(resource.catalog)
        sizes: dict[str, int | None] = {}
        for uri, size in found.sizes.items():
            path = self._meant(uri, folder) or folder
            sizes[path] = size if sizes.get(path) is None else sizes[path]
        return len(sizes), sum(self.size_of(path, size) for path, size in sizes.items())

    def size_of(self, path: str, said: int | None) -> int:
        """The bytes of a listed file: what its entry says, else what it has."""
        found = self._print(path) if said is None else None
        return found.size if found else said or 0

    def _remade(
        self, scan: ArchivedScan, resource: ArchivedResource, fault: str, data: bytes | None
    ) -> ArchivedResource:
        """The resource as its files tell, where its catalog does not."""
        folder = os.path.dirname(resource.catalog)
        known = self._salvaged(resource, data)
        ahead = sent.ahead_of(self.parts, self.session.project, self.session.label)
        fresh = entries_of(self.parts, self.folder, folder, scan.uid, besides={*known, *ahead})
        entries = (*self._told(resource, list(known.values())), *fresh)
        number, size = len(entries), sum(self._bytes(resource, entries).values())
        self.listed[resource.catalog] = number, size
        if fault == EMPTY and not entries:
            return resource
        return replace(resource, entries=entries, files=number, size=size, fault=fault)

    def _salvaged(self, resource: ArchivedResource, data: bytes | None) -> dict[str, Entry]:
        """What a damaged catalog still lists, by path: there or not, whole or not."""
        known: dict[str, Entry] = {}
        for uri, digest in (catalog.salvage(data) if data else {}).items():
            if entry := self._placed(resource, Entry(uri, "", digest, None, id=uri)):
                known.setdefault(path_of(resource, entry), entry)
        return known

    def _bytes(self, resource: ArchivedResource, entries: Sequence[Entry]) -> dict[str, int]:
        """The size of each file of these entries, by path."""
        placed = [(path_of(resource, each), each.size) for each in reversed(entries)]
        return {path: self.size_of(path, size) for path, size in placed}

    def _told(self, resource: ArchivedResource, entries: Sequence[Entry]) -> list[Entry]:
        """The entries, completed by what the files of those without a UID say of themselves."""
        bare = {path_of(resource, each) for each in entries if not each.uid.strip()}
        found = reread(self.parts, self.folder, sorted(bare)).whole
        known = ((each, found.get(path_of(resource, each))) for each in entries)
        return [completed(each, instance) if instance else each for each, instance in known]

    def _where(self, path: str) -> str:
        """A catalog's path: as the XML has it, or decoded where that is the one that is there."""
        meant = (path, *uris.candidates(path, "")) if "%" in path else ()
        there = (each for each in meant if self._print(each) or self._print(each + GZIP))
        return next(there, path)

    def _document(self, path: str) -> bytes | None:
        """A catalog's bytes, from its own name or, where that is not there, gzipped beside it."""
        if not files.may_be_file(os.path.join(self.folder, path)):
            raise DocumentError(
                f"the session XML names a catalog that can be no file: {_told(path)}"
            )
        seen = self._print(path)  # first: what is read may be newer, never older
        data = _opened(os.path.join(self.folder, path), seen)[0] if seen else None
        self.prints[path], self.catalogs[path] = seen, data
        if data is None and not path.endswith(GZIP):
            data = files.read_if_there(os.path.join(self.folder, path + GZIP))
            if data is not None:
                self.zipped[path] = data
        return data

    def _selected(
        self, path: str, data: bytes | None, wanted: "_Wanted"
    ) -> tuple[str, catalog.Selected | None]:
        """Why a catalog can't be used (empty: it can), and what of it matters."""
        if data is None:
            return "is missing", None
        seen = self.prints[path]
        cut = _opened(os.path.join(self.folder, path), seen)[1] if seen else None
        try:
            found = catalog.select(data, wanted.uids, wanted.names, cut)
        except DocumentError:
            return "can't be read", None
        if found.bare:
            return BARE, found
        return ("" if found.files else EMPTY), found

    def text(self, path: str) -> bytes:
        """A catalog that was read and can be used."""
        data = self.catalogs[path] or self.zipped.get(path)
        if data is None:
            raise DocumentError(f"{_told(path)} is not there")
        return data

    def _placed(self, resource: ArchivedResource, entry: Entry) -> Entry | None:
        """The entry with its file's path; None where no file of this session can be meant."""
        path = self._meant(entry.uri, os.path.dirname(resource.catalog))
        plain = path == beside(resource, entry.uri)
        return replace(entry, path="" if plain else path) if path else None

    def _meant(self, uri: str, folder: str) -> str:
        """The file that a catalog's URI means, there or not; empty where it can be none."""
        meant = uris.candidates(uri, folder)
        first = next(iter(meant), "")
        return next((path for path in meant[1:] and meant if self._print(path)), first)

    def _print(self, path: str) -> Fingerprint | None:
        return files.print_of(os.path.join(self.folder, path))

    # -- what the archive turns out not to have ----------------------------------------------

    def forget_missing(self, merged: Merge) -> bool:
        """Whether a newcomer was to be dropped for an archived file that is not there any more.

        Then the file is not known as archived, and the newcomer goes where it was. DocumentError
        where it is there and is not what its catalog says: neither copy may be dropped.
        """
        gone = {each.target for each in merged.same if not self._is_there(each)}
        if gone and self.archived is not None:
            self.archived = self._without(self.archived, gone)
        return bool(gone)

    def _without(self, archived: Archived, gone: set[str]) -> Archived:
        scans = (
            replace(scan, resources=tuple(self._left(each, gone) for each in scan.resources))
            for scan in archived.scans
        )
        return replace(archived, scans=tuple(scans))

    def _left(self, resource: ArchivedResource, gone: set[str]) -> ArchivedResource:
        lost = [each for each in resource.entries if path_of(resource, each) in gone]
        self.gone[resource.catalog] |= {each.uri for each in lost}
        sizes = self._bytes(resource, lost)
        return replace(
            resource,
            entries=tuple(each for each in resource.entries if each not in lost),
            files=resource.files - len(sizes),
            size=resource.size - sum(sizes.values()),
        )

    def _is_there(self, same: Same) -> bool:
        if not same.listed:
            return True  # its twin comes with it
        found = files.print_of(os.path.join(self.folder, same.target))
        if found is not None and same.size not in {None, found.size}:
            raise DocumentError(
                f"an archived file is not what its catalog says: {_told(same.target)}",
                hint="restore it from backup, then `watcher rebuild` this session",
            )
        return found is not None

    def holds_other(self, path: str, instance: Instance) -> bool:
        """Whether a name in the archive is another file's than this instance's.

        A link to the instance itself, or the copy that went ahead, is half-done work.
        """
        target = os.path.join(self.folder, path)
        if not os.path.lexists(target):
            return False
        source = os.path.join(self.parts.storage.folder(self.session), instance.place.path)
        return not sent.is_there(source, target, instance.digest, self.ahead.get(path))


def _told(path: str) -> str:
    """A path, of which the log knows that it is one."""
    return shlex.quote(path[:99] if "/" in path else f"./{path[:99]}")


EMPTY = "lists nothing"
BARE = "lists files without their UIDs"


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The SOP UIDs and names of what comes."""

    uids: frozenset[str]
    names: frozenset[str]

    @classmethod
    def of(cls, instances: Collection[Instance]) -> "_Wanted":
        uids = frozenset(each.header.sop_instance for each in instances)
        return cls(uids - {""}, frozenset(each.place.name for each in instances))


@lru_cache(maxsize=2)
def _opened(path: str, _seen: Fingerprint) -> tuple[bytes | None, Excerpt | None]:
    """A catalog as it was seen: a build reads it, and the archiving that follows need not."""
    data = files.read_if_there(path)
    return data, excerpt(data) if data else None
