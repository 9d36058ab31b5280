"""`watcher explain`."""

import os
import zipfile
from pathlib import Path

import pytest
from imaging import ask, configure, installation, told, tree
from makers import make_dicom
from world import World

from watcher.core.events import VERSION
from watcher.core.explain import EXPLANATIONS
from watcher.core.lines import schema


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return installation(tmp_path_factory)


@pytest.fixture
def fresh(tmp_path):
    """A configuration nobody has run yet."""
    return configure(tmp_path)


def test_without_a_word_the_whole_catalogue(fresh, capsys):
    """Every word there is, in its order; as JSON with version, fields and schema of the lines."""
    code, found = ask(capsys, fresh, "explain")
    assert code == 0
    assert [one["word"] for one in found["words"]] == [one.word for one in EXPLANATIONS]
    low = next(one for one in found["words"] if one["word"] == "storage.low")
    assert (VERSION, "bytes", ["storage.recovered"]) == (
        found["version"],
        low["fields"]["free"],
        low["cleared_by"],
    )
    assert schema() == found["lines"]
    assert "storage.low" in told(capsys, fresh, "explain")[1]


def test_a_word_is_explained(fresh, capsys):
    """A status, ignoring case: what it means, who acts, what to do."""
    code, found = ask(capsys, fresh, "explain", "conflict")
    assert code == 0
    assert [(one["word"], one["kind"], one["who"]) for one in found] == [
        ("CONFLICT", "status", "data")
    ]
    assert "watcher show ID" in told(capsys, fresh, "explain", "CONFLICT")[1]
    said = told(capsys, fresh, "explain", "file.stuck")[1]
    assert "ends with file.released" in said
    assert "ends file.stuck" in told(capsys, fresh, "explain", "file.released")[1]


def test_xnats_number_is_a_word_too(fresh, capsys):
    """14 is XNAT's number of two findings."""
    _, found = ask(capsys, fresh, "explain", "14")
    assert [one["word"] for one in found] == ["same-instance", "instance-differs"]


def test_an_unknown_word_exits_2_with_the_nearest(fresh, capsys):
    """Neither file nor word: exit 2, and what may have been meant."""
    code, said = told(capsys, fresh, "explain", "storage.lw")
    assert code == 2
    assert "storage.low" in said
    assert told(capsys, fresh, "explain", "qqqqqq")[0] == 2


def test_a_word_needs_no_configuration(tmp_path, capsys, monkeypatch):
    """Somebody who only reads the log can ask."""
    from watcher import cli

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WATCHER_CONFIG", raising=False)
    assert cli.call(["explain", "READY"]) == 0
    path = make_dicom(str(tmp_path / "one.dcm"))
    assert cli.call(["explain", path]) == 0
    assert "without a configuration" in capsys.readouterr().out


def test_a_file_of_a_drop_is_identified(made, capsys):
    """UIDs, labels with origins, XNAT's file name, the place, and the session that takes it."""
    path = make_dicom(
        str(made.base / "mri" / "asked.dcm"),
        study="1.2.13",
        series="1.2.13.2",
        sop="1.2.13.2.5",
        number=4,
        instance=5,
        patient_id="S003",
        description="PROJ2",
    )
    try:
        code, found = ask(capsys, made.config, "explain", path)
    finally:
        os.remove(path)
    assert code == 0
    assert (found["verdict"], found["drop"]) == ("filed", "mri")
    assert found["uids"]["SOPInstanceUID"] == "1.2.13.2.5"
    assert (found["project"], found["session"]) == ("PROJ2", "S003")
    assert found["origins"]["project"] == "StudyDescription"
    assert (found["takes"], found["takes_status"]) == (made.ready, "READY")
    assert found["name"].startswith("1.2.13-4-5-")
    assert found["place"] == f"PROJ2/{made.ready}/S003/SCANS/4/DICOM/{found['name']}"


def test_a_file_nobody_takes_opens_a_session(fresh, capsys):
    """Before the first start too; outside of drops the built-in rules and the projects count."""
    path = make_dicom(str(fresh.parent / "loose.dcm"), description="PROJ1", patient_id="X Y")
    code, found = ask(capsys, fresh, "explain", path)
    assert code == 0
    assert (found["drop"], found["takes"], found["project"]) == ("", "", "PROJ1")
    assert found["place"].startswith("PROJ1/<timestamp>/X_Y/SCANS/1/DICOM/")
    assert any("never run" in note for note in found["notes"])
    assert "a new session" in told(capsys, fresh, "explain", path)[1]


def torn(path):
    make_dicom(path)
    os.truncate(path, os.path.getsize(path) - 100)


