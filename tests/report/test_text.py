"""Hostile text on a terminal."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.report.text import brief, printable, printable_rows


@given(st.binary(max_size=64))
def test_no_control_character_passes(raw):
    """Whatever the bytes of a name: what is shown is printable, and can be encoded."""
    shown = printable(os.fsdecode(raw))
    assert shown.isprintable()
    assert shown.encode().decode() == shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Röntgen", "Röntgen"),
        ("a\x1b[2Jb", r"a\x1b[2Jb"),
        ("a\nb", r"a\nb"),
        ("\udcff", r"\xff"),
        ("\ud800", r"\ud800"),
    ],
)
def test_what_is_escaped(text, expected):
    """Letters stay; control characters and bytes are written out."""
    assert printable(text) == expected


def test_nothing_is_an_empty_cell():
    """None is no word."""
    assert printable_rows([(None, 1, "x")]) == [("", "1", "x")]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("abcd", "abcd"),
        ("abcde", "abc\N{HORIZONTAL ELLIPSIS}"),
        (["abcde", 12345, "c"], ["abc\N{HORIZONTAL ELLIPSIS}", 12345]),
        ({"a": ("x", "y", "z"), "b": None, "c": 1}, {"a": ["x", "y"], "b": None}),
    ],
)
def test_what_is_brief(value, expected):
    """Texts of at most so many characters, lists and tables of so many values, at any depth."""
    assert expected == brief(value, 4, 2)
