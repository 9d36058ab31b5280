"""Files with the same UIDs compared by the reader processes, never in this one (spec 13)."""

import os
from collections.abc import Mapping
from typing import Any

from watcher.core.errors import storage_error
from watcher.core.match import Comparison
from watcher.io import files
from watcher.io.workers import examine_now
from watcher.stages.parts import Parts

Pair = tuple[str, str]


def compare_all(parts: Parts, pairs: Mapping[str, Pair]) -> dict[str, Comparison]:
    """How the two files of each pair compare.

    A pair that kills its readers, or passes their bounds, is not told to be the same: it counts as
    differing, and says why. StorageError where the machine could not read one, WorkerError where
    no reader can be started.
    """
    parts.check_stop()
    replies = examine_now([_request(pair) for pair in pairs.values()], parts.check_stop)
    return dict(zip(pairs, map(_comparison, replies), strict=True))


def _request(pair: Pair) -> dict[str, Any]:
    sizes = (seen.size for path in pair if (seen := files.print_of(path)))
    return {"pair": pair, "size": sum(sizes)}


def _comparison(reply: Mapping[str, Any]) -> Comparison:
    if "errno" in reply:
        number = int(reply["errno"])
        raise storage_error(OSError(number, os.strerror(number)), reply["doing"])
    if "refusal" in reply:  # it killed its readers
        return Comparison(text=reply["text"])
    return Comparison(reply["same"], reply["same_pixels"], tuple(reply["tags"]), reply["text"])
