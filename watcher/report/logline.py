"""A line of the log for eyes: local time, level, event, message, its main fields, what to type."""

from collections.abc import Iterator, Mapping
from datetime import datetime, tzinfo
from typing import Any, Final

from watcher.report.text import printable

LONGEST: Final = 500  # characters of a field, or of a line that is not ours
MOST: Final = 5  # items of a list
_HEAD: Final = frozenset({"timestamp", "level", "event", "message", "hint", "findings", "trace"})
_LAST: Final = ("who", "key")  # for programs, rather than for people


def rendered(line: Mapping[str, Any], zone: tzinfo | None = None) -> Iterator[str]:
    """One line of the log, in one line or more. `zone`: None is the machine's."""
    head = f"{moment(str(line.get('timestamp', '')), zone)}  {_word(line, 'level').upper():7}"
    yield f"{head}  {_word(line, 'event')}  {_word(line, 'message')}{_fields(line)}"
    for finding in _listed(line, "findings"):
        if isinstance(finding, Mapping):
            said = " ".join(_word(finding, name) for name in ("severity", "code"))
            yield f"    {said}: {_word(finding, 'text')}"
            for command in _listed(finding, "resolve")[:MOST]:
                yield f"      do: {_short(command)}"
    for frame in _listed(line, "trace"):
        yield f"    at {_short(frame)}"
    if line.get("hint"):
        yield f"    do: {_word(line, 'hint')}"


def moment(text: str, zone: tzinfo | None = None) -> str:
    """A moment of the log in local time; what is none, as it is."""
    try:
        local = datetime.fromisoformat(text).astimezone(zone)
    except (ValueError, OverflowError):
        return _short(text)
    return local.strftime("%Y-%m-%d %H:%M:%S.") + f"{local.microsecond // 1000:03}"


def foreign(line: bytes) -> str:
    """What is no line of ours, made fit for a terminal."""
    return _short(line.decode("utf-8", "surrogateescape"))


def _fields(line: Mapping[str, Any]) -> str:
    names = [name for name in line if name not in _HEAD and name not in _LAST]
    codes = [each for each in _listed(line, "findings") if isinstance(each, str)]
    told = {name: line[name] for name in names if line[name] not in ("", None, [], {})}
    told |= {"findings": codes} if codes else {}
    return "".join(f"  {_short(name)}={_value(value)}" for name, value in told.items())


def _listed(line: Mapping[str, Any], name: str) -> list[Any]:
    found = line.get(name)
    return found if isinstance(found, list) else []


def _word(line: Mapping[str, Any], name: str) -> str:
    return _short(line.get(name, ""))


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        value = list(value)  # of a table what it is about: `--json` has all of it
    if isinstance(value, list):
        more = f",+{len(value) - MOST}" if len(value) > MOST else ""
        return ",".join(map(_short, value[:MOST])) + more
    text = _short(value)
    return f'"{text}"' if " " in text else text


def _short(value: object) -> str:
    text = str(value)
    return printable(text if len(text) <= LONGEST else f"{text[:LONGEST]}...")
