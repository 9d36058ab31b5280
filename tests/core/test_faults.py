"""Lines about what is wrong in a configuration."""

import datetime as dt
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.core import faults
from watcher.core.faults import Spot
from watcher.core.policy import Project


def spot(where, kind, path, real=""):
    return Spot(where, kind, path, real or path)


def test_a_place_in_the_file_is_written_as_in_the_file():
    """Tables by dots, arrays by number, names that are not bare in quotes."""
    assert faults.where(("drop", 1, "setle")) == "drop[1].setle"
    assert faults.where(("projects", "a b", "hold", 0)) == 'projects."a b".hold[0]'
    assert faults.where(("projects", "")) == 'projects.""'


def test_values_are_shown_as_written_and_short():
    """Text in quotes, booleans as TOML spells them, nothing longer than 60 characters."""
    values = ({"a": 1}, [1], "ä", True, 3, 2.5, dt.date(2026, 6, 19))
    shown = ["a table", "a list", '"ä"', "true", "3", "2.5", "2026-06-19"]
    assert shown == [faults.shown(value) for value in values]
    assert len(faults.shown("x" * 99)) == 60


def test_the_nearest_name_is_offered_else_all():
    """A slip of the finger gets one name, anything else the list."""
    assert faults.meant("setle", ["path", "settle"]) == "did you mean settle?"
    assert faults.meant("qqq", ["path", "settle"]) == "known: path settle"


ROOT = spot("storage.root", "root", "/srv/imaging")
IMPLIED = spot("storage.root", "store", "/srv/imaging/archive")


@pytest.mark.parametrize(
    "others",
    [
        [spot("storage.history", "store", "/srv/imaging/old")],
        [spot("storage.history", "store", "/fast/history")],
        [spot("drop[0].path", "drop", "/srv/imaging/drop")],
        [spot("drop[0].path", "drop", "/srv/imaging/archive2")],
        [spot("drop[0].path", "drop", "/srv/a"), spot("drop[1].path", "drop", "/srv/ab")],
        [spot("log.file", "file", "/srv/imaging/archive/x.log")],
    ],
)
def test_what_may_lie_below_the_root_may(others):
    """Stores and drops may lie below the root, the log anywhere but in a drop."""
    for spots in permutations([ROOT, IMPLIED, *others]):
        assert faults.overlaps(spots) == ()


@pytest.mark.parametrize(
    ("other", "line"),
    [
        (
            spot("drop[0].path", "drop", "/srv/imaging/archive/in"),
            "drop[0].path: /srv/imaging/archive/in lies inside storage.root (/srv/imaging/archive)",
        ),
        (
            spot("drop[0].path", "drop", "/srv"),
            "storage.root: /srv/imaging lies inside drop[0].path (/srv)",
        ),
        (
            spot("drop[0].path", "drop", "/"),
            "storage.root: /srv/imaging lies inside drop[0].path (/)",
        ),
        (
            spot("drop[0].path", "drop", "/srv/imaging"),
            "storage.root: /srv/imaging is the same place as drop[0].path (/srv/imaging)",
        ),
        (
            spot("drop[0].path", "drop", "/link", "/srv/imaging/archive/in"),
            "drop[0].path: /link lies inside storage.root (/srv/imaging/archive)",
        ),
        (
            spot("storage.state", "store", "/srv/imaging/archive/s"),
            "storage.state: /srv/imaging/archive/s lies inside storage.root (/srv/imaging/archive)",
        ),
        (
            spot("storage.state", "store", "/srv"),
            "storage.root: /srv/imaging lies inside storage.state (/srv)",
        ),
    ],
)
def test_paths_that_quarrel_are_told_once(other, line):
    """Stores, drops and the root never lie in each other; symlinks do not hide it (spec 3)."""
    assert (line,) == faults.overlaps([ROOT, IMPLIED, other])


def test_no_file_of_ours_lies_in_a_drop():
    """The log would be taken for something dropped."""
    spots = [spot("drop[0].path", "drop", "/srv/in"), spot("log.file", "file", "/srv/in/l.jsonl")]
    assert faults.overlaps(spots) == (
        "log.file: /srv/in/l.jsonl lies inside drop[0].path (/srv/in)",
    )


PARTS = st.lists(st.sampled_from(["a", "ab", "b"]), max_size=4).map(lambda p: "/" + "/".join(p))


@given(PARTS, PARTS)
def test_two_drops_agree_when_neither_begins_the_other(one, other):
    """Nesting is a matter of whole names, not of letters; order does not count."""
    a, b = spot("drop[0].path", "drop", one), spot("drop[1].path", "drop", other)
    ours, theirs = one.strip("/").split("/"), other.strip("/").split("/")
    ours, theirs = [p for p in ours if p], [p for p in theirs if p]
    shorter = min(len(ours), len(theirs))
    assert (ours[:shorter] == theirs[:shorter]) == bool(faults.overlaps([a, b]))
    assert len(faults.overlaps([a, b])) == len(faults.overlaps([b, a]))


@pytest.mark.parametrize("name", ["PROJ1", "_a", "0-b", "x" * 64, "20260619", "2026_0619"])
def test_ids_of_projects_are_names_of_folders(name):
    """ASCII letters, digits, `_` and `-`, at most 64."""
    assert faults.project_fault(name) is None


@pytest.mark.parametrize(
    "name",
    ["", "-a", "a b", "ä", "a/b", "..", "x" * 65, "a\n", "Unassigned", "20260619_091425123"],
)
def test_other_ids_are_refused(name):
    """Nor may an id be taken for a session without a project."""
    assert "id" in (faults.project_fault(name) or "")


def test_a_name_means_one_project():
    """Ids and aliases clash ignoring case; a project may repeat its own names."""
    fine = [Project("A", ("a", "x", "X")), Project("B", ("y",))]
    assert tuple(faults.alias_clashes(fine)) == ()
    wrong = [Project("A", ("x",)), Project("B", ("X", "a")), Project("c d"), Project("C D")]
    assert tuple(faults.alias_clashes(wrong)) == (
        'projects.B: "X" already means A',
        'projects.B: "a" already means A',
        'projects."C D": "C D" already means c d',
    )


def test_a_drop_makes_the_project_it_names():
    """Named ones that are known, by alias or in other case, are not made again."""
    projects = faults.all_projects({"A": Project("A", ("x",))}, ["X", "a", "New", "NEW"])
    assert projects.known == {"A": Project("A", ("x",)), "New": Project("New")}
