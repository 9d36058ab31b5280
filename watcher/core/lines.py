"""What a line of the log looks like, as a JSON Schema (draft 2020-12) made from the catalogue.

Lines of a later version may have more fields, and there may be more events: a program that reads
them leaves alone what it does not know. `VERSION` tells of everything else.
"""

import json
from collections.abc import Mapping
from itertools import starmap
from typing import Final

from watcher.core.coding import Json
from watcher.core.events import EVENTS, LEVELS, VERSION, Event
from watcher.core.fields import COMMON, FIELD_TYPES

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
TIME: Final = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$"
"""UTC, ISO 8601, milliseconds."""
HEAD: Final = ("timestamp", "level", "event", "message")
"""What every line begins with, in this order."""

LONGEST: Final = 32_000
"""Characters of a line: the journal cuts longer ones in two (LineMax, journald.conf(5): 48 KiB)."""


def schema() -> dict[str, Json]:
    """The schema of any line; `$defs` has that of each event by its name."""
    return {
        "$schema": DIALECT,
        "$id": f"urn:prearchive-watcher:log:{VERSION}",
        "title": "A line of the log of prearchive-watcher",
        "anyOf": [{"$ref": f"#/$defs/{name}"} for name in EVENTS],
        "$defs": {name: of_event(one) for name, one in EVENTS.items()},
    }


def of_event(one: Event) -> dict[str, Json]:
    """The schema of the lines of one event."""
    fields = {**COMMON, **one.fields}
    kinds = {name: _typed(kind) for name, kind in fields.items()}
    head: dict[str, Json] = {
        "timestamp": {"type": "string", "pattern": TIME},
        "level": {"enum": list(LEVELS)},
        "event": {"const": one.name},
        "message": {"type": "string"},
    }
    return {
        "description": one.meaning,
        "type": "object",
        "required": list(HEAD),
        "properties": {**head, **kinds},
    }


def _typed(kind: str) -> Json:
    least: dict[str, Json] = {"minimum": 0} if kind in {"count", "bytes", "seconds"} else {}
    return {"type": FIELD_TYPES[kind], **least}


def shortened(line: Mapping[str, Json]) -> dict[str, Json]:
    """A line that is too long without the ends of its longest fields; `cut` names those."""
    cut: list[Json] = []
    found: dict[str, Json] = {**line, "cut": cut}
    while len(json.dumps(found)) > LONGEST:
        longest = max(found, key=lambda name: len(json.dumps(found[name])))
        found[longest] = _half(found[longest])
        cut += [longest] if longest not in cut else []
    return found


def _half_item(key: str, value: Json) -> tuple[str, Json]:
    if len(json.dumps(value)) > len(key):
        return key, _half(value)
    return key[: len(key) // 2], value


def _half(value: Json) -> Json:
    """Half of a text, of the items of a list or table, or of the only one they have."""
    if isinstance(value, str):
        return value[: len(value) // 2]
    if isinstance(value, list):
        return value[: len(value) // 2] if len(value) > 1 else list(map(_half, value))
    if isinstance(value, dict):
        if len(value) > 1:
            return dict(list(value.items())[: len(value) // 2])
        return dict(starmap(_half_item, value.items()))
    return None
