"""The JSON Schema of a line of the log."""

import json

import pytest
from jsonschema import Draft202012Validator

from watcher.core.events import EVENTS
from watcher.core.lines import HEAD, LONGEST, schema, shortened

LINE = {
    "timestamp": "2026-06-19T12:00:00.123Z",
    "level": "error",
    "event": "storage.low",
    "message": "Store is nearly full",
    "store": "archive",
    "free": 12,
    "key": "low/archive",
}


def faults(line):
    return list(Draft202012Validator(schema()).iter_errors(line))


def test_the_schema_is_one():
    """It is valid by the draft it names, is JSON, and has a part for each event."""
    found = schema()
    Draft202012Validator.check_schema(found)
    assert json.loads(json.dumps(found)) == found
    assert list(EVENTS) == list(found["$defs"])


def test_a_line_is_valid_and_may_have_fields_of_later_versions():
    """What is not known yet does not make it invalid."""
    assert [] == faults(LINE)
    assert [] == faults({**LINE, "later": [1]})


@pytest.mark.parametrize(
    "change",
    [
        *({name: None} for name in HEAD),
        {"event": "storage.lw"},
        {"level": "loud"},
        {"timestamp": "2026-06-19T12:00:00.123+00:00"},
        {"timestamp": "2026-06-19 12:00"},
        {"free": "12"},
        {"free": -1},
        {"key": 7},
    ],
    ids=str,
)
def test_a_line_that_is_none_is_not_valid(change):
    """A head that lacks something, an unknown event, a field of another type or below nought."""
    line = {name: value for name, value in {**LINE, **change}.items() if value is not None}
    assert faults(line)


LONG = "x" * LONGEST


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("text", LONG, LONG[: LONGEST // 2]),
        ("findings", [{"code": LONG[:6000]}] * 6, [{"code": LONG[:6000]}] * 3),
        ("drops", {"a": LONG, "b": 1}, {"a": LONG[: LONGEST // 2]}),
        ("findings", [{LONG[:20000]: LONG}], [{LONG[:10000]: LONG[: LONGEST // 2]}]),
        ("findings", [{LONG: 1}], [{LONG[: LONGEST // 2]: 1}]),
        ("findings", [[[LONG]]], [[[LONG[: LONGEST // 2]]]]),
        ("count", int("9" * 4000), None),
    ],
    ids=["text", "list", "table", "keys", "key", "lists", "number"],
)
def test_a_line_that_is_too_long_loses_the_ends_of_its_longest_fields(name, value, kept):
    """It says which those are; the others are whole, and it is valid still."""
    rest = {} if kept is not None else {str(each): LONG[:3000] for each in range(10)}
    found = shortened({**LINE, **rest, name: value})
    assert len(json.dumps(found)) <= LONGEST
    assert {**LINE, **rest, name: kept, "cut": [name]} == found
    assert [] == faults({**found, name: LINE.get(name)} if name in LINE else found)
