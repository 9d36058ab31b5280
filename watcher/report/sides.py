"""The two sides of a finding, as a person compares them (spec 10): what differs, what is the same.

The review shows every value; the status page only these.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from watcher.report.text import worded

_NAMES: Final[Mapping[str, tuple[str, str]]] = {
    "mixed-studies": ("main study", "other study"),
    "duplicate-in-session": ("newcomer", "first"),
    "scan-number-taken": ("incoming", "new name"),
    "scan-uid-elsewhere": ("incoming", "joins"),
}
_KEPT: Final = ("project", "subject", "label", "study", "type")  # named without evidence

_TOLD: Final[Mapping[str, str]] = {
    "count": "Files",
    "pixels": "Pixels",
    "differing_tags": "Attributes that differ",
}


@dataclass(frozen=True, slots=True)
class Sides:
    """What the two are called, the values that differ, those that are the same, what that tells."""

    names: tuple[str, str]
    differing: Sequence[tuple[str, str, str]]  # name, and its value on each side
    same: Sequence[str]
    notes: Sequence[str]


def names(code: str) -> tuple[str, str]:
    """What the two sides of a finding are called."""
    return _NAMES.get(code, ("incoming", "archived"))


def sides(finding: Mapping[str, Any]) -> Sides:
    """Those of a finding as JSON; nothing in them where it has none."""
    incoming, archived, evidence = (
        finding.get(side, {}) for side in ("incoming", "archived", "evidence")
    )
    differing, same = [], []
    for name in dict.fromkeys([*incoming, *archived]):
        mine, theirs = worded(incoming.get(name)), worded(archived.get(name))
        if evidence.get(name) == "same" or (name in _KEPT and mine == theirs != ""):
            same.append(name)
        elif mine or theirs:
            differing.append((name, mine, theirs))
    return Sides(names(finding["code"]), differing, same, list(_notes(evidence)))


def _notes(evidence: Mapping[str, Any]) -> Iterator[str]:
    if evidence.get("looks_like"):
        yield f"It looks like: {evidence['looks_like']}"
    for name, text in _TOLD.items():
        if evidence.get(name):
            yield f"{text}: {worded(evidence[name])}"
