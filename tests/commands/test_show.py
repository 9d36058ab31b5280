"""`watcher show`."""

import json

import pytest
from imaging import ask, installation, told

from watcher.assembly import command_parts


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return installation(tmp_path_factory)


def test_the_labels_have_their_origins(made, capsys):
    """Of every label it is told which rule gave it."""
    code, found = ask(capsys, made.config, "show", made.conflict)
    assert code == 0
    assert (found["project"], found["subject"], found["label"]) == ("PROJ1", "DOE_JANE", "S001")
    expected = {"project": "StudyDescription", "subject": "PatientName", "session": "PatientID"}
    assert {key: found["origins"][key] for key in expected} == expected
    _, said = told(capsys, made.config, "show", made.conflict)
    assert "S001  (from PatientID)" in said


def test_scans_of_the_prearchive(made, capsys):
    """ID, description, modality, study, files and bytes of each scan, from the files' headers."""
    _, found = ask(capsys, made.config, "show", made.ready)
    (scan,) = found["scans"]
    assert (scan["id"], scan["modality"], scan["study_uid"], scan["files"]) == (
        *("1", "CT"),
        *("1.2.13", 1),
    )
    assert scan["bytes"] == found["bytes"]


def test_a_finding_shows_both_sides_and_the_commands(made, capsys):
    """Both sides, the evidence, and what to type, word by word."""
    _, found = ask(capsys, made.config, "show", made.conflict)
    finding = found["findings"][0]
    assert finding["code"] == "study-uid-mismatch"
    assert (finding["incoming"]["study"], finding["archived"]["study"]) == ("1.2.11", "1.2.10")
    assert finding["evidence"]["PatientID"] == "same"
    _, said = told(capsys, made.config, "show", made.conflict)
    for command in finding["resolve"]:
        assert f"settle it: {command}" in said
    assert "1.2.11" in said
    assert "same person, no common series" in said


def test_what_its_drops_hold_back_is_shown(made, capsys):
    """Stuck files and quarantine entries of the drops that fed it, and of no other drop."""
    _, found = ask(capsys, made.config, "show", made.conflict)
    assert [one["path"] for one in found["waiting"]] == ["file/mri/0123456789abcdef"]
    assert sorted(one["path"] for one in found["refused"]) == [
        "first/notes.txt",
        "second/nostudy.dcm",
    ]


def test_the_timeline_begins_with_the_first_file(made, capsys):
    """What happened stands in its order, in UTC."""
    _, found = ask(capsys, made.config, "show", made.conflict)
    assert [one["event"] for one in found["timeline"]] == ["session.opened", "file.filed"]
    assert found["decisions"] == []


@pytest.mark.parametrize("name", ["PROJ1/S001", "archived id"])
def test_an_archived_session_is_shown_by_label_and_by_id(made, capsys, name):
    """PROJECT/LABEL of the archive, and the id it had while staged, give its XML and its log."""
    wanted = made.archived if name == "archived id" else name
    code, found = ask(capsys, made.config, "show", wanted)
    assert code == 0
    assert (found["shown"], found["status"], found["id"]) == (
        *("PROJ1/S001", "ARCHIVED"),
        made.archived,
    )
    assert [(one["id"], one["description"], one["files"]) for one in found["scans"]] == [
        ("1", "localizer 1", 1),
        ("2", "localizer 2", 1),
    ]
    assert [one["event"] for one in found["timeline"]] == ["session.archived"]
    assert found["origins"]["project"] == "StudyDescription"
    assert "2 added" in told(capsys, made.config, "show", wanted)[1]


def test_any_unambiguous_part_names_a_session(made, capsys):
    """A part of PROJECT/TIMESTAMP/LABEL does; one that fits several is refused with them."""
    _, found = ask(capsys, made.config, "show", "S003")
    assert found["id"] == made.ready
    code, said = told(capsys, made.config, "show", "202")
    assert code == 2
    assert made.conflict in said


def test_an_unknown_session_exits_2(made, capsys):
    """No session of that name: one line, and where to look."""
    assert told(capsys, made.config, "show", "nonesuch") == (
        2,
        "watcher: no session fits 'nonesuch' (watcher sessions)\n",
    )


def test_an_archived_session_of_a_lost_ledger_is_found_by_id(made, capsys):
    """A ledger filled anew knows no session of that id; the archive's own log does."""
    with command_parts(made.settings) as parts:
        first = parts.ledger.session(made.archived)
        parts.ledger.forget(made.archived)
    try:
        code, found = ask(capsys, made.config, "show", made.archived)
    finally:
        with command_parts(made.settings) as parts:
            parts.ledger.add(first)
    assert (code, found["shown"], found["origins"]) == (0, "PROJ1/S001", {})


def test_a_torn_line_of_the_log_is_shown_as_it_is(made, capsys):
    """A crash may cut the last line of events.jsonl: it is shown, and nothing fails."""
    log = made.base / "imaging/archive/PROJ1/arc001/S001/logs/events.jsonl"
    whole = log.read_bytes()
    decided = json.loads(whole) | {
        "decisions": [
            {
                "when": "2026-06-19T09:14:25.123+00:00",
                "who": "ann",
                "command": "archive",
                "reason": "one visit",
                "passed": ["study-uid-mismatch"],
            },
        ]
    }
    try:
        log.write_bytes(whole + json.dumps(decided).encode() + b'\n{"timestamp": "20')
        code, found = ask(capsys, made.config, "show", "PROJ1/S001")
        _, said = told(capsys, made.config, "show", "PROJ1/S001")
    finally:
        log.write_bytes(whole)
    assert code == 0
    assert [one["text"] for one in found["timeline"]][-1] == '{"timestamp": "20'
    assert [one["who"] for one in found["decisions"]] == ["ann"]
    assert "ann archive past study-uid-mismatch: one visit" in said
