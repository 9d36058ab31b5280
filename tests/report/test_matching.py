"""What is searched for, and what fits."""

import pytest

from watcher.core.coding import Coder
from watcher.report.matching import Matcher, is_coded, texts_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [("~1a2b3c4d", True), (" ~1A2B3C4D ", True), ("~1a2b3c4", False), ("1a2b3c4d", False)],
)
def test_a_coded_value_is_known_by_its_shape(text, expected):
    """A tilde and eight hex digits, in either case."""
    assert is_coded(text) is expected


@pytest.mark.parametrize(
    ("text", "path", "expected"),
    [
        ("b", "a/b/c", "a/b"),
        ("A/B", "a/b/c", "a/b"),
        ("c", "a/b/c", "a/b/c"),
        ("x", "a/b/c", ""),
        ("", "a", ""),
        ("srv", "/srv/x", "/srv"),
    ],
)
def test_a_path_gives_its_shortest_part_that_holds_the_text(text, path, expected):
    """So the folder a thousand files lie in is one answer."""
    assert Matcher(text).path(path) == expected


@pytest.mark.parametrize("said", ["a/IM1.dcm", "IM1.dcm", "IM1", "/drop/a/IM1.dcm"])
def test_a_coded_path_is_any_form_the_log_codes(said):
    """Whole, its name, its name without ending, and absolute."""
    coder = Coder(b"key")
    assert Matcher(coder.code(said), coder.matches).path("a/IM1.dcm", "/drop") == "a/IM1.dcm"


def test_a_coded_value_never_stands_for_a_part_of_a_word():
    """`within` is whole for coded values; nothing is no candidate."""
    coder = Coder(b"key")
    assert Matcher(coder.code("S001"), coder.matches).within("S001")
    assert not Matcher(coder.code("S00"), coder.matches).within("S001")
    assert not Matcher(coder.code(""), coder.matches).same("")


def test_a_uid_is_compared_whole():
    """A part of a UID is another UID."""
    assert Matcher("1.2.3").same("1.2.3")
    assert not Matcher("1.2").same("1.2.3")


def test_every_text_of_a_finding_is_seen():
    """Tables, lists, numbers; nothing is no text."""
    assert list(texts_of({"a": ["x", {"b": 1}], "c": None})) == ["x", "1"]
