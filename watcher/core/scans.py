"""Files of a session into scans: one for each series, with IDs that never change again (spec 9)."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import Final, Literal

from watcher.core import names, sop
from watcher.core.archived import ArchivedScan
from watcher.core.session import Instance, Scan, ScanResource

_CODE: Final = re.compile(
    r"[A-Z][A-Z0-9]{0,15}"
)  # CS without space and underscore: it goes into a path
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,12}")  # IS, PS3.5 table 6.2-1
_ONE_OF_SEVERAL: Final = re.compile(r"-[a-z0-9]*[a-z][0-9]+$")  # `-mr1` of `4-mr1`
_DIGITS: Final = re.compile(r"([0-9]+)")


def arrange(instances: Sequence[Instance], *, known: Mapping[str, str]) -> tuple[Scan, ...]:
    """One scan for each SeriesInstanceUID, sorted by ID.

    `known` gives the scan ID by series UID where one has been given before; those IDs are kept, and
    are taken even where the series has no file here. Others by XNAT's rule (xnat-facts 4.5): the
    number N alone where it is free, else `N-MODi`. The instances' places stay as they are: the
    resource's label says where each belongs.
    """
    series = _by_series(instances)
    ids = _assign({uid: members for uid, members in series.items() if uid not in known}, known)
    scans = (_scan({**known, **ids}[uid], uid, members) for uid, members in series.items())
    return tuple(sorted(scans, key=lambda scan: scan_order(scan.id)))


def scan_order(scan_id: str) -> tuple[tuple[int, int, str], ...]:
    """A sort key: numbers by value (2 before 10, 4 before 4-MR1), other text after them."""
    parts = _DIGITS.split(scan_id)
    return tuple(
        (0, int(part), part) if part[0] in "0123456789" else (1, 0, part) for part in parts if part
    )


def instance_number(instance: Instance) -> int | None:
    """InstanceNumber as a number; None where it is missing or no number."""
    text = instance.header["InstanceNumber"].strip()
    return int(text) if _INTEGER.fullmatch(text) else None


def session_type(scans: Iterable[Scan | ArchivedScan]) -> str:
    """The session's root element without prefix: "MRSession" (xnat-facts 4.2).

    Takes archived scans too: after a merge the type is that of all scans together.
    """
    found = list(scans)
    return sop.element({scan.type for scan in found}, {scan.modality for scan in found})


def modality_of(scans: Iterable[Scan | ArchivedScan]) -> str:
    """The session's lead modality, "OT" where no scan says any."""
    return sop.lead({scan.modality for scan in scans}, sop.MODALITY_ORDER, sop.OTHER_MODALITY)


def studies(instances: Iterable[Instance]) -> tuple[str, ...]:
    """Every StudyInstanceUID, that of most instances first; ties in the order of the UIDs."""
    counts = Counter(instance.header.study for instance in instances)
    return tuple(sorted(counts, key=lambda study: (-counts[study], study)))


def study_of(instances: Iterable[Instance]) -> str:
    """The StudyInstanceUID of most instances; empty without any instance."""
    return next(iter(studies(instances)), "")


def _by_series(instances: Iterable[Instance]) -> Mapping[str, Sequence[Instance]]:
    series: defaultdict[str, list[Instance]] = defaultdict(list)
    for instance in instances:
        series[instance.header.series].append(instance)
    return {uid: sorted(members, key=_instance_order) for uid, members in sorted(series.items())}


def _instance_order(instance: Instance) -> tuple[bool, int, str]:
    number = instance_number(instance)
    return number is None, number or 0, instance.place.name


def _assign(
    series: Mapping[str, Sequence[Instance]], known: Mapping[str, str]
) -> Mapping[str, str]:
    """IDs for series that have none. Names that differ only in case count as one."""
    taken = {scan_id.casefold() for scan_id in known.values()}
    numbers = taken | {_ONE_OF_SEVERAL.sub("", scan_id) for scan_id in taken}
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for uid, members in series.items():
        groups[names.scan_folder(members[0].header)].append(uid)
    alone = {n for n, uids in groups.items() if len(uids) == 1 and n.casefold() not in numbers}
    ids: dict[str, str] = {}
    for number in sorted(groups, key=lambda n: (n not in alone, n)):
        for uid in groups[number]:
            candidates = _candidates(number, _modality(series[uid]), alone=number in alone)
            ids[uid] = next(name for name in candidates if name.casefold() not in taken)
            taken.add(ids[uid].casefold())
    return ids


def _candidates(number: str, modality: str, *, alone: bool) -> Iterator[str]:
    if alone:
        yield number
    yield from (f"{number}-{modality}{i}" for i in count(1))


def _scan(scan_id: str, uid: str, members: Sequence[Instance]) -> Scan:
    types = {sop.kind(instance.header.sop_class).scan for instance in members}
    return Scan(
        id=scan_id,
        uid=uid,
        type=sop.lead(types, sop.SCAN_ORDER, sop.OTHER_SCAN),
        modality=_modality(members),
        resources=_resources(members),
    )


def _modality(members: Iterable[Instance]) -> str:
    """The lead modality of a series. It becomes part of an ID, so only a plain code counts."""
    codes = {instance.header["Modality"].upper() for instance in members}
    plain = {code for code in codes if _CODE.fullmatch(code)}
    return sop.lead(plain, sop.MODALITY_ORDER, sop.OTHER_MODALITY)


def _resources(members: Sequence[Instance]) -> tuple[ScanResource, ...]:
    """Non-primary objects beside primary ones are secondary (xnat-facts 4.6)."""
    mixed = any(_primary(instance) for instance in members)
    split: dict[Literal["DICOM", "secondary"], list[Instance]] = {"DICOM": [], "secondary": []}
    for instance in members:
        split["secondary" if _is_secondary(instance, mixed=mixed) else "DICOM"].append(instance)
    return tuple(ScanResource(label, tuple(held)) for label, held in split.items() if held)


def _primary(instance: Instance) -> bool:
    return sop.kind(instance.header.sop_class).primary


def _is_secondary(instance: Instance, *, mixed: bool) -> bool:
    stays = instance.place.folder == "secondary"
    return stays or (mixed and not _primary(instance))
