"""Which incoming scan and file meets which archived one (spec 11; XNAT: ScanIdValidator).

Scans meet by SeriesInstanceUID, then, where a side has none, by ID; files by SOPInstanceUID in any
resource of the scan, then, where a side has none, by URI. Blank UIDs never meet. A newcomer whose
ID another series holds is renamed; a series known under another ID joins the archived scan.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, groupby
from typing import Final, Literal

from watcher.core.archived import Archived, ArchivedResource, ArchivedScan, Entry
from watcher.core.session import Instance, Scan

Label = Literal["DICOM", "secondary"]
SAME: Final = 0  # the lowest is the counterpart preferred
SUSPECT: Final = 1
OTHER_CLASS: Final = 2


@dataclass(frozen=True, slots=True)
class Suspect:
    """A newcomer and its archived namesake whose digests don't settle whether they are the same.

    `path` of the archived file is relative to the archived session's folder.
    """

    instance: Instance
    entry: Entry
    path: str


@dataclass(frozen=True, slots=True)
class Twin:
    """Two files of one prearchive session: same SOP and class UID, other digest."""

    first: Instance  # came first
    second: Instance
    scan: str  # the second's


@dataclass(frozen=True, slots=True)
class Comparison:
    """What comparing two files with the same UIDs gave. None: it can't be told."""

    same: bool | None = None  # the data set, preamble and group 0002 aside
    same_pixels: bool | None = None
    tags: tuple[str, ...] = ()  # keywords of the attributes that differ, some of them
    text: str = ""  # why it can't be told, where that is the files' own doing


@dataclass(frozen=True, slots=True)
class Known:
    """An archived file, its path relative to the archived session's folder, and who lists it."""

    entry: Entry
    path: str
    resource: ArchivedResource


class Meeting:
    """An incoming scan, the archived one it meets if any, and its ID in the archive."""

    def __init__(self, scan: Scan, old: ArchivedScan | None, final: str) -> None:
        self.scan = scan
        self.old = old
        self.id = final
        self._within: dict[str, str] = {}
        self._by_uid: dict[str, list[Known]] = {}
        self._by_name: dict[tuple[str, str], list[Known]] = {}
        self._paths: set[str] = set()
        for resource in old.resources if old else ():
            for entry in resource.entries:
                known = Known(entry, path_of(resource, entry), resource)
                self._paths.add(known.path)
                self._by_uid.setdefault(entry.uid, []).append(known)
                name = known.path.rpartition("/")[2]
                self._by_name.setdefault((resource.label, name), []).append(known)

    def resource(self, label: str) -> ArchivedResource | None:
        """The archived resource of that label."""
        resources = self.old.resources if self.old else ()
        return next((resource for resource in resources if resource.label == label), None)

    def within(self, label: str) -> str:
        """Where the files of that resource lie, relative to the archived session's folder.

        With a slash after it, so that a name follows; the same text each time.
        """
        if label not in self._within:
            resource = self.resource(label)
            self._within[label] = beside(resource, "") if resource else f"SCANS/{self.id}/{label}/"
        return self._within[label]

    def find(self, instance: Instance, label: str) -> Known | None:
        """The archived file that is, or may be, this one."""
        uid = instance.header.sop_instance
        named = self._by_name.get((label, instance.place.name), ())
        found = (self._by_uid.get(uid) if uid else None) or [
            known for known in named if not (uid and known.entry.uid)
        ]
        return min(found, key=lambda known: relation(instance, known.entry), default=None)

    def lists(self, path: str) -> bool:
        """Whether a catalog of the archived scan lists a file there."""
        return path in self._paths


File = tuple[Meeting, Label, Instance]


def suspects(scans: Sequence[Scan], archived: Archived | None) -> tuple[Suspect, ...]:
    """The pairs whose data sets have to be compared before `merge` can tell same from differing."""
    return tuple(
        Suspect(instance, known.entry, known.path)
        for meeting, label, instance in files(meet(scans, archived))
        if (known := meeting.find(instance, label)) and relation(instance, known.entry) == SUSPECT
    )


