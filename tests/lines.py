"""Lines of the log held to the schema of their event, and to no other fields than it names.

Every line that a test reads of the program, of a stage or of a command comes by here; `SAID` are
the events that were in them. A run of the whole suite fails where some event of the catalogue was
in none (conftest.py).
"""

import json
import re
from functools import cache

from jsonschema import Draft202012Validator

from watcher.core.events import EVENTS
from watcher.core.lines import LONGEST, TIME, of_event

SAID = set()
_STAMP = re.compile(TIME)
_seen = set()  # shapes of flat lines that are valid: thousands are alike


@cache
def _validator(name):
    """That of one event: here, where nothing is from another version, a field too many is a bug."""
    return Draft202012Validator({**of_event(EVENTS[name]), "additionalProperties": False})


def _shape(item):
    name, value = item
    below = isinstance(value, int | float) and value < 0
    return name, type(value), below, value if name == "level" else None


def checked(line):
    """The line, which is valid; AssertionError where it is not."""
    assert line.get("event") in EVENTS, f"no such event: {line}"
    shape = (line["event"], *map(_shape, line.items()))
    if shape not in _seen or not _STAMP.match(line["timestamp"]):
        faults = [fault.message for fault in _validator(line["event"]).iter_errors(line)]
        assert faults == [], line
        _seen.add(shape)
    if line["level"] in {"warning", "error"}:
        assert line.get("who"), line
        assert line.get("hint"), line
    SAID.add(line["event"])
    return line


def checked_lines(text):
    """The lines of the log in what a program wrote: neither torn ones, nor what else it wrote.

    Only a newline ends a line: one that is cut within may end with a brace, too.
    """
    whole = re.findall(r'^(?:<\d>)?(\{"timestamp".*\})\n', text, re.MULTILINE)
    assert [] == [line[:99] for line in whole if len(line) > LONGEST]
    return [checked(json.loads(line)) for line in whole]
