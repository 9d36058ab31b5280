"""Why what an archiving moved to the history is there: told when it is done, or taken back."""

import os
from collections.abc import Mapping
from typing import Final

from watcher.io import files
from watcher.stages import history
from watcher.stages.parts import Parts
from watcher.stages.planning import CATALOG, KEPT, REPLACED
from watcher.stages.promise import Promise

WITHOUT_DECISION: Final[Mapping[history.Kind, str]] = {
    CATALOG: "the session XML did not name it, or it could not be read",
}


def describe(parts: Parts, promise: Promise) -> None:
    """Why each new entry of the history is there."""
    for folder, kind in _kinds(promise).items():
        _describe(parts, promise, folder, kind)


def describe_left(parts: Parts, promise: Promise) -> None:
    """The same of the entries that a plan leaves which is taken back, and that nothing tells of."""
    for folder, kind in _kinds(promise).items():
        here = files.names_in(os.path.join(parts.storage.path("history"), folder))
        if here and history.REASON not in here:
            _describe(parts, promise, folder, kind)


def _kinds(promise: Promise) -> Mapping[str, history.Kind]:
    """The entries, relative to the history."""
    kept = [each.target for each in promise.asides if each.store == "history"]
    kinds: dict[str, history.Kind] = {_entry(path): KEPT for path in kept}
    for retire in promise.retires:
        kinds[_entry(retire.target)] = CATALOG if "_catalog.xml" in retire.path else REPLACED
    return kinds


def _entry(path: str) -> str:
    return os.path.join(*path.split("/")[:3])


def _describe(parts: Parts, promise: Promise, folder: str, kind: history.Kind) -> None:
    session = promise.session
    decision = next((each for each in reversed(session.decisions) if each.policy), None)
    history.describe(
        parts,
        os.path.join(parts.storage.require("history"), folder),
        kind=kind,
        session=session,
        command=decision.command if decision else "archive",
        who=decision.who if decision else "watcher",
        reason=decision.reason if decision else WITHOUT_DECISION.get(kind, ""),
        when=promise.made,
    )