def twins(scans: Sequence[Scan]) -> tuple[Twin, ...]:
    """Every file with the SOP and class UID of one that came before, but another digest.

    Where one is a suspect too, the comparison with the archived file is the one that counts.
    """
    several = repeated(instance for scan in scans for instance in scan.instances)
    first: dict[tuple[str, str], Instance] = {}
    found: list[Twin] = []
    some = (each for each in files(meet(scans, None)) if each[2].header.sop_instance in several)
    for meeting, _, instance in by_arrival(some):
        key = (instance.header.sop_instance, instance.header.sop_class)
        earlier = first.setdefault(key, instance)
        if key[0] and earlier.digest.lower() != instance.digest.lower():
            found.append(Twin(earlier, instance, meeting.scan.id))
    return tuple(found)


def meet(
    scans: Sequence[Scan], archived: Archived | None, *, staying: Collection[str] = ()
) -> list[Meeting]:
    """Each incoming scan with its counterpart and final ID (XNAT: ScanIdValidator).

    `staying` are the IDs of scans of the session that don't go in with these: given to no other.
    """
    known = archived.scans if archived else ()
    used = {old.id.casefold() for old in known}
    avoid = used | {scan_id.casefold() for scan_id in (*staying, *(scan.id for scan in scans))}
    meetings: list[Meeting] = []
    for scan in scans:
        old = _counterpart(scan, known)
        final = old.id if old else scan.id
        if not old and scan.id.casefold() in used:
            final = _renamed(scan, avoid)
        avoid.add(final.casefold())
        meetings.append(Meeting(scan, old, final))
    return meetings


def _counterpart(scan: Scan, known: Sequence[ArchivedScan]) -> ArchivedScan | None:
    # An archive may hold one series under two IDs (xnat-facts 6.2 i): the same ID is the better.
    by_uid = [old for old in known if scan.uid and old.uid == scan.uid]
    by_id = [old for old in known if old.id == scan.id and not (old.uid and scan.uid)]
    ranked = sorted(by_uid, key=lambda old: old.id != scan.id) + by_id
    return ranked[0] if ranked else None


def _renamed(scan: Scan, avoid: set[str]) -> str:
    """`<ID>-<MOD><n>`, the first n that is free; an ID of that form is cut to its stub first.

    Names that differ only in case count as one, as in `scans.arrange`.
    """
    modality = re.sub(r"[^A-Z0-9]", "", scan.modality.upper()) or _code(scan.type)
    stub = re.sub(rf"(?<=.)(-{modality}[0-9]+)+$", "", scan.id)
    names = (f"{stub}-{modality}{n}" for n in count(1))
    return next(name for name in names if name.casefold() not in avoid)


def _code(xsi_type: str) -> str:
    """XNAT's modality code of a scan type: two letters after `xnat:`, PE being PT; else OT."""
    head, _, name = xsi_type.partition(":")
    code = name[:2].upper() if head == "xnat" else ""
    return {"PE": "PT", "": "OT"}.get(code, code)


def files(meetings: Sequence[Meeting]) -> Iterator[File]:
    """Every incoming file, in the order of scans and resources."""
    for meeting in meetings:
        for resource in meeting.scan.resources:
            for instance in resource.instances:
                yield meeting, resource.label, instance


def repeated(instances: Iterable[Instance]) -> frozenset[str]:
    """The SOP UIDs that several of them have."""
    counts = Counter(each.header.sop_instance for each in instances)
    return frozenset(uid for uid, number in counts.items() if number > 1)


def by_arrival(incoming: Iterable[File]) -> list[File]:
    """These files, first come first.

    Arrivals that a lost ledger forgot are all alike: then the suffixed name came after the plain.
    """
    ordered = sorted(incoming, key=_arrived)
    return [each for _, some in groupby(ordered, _arrived) for each in sorted(some, key=_length)]


def _arrived(file: File) -> float:
    return file[2].arrived


def _length(file: File) -> tuple[int, str]:
    path = file[2].place.path
    return len(path), path


def relation(instance: Instance, entry: Entry) -> int:
    """How two files with one SOP UID stand to each other, as far as digest and class tell."""
    if entry.digest and instance.digest.lower() == entry.digest.lower():
        return SAME
    classes = {instance.header.sop_class, entry.class_uid} - {""}
    return OTHER_CLASS if len(classes) > 1 else SUSPECT


def path_of(resource: ArchivedResource, entry: Entry) -> str:
    """A catalogued file, relative to the session's folder."""
    return entry.path or beside(resource, entry.uri)


def beside(resource: ArchivedResource, name: str) -> str:
    """A name in the folder of a resource's catalog, relative to the session's folder."""
    folder, slash, _ = resource.catalog.rpartition("/")
    return f"{folder}{slash}{name}"