def text(path):
    with open(path, "w") as file:
        file.write("no DICOM")


@pytest.mark.parametrize(
    ("name", "make", "verdict", "code"),
    [
        ("torn.dcm", torn, "waits", "torn"),
        ("empty", lambda path: Path(path).touch(), "waits", "empty"),
        ("notes.txt", text, "quarantine", "not-dicom"),
        ("drop.zip", text, "unit", ""),
        ("link", lambda path: os.symlink("/etc/passwd", path), "stays", "not-regular"),
        ("pipe", os.mkfifo, "stays", "not-regular"),
        ("bad.dcm", lambda path: make_dicom(path, study="1.2.x"), "quarantine", "bad-uid"),
        ("less.dcm", lambda path: make_dicom(path, series=None), "quarantine", "missing-uid"),
    ],
)
def test_the_verdict_on_what_is_not_filed(fresh, capsys, name, make, verdict, code):
    """What would become of it, with the code and one sentence why; exit 0, for it is an answer."""
    path = str(fresh.parent / "mri" / name)
    make(path)
    exit_code, found = ask(capsys, fresh, "explain", path)
    assert (exit_code, found["verdict"], found["code"]) == (0, verdict, code)
    assert found["text"]


@pytest.mark.parametrize("name", ["half.part", ".hidden", "RECEIPTS/x.txt", "@eaDir/x.dcm"])
def test_names_that_are_never_input(fresh, capsys, name):
    """A built-in name, of the file or of a folder above it, is ignored."""
    path = fresh.parent / "mri" / name
    path.parent.mkdir(exist_ok=True)
    make_dicom(str(path))
    assert ask(capsys, fresh, "explain", str(path))[1]["verdict"] == "ignored"


def test_a_hostile_name_does_not_reach_the_terminal(fresh, capsys):
    """Control characters and bytes that are not UTF-8 are shown escaped."""
    path = os.fsencode(fresh.parent / "mri") + b"/\x1b[2J\xff.dcm"
    with open(path, "wb") as file:
        file.write(b"x")
    code, said = told(capsys, fresh, "explain", os.fsdecode(path))
    assert code == 0
    assert "\x1b" not in said
    assert r"\x1b[2J\xff.dcm" in said


def test_a_file_with_the_name_of_an_archive(fresh, capsys):
    """A name makes it a unit, whatever its bytes are: that is how the daemon takes it."""
    path = str(fresh.parent / "mri" / "image.zip")
    make_dicom(path)
    assert "unit" == ask(capsys, fresh, "explain", path)[1]["verdict"]
    torn(path)
    assert "unit" == ask(capsys, fresh, "explain", path)[1]["verdict"]


def test_an_archive_that_is_stuck_says_why(tmp_path):
    """The hint of `file.stuck` is a command that tells the reason of an archive file too."""
    world = World(tmp_path, drop_lines=['stuck_after = "1s"'])
    path = world.drop / "cut.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.write(make_dicom(tmp_path / "a.dcm"), "a.dcm")
    os.truncate(path, path.stat().st_size - 30)
    with world.daemon() as daemon:
        said = daemon.wait_for("file.stuck", path="cut.zip")[-1]
        found = world.json("explain", str(path))[0]
        assert ["unit", True] == [found["verdict"], said["text"] in found["notes"][-1]]


def test_a_folder_is_no_file(fresh, capsys):
    """A folder exits 2 and says what to give."""
    assert told(capsys, fresh, "explain", str(fresh.parent / "mri"))[0] == 2


def test_explaining_changes_nothing(made, capsys):
    """Neither the file nor any store is touched."""
    path = make_dicom(str(made.base / "mri" / "still.dcm"))
    before = tree(made.base)
    told(capsys, made.config, "explain", path)
    after = tree(made.base)
    os.remove(path)
    assert after == before


def test_a_file_of_a_store_tells_whose_it_is(made, capsys):
    """Nothing that is filed is called a newcomer: its session, or its entry, and what to type."""
    found = {}
    for kind in ("archive", "prearchive"):
        path = next((made.base / "imaging" / kind).rglob("*.dcm"))
        code, said = ask(capsys, made.config, "explain", str(path))
        assert (0, "stored", kind) == (code, said["verdict"], said["code"])
        found[kind] = said
    assert found["archive"]["text"].startswith("of the archived session ")
    assert found["prearchive"]["text"].startswith("of the session ")
    assert all(each["hint"].startswith("watcher show ") for each in found.values())
    marker = made.base / "imaging" / "archive" / ".watcher-store"
    assert "no session" in told(capsys, made.config, "explain", str(marker))[1]
