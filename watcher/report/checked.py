"""What a check of configuration and machine found, and the exit code that follows."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

HEAD: Final = ("", "OF", "WHAT", "WHAT MENDS IT")
_FIRST: Final = (2, 10)  # of several exit codes (spec 4)

Severity = Literal["ok", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Line:
    """One thing looked at. `code`: the exit code of an error, 2 configuration, 10 missing."""

    severity: Severity
    of: str  # what was looked at, as the configuration calls it
    text: str
    hint: str = ""  # the command that mends it
    code: int = 0


def exit_code(lines: Sequence[Line]) -> int:
    """2 for a configuration error, else 10 for a missing place; warnings count for nothing."""
    codes = {line.code for line in lines}
    return next((code for code in _FIRST if code in codes), 0)


def document(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """The lines as JSON."""
    return [asdict(line) for line in lines]


def rows(lines: Sequence[Line]) -> list[Sequence[object]]:
    """A row for each line, the gravest first."""
    order = ("error", "warning", "ok")
    sorted_ = sorted(lines, key=lambda line: order.index(line.severity))
    return [(line.severity, line.of, line.text, line.hint) for line in sorted_]
