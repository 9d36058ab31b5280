"""`watcher sessions`."""

import re

import pytest
from imaging import ask, installation, told, tree

KEYS = [
    *("id", "status", "project", "subject", "label", "study_uid", "scans", "files", "bytes"),
    *("opened", "last_arrival", "findings", "place"),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return installation(tmp_path_factory)


def test_everything_in_the_prearchive_is_listed_and_nothing_else(made, capsys):
    """Without a status: all sessions that are not archived, oldest first."""
    code, found = ask(capsys, made.config, "sessions")
    assert code == 0
    assert {one["id"] for one in found} == {made.conflict, made.unassigned, made.ready}
    assert [one["id"] for one in found] == sorted(one["id"] for one in found)


def test_a_record_has_the_keys_that_are_api(made, capsys):
    """The names and the shape of a record are those of spec 4; times are ISO 8601 in UTC."""
    _, found = ask(capsys, made.config, "sessions", "--status", "READY")
    (one,) = found
    assert list(one) == KEYS
    expected = {
        "id": made.ready,
        "status": "READY",
        "project": "PROJ2",
        "subject": "DOE_JOHN",
        "label": "S003",
        "study_uid": "1.2.13",
        "scans": 1,
        "files": 1,
        "findings": [],
        "place": "prearchive",
    }
    assert {key: one[key] for key in expected} == expected
    size = sum(path.stat().st_size for path in made.base.rglob("prearchive/PROJ2/**/*.dcm"))
    assert one["bytes"] == size
    for name in ("opened", "last_arrival"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", one[name])


def test_findings_are_their_codes(made, capsys):
    """`findings` is a list of codes, those that block first."""
    _, found = ask(capsys, made.config, "sessions", "--status", "CONFLICT", "--project", "PROJ1")
    assert [one["findings"][0] for one in found] == ["study-uid-mismatch"]


def test_archived_lists_the_archive(made, capsys):
    """`--status ARCHIVED` tells what stands in the archive, with the same keys."""
    code, found = ask(capsys, made.config, "sessions", "--status", "ARCHIVED")
    (one,) = found
    assert code == 0
    assert list(one) == KEYS
    assert (one["id"], one["status"], one["project"], one["label"]) == (
        *(made.archived, "ARCHIVED", "PROJ1"),
        "S001",
    )
    assert (one["scans"], one["files"]) == (2, 2)


@pytest.mark.parametrize(
    ("words", "number"),
    [
        (("--project", "proj2"), 1),
        (("--project", "Unassigned"), 1),
        (("--status", "ARCHIVED", "--project", "PROJ2"), 0),
        (("--status", "error"), 0),
    ],
)
def test_a_selection_is_by_status_and_project(made, capsys, words, number):
    """A project is named ignoring case; Unassigned names those without."""
    _, found = ask(capsys, made.config, "sessions", *words)
    assert len(found) == number


def test_people_get_a_table(made, capsys):
    """For people every session is a line of a table; where there is none, a sentence."""
    code, said = told(capsys, made.config, "sessions")
    assert code == 0
    assert all(each in said for each in (made.conflict, made.ready, "Unassigned", "no-project"))
    assert told(capsys, made.config, "sessions", "--status", "ERROR") == (0, "no sessions\n")


def test_an_unknown_status_is_a_usage_error(made, capsys):
    """A status that is none exits 2 and names those there are."""
    code, said = told(capsys, made.config, "sessions", "--status", "LOST")
    assert code == 2
    assert "conflict" in said.casefold()


def test_listing_writes_nothing(made, capsys):
    """A reading command changes no file of drops and stores."""
    before = tree(made.base)
    for words in (("sessions",), ("status",), ("show", made.conflict), ("find", "S001")):
        told(capsys, made.config, *words)
    assert tree(made.base) == before
