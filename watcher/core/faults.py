"""What is wrong in a configuration, one line each, and whether its parts agree.

A line begins with where it stands in the file: `drop[1].settle`, counted from 0.
"""

import difflib
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final, Literal

from watcher.core.policy import Project, Projects
from watcher.core.session import UNASSIGNED

# Timestamps of sessions and projects are folders side by side (xnat-facts 1).
_TIMESTAMP: Final = re.compile(r"[0-9]{8}_[0-9]{6,9}")
_PROJECT: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}")


_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")


def where(steps: Sequence[str | int]) -> str:
    """The path of a value in the file: `drop[1].settle`, `projects."a b".hold`."""
    text = ""
    for step in steps:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step if _BARE.fullmatch(step) else json.dumps(step)}"
    return text.removeprefix(".")


def shown(value: object) -> str:
    """A value of the file, as it is written there, cut to 60 characters."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list"
    plain = isinstance(value, str | int | float)  # a bool is an int; the rest are dates and times
    return (json.dumps(value, ensure_ascii=False) if plain else str(value))[:60]


def meant(word: str, valid: Collection[str]) -> str:
    """The valid name nearest to a word, or all of them, as the end of a line."""
    near = difflib.get_close_matches(word, valid, n=1)
    return f"did you mean {near[0]}?" if near else f"known: {' '.join(valid)}"


@dataclass(frozen=True, slots=True)
class Spot:
    """A path of the configuration: as written and normalised, and with its links followed."""

    where: str
    kind: Literal["root", "store", "drop", "file"]  # file: the log, the configuration itself
    path: str
    real: str


def _inside(inner: str, outer: str) -> bool:
    return f"{inner.rstrip('/')}/".startswith(f"{outer.rstrip('/')}/")


def _allowed(inner: Spot, outer: Spot) -> bool:
    """Whether one may lie inside the other: anything below the root, files outside the drops."""
    if outer.kind == "drop" or inner.kind == "root":
        return False
    return outer.kind == "root" or inner.kind == "file"


def _quarrel(one: Spot, other: Spot) -> tuple[Spot, str, Spot] | None:
    if one.path == other.path or one.real == other.real:
        return one, "is the same place as", other
    for inner, outer in ((one, other), (other, one)):
        nested = _inside(inner.path, outer.path) or _inside(inner.real, outer.real)
        if nested and not _allowed(inner, outer):
            return inner, "lies inside", outer
    return None


def overlaps(spots: Iterable[Spot]) -> tuple[str, ...]:
    """A line for each two paths of which one must not be, or lie inside, the other (spec 3).

    Paths that stand at one place in the file (a root and the stores below it) share a line.
    """
    lines: dict[tuple[str, str], str] = {}
    for one, other in combinations(spots, 2):
        if quarrel := _quarrel(one, other):
            inner, verb, outer = quarrel
            line = f"{inner.where}: {inner.path} {verb} {outer.where} ({outer.path})"
            lines.setdefault((inner.where, outer.where), line)
    return tuple(lines.values())


def project_fault(name: str) -> str | None:
    """What keeps a name from being a project's id, which is a folder's name; None: nothing."""
    if not _PROJECT.fullmatch(name):
        return "a project's id is 1 to 64 of A-Z a-z 0-9 _ and -, the first not -"
    if name.casefold() == UNASSIGNED.casefold() or _TIMESTAMP.fullmatch(name):
        return "this id is taken: sessions without a project, and timestamps, are folders too"
    return None


def alias_clashes(projects: Iterable[Project]) -> Iterator[str]:
    """A line for each name that two projects claim, ignoring case."""
    owners: dict[str, str] = {}
    for project in projects:
        for name in {n.casefold(): n for n in (project.id, *project.aliases)}.values():
            owner = owners.setdefault(name.casefold(), project.id)
            if owner != project.id:
                yield f'{where(("projects", project.id))}: "{name}" already means {owner}'


def all_projects(given: Mapping[str, Project], named: Iterable[str]) -> Projects:
    """The given projects and, with the defaults, those only a drop names."""
    known = dict(given)
    for name in named:
        if Projects(known).find(name) is None:
            known[name] = Project(name)
    return Projects(known)
