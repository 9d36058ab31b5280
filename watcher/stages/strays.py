"""Members of a unit that are not DICOM: set aside in batches, as one entry of the unit and the day.

They wait for nobody, as all that is not DICOM (spec 5). Its DICOMDIRs are an entry of their own,
closed from the first: a list is never a fault, and no file that somebody ought to look at.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final, TypeVar

from watcher.core.errors import storage_error
from watcher.core.file import Candidate, Fingerprint, Refusal, RefusalCode
from watcher.core.policy import Drop
from watcher.core.unit import Kind, Unit
from watcher.io import files
from watcher.stages import quarantine
from watcher.stages.parting import remove_source
from watcher.stages.parts import Parts
from watcher.stages.quarantine import Coming

BATCH: Final = 256  # files that are made durable together
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Stray:
    """A member that is not DICOM, or a DICOMDIR: then its refusal says so.

    `path`: relative to the drop, its source; of a member of an archive file the file's path, a
    slash, and the member's. `staged`: the member's file in the unit's staging folder, absolute;
    empty where it lies in the drop.
    """

    path: bytes
    refusal: Refusal
    staged: str = ""


def set_strays_aside(
    parts: Parts, drop: Drop, unit: Unit, strays: Iterable[Stray]
) -> Mapping[bytes, Fingerprint | None]:
    """Set them aside; gives what remains of the sources among them: None where one is gone.

    Repeatable: the same bytes under the same name are there already. Staged files stay where they
    are. StorageError, MissingPlaceError: some may be done. Stopped.
    """
    store = parts.storage.require("quarantine")
    seen = dict(unit.sources)
    top = b"" if unit.kind is Kind.FILE else unit.name
    remains: dict[bytes, Fingerprint | None] = {}
    for batch in batches(strays):
        parts.check_stop()
        for kind, some in _by_kind(batch):
            place = quarantine.shared_place(parts, drop, top, kind)
            coming = [_coming(drop, os.path.join(store, place), each, seen) for each in some]
            _take_in(parts, place, coming)
        owed = {each.path: seen[each.path] for each in batch if not each.staged}
        record_taken(parts, drop, owed)
        remains |= remove_sources(parts, drop, owed)
    return remains


def _by_kind(batch: Sequence[Stray]) -> Iterator[tuple[str, list[Stray]]]:
    """Strays and lists, those that there are, by what their entries are called."""
    for kind, are_lists in (("aside", False), ("lists", True)):
        if some := [each for each in batch if _is_list(each.refusal) is are_lists]:
            yield kind, some


def _is_list(refusal: Refusal) -> bool:
    return refusal.code is RefusalCode.DICOMDIR


def batches(every: Iterable[T]) -> Iterator[list[T]]:
    """So many at a time as are made durable together."""
    these = iter(every)
    while batch := list(islice(these, BATCH)):
        yield batch


Arrival = tuple[Coming, Candidate, Refusal]


def _coming(drop: Drop, folder: str, stray: Stray, seen: Mapping[bytes, Fingerprint]) -> Arrival:
    root, own = os.path.split(stray.staged) if stray.staged else (drop.path, "")
    found = files.print_of(stray.staged) if stray.staged else seen[stray.path]
    if found is None:
        raise storage_error(FileNotFoundError("a staged file is gone"), "setting a file aside")
    candidate = Candidate(drop.name, stray.path, found)
    path = os.fsencode(own) or None
    coming = quarantine.coming_to(folder, root, candidate, shared=True, path=path)
    code = RefusalCode.DICOMDIR if _is_list(stray.refusal) else RefusalCode.NOT_DICOM
    return coming, candidate, replace(stray.refusal, code=code)


def _take_in(parts: Parts, place: str, arrivals: Sequence[Arrival]) -> None:
    """A batch in its entry, durable and recorded."""
    every = [coming for coming, _, _ in arrivals]
    _, last, refusal = arrivals[-1]
    with parts.leases.exclusive(quarantine.settling_key(os.path.basename(place))):
        for folder in dict.fromkeys(os.path.dirname(each.target) for each in every):
            files.make_folder(folder)
        try:
            for each in every:
                quarantine.copy_in(each, durable=False)
            sync([each.temp for each in every])
            known = [quarantine.name_it(each) for each in every]
        finally:
            for each in every:
                files.remove(each.temp)
        files.sync_folders([each.target for each in every])
        new = 0 if any(known) else len(every)
        entry = quarantine.entry_of(parts, last, refusal, place=place, new=new)
        entry = replace(entry, open=not _is_list(refusal))
        quarantine.write_reason(os.path.join(parts.storage.path("quarantine"), place), entry)
        parts.registry.set_aside(entry)
    quarantine.say(parts, entry, shared=True, first=entry.files <= len(every))


def sync(paths: Iterable[str]) -> None:
    """Make many durable; the first failure is raised."""
    if failed := files.sync_all(paths):
        raise next(iter(failed.values()))


# -- sources -------------------------------------------------------------------------------------


def record_taken(parts: Parts, drop: Drop, owed: Mapping[bytes, Fingerprint]) -> None:
    """In one commit: these sources are durable elsewhere, and are nothing new in the drop."""
    taken = {Candidate(drop.name, path, seen): seen for path, seen in owed.items()}
    parts.receiving.record([], taken)


def remove_sources(
    parts: Parts, drop: Drop, owed: Mapping[bytes, Fingerprint]
) -> dict[bytes, Fingerprint | None]:
    """Remove what was recorded as taken, or keep it; gives what remains of each. Stopped."""
    if drop.after == "keep":
        return dict(owed)
    remains: dict[bytes, Fingerprint | None] = {}
    for batch in batches(owed.items()):
        parts.check_stop()
        for path, seen in batch:
            remains[path] = None if remove_source(parts, drop, path, seen) else seen
        gone = [path for path, _ in batch if remains[path] is None]
        parts.receiving.forget_taken(drop.name, gone)
    return remains
