"""Archived sessions checked against their catalogs, digests and schemas (spec 4, `verify`).

No lease is held and nothing is written but conditions, so a merge may be at work meanwhile: what
seems wrong is judged again, with every document read anew (spec 11, *Promise to readers*).
"""

import os
from collections.abc import Callable, Sequence
from typing import Final

from watcher.core.errors import StorageError, UnknownSessionError
from watcher.core.soundness import (
    Checked,
    Code,
    Flaw,
    Item,
    by_path,
    bytes_flaw,
    count_flaws,
    listing_flaws,
    still,
)
from watcher.dicom import catalog, schema
from watcher.dicom.markup import inflated
from watcher.io.digests import Digests, is_dicom
from watcher.stages.inventory import (
    Document,
    Listing,
    archived_labels,
    archived_projects,
    half_done,
    links,
    listings,
    merging,
    session_document,
    strangers,
)
from watcher.stages.parts import Parts
from watcher.stages.sent import ahead_of
from watcher.stages.shelves import xml_key

Seen = Callable[[int], None]
NOBODY: Final[Seen] = lambda _size: None  # noqa: E731  a default that does nothing


def chosen(parts: Parts, texts: Sequence[str]) -> list[tuple[str, str]]:
    """The archived sessions that `PROJECT` or `PROJECT/LABEL` name; all where nothing is said.

    UnknownSessionError for a name that fits none; MissingPlaceError where the archive is missing.
    """
    parts.storage.require("archive")
    if not texts:
        texts = archived_projects(parts)
    return list(dict.fromkeys(pair for text in texts for pair in _meant(parts, text)))


def _meant(parts: Parts, text: str) -> list[tuple[str, str]]:
    project, _, label = text.strip("/").partition("/")
    labels = archived_labels(parts, project) if project in archived_projects(parts) else ()
    wanted = [each for each in labels if label in {"", each}]
    if not wanted and (label or project not in parts.projects.known):
        raise UnknownSessionError(
            f"nothing of the archive fits {text!r}", hint="watcher sessions --status ARCHIVED"
        )
    return [(project, each) for each in wanted]


def verify(parts: Parts, project: str, label: str, *, seen: Seen = NOBODY) -> Checked:
    """Check one session, and raise or clear the condition on it; `seen` hears bytes as read.

    MissingPlaceError where the archive is missing, also where it went meanwhile.
    """
    digests = Digests(parts.check_stop, seen)
    checked = check(parts, project, label, digests)
    say(parts, checked)
    return checked


def check(parts: Parts, project: str, label: str, digests: Digests) -> Checked:
    """What is wrong with one session, found in two looks; nothing is said."""
    found = _Look(parts, project, label, digests).run()
    if not found.is_sound:
        second = _Look(parts, project, label, digests).run()
        flaws = still(found.flaws, second.flaws)
        found = Checked(project, label, second.files, second.bytes, flaws)
    parts.storage.require("archive")  # nothing follows from the absence of a store
    return found


def say(parts: Parts, checked: Checked) -> None:
    """Raise `archive.damaged` of a damaged session, or clear it."""
    key = f"archive/{checked.project}/{checked.label}"
    fields: dict[str, object] = {"project": checked.project, "label": checked.label}
    if checked.damage:
        first = checked.damage[0]
        parts.conditions.raise_(
            "archive.damaged",
            key,
            parts.clock.now(),
            **fields,
            path=first.path,
            count=len(checked.damage),
            text=f"{first.code}: {first.text}",
            hint=f"watcher verify {checked.project}/{checked.label}",
        )
    else:
        for each in (key, xml_key(checked.project, checked.label)):
            parts.conditions.clear("archive.verified", each, **fields)


