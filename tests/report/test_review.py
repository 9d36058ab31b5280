"""The review of a session: what seems missing in its scans."""

from dataclasses import replace

import pytest
from filed import made, session

from watcher.core.scans import arrange
from watcher.core.session import Finding, Severity, Status
from watcher.report import review

HOLED = arrange([made(f"1.{n}", InstanceNumber=f"{n}") for n in (1, 2, 4)], known={})
GAP = "InstanceNumber 3 (4 files expected)"


def found(evidence):
    """A session as validation left it."""
    finding = Finding("maybe-incomplete", (), Severity.INFO, "", "session", evidence=evidence)
    return session(status=Status.READY, findings=(finding,))


@pytest.mark.parametrize("status", [Status.RECEIVING, Status.BUILDING])
def test_while_files_come(status):
    """Before validation the headers tell, whatever an earlier finding said."""
    old = replace(found({"missing": {"1": "old"}}), status=status)
    assert {"1": GAP} == review.missing(old, HOLED)


def test_once_validated():
    """Validation knows what is archived: its word counts, also where it says nothing."""
    assert {"1": "that"} == review.missing(found({"missing": {"1": "that"}}), HOLED)
    assert {} == review.missing(session(status=Status.READY), HOLED)
    assert {} == review.missing(found({}), HOLED)


def test_the_files_expected():
    """As the gap tells them; else as the headers do; none where nothing says."""
    (told,) = review.scans(HOLED, {"1": "InstanceNumber 3, 5-9 (9 files expected)"})
    assert (3, 9) == (told["files"], told["expected"])
    (alone,) = review.scans(HOLED, {})
    assert (4, "") == (alone["expected"], alone["missing"])
    (whole,) = review.scans(arrange([made()], known={}), {})
    assert whole["expected"] is None


def finding(code, incoming, archived, evidence):
    return {
        "code": code,
        "xnat": [],
        "severity": "WARN",
        "scope": "session",
        "text": "",
        "incoming": incoming,
        "archived": archived,
        "evidence": evidence,
        "resolve": [],
    }


@pytest.mark.parametrize(
    ("code", "sides", "lines"),
    [
        (
            "study-uid-mismatch",
            ({"study": "1"}, {"study": "2", "x": None}, {"x": None}),
            ["study incoming 1 archived 2"],
        ),
        ("label-shared", ({"study": "1"}, {}, {"sessions": ["a", "b"]}), None),
        (
            "duplicate-in-session",
            ({"files": ["b", "c"]}, {"files": ["a"]}, {"count": 2}),
            ["files newcomer b, c first a", "count 2"],
        ),
        (
            "mixed-studies",
            ({"study": "1"}, {"study": "2"}, {"files_by_study": {"1": 2, "2": 1}, "shared": 0}),
            ["study main study 1 other study 2", "files_by_study 1: 2, 2: 1", "shared 0"],
        ),
        (
            "scan-number-taken",
            ({"scan": "7"}, {"scan": "7-MR1"}, {}),
            ["scan incoming 7 new name 7-MR1"],
        ),
    ],
)
def test_the_sides_of_a_finding(code, sides, lines):
    """Named by what they are, in words: nothing archived is named where nothing is archived."""
    told = list(review.findings({"findings": [finding(code, *sides)]}))[3:]
    expected = lines or ["study incoming 1", "sessions a, b"]
    assert expected == [" ".join(line.split()) for line in told]


def test_a_unit_that_waits_says_that_it_is_held_whole():
    """Who sees a scan held without a finding of its own is told why; not once it is archived."""
    known = {"shown": "P1/1/A", "study_uid": "1.2", "project": "P1", "subject": "S", "label": "A"}
    more = {"origins": {}, "drops": [], "error": "", "place": "prearchive", "folder": "/p"}

    def said(status, **fields):
        return review.WHOLE in review.head({**known, **more, "status": status, **fields})

    assert said("CONFLICT", whole=True)
    assert not said("CONFLICT", whole=False)
    assert not said("ARCHIVED", whole=True)
