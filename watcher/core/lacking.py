"""What suggests that a scan lacks images: holes in its numbers, and counts it declares.

Where two readings of the headers are possible, the harmless one counts. Looked at are images only:
no reports, presentations, waveforms, spectra or secondary captures. Deliberately not said:

* holes in InstanceNumber where single images may have been rejected or deleted (CR, DX, MG, US,
  XA and others taken one by one), in multi-frame series, where a file has no number, where numbers
  repeat and neither acquisition, echo nor temporal position tells them apart, where more than
  half of the range is missing, or where every second (third, ...) number alone is used;
* that images before the lowest or after the highest number are missing, unless ImagesInAcquisition
  says how many there are;
* what ImagesInAcquisition says of derived images (copied from those they were made of), of
  multi-frame files, and where an acquisition has more images than that;
* frames missing in an enhanced file: it has all it declares, or it is torn (spec 5).

Archived files are known by their catalogs: UIDs, number, and nothing else. Where that is not enough
to tell, nothing is said.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from watcher.core import sop
from watcher.core.archived import ArchivedScan
from watcher.core.images import NOTHING, Images, Listed, count
from watcher.core.scans import instance_number
from watcher.core.session import Instance, Scan

_MOST: Final = 20  # ranges in one list
# Those whose machine numbers the images of a series by itself, and leaves none out.
_NUMBERED: Final = frozenset(f"xnat:{name}ScanData" for name in ("mr", "ct", "pet", "nm", "opt"))
# What may tell images with one InstanceNumber apart, the simplest first.
_APART: Final = (
    (),
    ("AcquisitionNumber",),
    ("EchoNumbers",),
    ("TemporalPositionIdentifier",),
    ("AcquisitionNumber", "EchoNumbers"),
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What one rule makes of a scan."""

    missing: int = 0  # images, at least
    which: str = ""
    says: bool = False  # whether the files declare how many they are
    sure: bool = True  # whether the catalog tells enough of the archived ones


@dataclass(frozen=True, slots=True)
class Weighed:
    """What all rules make of a scan: the files it should have, at least, and why."""

    expected: int
    answers: Mapping[str, Answer]  # by the keyword of the attribute

    @property
    def missing(self) -> int:
        """Files, at least."""
        return max((answer.missing for answer in self.answers.values()), default=0)

    @property
    def reasons(self) -> Mapping[str, str]:
        """What is missing, by the keyword of the attribute that suggests it."""
        return {word: answer.which for word, answer in self.answers.items() if answer.missing}

    @property
    def says(self) -> bool:
        """Whether anything tells how many files there should be."""
        return any(answer.says for answer in self.answers.values()) or self.missing > 0

    @property
    def unsure(self) -> bool:
        """Whether it can't be told, as the headers of archived files are not at hand."""
        return not self.missing and not all(answer.sure for answer in self.answers.values())


def weigh(scan: Scan, met: ArchivedScan | None, listed: Listed = NOTHING) -> Weighed:
    """What suggests that a scan, with the archived one it joins, lacks images.

    Of an archived resource with fewer entries at hand than files, `listed` has the numbers.
    """
    images = Images(scan, met, listed)
    answers = {word: rule(images) for word, rule in _RULES if images.incoming}
    known = Weighed(len(images) + images.others, answers)
    return Weighed(known.expected + known.missing, answers)


# -- InstanceNumber --------------------------------------------------------------------------------


def _numbers(images: Images) -> Answer:
    """Holes in InstanceNumber (PS3.3 C.7.6.1)."""
    declared = _single_acquisition(images)
    kinds = {sop.kind(each.header.sop_class).scan for each in images.incoming}
    if declared == len(images) or not images.single_frame or not kinds <= _NUMBERED:
        return Answer()  # as many as there are, however numbered; or nothing follows from it
    groups = _groups(images)
    if groups is None:
        return Answer(sure=not images.archived)
    fitting = declared if len(groups) == 1 else None
    found = ((label, _holes_in(numbers, fitting)) for label, numbers in groups.items())
    holes = [(hole, label) for label, held in found for hole in held]
    lacking = sum(last - first + 1 for (first, last), _ in holes)
    return Answer(lacking, _list(_range(*hole) + label for hole, label in holes))


def _groups(images: Images) -> Mapping[str, Sequence[int]] | None:
    """Numbers that don't repeat, by what tells them apart; None where nothing does."""
    found = [instance_number(each) for each in images.incoming]
    found += images.archived
    numbers = [number for number in found if number is not None]
    if len(numbers) < len(found):
        return None
    if images.archived:  # nothing is known of them that could tell them apart
        times = Counter(numbers)
        return {"": sorted(times)} if len({*times.values()}) == 1 else None
    for keywords in _APART:
        groups: defaultdict[str, list[int]] = defaultdict(list)
        for number, each in zip(numbers, images.incoming, strict=True):
            groups[_label(each, keywords)].append(number)
        if all(len({*group}) == len(group) for group in groups.values()):
            return {label: sorted(group) for label, group in sorted(groups.items())}
    return None


def _label(instance: Instance, keywords: Sequence[str]) -> str:
    told = ", ".join(f"{word} {count(instance, word)}" for word in keywords)
    return f" ({told})" if told else ""


