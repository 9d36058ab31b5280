"""How the files of a batch fared, and the sources that are to go then."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from watcher.core.errors import StorageError
from watcher.core.file import Fingerprint
from watcher.core.policy import Drop
from watcher.io.desk import Incoming
from watcher.stages.parting import remove_source
from watcher.stages.parts import Parts


class Result(StrEnum):
    """How a file of a batch fared."""

    FILED = "filed"
    DUPLICATE = "duplicate"
    LATER = "later"  # look at it again soon
    COPY = "copy"  # read it again, copying
    FAILED = "failed"  # the machine said no; try again after a while


@dataclass(frozen=True, slots=True)
class Outcome:
    """One file's fate; `error` where the machine said no."""

    incoming: Incoming
    result: Result
    session: str = ""
    error: StorageError | None = None
    remains: Fingerprint | None = None  # the source lies there still, as this


@dataclass
class Tally:
    """What an intake did since the start."""

    filed: int = 0
    duplicates: int = 0
    quarantined: int = 0


def sops_of(outcomes: Sequence[Outcome]) -> list[str]:
    """The SOP instance UIDs that were filed."""
    return [
        one.incoming.examined.header.sop_instance for one in outcomes if one.result is Result.FILED
    ]


def remove_copied(
    parts: Parts, drop: Drop, outcomes: Sequence[Outcome], beat: Callable[[], None]
) -> list[bytes]:
    """Remove the sources of what was copied; gives those that are gone, or another file now.

    Their content is recorded, so that a crash before this, or in it, leaves what the next look
    removes. A drop may hang here: run it in a thread of the drop's own. `beat` says it does not.
    """
    copied = {
        one.incoming.candidate.path: one.remains
        for one in outcomes
        if one.remains is not None and one.incoming.examined.temp and drop.after != "keep"
    }
    gone: list[bytes] = []
    for path, seen in copied.items():
        beat()
        if remove_source(parts, drop, path, seen):
            gone.append(path)
    parts.receiving.forget_taken(drop.name, gone)
    return gone
