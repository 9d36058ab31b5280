"""How many files were filed in each of the last hours (UTC), as values: what the chart is made of.

Hours are counted from the epoch, so that a restart, or a clock's other zone, changes none of them.
"""

from collections.abc import Mapping
from typing import Final

HOUR: Final = 3600  # seconds
HOURS: Final = 48  # that are kept, the one that runs among them


def counted(rates: Mapping[int, int], now: float, files: int) -> dict[int, int]:
    """The rates with so many files more, filed in the hour of `now`; what is too old is left out.

    `now` in seconds since the epoch. Hours to come are left out as well: a clock was set back.
    """
    hour = int(now // HOUR)
    kept = {each: number for each, number in rates.items() if hour - HOURS < each <= hour}
    return {**kept, hour: kept.get(hour, 0) + files}


def series(rates: Mapping[int, int], now: float) -> list[tuple[float, int]]:
    """Each of the last hours, oldest first: its beginning in seconds since the epoch, its files."""
    hour = int(now // HOUR)
    hours = range(hour - HOURS + 1, hour + 1)
    return [(float(each * HOUR), rates.get(each, 0)) for each in hours]
