"""Archived files that are listed more than once: what lies there counts, not what an entry says.

A newcomer is dropped as the same on the word of a catalog, without the archived file being read
(spec 11: the cost is proportional to what is new). Where two entries may contradict each other
that word is worth nothing: the file is read, and `verify` tells of the entries.
"""

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace

from watcher.core.archived import Archived, ArchivedResource, Entry
from watcher.core.match import path_of
from watcher.io import files


def settled(folder: str, archived: Archived, listed: Mapping[str, tuple[int, int]]) -> Archived:
    """The archived session below `folder`, entries of doubtful files with the digests these have.

    `listed`: how many entries each catalog has, and their bytes. StorageError where a file can't be
    read.
    """
    doubtful = set(_doubtful(archived, listed))
    if not doubtful:
        return archived
    scans = (
        replace(
            scan, resources=tuple(_borne_out(folder, each, doubtful) for each in scan.resources)
        )
        for scan in archived.scans
    )
    return replace(archived, scans=tuple(scans))


def _doubtful(archived: Archived, listed: Mapping[str, tuple[int, int]]) -> Iterator[str]:
    """The files that a catalog with more entries than files lists, or two entries differently."""
    said: defaultdict[str, set[str]] = defaultdict(set)
    for resource in (each for scan in archived.scans for each in scan.resources):
        twice = listed.get(resource.catalog, (0, 0))[0] > resource.files
        for entry in resource.entries:
            path = path_of(resource, entry)
            said[path] |= {entry.digest.lower()} - {""}
            if twice or len(said[path]) > 1:
                yield path


def _borne_out(folder: str, resource: ArchivedResource, doubtful: set[str]) -> ArchivedResource:
    found: list[Entry] = []
    for entry in resource.entries:
        path = path_of(resource, entry)
        told = entry.digest and path in doubtful
        found.append(_as_it_is(os.path.join(folder, path), entry) if told else entry)
    return replace(resource, entries=tuple(found))


def _as_it_is(path: str, entry: Entry) -> Entry:
    seen = files.print_of(path)
    if seen is None:
        return entry
    digest = files.digest(path)
    return (
        entry if digest == entry.digest.lower() else replace(entry, digest=digest, size=seen.size)
    )
