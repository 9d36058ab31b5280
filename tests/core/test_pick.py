"""Which of several named things a person means."""

import pytest

from watcher.core.pick import fitting

SHOWN = ["P1/A/1", "P1/AB/2", "P2/a/3", "P1/A/12"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("P1/A/1", ["P1/A/1"]),
        ("p1/a/1/", ["P1/A/1"]),
        ("a", ["P1/A/1", "P2/a/3", "P1/A/12"]),
        ("b", ["P1/AB/2"]),
        ("1/A/1", ["P1/A/1", "P1/A/12"]),
        ("12", ["P1/A/12"]),
        ("none", []),
        ("/", []),
        ("", []),
    ],
)
def test_a_whole_name_before_a_part_before_what_holds_it(text, expected):
    """The most exact kind of fit counts alone, ignoring case; nothing fits nothing."""
    assert expected == fitting(text, SHOWN)
