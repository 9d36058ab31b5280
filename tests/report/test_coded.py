"""The picture with its identifiers coded."""

import json

from watcher.core.coding import Coder
from watcher.report.coded import coded

CODER = Coder(b"k" * 32)
LABEL, SUBJECT = "Mueller_Anna_19700101", "Mueller_Anna"
PICTURE = {
    "unhealthy": "",
    "host": "vm",
    "version": "1.2",
    "more_sessions": 0,
    "drops": [{"name": "mri", "path": "/srv/drop/Mueller", "available": True, "waiting": 3}],
    "stores": [{"store": "archive", "path": "/srv/archive", "free": 10}],
    "sessions": {"CONFLICT": 1},
    "conditions": [
        {
            "event": "session.conflict",
            "key": "session/20260619_091425123",
            "since": "2026-06-19T09:14:25.123Z",
            "hint": "watcher show 20260619_091425123",
            "fields": {"label": LABEL, "subject": SUBJECT, "project": "P1"},
        }
    ],
    "quarantine": [
        {
            "id": "0123456789ab",
            "drop": "mri",
            "code": "bad-uid",
            "files": 2,
            "path": f"{LABEL}/IM1",
            "place": f"mri/2026-06-19/0123456789ab/{LABEL}",
            "text": f"the header of {LABEL} has no study",
            "open": True,
        }
    ],
    "open_sessions": [
        {
            "id": "20260619_091425123",
            "status": "CONFLICT",
            "project": "P1",
            "files": 7,
            "label": LABEL,
            "subject": SUBJECT,
            "study": "1.2.840.1",
            "opened": "2026-06-19",
            "findings": [
                {
                    "code": "same",
                    "severity": "FAIL",
                    "text": f"{LABEL} is archived",
                    "incoming": {"study": "1.2.3", "StudyDate": "20010203", "files": [LABEL]},
                    "archived": {"project": "P1", "study": "1.2.4", "PatientSex": "F"},
                    "evidence": {"PatientID": "differs", "looks_like": "other person"},
                }
            ],
            "resolve": [f"watcher relabel 20260619_091425123 --session {LABEL}_2"],
        }
    ],
}


def test_no_label_subject_or_path_is_left():
    """Wherever they stand: in fields, texts, keys and commands; the code is that of the log."""
    text = json.dumps(coded(PICTURE, CODER))
    assert not [word for word in ("Mueller", "Anna", "/srv", "IM1") if word in text]
    assert CODER.code(LABEL) in text
    assert CODER.code("/srv/archive") == coded(PICTURE, CODER)["stores"][0]["path"]


def test_words_of_ours_stay():
    """Names of drops and stores, ids, codes, UIDs, moments and counts are as they were."""
    found = coded(PICTURE, CODER)
    assert {**PICTURE["drops"][0], "path": CODER.code("/srv/drop/Mueller")} == found["drops"][0]
    (session,), (was,) = found["open_sessions"], PICTURE["open_sessions"]
    kept = ("id", "status", "project", "files", "study", "opened")
    assert [was[name] for name in kept] == [session[name] for name in kept]
    entry = found["quarantine"][0]
    assert ("0123456789ab", "mri", "bad-uid", 2) == tuple(
        entry[name] for name in ("id", "drop", "code", "files")
    )
    assert "watcher show 20260619_091425123" == found["conditions"][0]["hint"]


def test_a_label_like_a_moment_codes_no_moment():
    """A session labelled `2026` leaves ids and moments that begin so alone."""
    row = {**PICTURE["open_sessions"][0], "label": "2026", "last_arrival": "2026-06-19T09:14:25Z"}
    (found,) = coded({**PICTURE, "open_sessions": [row]}, CODER)["open_sessions"]
    assert ("2026-06-19T09:14:25Z", CODER.code("2026")) == (found["last_arrival"], found["label"])
    assert "20260619_091425123" == found["id"]


def test_the_sides_of_a_finding_are_coded_but_for_uids_and_projects():
    """A study's date or a sex is a person's as well; what was found by comparing them stays."""
    ((found,),) = (each["findings"] for each in coded(PICTURE, CODER)["open_sessions"])
    codes = {"StudyDate": CODER.code("20010203"), "files": [CODER.code(LABEL)]}
    assert {"study": "1.2.3", **codes} == found["incoming"]
    expected = {"project": "P1", "study": "1.2.4", "PatientSex": CODER.code("F")}
    assert expected == found["archived"]
    assert {"PatientID": "differs", "looks_like": "other person"} == found["evidence"]


def test_the_picture_given_is_left_as_it_was():
    """The command beside it shows the plain one."""
    before = json.dumps(PICTURE)
    coded(PICTURE, CODER)
    assert before == json.dumps(PICTURE)
