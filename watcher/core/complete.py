"""Scans that seem incomplete, as people are told: in a finding, in the XML note and in `show`.

It is a hint, never a verdict (spec 10, `maybe-incomplete`). What suggests it, and what is
deliberately not said: lacking.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from watcher.core.archived import ArchivedScan
from watcher.core.images import NOTHING, Listed
from watcher.core.lacking import Weighed, weigh
from watcher.core.session import Scan

PREFIX: Final = "Maybe incomplete: "
"""What our note of a scan begins with; any other note is a person's."""

_SCANS: Final = 5  # scans in one sentence
_NOTHING: Final[Mapping[str, ArchivedScan]] = MappingProxyType({})
_EXPECTED: Final = re.compile(r" \(([0-9]{1,12}) files expected\)$")


@dataclass(frozen=True, slots=True)
class Gap:
    """What a scan seems to lack, archived files counted in. At most one for a scan."""

    scan: str  # the incoming scan's ID
    series: str
    reasons: tuple[str, ...]  # keywords of the attributes that suggest it
    missing: int  # files, at least
    expected: int  # files, at least
    text: str  # `InstanceNumber 4, 7-9 (10 files expected)`


def look(
    scans: Iterable[Scan],
    met: Mapping[str, ArchivedScan] = _NOTHING,
    listed: Listed = NOTHING,
) -> tuple[tuple[Gap, ...], Mapping[str, str]]:
    """The scans that seem to lack images, and the notes of scans by incoming ID.

    `met` are the archived ones they join, by incoming ID; `listed` the numbers of all that is
    archived there: a hole that an archived file fills is none. A note is empty where nothing seems
    missing (any more); a scan of which that can't be told from here has none: what its note says
    may still be so.
    """
    weighed = [(scan, weigh(scan, met.get(scan.id), listed)) for scan in scans]
    gaps = tuple(_gap(scan, each) for scan, each in weighed if each.missing)
    told = {gap.scan: PREFIX + gap.text for gap in gaps}
    return gaps, {scan.id: told.get(scan.id, "") for scan, each in weighed if not each.unsure}


def expected(scan: Scan) -> int | None:
    """How many files a scan should have by itself, at least; None where nothing says."""
    weighed = weigh(scan, None)
    return weighed.expected if weighed.says else None


def text(gaps: Collection[Gap]) -> str:
    """One sentence on all of them."""
    told = [f"scan {gap.scan}: {gap.text}" for gap in gaps][:_SCANS]
    more = [f"{len(gaps) - _SCANS} more"] if len(gaps) > _SCANS else []
    return f"Images seem to be missing in {'; '.join(told + more)}"


def noted(words: str) -> str:
    """What a scan's note says is missing; empty where the note is a person's."""
    return words.removeprefix(PREFIX) if words.startswith(PREFIX) else ""


def expected_in(words: str) -> int | None:
    """The files expected, as the text of a gap tells it."""
    found = _EXPECTED.search(words)
    return int(found[1]) if found else None


def _gap(scan: Scan, weighed: Weighed) -> Gap:
    reasons = weighed.reasons
    which = "; ".join(f"{word} {told}" for word, told in reasons.items())
    told = f"{which} ({weighed.expected} files expected)"
    return Gap(scan.id, scan.uid, tuple(reasons), weighed.missing, weighed.expected, told)
