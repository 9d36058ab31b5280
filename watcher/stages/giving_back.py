"""A refused unit given back to its drop: whole, under its own name, or not at all."""

import os
from typing import Final

from watcher.core.errors import ClashError, RefusedError
from watcher.core.policy import Drop
from watcher.io import files, sources
from watcher.io.registry import SetAside
from watcher.io.returning import give_back, give_folder_back, has_all
from watcher.stages.parts import Parts
from watcher.stages.quarantine import REASON, kept_name

TEMP: Final = ".watcher-requeue-"
"""How a folder is called in a drop while it is not all there: an ignored name."""


def give_unit_back(parts: Parts, drop: Drop, aside: SetAside, folder: str) -> None:
    """Put the unit in an entry's `folder` back into its drop, durable.

    Its own bytes under its name are enough: an earlier try was cut off. RefusedError where the name
    is taken, also by sources that could not be removed yet: nothing is overwritten, and under
    another name it would be another unit. StorageError.
    """
    name = _name(folder)
    own = REASON if name == kept_name(REASON) else name
    path = os.path.join(os.path.dirname(aside.path), os.fsencode(own))
    source = os.path.join(folder, name)
    if is_owed(parts, drop, path):
        raise _taken(drop)
    try:
        _give(source, drop, path, aside)
    except ClashError as error:
        if not has_all(source, drop.path, path):
            raise _taken(drop) from error


def is_owed(parts: Parts, drop: Drop, path: bytes) -> bool:
    """Whether a file lies there, or below, that is taken and to leave the drop still."""
    taken = parts.receiving.taken(drop.name)
    here = (each for each in taken if each == path or each.startswith(path + b"/"))
    return any(sources.print_in(drop.path, each) is not None for each in here)


def _taken(drop: Drop) -> RefusedError:
    hint = "move what has it; the unit stays in the quarantine, whole"
    return RefusedError(f"its name in drop {drop.name} is taken", hint=hint)


def _name(folder: str) -> str:
    """The unit in an entry."""
    found = [each for each in files.names_in(folder) if each != REASON and each[0] != "."]
    if len(found) != 1:
        hint = f"its files are in {folder}"
        raise RefusedError("the entry holds more than one thing, or nothing", hint=hint)
    return found[0]


def _give(source: str, drop: Drop, path: bytes, aside: SetAside) -> None:
    if not os.path.isdir(source):
        give_back(source, drop.path, path)
    else:
        give_folder_back(source, drop.path, path, os.fsencode(f"{TEMP}{aside.id}"))
