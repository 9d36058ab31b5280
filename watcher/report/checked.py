"""What a check of configuration and machine found, and the exit code that follows."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from watcher.report.text import printable

HEAD: Final = ("", "OF", "WHAT")
APART: Final = "for good, so not to be pasted; where it is meant, and the rest is mended, type"
_FIRST: Final = (2, 10)  # of several exit codes (spec 4)
_ORDER: Final = ("error", "warning", "advice", "ok")

Severity = Literal["ok", "advice", "warning", "error"]
"""`advice`: nothing is wrong, and there is a better way."""


@dataclass(frozen=True, slots=True)
class Line:
    """One thing looked at. `code`: the exit code of an error, 2 configuration, 10 missing."""

    severity: Severity
    of: str  # what was looked at, as the configuration calls it
    text: str
    hint: str = ""  # what to do, in words, where the command leaves a choice
    code: int = 0
    command: str = ""  # what mends it, for a shell as it is
    final: bool = False  # the command decides for good, or gives something up


def exit_code(lines: Sequence[Line]) -> int:
    """2 for a configuration error, else 10 for a missing place; warnings count for nothing."""
    codes = {line.code for line in lines}
    return next((code for code in _FIRST if code in codes), 0)


def document(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """The lines as JSON."""
    return [asdict(line) for line in lines]


def rows(lines: Sequence[Line]) -> list[Sequence[object]]:
    """A row for each line, the gravest first."""
    return [(line.severity, printable(line.of), printable(line.text)) for line in _sorted(lines)]


def script(lines: Sequence[Line]) -> Iterator[str]:
    """What mends them, a text for a shell: findings are comments, each followed by its command.

    What several findings share stands once, after the last of them. What is final is a comment at
    the end: a shell goes on after a command that failed, and such a one would take what is there.
    """
    open_ = [line for line in _sorted(lines) if line.hint or line.command]
    last = {line.command: number for number, line in enumerate(open_) if not line.final}
    for number, line in enumerate(open_):
        said = f"{line.text}; {line.hint}" if line.hint else line.text
        yield f"# {printable(line.of)}: {printable(said)}"
        if line.command and last.get(line.command) == number:
            yield line.command
    if final := dict.fromkeys(line.command for line in open_ if line.final):
        yield f"# {APART}:"
        yield from (f"#   {row}" for command in final for row in command.split("\n"))


def _sorted(lines: Sequence[Line]) -> list[Line]:
    return sorted(lines, key=lambda line: _ORDER.index(line.severity))
