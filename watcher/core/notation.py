"""Durations, sizes, layouts and the like as people write them, and as they are shown.

`parse_` takes text; `read_` takes what a TOML file may hold in its place. Both give the value, or
raise a ValueError that says what is wanted.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from watcher.core.route import PLACEHOLDERS

MILLISECONDS: Final[Mapping[str, int]] = MappingProxyType(
    {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
)
BYTES: Final[Mapping[str, int]] = MappingProxyType(
    {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
)
_CLOCK: Final = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
# Nine digits are more than anybody means; without a bound a float could overflow.
_AMOUNT: Final = re.compile(r"([0-9]{1,9})([A-Za-z]+)")
_ADDRESS: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[\w.-]+):([0-9]{1,5})")


def _amount(text: str, units: Mapping[str, int], advice: str) -> int:
    found = _AMOUNT.fullmatch(text)
    if found is None or found[2] not in units:
        raise ValueError(advice)
    return int(found[1]) * units[found[2]]


def parse_duration(text: str) -> float:
    """The seconds in `500ms`, `2s`, `5m`, `1h`, `30d`; else a ValueError that says so."""
    advice = 'a duration is a whole number and a unit: "500ms" "2s" "5m" "1h" "30d"'
    return _amount(text, MILLISECONDS, advice) / 1000


def parse_size(text: str) -> int:
    """The bytes in `512B`, `64KiB`, `100MiB`, `5GiB`, `1TiB`; else a ValueError that says so."""
    advice = 'a size is a whole number and a unit: "512B" "64KiB" "100MiB" "5GiB" "1TiB"'
    return _amount(text, BYTES, advice)


def read_duration(value: object) -> float:
    """The seconds, more than none, in a duration; a bare number is told what it lacks."""
    if isinstance(value, int) and not isinstance(value, bool):
        raise ValueError(f'a duration needs its unit: "{value}s"')  # noqa: TRY004  pydantic's word
    seconds = parse_duration(value if isinstance(value, str) else "")
    if seconds <= 0:
        raise ValueError("must be longer than nothing")
    return seconds


def read_duration_or(word: str, value: object) -> float | None:
    """The seconds in a duration; None for the word."""
    try:
        return None if value == word else read_duration(value)
    except ValueError as error:
        raise ValueError(f'{error}; or "{word}"') from error


def read_size(value: object) -> int:
    """The bytes in a size."""
    return parse_size(value if isinstance(value, str) else "")


def read_layout(value: object) -> tuple[str, ...]:
    """The parts of `{project}/*/{session}`, one per directory of a drop (spec 3, `layout`)."""
    parts = tuple(value.split("/")) if isinstance(value, str) else ("",)
    for part in parts:
        if part != "*" and part not in PLACEHOLDERS and not _is_plain(part):
            known = " ".join(sorted(PLACEHOLDERS))
            raise ValueError(f'"{part}" is neither a name, nor *, nor of {known}')
    if "{session}" not in parts or any(parts.count(name) > 1 for name in PLACEHOLDERS):
        raise ValueError("a layout needs {session}, and each placeholder at most once")
    return parts


def _is_plain(part: str) -> bool:
    return part not in {"", ".", ".."} and not set(part) & set("{}*\0")


def parse_name(text: str) -> str:
    """The text, if it can be the name of a folder."""
    if text in {"", ".", ".."} or set(text) & set("/\0"):
        raise ValueError("must be fit for the name of a folder")
    return text


def parse_address(text: str) -> str:
    """The text, if it is `host:port` or `[v6 address]:port`."""
    found = _ADDRESS.fullmatch(text)
    if found is None or not 0 < int(found[1]) <= 65535:
        raise ValueError('must be an address and a port: "127.0.0.1:9464"')
    return text


def format_duration(seconds: float) -> str:
    """Seconds (not negative) for people: `500 ms`, `2.5 s`, `5 min`, `1 h 30 min`, `30 d`.

    At most two units are shown; what is smaller is left off.
    """
    if 0 < seconds < 0.9995:
        return f"{round(seconds * 1000)} ms"
    if seconds < 59.95:  # what rounds to 60.0 is a minute
        return f"{round(seconds, 1):g} s"
    left, parts = round(seconds), []
    for unit, size in _CLOCK:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])


def format_size(size: int) -> str:
    """Bytes (not negative) for people, to one decimal: `512 B`, `1.5 KiB`, `5 GiB`."""
    shown = {unit: round(size / factor, 1) for unit, factor in BYTES.items()}
    unit = next((unit for unit, count in shown.items() if count < 1024), "TiB")
    return f"{shown[unit]:.1f}".removesuffix(".0") + f" {unit}"
