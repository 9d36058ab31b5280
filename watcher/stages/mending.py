"""The catalogs of one archived session and what they are to become; nothing is written yet."""

import gzip
import os
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from watcher.core import names
from watcher.core.archived import Entry
from watcher.core.mend import Facts, Mend, mend, to_read
from watcher.core.session import Instance
from watcher.core.soundness import by_path
from watcher.dicom import catalog
from watcher.dicom.repair import Named
from watcher.dicom.scan import dimensions_of
from watcher.io import files
from watcher.io.digests import Digests
from watcher.stages.entries import instance_paths, reread
from watcher.stages.inventory import Document, Listing, item_of, listings
from watcher.stages.parts import Parts

_MD5: Final = re.compile("[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Work:
    """One catalog: as it is, the files beside it that nothing lists, and what it is to become.

    `instances` are those that were read, by path.
    """

    listing: Listing
    unlisted: tuple[str, ...]
    series: str = ""
    mend: Mend = field(default_factory=lambda: Mend((), 0))
    instances: Mapping[str, Instance] = field(default_factory=dict)

    @property
    def is_broken(self) -> bool:
        """Whether it has to be written anew."""
        return bool(self.listing.fault)

    @property
    def lacks(self) -> bool:
        """Whether the session XML counts more files than were ever listed or found."""
        claim = self.listing.said.files
        return claim is not None and claim > max(len(self.listing.items), self.mend.files)

    @property
    def what(self) -> str:
        """What is to be done, in words; empty where nothing can or need be."""
        if not self.is_broken:
            return self.mend.what
        able = _is_ours(self.listing) and self.mend.entries
        return f"made again from its files: {len(self.mend.entries)} entries" if able else ""

    @property
    def members(self) -> list[Instance]:
        """Its instances, as far as they were read: of its own series, and listed."""
        own = (each for each in self.instances.values() if each.header.series == self.series)
        listed = {(each.uid, each.class_uid) for each in self.mend.entries}
        return [one for one in own if (one.header.sop_instance, one.header.sop_class) in listed]


def works(
    parts: Parts,
    base: str,
    document: Document,
    digests: Digests,
    *,
    accept: bool,
    ahead: Collection[str] = (),
) -> list[Work]:
    """Every catalog of the session in the folder `base`, mended. StorageError as `reread`.

    `ahead`: files that no catalog is to list yet.
    """
    every = [*listings(base, document), *_bare(base, document)]
    found = [_salvaged(base, each) for each in every if each.fault or each.data]
    known = {item.path for each in found for item in each.items}.union(ahead)
    raw = [Work(each, tuple(_unlisted(base, each, known))) for each in found]
    sums = _digests(base, found, digests)
    wanted = {path for work in raw for path in _wanted(work, document, sums, accept=accept)}
    instances = reread(parts, base, sorted(wanted)).whole
    return [_mended(work, sums, instances, accept=accept) for work in raw]


def text_of(work: Work, project: str) -> bytes:
    """What the catalog is to be, gzipped where it was."""
    text = _composed(work, project) if work.is_broken else _merged(work)
    return gzip.compress(text, mtime=0) if work.listing.path.endswith(".gz") else text


def _composed(work: Work, project: str) -> bytes:
    return catalog.compose(
        work.series,
        work.mend.entries,
        catalog_id=work.listing.said.label,
        dimensions=dimensions_of(work.members),
        project=project,
    )


def _merged(work: Work) -> bytes:
    mended = work.mend
    return catalog.merge(
        work.listing.data or b"", mended.add, replace=mended.replace, drop=mended.drop
    )


def _bare(base: str, document: Document) -> Iterator[Listing]:
    """Scan folders with files and no catalog, neither there nor named."""
    known = {os.path.dirname(each.path) for each in listings(base, document)}
    scans = os.path.join(base, "SCANS")
    for scan in sorted(files.names_in(scans)):
        for label in names.FOLDERS:
            path = names.catalog_path(scan, label)
            folder = os.path.dirname(path)
            if folder not in known and instance_paths(base, folder):
                yield Listing(path, Named(path, label, scan), told=False, data=None, fault="none")


def _salvaged(base: str, listing: Listing) -> Listing:
    """A broken catalog with what it still tells: URIs and digests."""
    if not listing.fault or not listing.data:
        return listing
    entries = [
        Entry(uri, "", digest, None, id=uri)
        for uri, digest in catalog.salvage(listing.data).items()
        if uri and _MD5.fullmatch(digest)
    ]
    items = tuple(item_of(base, listing.folder, each) for each in entries)
    return replace(listing, items=items)


def _unlisted(base: str, listing: Listing, known: set[str]) -> Iterator[str]:
    if _is_ours(listing):
        yield from (path for path in instance_paths(base, listing.folder) if path not in known)


def _is_ours(listing: Listing) -> bool:
    return os.path.basename(listing.folder) in names.FOLDERS


def _digests(base: str, found: Sequence[Listing], digests: Digests) -> dict[str, str]:
    """The digests of all listed files that are there and can be read, by path."""
    there = {
        path: some[0].print
        for each in found
        for path, some in by_path(each.items).items()
        if some[0].print
    }
    asked = [(os.path.join(base, path), seen) for path, seen in there.items() if seen]
    answers = zip(there, digests.of(asked), strict=True)
    return {path: answer for path, answer in answers if isinstance(answer, str)}


def _wanted(
    work: Work, document: Document, sums: Mapping[str, str], *, accept: bool
) -> Iterator[str]:
    """The files whose header is needed: all of a catalog that the session XML does not name."""
    yield from work.unlisted
    if work.listing.told and not document.fault:
        yield from to_read(work.listing.items, sums, accept=accept)
    else:
        yield from (item.path for item in work.listing.items if item.print)


def _mended(
    work: Work, sums: Mapping[str, str], instances: Mapping[str, Instance], *, accept: bool
) -> Work:
    paths = {*work.unlisted, *(item.path for item in work.listing.items)}
    own = {path: instances[path] for path in sorted(paths) if path in instances}
    series = work.listing.said.series or work.listing.series or _most(own)
    mended = mend(
        work.listing.items,
        work.unlisted,
        Facts({**sums}, own),
        folder=work.listing.folder,
        series=series,
        accept=accept,
    )
    return replace(work, series=series, mend=mended, instances=own)


def _most(instances: Mapping[str, Instance]) -> str:
    """The series of most of these instances; empty without any."""
    counts = Counter(each.header.series for each in instances.values())
    return min(counts, key=lambda series: (-counts[series], series), default="")
