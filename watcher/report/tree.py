"""A tree as lines of text: each branch under what holds it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Branch:
    """One line, and the branches that hang from it."""

    text: str
    branches: Sequence["Branch"] = ()


def draw(root: Branch) -> Iterator[str]:
    """The root's line, then a line for everything below it, depth first, in the given order."""
    yield root.text
    yield from _below(root.branches, "")


def _below(branches: Sequence[Branch], stem: str) -> Iterator[str]:
    for number, branch in enumerate(branches, start=1):
        last = number == len(branches)
        yield f"{stem}{'└── ' if last else '├── '}{branch.text}"
        yield from _below(branch.branches, stem + ("    " if last else "│   "))