def _holes_in(numbers: Sequence[int], declared: int | None) -> Sequence[tuple[int, int]]:
    """The holes in sorted numbers; from 1 to what is declared, where that fits the numbers."""
    if declared is not None and numbers[0] >= 1 and numbers[-1] <= declared:
        return list(_holes(numbers, 1, declared))
    return [] if _is_alright(numbers) else list(_holes(numbers, numbers[0], numbers[-1]))


def _is_alright(numbers: Sequence[int]) -> bool:
    """Whether sorted numbers have no holes, or so many, or so regular, that none is lost."""
    span = numbers[-1] - numbers[0] + 1
    if len(numbers) == span or len(numbers) < span / 2:
        return True
    return len(numbers) > 2 and len({after - before for before, after in pairwise(numbers)}) == 1


# -- declared counts -------------------------------------------------------------------------------


def _positions(images: Images) -> Answer:
    """NumberOfTemporalPositions (PS3.3 C.8.3.1), each with as many images as the fullest has."""
    declared = {*images.counts("NumberOfTemporalPositions")}
    count = (declared.pop() if len(declared) == 1 else None) or 0
    told = images.counts("TemporalPositionIdentifier")
    present = Counter(place for place in told if place is not None)
    inside = all(1 <= place <= count for place in present)
    if count < 2 or not inside or present.total() < len(told):
        return Answer()
    each = max(*present.values(), -(-len(images) // count))
    full = sorted(place for place, number in present.items() if number == each)
    which = _list(_range(*hole) for hole in _holes(full, 1, count))
    if images.archived:
        which = f"1-{count} with {each} each"
    return Answer(count * each - len(images), which, says=True)


def _acquisitions(images: Images) -> Answer:
    """ImagesInAcquisition (PS3.3 C.7.6.1), by AcquisitionNumber."""
    declared = _declared(images)
    there = Counter(each.header["AcquisitionNumber"] for each in images.incoming)
    if any(there[number] > size for number, size in declared.items()):
        return Answer()
    return _parts(images, [(size, there[number]) for number, size in declared.items()])


def _single_acquisition(images: Images) -> int | None:
    """How many images the only acquisition declares; None where there are several or it doesn't."""
    declared = [*_declared(images).values()]
    return declared[0] if len(declared) == 1 else None


def _declared(images: Images) -> Mapping[str, int]:
    """ImagesInAcquisition by AcquisitionNumber; nothing where it is missing or no use."""
    found: dict[str, int] = {}
    for each, size in zip(images.incoming, images.counts("ImagesInAcquisition"), strict=True):
        derived = each.header["ImageType"].startswith("DERIVED")
        number = each.header["AcquisitionNumber"]
        if not size or derived or found.setdefault(number, size) != size:
            return {}
    return found if images.single_frame else {}


def _concatenations(images: Images) -> Answer:
    """InConcatenationTotalNumber (PS3.3 C.7.6.16.2.2.4), or the highest part that is there."""
    parts: defaultdict[str, set[int]] = defaultdict(set)
    sizes: Counter[str] = Counter()
    totals = images.counts("InConcatenationTotalNumber")
    for each, total in zip(images.incoming, totals, strict=True):
        uid, number = each.header["ConcatenationUID"], count(each, "InConcatenationNumber")
        if uid and number:
            parts[uid].add(number)
            sizes[uid] = max(sizes[uid], total or 0, number)
    found = _parts(images, [(sizes[uid], len(numbers)) for uid, numbers in parts.items()])
    if images.archived or not found.missing:
        return found
    holes = (hole for uid, size in sizes.items() for hole in _holes(sorted(parts[uid]), 1, size))
    return Answer(found.missing, _list(_range(*hole) for hole in holes), says=True)


def _parts(images: Images, parts: Sequence[tuple[int, int]]) -> Answer:
    """Parts that declare how many images they have, and have so many of those that come.

    An archived image may belong to any of them, or to another part.
    """
    declared = sum(size for size, _ in parts)
    there = sum(number for _, number in parts) + len(images.archived)
    if there < declared:
        return Answer(declared - there, f"{declared}, {there} there", says=True)
    sizes = {size for size, _ in parts}
    spare = images.archived and there > declared
    uneven = len(sizes) > 1 or any(len(images) % size for size in sizes)
    return Answer(says=bool(parts), sure=not (spare and uneven))


_RULES: Final[Sequence[tuple[str, Callable[[Images], Answer]]]] = (
    ("InstanceNumber", _numbers),
    ("TemporalPositionIdentifier", _positions),
    ("ImagesInAcquisition", _acquisitions),
    ("InConcatenationNumber", _concatenations),
)


# -- ranges ----------------------------------------------------------------------------------------


def _holes(numbers: Iterable[int], low: int, high: int) -> Iterator[tuple[int, int]]:
    """First and last of each run of numbers from low to high that sorted `numbers` leave out."""
    for number in (*numbers, high + 1):
        if number > low:
            yield low, number - 1
        low = number + 1


def _range(first: int, last: int) -> str:
    return f"{first}" if first == last else f"{first}-{last}"


def _list(pieces: Iterable[str]) -> str:
    told = [*pieces]
    return ", ".join([*told[:_MOST], *["…"][: len(told) > _MOST]])
