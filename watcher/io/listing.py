"""A DICOMDIR read in a reader process: it may be hostile (spec 13)."""

import os
from typing import Any, Final

from watcher.core.file import Fingerprint
from watcher.dicom.dicomdir import read
from watcher.io.opening import NotTakenError, open_regular, read_at

__all__ = ["reply_to"]

LARGEST: Final = 256 << 20  # bytes; a record has some hundred
DOING: Final = "reading a DICOMDIR of a drop"


def reply_to(request: dict[str, str]) -> dict[str, Any]:
    """A reader's answer about the DICOMDIR at `path` below `root`, whatever it is or holds.

    `print` and `listed`: by study, then series, pairs of a SOP UID and a file ID's parts; None
    where it can't be read whole, or changed meanwhile. Or `errno doing place`.
    """
    try:
        with open_regular(request["root"], request["path"]) as file:
            return _read(file)
    except NotTakenError:
        return {"print": None, "listed": None}
    except OSError as error:
        return {"errno": error.errno or 0, "doing": DOING, "place": request["root"]}


def _read(file: int) -> dict[str, Any]:
    before = Fingerprint.of(os.fstat(file))
    listed = _listed(file, before.size) if before.size <= LARGEST else None
    if not Fingerprint.of(os.fstat(file)).same_content(before):
        listed = None
    return {"print": before.numbers, "listed": listed}


def _listed(file: int, size: int) -> dict[str, dict[str, list[tuple[str, tuple[str, ...]]]]] | None:
    try:
        found = read(lambda at, count: read_at(file, at, count), size)
    except Exception as error:  # the error border: no bytes may end the worker
        if isinstance(error, OSError) and error.errno is not None:
            raise
        return None
    if found is None:
        return None
    tree: dict[str, dict[str, list[tuple[str, tuple[str, ...]]]]] = {}
    for each in found:
        tree.setdefault(each.study, {}).setdefault(each.series, []).append((each.sop, each.file))
    return tree
