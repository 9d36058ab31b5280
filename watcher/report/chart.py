"""The rate of filing as the status page draws it: bars of hours, an axis, a sentence (spec 12)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from watcher.core.rates import HOURS

TALL: Final = 120  # pixels of the highest bar
_GAP: Final = 0.2  # of an hour's width, left free beside its bar
_MARKED: Final = 12  # hours between two labels of the axis
_EDGE: Final = 6.0  # per cent; a label as near to the edge is aligned with it
_DIGIT: Final = 8  # pixels a digit of the scale takes


@dataclass(frozen=True, slots=True)
class Bar:
    """One hour: `x` and `width` in per cent of the plot, `y` and `height` in pixels."""

    hour: datetime
    files: int
    x: float
    width: float
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Mark:
    """A label of the axis of time; `x` in per cent, `anchor` as SVG's text-anchor."""

    text: str
    x: float
    anchor: str
    is_day: bool  # midnight: the labels that stay where there is little room


@dataclass(frozen=True, slots=True)
class Chart:
    """Everything drawn, and the sentence that says the same."""

    bars: Sequence[Bar]
    marks: Sequence[Mark]
    scale: Sequence[tuple[int, float]]  # files, and the height where they stand, in pixels
    gutter: int  # pixels the scale's numbers take
    text: str


def chart(rates: Iterable[Sequence[object]], made: datetime, zone: tzinfo | None) -> Chart:
    """The last 48 hours up to the one of `made`; hours that `rates` does not name had no files.

    `rates`: pairs of an hour (ISO 8601) and the files filed in it. `zone` None: this machine's.
    """
    known = {_hour(datetime.fromisoformat(str(hour))): int(str(files)) for hour, files in rates}
    last = _hour(made)
    hours = [last - timedelta(hours=back) for back in reversed(range(HOURS))]
    counts = [known.get(hour, 0) for hour in hours]
    top = ceiling(max(counts))
    local = [hour.astimezone(zone) for hour in hours]
    return Chart(
        bars=[
            _bar(at, hour, files, top)
            for at, (hour, files) in enumerate(zip(local, counts, strict=True))
        ],
        marks=[_mark(at, hour) for at, hour in enumerate(local) if hour.hour % _MARKED == 0],
        scale=[(files, TALL - TALL * files / top) for files in _steps(top)],
        gutter=_DIGIT * len(f"{top:,}") + _DIGIT,
        text=_sentence(local, counts),
    )


def _hour(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def ceiling(files: int) -> int:
    """The top of the scale: the next of 1, 2, 5, 10, 20, 50, … that is not below."""
    power = 1
    while True:
        for step in (1, 2, 5):
            if step * power >= files:
                return step * power
        power *= 10


def _steps(top: int) -> list[int]:
    """The numbers on the scale: none, the half where it is whole, the top."""
    return [0, top // 2, top] if top % 2 == 0 else [0, top]


def _bar(at: int, hour: datetime, files: int, top: int) -> Bar:
    share = 100 / HOURS
    tall = max(TALL * files / top, 1.0 if files else 0.0)  # a single file is seen beside thousands
    return Bar(
        hour=hour,
        files=files,
        x=round((at + _GAP / 2) * share, 3),
        width=round((1 - _GAP) * share, 3),
        y=round(TALL - tall, 1),
        height=round(tall, 1),
    )


def _mark(at: int, hour: datetime) -> Mark:
    x = round(at * 100 / HOURS, 3)
    anchor = "start" if x < _EDGE else "end" if x > 100 - _EDGE else "middle"
    return Mark(f"{hour:%a %H:%M}", x, anchor, is_day=hour.hour == 0)


def _sentence(hours: Sequence[datetime], counts: Sequence[int]) -> str:
    total, most = sum(counts), max(counts)
    if not total:
        return f"No file was filed in the last {HOURS} hours."
    when = hours[counts.index(most)]
    files = "1 file was" if total == 1 else f"{total:,} files were"
    return f"{files} filed in the last {HOURS} hours, the most ({most:,}) from {when:%a %H:%M}."
