"""`watcher quarantine` on units that were refused whole."""

import os
import shutil
import zipfile

import pytest
from faults import scenes
from imaging import told
from makers import make_dicom
from world import World

LINES = ['import = "transactional"']


@pytest.fixture(scope="module")
def beginning(tmp_path_factory):
    """A transactional drop, from which a folder with one bad file was refused; what was said."""
    made = World(tmp_path_factory.mktemp("refused"), drop_lines=LINES)
    for number in (1, 2):
        make_dicom(made.drop / f"visit/{number}", study="1.2.3", sop=f"1.2.3.9.{number}")
    make_dicom(made.drop / "visit/sub/bad", study=None, sop="1.2.3.9.9")
    code, events = made.once()
    assert code == 3
    return made.base, [each for each in events if each["event"] == "file.quarantined"]


@pytest.fixture
def world(tmp_path, beginning):
    """The same once more."""
    base, said = beginning
    shutil.copytree(base, tmp_path / "w")
    made = World(tmp_path / "w", drop_lines=LINES)
    made.said = said
    return made


def only(world, *words):
    (found,) = world.json("quarantine", "list", *words)[0]
    return found


def test_one_line_and_one_entry_tell_of_it(world):
    """Nothing of it is filed; the log says it once, and how to see why."""
    entry = only(world, "--code", "missing-uid")
    assert (3, "visit", "It is refused whole, for a member:") == (
        *(entry["files"], entry["path"]),
        entry["text"][:34],
    )
    (said,) = world.said
    assert ("warning", "data", f"watcher quarantine show {entry['id']}") == (
        *(said["level"], said["who"]),
        said["hint"],
    )
    assert ([], [], []) == (world.left(), world.prearchive(), world.uncatalogued())


def test_it_is_shown_with_every_reason(world, capsys):
    """Which member, which code, and why; for people too. It is found by any name in it."""
    entry = only(world)
    found, code = world.json("quarantine", "show", entry["id"])
    assert (0, ["visit/1", "visit/2", "visit/sub/bad"]) == (
        code,
        [each["path"] for each in found["paths"]],
    )
    assert [("sub/bad", "missing-uid")] == [
        (each["member"], each["code"]) for each in found["reasons"]
    ]
    code, text = told(capsys, world.config, "quarantine", "show", entry["id"])
    assert (0, True, True) == (code, "sub/bad" in text, "It has no StudyInstanceUID." in text)
    hits, _ = world.json("find", "bad")
    assert [entry["id"] in hit["where"] for hit in hits] == [True]


def test_mended_and_sent_again_it_closes_the_entry(world):
    """The unit of that name has landed: what was refused of it waits for nobody any more."""
    for number in (1, 2):
        make_dicom(world.drop / f"visit/{number}", study="1.2.3", sop=f"1.2.3.9.{number}")
    make_dicom(world.drop / "visit/sub/bad", study="1.2.3", sop="1.2.3.9.9")
    code, events = world.once()
    assert (0, 3) == (code, len(world.archived()))
    assert ["superseded"] == [
        each["outcome"] for each in events if each["event"] == "quarantine.settled"
    ]
    assert ([], False) == (world.json("quarantine", "list")[0], only(world, "--all")["open"])


def test_it_goes_back_whole_and_is_looked_at_as_new(world):
    """Mended in the drop, all of it lands."""
    done, code = world.json("quarantine", "requeue", only(world)["id"], "--reason", "mended")
    assert (0, [False]) == (code, [each["open"] for each in done])
    assert ["visit/1", "visit/2", "visit/sub/bad"] == world.left()
    os.remove(world.drop / "visit/sub/bad")
    assert 0 == world.once()[0]
    assert ([], 2) == (world.left(), len(world.archived()))


def test_a_taken_name_is_said(world):
    """4, with what to do; nothing is changed."""
    (world.drop / "visit").mkdir(exist_ok=True)
    (world.drop / "visit/new").write_text("theirs")
    entry = only(world)
    assert 4 == world.watcher("quarantine", "requeue", entry["id"])[0]
    assert "its name in drop mri is taken" in world.errors
    assert "move what has it" in world.errors
    assert (["visit/new"], entry) == (world.left(), only(world))


def test_purged_nothing_of_it_is_left(world):
    """For good, with the decision kept."""
    entry = only(world)
    assert 0 == world.watcher("quarantine", "purge", entry["id"], "--reason", "pictures")[0]
    assert not (world.root / "quarantine" / entry["place"]).exists()
    assert "pictures" in (world.root / "history" / "decisions.jsonl").read_text()


def test_without_the_ledger_it_is_known_with_its_reasons(world):
    """The tree tells: the same entry, open, and its condition."""
    entry = only(world)
    scenes.lose_ledger(world.base)
    _, events = world.once()
    assert entry == {**only(world), "set_aside": entry["set_aside"]}
    found, _ = world.json("quarantine", "show", entry["id"])
    assert ["sub/bad"] == [each["member"] for each in found["reasons"]]
    assert 1 == sum(each["event"] == "file.quarantined" for each in events)


def test_a_hostile_archive_file_is_explained(world):
    """Refused whole with what is wrong in it; `explain` says what to do."""
    with zipfile.ZipFile(world.drop / "x.zip", "w") as archive:
        archive.writestr("../outside", "x")
    assert 3 == world.once()[0]
    entry = only(world, "--code", "archive-file")
    found, _ = world.json("quarantine", "show", entry["id"])
    assert ["x.zip"] == [each["path"] for each in found["paths"]]
    assert ["../outside"] == [each["member"] for each in found["reasons"]]
    ((word,), code) = world.json("explain", entry["code"])
    assert (0, True) == (code, "Pack it anew" in word["todo"])