class _Look:
    """One look at a session."""

    def __init__(self, parts: Parts, project: str, label: str, digests: Digests) -> None:
        self.parts = parts
        self.project, self.label = project, label
        self.base = parts.storage.archived(project, label)
        self.xml = f"{label}.xml"
        self.digests = digests
        self.files = self.bytes = 0
        self.flaws: list[Flaw] = []
        self.catalogs: set[str] = set()
        self.listed: set[str] = set()
        self.folders: set[str] = set()  # of catalogs
        self.blind: set[str] = set()  # of catalogs that can't be used: what they list is not known

    def run(self) -> Checked:
        self.half = half_done(self.parts, self.project, self.label)
        self.merging = bool(merging(self.parts, self.project, self.label))
        self.ahead = ahead_of(self.parts, self.project, self.label)
        self.linked = links(self.base)
        document = session_document(self.base)
        if document.data is not None or not self.merging:  # else it is only just being archived
            self._document(document)
            for listing in listings(self.base, document):
                self._listing(listing, document)
            self._strangers()
        here = (f for f in self.flaws if not self._under_way(f) and not self._behind(f.path))
        flaws = (*self._links(), *here)
        return Checked(self.project, self.label, self.files, self.bytes, flaws)

    def _links(self) -> list[Flaw]:
        """One for each link that has a folder's place: nothing behind it is followed."""
        text = "a symbolic link in the place of a folder: nothing behind it is looked at"
        return [Flaw(path or self.label, "unreadable", text) for path in self.linked]

    def _behind(self, path: str) -> bool:
        links = (not link or path.startswith(f"{link}/") for link in self.linked)
        return path != self.xml and any(links)

    def _note(self, path: str, code: Code, text: str) -> None:
        self.flaws.append(Flaw(path, code, text))

    def _under_way(self, flaw: Flaw) -> bool:
        """Whether a merge in progress accounts for it: half-done links, counts not yet swapped."""
        if flaw.code == "count":
            return self.merging and flaw.path == self.xml
        return flaw.code in {"unlisted", "extra"} and flaw.path in self.half

    def _document(self, document: Document) -> None:
        if document.data is None:
            self._note(self.xml, "missing", document.fault)
        elif document.fault:
            self._note(self.xml, "torn", document.fault)
        else:
            self._schema(self.xml, schema.session_faults(document.data))

    def _schema(self, path: str, faults: Sequence[str]) -> None:
        if faults:
            self._note(path, "schema", faults[0])

    def _listing(self, listing: Listing, document: Document) -> None:
        self.catalogs.add(listing.path)
        self.folders.add(listing.folder)
        if listing.fault:
            self._note(listing.path, "missing" if listing.data is None else "torn", listing.fault)
            self.blind.add(listing.folder)
            return
        if listing.data:
            text = inflated(listing.data, catalog.WHAT)
            self._schema(listing.path, schema.catalog_faults(text))
        if listing.told:
            said = (listing.said.files, listing.said.size)
            where = f"scan {listing.said.scan} {listing.said.label}"
            self.flaws.extend(count_flaws(self.xml, where, said, listing.items))
        elif not document.fault:
            self._note(listing.path, "unlisted", "the session XML names no such catalog")
        self._items(listing.items)

    def _items(self, items: Sequence[Item]) -> None:
        paths = {item.path for item in items}
        for path in self.listed & paths:
            self._note(path, "twice-listed", "another catalog lists this file too")
        self.listed |= paths
        self.flaws.extend(listing_flaws(items))
        there = [(some, seen) for some in by_path(items).values() if (seen := some[0].print)]
        asked = [(os.path.join(self.base, some[0].path), seen) for some, seen in there]
        for (some, seen), digest in zip(there, self.digests.of(asked), strict=True):
            self._file(some, seen.size, digest)

    def _file(self, items: Sequence[Item], size: int, digest: str | StorageError) -> None:
        self.files += 1
        self.bytes += size
        if isinstance(digest, StorageError):
            self._note(items[0].path, "unreadable", str(digest))
        elif flaw := bytes_flaw(items, digest):
            self.flaws.append(flaw)

    def _strangers(self) -> None:
        for path in strangers(self.base, self.catalogs | self.listed):
            folder = os.path.dirname(path)
            if folder in self.blind and path not in self.ahead:
                continue
            if path in self.ahead:
                self._note(path, "pending", f"ahead of the catalogs: of session {self.ahead[path]}")
            elif self._of_a_scan(folder) and is_dicom(os.path.join(self.base, path)):
                self._note(path, "unlisted", "an instance that no catalog lists")
            else:
                self._note(path, "extra", "nothing lists it")

    def _of_a_scan(self, folder: str) -> bool:
        return folder.startswith("SCANS/") or folder in self.folders
