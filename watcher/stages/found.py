"""Prearchive sessions as the tree has them: what lies in their timestamp folders."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Final

from watcher.core import names
from watcher.core.errors import DocumentError, HeldError
from watcher.core.session import Session
from watcher.io import files
from watcher.io.lease import session_key
from watcher.io.stores import read_record, read_revision
from watcher.stages import promise as promises
from watcher.stages.parts import Parts

RECORD: Final = ".json"  # beside a session's folder, after its name
PLAN: Final = f".{promises.PLAN}"


@dataclass(frozen=True, slots=True)
class Found:
    """A session in the tree: its record if it has one, its folder if it is there."""

    project: str | None
    moment: str  # the timestamp folder, absolute
    label: str
    names: frozenset[str]  # in that folder
    revision: int | None  # of its record

    @property
    def id(self) -> str:
        """The session's id."""
        return os.path.basename(self.moment)

    @property
    def folder(self) -> str:
        """Its folder."""
        return os.path.join(self.moment, self.label)

    @property
    def plan(self) -> str:
        """Where the plan of an archiving is, if there is one."""
        return f"{self.folder}{PLAN}"

    @property
    def is_planned(self) -> bool:
        """Whether there is one."""
        return f"{self.label}{PLAN}" in self.names

    def record(self) -> Session | None:
        """What `LABEL.json`, or else the plan beside it, says."""
        if f"{self.label}{RECORD}" in self.names:
            return read_record(f"{self.folder}{RECORD}")
        try:
            return promises.read(self.plan).session if self.is_planned else None
        except DocumentError:  # what it planned is lost; the folder tells the rest
            return None


def tree(parts: Parts) -> Iterator[Found]:
    """Every session there is; halves of documents are swept, empty folders removed."""
    prearchive = parts.storage.stores.prearchive
    for name in sorted(files.names_in(prearchive)):
        path = os.path.join(prearchive, name)
        if names.is_timestamp(name):
            yield from _moment(parts, None, path)
        elif not name.startswith(".") and os.path.isdir(path):
            for moment in sorted(files.names_in(path)):
                if names.is_timestamp(moment):
                    yield from _moment(parts, name, os.path.join(path, moment))
            if name in parts.projects.known and not files.names_in(path):
                files.remove_empty(path)


def _moment(parts: Parts, project: str | None, moment: str) -> Iterator[Found]:
    here = files.names_in(moment)
    if halves := [name for name in here if name.startswith(".") and name.endswith(".new")]:
        _sweep(parts, moment, halves)
    labels = {_label(name) for name in here if not name.startswith(".")}
    if not labels:
        files.remove_empty(moment)
    for label in sorted(labels):
        has_record = f"{label}{RECORD}" in here
        revision = read_revision(os.path.join(moment, f"{label}{RECORD}")) if has_record else None
        yield Found(project, moment, label, here, revision)


def _sweep(parts: Parts, moment: str, names: Sequence[str]) -> None:
    """Documents that a crash left half written, unless a command is just writing one."""
    owner = os.path.basename(moment)
    with suppress(HeldError), ExitStack() as held:
        held.enter_context(parts.leases.hold([session_key(owner)], parts.clock.now()))
        held.enter_context(parts.leases.exclusive(f"record/{owner}"))
        for name in names:
            files.remove(os.path.join(moment, name))


def _label(name: str) -> str:
    for ending in (PLAN, ".delete.json", ".split.json", ".ahead.json", RECORD, ".xml"):
        if name.endswith(ending):
            return name.removesuffix(ending)
    return name
