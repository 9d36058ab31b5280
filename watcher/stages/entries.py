"""Archived files read anew by the reader processes: for catalogs and XML that are broken or poor.

Nothing of a hostile header is parsed in this process (spec 13). A file that is no instance any
more is a refusal, not an error; what the machine could not read raises StorageError.
"""

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from watcher.core.archived import Entry
from watcher.core.errors import StorageError
from watcher.core.file import Candidate, Refusal
from watcher.core.listing import entry_of
from watcher.core.policy import Drop
from watcher.core.session import Instance, Place
from watcher.dicom.markup import clean
from watcher.io import files
from watcher.io.workers import examine_now
from watcher.stages import reading
from watcher.stages.parts import Parts

CATALOGS: Final = ("_catalog.xml", "_catalog.xml.gz")
BATCH: Final = 1024  # files in hand at once; a stop is noticed between two


@dataclass(frozen=True, slots=True)
class Reread:
    """What files say now, by path relative to the session's folder."""

    whole: Mapping[str, Instance] = field(default_factory=dict)
    refused: Mapping[str, Refusal] = field(default_factory=dict)


def reread(parts: Parts, base: str, paths: Sequence[str]) -> Reread:
    """These files of the session's folder `base`; those that are gone meanwhile are left out.

    `Place.name` is the path below the resource's folder; `arrived` is the file's own time, so that
    the same file always makes the same entry. StorageError where the machine said no.
    """
    whole: dict[str, Instance] = {}
    refused: dict[str, Refusal] = {}
    for candidate, answer in _answers(parts, base, paths):
        path = os.fsdecode(candidate.path)
        if isinstance(answer, StorageError):
            raise answer
        if isinstance(answer, Refusal):
            refused[path] = answer
        else:
            whole[path] = _instance(path, answer)
    return Reread(whole, refused)


def entries_of(
    parts: Parts, base: str, folder: str, series: str, *, besides: Collection[str] = ()
) -> tuple[Entry, ...]:
    """Entries made from the files of one resource's folder, such as "SCANS/7/DICOM".

    Only instances of `series`, where it is known; what is no DICOM file is left out, and so are
    the paths `besides` which entries are made. URIs are relative to `folder`, which is relative to
    `base`, the archived session's. StorageError as `reread`.
    """
    paths = [path for path in instance_paths(base, folder) if path not in besides]
    found = reread(parts, base, paths).whole.items()
    members = ((path, each) for path, each in found if series in {"", each.header.series})
    return tuple(entry_of(each, path.removeprefix(f"{folder}/")) for path, each in members)


def completed(entry: Entry, instance: Instance) -> Entry:
    """The entry with what it doesn't say; what it says stays, its digest above all."""
    told = entry_of(instance, entry.uri)
    return replace(
        entry,
        uid=told.uid,
        class_uid=entry.class_uid or told.class_uid,
        digest=entry.digest or told.digest,
        size=told.size if entry.size is None else entry.size,
        instance_number=entry.instance_number or told.instance_number,
        created=entry.created or told.created,
    )


def instance_paths(base: str, folder: str) -> list[str]:
    """The files of a resource that may be instances, relative to `base`.

    Neither catalogs, nor hidden names, nor names that no XML can carry.
    """
    below = (f"{folder}/{path}" for path in files.walk(os.path.join(base, folder)))
    return [path for path in below if not path.endswith(CATALOGS) and _is_plain(path)]


def _is_plain(path: str) -> bool:
    hidden = any(part.startswith(".") for part in path.split("/"))
    return not hidden and clean(path) == path


def _answers(
    parts: Parts, base: str, paths: Sequence[str]
) -> Iterator[tuple[Candidate, reading.Whole | Refusal | StorageError]]:
    here = Drop(name="", path=base, after="keep")
    for at in range(0, len(paths), BATCH):
        parts.check_stop()
        candidates = [
            Candidate("", os.fsencode(path), seen)
            for path in paths[at : at + BATCH]
            if (seen := files.print_of(os.path.join(base, path)))
        ]
        replies = examine_now(
            [
                reading.request(None, here, each, tags=(), copy=False, filed=True)
                for each in candidates
            ],
            parts.check_stop,
        )
        for candidate, reply in zip(candidates, replies, strict=True):
            yield candidate, reading.answer(candidate, reply)


def _instance(path: str, whole: reading.Whole) -> Instance:
    seen, examined = whole.candidate.print, whole.examined
    place = _place(path)
    return Instance(place, examined.digest, seen.size, examined.header, seen.mtime_ns / 1e9)


def _place(path: str) -> Place:
    """Where a file lies; in archives of others it need not be `SCANS/<scan>/<folder>/`."""
    match path.split("/"):
        case ["SCANS", scan, folder, *below] if below:
            return Place(scan, "secondary" if folder == "secondary" else "DICOM", "/".join(below))
        case parts:
            return Place("", "DICOM", parts[-1])
