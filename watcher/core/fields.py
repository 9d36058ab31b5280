"""What an event is, and what its lines carry: fields by name, with a word for their kind."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal

Level = Literal["debug", "info", "warning", "error"]
Who = Literal["", "admin", "sender", "data"]

LEVELS: Final[Mapping[str, int]] = MappingProxyType(
    {"debug": 10, "info": 20, "warning": 30, "error": 40}
)


@dataclass(frozen=True, slots=True)
class Event:
    """One kind of line. `who` is expected to act; `todo` says what; `clears` is what it ends."""

    name: str
    level: Level
    message: str  # the fixed human text of the line
    meaning: str
    fields: Mapping[str, str] = field(default_factory=dict)
    who: Who = ""
    todo: str = ""
    clears: tuple[str, ...] = ()
    cleared_by: tuple[str, ...] = ()


# label, name and path are coded in coded mode, and what a person typed as a whole (core/coding.py)
FIELD_TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        **dict.fromkeys(("text", "id", "uid", "label", "name", "path", "typed"), "string"),
        **dict.fromkeys(("count", "bytes"), "integer"),
        "seconds": "number",
        "list": "array",
        "table": "object",
    }
)
"""The kinds of fields, and the types that JSON has for them."""

COMMON: Final[Mapping[str, str]] = MappingProxyType(
    {"session": "id", "drop": "text", "key": "text", "hint": "text", "who": "text", "cut": "list"}
)
"""`cut` names the fields that are not whole, in a line that would be too long."""
SESSION: Final[Mapping[str, str]] = {
    "project": "text",
    "subject": "label",
    "label": "label",
    "study": "uid",
}
SIZE: Final[Mapping[str, str]] = {"scans": "count", "files": "count", "bytes": "bytes"}
MERGED: Final[Mapping[str, str]] = dict.fromkeys(
    ("added", "same", "replaced", "kept", "held"), "count"
)
FILE: Final[Mapping[str, str]] = {"path": "path", "code": "text", "text": "text"}
LEFT: Final[Mapping[str, str]] = {
    **dict.fromkeys(("waiting", "quarantined", "unsettled", "postponed"), "count"),
    **dict.fromkeys(("low", "missing"), "list"),
}
ALIVE: Final[Mapping[str, str]] = {
    **dict.fromkeys(("counters", "drops", "sessions", "free"), "table"),
    "oldest_pending": "seconds",
    "conditions": "list",
    "lost": "count",
}
PLACE: Final[Mapping[str, str]] = {"store": "text", "path": "path", "text": "text"}
FREE: Final[Mapping[str, str]] = {**PLACE, "free": "bytes", "reserve": "bytes", "inodes": "count"}
