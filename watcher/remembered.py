"""What the daemon keeps of itself in the ledger: its heartbeat, what it knew then, files by hour.

Every function: StorageError where the ledger can't be read or written.
"""

import json
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from watcher.core import rates
from watcher.report.times import iso
from watcher.stages.parts import Parts

HEARTBEAT: Final = "heartbeat"
LIVE: Final = "live"
RATES: Final = "rates"

Live: TypeAlias = Mapping[str, Any]
"""`started` (ISO), `lost` (lines of the log), `drops`: of each the keys of `UNKNOWN`, or some."""

UNKNOWN: Final[Live] = {
    "watch": None,  # "native" while change events come, "poll"
    "waiting": None,  # files pending
    "oldest_pending": None,  # seconds since the first of them was seen; 0: none
    "filed": None,  # since the start, as the next two
    "duplicates": None,
    "quarantined": None,
    "units": None,  # that have not landed
    "landing": False,  # whether one of them lands
}
"""A drop of which no daemon tells."""


def keep_beat(parts: Parts, live: Live) -> None:
    """The daemon is alive, and this is what it knows."""
    keep_live(parts, live)
    parts.ledger.remember(HEARTBEAT, str(parts.clock.now()))


def keep_live(parts: Parts, live: Live) -> None:
    """What commands are to know of the daemon."""
    drops = {
        name: {key: value for key, value in each.items() if key != "available"}
        for name, each in live["drops"].items()
    }
    parts.ledger.remember(LIVE, json.dumps({**live, "drops": drops}))


def last_beat(parts: Parts) -> float | None:
    """The last heartbeat, in seconds since the epoch; None: there was none."""
    said = parts.ledger.recall(HEARTBEAT)
    return float(said) if said else None


def kept_live(parts: Parts) -> Live:
    """What the daemon knew then. Whether a drop is there is not among it: that is looked at now."""
    said = parts.ledger.recall(LIVE)
    return dict(json.loads(said)) if said else {}


def count_filed(parts: Parts, files: int) -> None:
    """So many files more were filed, in this hour."""
    kept = rates.counted(_kept_rates(parts), parts.clock.now(), files)
    parts.ledger.remember(RATES, json.dumps(kept))


def filed_by_hour(parts: Parts, now: float) -> list[tuple[str, int]]:
    """Each of the last 48 hours as ISO 8601, oldest first, and the files filed in it."""
    return [(iso(hour), files) for hour, files in rates.series(_kept_rates(parts), now)]


def _kept_rates(parts: Parts) -> dict[int, int]:
    said = parts.ledger.recall(RATES)
    return {int(hour): files for hour, files in json.loads(said).items()} if said else {}
