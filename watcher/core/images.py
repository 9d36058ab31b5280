"""The images of a scan, those that come and those archived, and what they say in numbers."""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final, TypeAlias

from watcher.core import sop
from watcher.core.archived import ArchivedResource, ArchivedScan, Entry
from watcher.core.session import Instance, Scan

Listed: TypeAlias = Mapping[str, Sequence[int | None]]
"""The InstanceNumbers of all entries of a catalog, by its path (None: one says none)."""

NOTHING: Final[Listed] = MappingProxyType({})

_COUNT: Final = re.compile(r"[0-9]{1,9}")
_NO_IMAGES: Final = frozenset(
    f"xnat:{name}ScanData" for name in ("ecg", "hd", "eps", "eeg", "mrs", "otherDicom")
)


class Images:
    """The images of a scan, each once: those that come, and the archived ones beside them."""

    def __init__(self, scan: Scan, met: ArchivedScan | None, listed: Listed) -> None:
        came = {each.header.sop_instance: each for each in scan.instances}
        self.incoming = [each for each in came.values() if _is_image(each.header.sop_class)]
        self.others = len(came) - len(self.incoming)
        names = {each.place.name for each in came.values()}
        self.archived = [  # by their InstanceNumbers
            number
            for resource in (met.resources if met else ())
            if resource.label == "DICOM"
            for number in _beside(resource, came, names, listed)
        ]
        self.single_frame = {*self.counts("NumberOfFrames")} <= {None, 1}

    def __len__(self) -> int:
        return len(self.incoming) + len(self.archived)

    def counts(self, keyword: str) -> list[int | None]:
        """The number each image that comes says, where it says one."""
        return [count(each, keyword) for each in self.incoming]


def _is_image(sop_class: str) -> bool:
    kind = sop.kind(sop_class)
    return kind.primary and kind.scan not in _NO_IMAGES


def _beside(
    resource: ArchivedResource, uids: Collection[str], names: Collection[str], listed: Listed
) -> Iterator[int | None]:
    """The InstanceNumbers of archived files other than those that come."""
    known = [entry.instance_number for entry in resource.entries]
    if len(known) < resource.files:
        known = [*listed.get(resource.catalog, [None] * resource.files)]
    ours = (entry for entry in resource.entries if _is_among(entry, uids, names))
    left = Counter(known)
    left.subtract(entry.instance_number for entry in ours)
    return left.elements()


def _is_among(entry: Entry, uids: Collection[str], names: Collection[str]) -> bool:
    if entry.uid:
        return entry.uid in uids
    return (entry.path or entry.uri).rpartition("/")[2] in names


def count(instance: Instance, keyword: str) -> int | None:
    """A number from 0 on; None where the attribute is missing or says something else."""
    words = instance.header[keyword].strip()
    return int(words) if _COUNT.fullmatch(words) else None
