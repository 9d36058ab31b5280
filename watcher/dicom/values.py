"""DICOM values in the forms of XML Schema; what is malformed is left out, never guessed."""

import math
import re
from collections.abc import Iterable
from datetime import date as Date  # noqa: N812  the functions here are called date and time
from datetime import time as Time  # noqa: N812
from decimal import Decimal
from typing import Final

from watcher.core.session import Instance
from watcher.core.tags import TAGS

_DATE: Final = re.compile(r"([0-9]{4})([.-]?)([0-9]{2})\2([0-9]{2})")  # DA, with ACR-NEMA's dots
_TIME: Final = re.compile(r"([0-9]{2}):?([0-9]{2})?:?([0-9]{2})?(?:\.[0-9]{1,6})?")  # TM
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")  # DS
_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,12}")  # IS
_LARGEST: Final = 1e15
_SMALLEST: Final = 1e-12


class Look:
    """The first value that any of some instances has for an attribute."""

    def __init__(self, instances: Iterable[Instance]) -> None:
        self._values = [instance.header.values for instance in instances]

    def __call__(self, keyword: str) -> str:
        """Its text; empty where no instance has one."""
        return next(iter(self.each(keyword)), "")

    def each(self, keyword: str) -> Iterable[str]:
        """Every value, in the order of the instances."""
        tag = TAGS[keyword]
        return (text for values in self._values if (text := values.get(tag)))


def date(text: str) -> str:
    """A DA as xs:date; empty where it is none (DICOM PS3.5, 6.2)."""
    match = _DATE.fullmatch(text.strip())
    if not match:
        return ""
    try:
        return Date(int(match[1]), int(match[3]), int(match[4])).isoformat()
    except ValueError:
        return ""


def time(text: str) -> str:
    """A TM as xs:time, to the second as XNAT writes it; empty where it is none (PS3.5, 6.2)."""
    match = _TIME.fullmatch(text.strip())
    if not match:
        return ""
    hour, minute, second = (int(part or 0) for part in match.groups())
    try:
        return Time(hour, minute, min(second, 59)).isoformat()  # 60: a leap second
    except ValueError:
        return ""


def numbers(text: str) -> tuple[float, ...]:
    """All values of a DS or IS; empty if any is no finite number."""
    found = [_float(part.strip()) for part in text.split("\\")]
    return () if None in found else tuple(value for value in found if value is not None)


def _float(text: str) -> float | None:
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    return value if math.isfinite(value) and abs(value) < _LARGEST else None


def number(text: str, least: float = -math.inf) -> str:
    """The first value of a DS or IS as a decimal; empty where it is none, or below `least`."""
    found = numbers(text)
    return decimal(found[0]) if found and found[0] >= least else ""


def decimal(value: float) -> str:
    """A finite number without exponent."""
    kept = value if abs(value) >= _SMALLEST else 0.0
    text = repr(kept)
    return format(Decimal(text), "f") if "e" in text else text


def whole(text: str) -> str:
    """The first value of an IS or US as xs:integer; empty where it is none."""
    first = text.partition("\\")[0].strip()
    return str(int(first)) if _WHOLE.fullmatch(first) else ""


def orientation(text: str) -> str:
    """`Tra`, `Cor` or `Sag`, for the plane nearest to ImageOrientationPatient (PS3.3, C.7.6.2)."""
    cosines = numbers(text)
    if len(cosines) != 6:
        return ""
    (a, b, c), (d, e, f) = cosines[:3], cosines[3:]
    normal = {"Sag": abs(b * f - c * e), "Cor": abs(c * d - a * f), "Tra": abs(a * e - b * d)}
    plane = max(normal, key=lambda name: normal[name])
    return plane if normal[plane] > 0 else ""
