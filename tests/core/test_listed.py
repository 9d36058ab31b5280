"""Lists of what should come: file IDs, places, and the finding."""

import pytest
from filed import session
from hypothesis import given
from hypothesis import strategies as st

from watcher.core.case import Awaited
from watcher.core.check import Seen, check
from watcher.core.listed import Listed, file_parts, is_sound, place, plain
from watcher.core.policy import Project
from watcher.core.session import Severity


@pytest.mark.parametrize(
    ("expected", "file_id"),
    [
        (("DICOM", "IM1"), "DICOM\\IM1"),
        (("DICOM", "IM1"), "DICOM/IM1"),
        (("IM1",), "\\IM1"),
        (("IM1",), ".\\IM1"),
        ((), "..\\IM1"),
        ((), "A/../../B"),
        ((), "A\0"),
        ((), ""),
        ((), "A" * 1025),
    ],
)
def test_file_parts(expected, file_id):
    """The parts of a file ID, none where it leads out of the folder of its list."""
    assert expected == file_parts(file_id)


@given(st.text())
def test_no_file_id_leads_outside(file_id):
    """Whatever a file ID says, its parts are names below the folder."""
    assert {"", ".", ".."}.isdisjoint(file_parts(file_id))
    assert not any("/" in part or "\0" in part for part in file_parts(file_id))


@pytest.mark.parametrize("wrong", [{"file": ()}, {"study": ""}, {"series": "x"}, {"sop": "1" * 65}])
def test_is_sound(wrong):
    """A listed file counts only with a place and the three UIDs."""
    whole = Listed("1.2", "1.2.3", "1.2.3.4", ("IM1",))
    assert is_sound(whole)
    assert not is_sound(whole._replace(**wrong))


def test_place():
    """A listed file lies below the folder of its list, which may be the drop itself."""
    assert (b"cd/A/B", b"A/B") == (place(b"cd", ("A", "B")), place(b"", ("A", "B")))


@pytest.mark.parametrize(
    "path", [b"CD/IM1", b"cd/im1", b"cd/IM1;1", b"cd/im1.;1", b"cd/im1.", b"Cd/Im1;12"]
)
def test_plain(path):
    """Case and version differ between copies of a medium: they tell no files apart."""
    assert b"cd/im1" == plain(path)


def test_plain_keeps_the_rest():
    """Dots and semicolons inside a name are the name's."""
    assert b"a.b;1/c.d;e" == plain(b"A.B;1/c.d;e")


SEVEN = Awaited(7, ("cd/IM1", "cd/IM2"))


def findings(hold=(), awaited=SEVEN, stuck=()):
    """What is said of a session that misses listed files."""
    project = Project("PROJ1", hold=frozenset(hold))
    seen = Seen(awaited=awaited, stuck=stuck)
    found = check(session(), [], project=project, archived=None, merge=None, seen=seen)
    return [each for each in found if each.code == "incomplete"]


def test_listed_files_that_did_not_come():
    """They are `incomplete`, a warning, with their number and the first few of them."""
    (found,) = findings()
    assert (Severity.WARN, "7 files that a DICOMDIR lists did not come") == (
        found.severity,
        found.text,
    )
    assert ({"files": ["cd/IM1", "cd/IM2"]}, {"count": 7}) == (found.incoming, found.evidence)


def test_one_is_told_as_one():
    """The sentence counts as people do; where nothing is missing nothing is said."""
    (found,) = findings(awaited=Awaited(1, ("a",)))
    assert found.text.startswith("1 file that")
    assert [] == findings(awaited=Awaited())


def test_a_project_may_hold_them():
    """`hold = ["incomplete"]` makes a conflict of it that force passes; beside stuck files too."""
    assert [Severity.CONFLICT] * 2 == [
        each.severity for each in findings(hold=["incomplete"], stuck=["b"])
    ]
