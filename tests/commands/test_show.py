"""`watcher show`."""

import json

import pytest
from archives import flip
from imaging import ask, installation, told
from makers import make_dicom
from world import World

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
    """Stuck files and quarantine entries of the dropped folder that fed it, and of no other."""
    _, found = ask(capsys, made.config, "show", made.conflict)
    assert [one["path"] for one in found["waiting"]] == ["second/torn"]
    assert [one["path"] for one in found["refused"]] == ["second/nostudy.dcm"]


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


def test_what_became_of_an_archived_session(tmp_path):
    """Its own log tells every merge, refresh and decision; what was settled is said no more."""
    world = World(tmp_path)

    def shown():
        return world.json("show", "P1/P1")[0]

    make_dicom(world.drop / "a", instance=1)
    world.once()
    make_dicom(world.drop / "b", instance=1, ImageComments="another")
    make_dicom(world.drop / "c", study="1.2.4", series="1.2.4.1", sop="1.2.4.1.1", number=2)
    assert 3 == world.once()[0]
    waiting = {each["study_uid"]: each["id"] for each in world.json("sessions")[0]}
    differs = world.watcher("show", waiting["1.2.3"])[1]
    for repr_of_python in ("[", "{", "None", "True"):
        assert repr_of_python not in differs.replace("[0", "")
    assert 0 == world.watcher("archive", waiting["1.2.3"], "--keep", "--reason", "ours")[0]
    overridden, warned = world.errors.index("newcomers go to"), world.errors.index("Merging")
    assert overridden < warned
    assert 0 == world.watcher("archive", waiting["1.2.4"], "--force", "--reason", "one")[0]
    found = shown()
    assert [("1", "1.2.3"), ("2", "1.2.4")] == [
        (scan["id"], scan["study_uid"]) for scan in found["scans"]
    ]
    assert [f"{waiting['1.2.3']}: 0 added, 0 same, 1 kept out (history)"] == [
        each["text"] for each in found["timeline"] if "kept" in each["text"]
    ]
    severities = {
        finding["severity"]
        for name in ("P1/P1", *waiting.values())
        for finding in world.json("show", name)[0]["findings"]
    }
    assert {"INFO"} >= severities
    (listed,) = world.json("sessions", "--status", "ARCHIVED")[0]
    assert [] == [code for code in listed["findings"] if code != "session-exists"]
    (changed, *_) = sorted((world.root / "archive").rglob("*.dcm"))
    flip(changed)
    accept = ("--accept-changed", "--reason", "phantom")
    assert 0 == world.watcher("refresh", "P1/P1", *accept)[0]
    told = shown()
    assert "changes accepted: 1" in told["timeline"][-1]["text"]
    assert ("refresh --accept-changed", "phantom") == (
        told["decisions"][-1]["command"],
        told["decisions"][-1]["reason"],
    )


def test_a_session_xml_that_is_torn(tmp_path):
    """It is shown all the same, with what mends it; who is to merge into it ends in ERROR so."""
    world = World(tmp_path)
    make_dicom(world.drop / "a", instance=1)
    world.once()
    (world.root / "archive/P1/arc001/P1.xml").write_bytes(b"<torn")
    document, code = world.json("show", "P1/P1")
    assert (0, []) == (code, document["scans"])
    assert "watcher refresh P1/P1" in document["error"]
    make_dicom(world.drop / "b", sop="1.2.3.1.2", instance=2)
    assert 3 == world.once()[0]
    (waiting,) = world.json("sessions")[0]
    error = world.json("show", waiting["id"])[0]["error"]
    assert ("ERROR", True) == (waiting["status"], error.startswith("archived as P1/P1: "))
    assert "watcher refresh P1/P1" in error
    assert 0 == world.watcher("refresh", "P1/P1")[0]
    assert 0 == world.watcher("archive", waiting["id"])[0]


def test_what_seems_missing(tmp_path):
    """Files, expected files and the numbers missing: staged, archived, and gone with the last."""
    world = World(tmp_path, extra="[projects.P1]\nauto_archive = false")

    def arrive(*numbers):
        for n in numbers:
            make_dicom(world.drop / f"IM{n}", sop=f"1.2.3.1.{n}", instance=n)
        world.once()

    def scan(name):
        (found,) = world.json("show", name)[0]["scans"]
        return found["files"], found["expected"], found["missing"]

    gap = "InstanceNumber 3 (4 files expected)"
    arrive(1, 2, 4)
    (first,) = world.sessions.values()
    assert (3, 4, gap) == scan(first["id"])
    _, said = world.watcher("show", first["id"])
    assert "EXPECTED" in said
    assert f"scan 1 may be incomplete: {gap}" in said
    world.watcher("archive", first["id"])
    assert (3, 4, gap) == scan("P1/P1")
    arrive(3)
    (late,) = world.sessions.values()
    assert (1, None, "") == scan(late["id"])
    world.watcher("archive", late["id"])
    assert (4, None, "") == scan("P1/P1")
    assert "may be incomplete" not in world.watcher("show", "P1/P1")[1]
