"""What lines of the log carry besides their head: fields by name, with a word for their kind."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

# label, name and path are coded in coded mode (core/coding.py)
FIELD_TYPES: Final = frozenset(
    {"text", "id", "uid", "label", "name", "path", "count", "seconds", "bytes", "list", "table"}
)
COMMON: Final[Mapping[str, str]] = MappingProxyType(
    {"session": "id", "drop": "text", "key": "text", "hint": "text", "who": "text"}
)
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
PLACE: Final[Mapping[str, str]] = {"store": "text", "path": "path", "text": "text"}
FREE: Final[Mapping[str, str]] = {**PLACE, "free": "bytes", "reserve": "bytes", "inodes": "count"}
