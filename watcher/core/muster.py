"""What the answers on the members of a unit come to: it waits, is refused, or goes (spec 7).

A unit waits while a member is not whole, or the machine failed on one. It is refused where a
member can never be filed. Else it goes: its instances land, its strays are set aside, and the
lists in it (DICOMDIR) are read and not filed.
"""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal

from watcher.core.file import Refusal, RefusalCode
from watcher.core.unit import Reason

REASONS: Final = 1000  # that are kept of a refused unit

WAITING: Final = frozenset(
    {
        RefusalCode.EMPTY,
        RefusalCode.TORN,
        RefusalCode.BUSY,
        RefusalCode.UNLEASED,
        RefusalCode.HOLLOW,
        RefusalCode.CHANGED,
        RefusalCode.GONE,
        RefusalCode.DENIED,
        RefusalCode.NOT_REGULAR,  # it was a file when the unit was seen
    }
)


class Part(StrEnum):
    """What a member is to its unit."""

    INSTANCE = "instance"
    STRAY = "stray"  # no DICOM
    LIST = "list"  # a DICOMDIR
    WAITS = "waits"  # not whole, or not now
    REFUSED = "refused"


Verdict = Literal["waits", "refused", "goes"]


def part_of(refusal: Refusal | None, *, strict: bool) -> Part:
    """What a member is that the readers refused; None: a whole instance."""
    if refusal is None:
        return Part.INSTANCE
    if refusal.code in WAITING:
        return Part.WAITS
    if refusal.code is RefusalCode.DICOMDIR:
        return Part.LIST
    stray = refusal.code is RefusalCode.NOT_DICOM and not strict
    return Part.STRAY if stray else Part.REFUSED


@dataclass
class Muster:
    """The members of one unit as they are examined. Paths in bytes.

    `held` and `errors` are by source, its path in the drop: all members of an archive have one.
    """

    strict: bool  # a member that is no DICOM refuses the unit
    counts: Counter[Part] = field(default_factory=Counter)
    held: dict[bytes, Refusal] = field(default_factory=dict)
    errors: dict[bytes, Exception] = field(default_factory=dict)
    reasons: list[Reason] = field(default_factory=list)

    def take(self, member: bytes, source: bytes, refusal: Refusal | None) -> Part:
        """One member, by its path in the unit, and why it can't be filed; gives what it is."""
        part = part_of(refusal, strict=self.strict)
        self.counts[part] += 1
        if refusal is not None and part is Part.WAITS:
            self.held.setdefault(source, refusal)
        elif refusal is not None and part is Part.REFUSED:
            self.refuse(Reason(refusal.code, member, refusal.text))
        return part

    def refuse(self, reason: Reason) -> None:
        """One more reason; those past a bound say nothing new."""
        if len(self.reasons) < REASONS:
            self.reasons.append(reason)

    def fail(self, source: bytes, error: Exception) -> Part:
        """The machine failed on a member."""
        self.errors.setdefault(source, error)
        return Part.WAITS

    @property
    def verdict(self) -> Verdict:
        """What it comes to so far. What may still become whole is not judged yet."""
        if self.held or self.errors:
            return "waits"
        return "refused" if self.reasons else "goes"
