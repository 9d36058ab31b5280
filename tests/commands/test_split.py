"""`watcher split`, typed: sessions of several studies, and late files after a lost ledger."""

import json
import shutil

import pytest
from imaging import told
from makers import make_dicom
from world import World

A, B = "1.2.3", "1.2.4"
EXTRA = """
[projects.P1]
auto_archive = false
[projects.P2]
"""


def put(world, folder, study, number):
    make_dicom(
        world.drop / folder / f"{study}-{number}",
        study=study,
        series=f"{study}.1",
        sop=f"{study}.9.{number}",
        instance=number,
        patient_id=folder,
    )


@pytest.fixture
def world(tmp_path):
    """Two sessions of two studies each, in the folders that name them, and one of one study."""
    layout = ['layout = "{project}/{session}"']
    made = World(tmp_path, project=None, drop_lines=layout, extra=EXTRA)
    for label in ("L1", "L2"):
        for study, number in ((A, 1), (A, 2), (B, 3)):
            put(made, f"P1/{label}", f"{study}.{label[1]}", number)
    put(made, "P1/ONE", "1.2.7", 1)
    assert 3 == made.once()[0]
    return made


def studies(world):
    """The studies and sizes of the sessions that wait, by label."""
    found = {}
    for each in world.json("sessions")[0]:
        found.setdefault(each["label"], []).append((each["study_uid"], each["files"]))
    return {label: sorted(several) for label, several in found.items()}


def test_several_at_once_and_one_that_is_refused(world, capsys):
    """Each becomes two, READY; one of one study is refused (4), and the others go on."""
    code, text = told(capsys, world.config, "split", "L1", "ONE", "L2", "--reason", "two folders")
    assert 4 == code
    table = [line.split() for line in text.splitlines() if line.rstrip().endswith("READY")]
    assert ["L1", "L1", "L2", "L2"] == [label for _, _, label, _ in table]
    expected = {
        "L1": [(f"{A}.1", 2), (f"{B}.1", 1)],
        "L2": [(f"{A}.2", 2), (f"{B}.2", 1)],
        "ONE": [("1.2.7", 1)],
    }
    assert expected == studies(world)


def test_a_selection(world):
    """All that are in CONFLICT, asked once; one document tells of all the sessions they became."""
    assert 2 == world.watcher("split", "--status", "CONFLICT")[0]
    done, code = world.json("split", "--status", "CONFLICT", "--yes")
    assert (0, 4) == (code, len({each["id"] for each in done}))


def test_it_goes_the_way_of_its_project(world):
    """Where sessions are archived by themselves, the first is, and the other conflicts with it."""
    for study, number in ((A, 1), (A, 2), (B, 3)):
        put(world, "P2/L1", f"{study}.9", number)
    world.once()
    wanted = next(each for each in world.json("sessions")[0] if each["project"] == "P2")
    done, code = world.json("split", wanted["id"])
    assert (3, ["ARCHIVED", "CONFLICT"]) == (code, [each["status"] for each in done])
    again, code = world.json("relabel", done[1]["id"], "--session", "L1_B")
    assert (0, "ARCHIVED") == (code, again[0]["status"])


def test_late_files_follow_without_a_second_decision(world):
    """After split and relabel, the ledger lost: each study finds its own session by itself."""
    done, _ = world.json("split", "L1")
    other = done[1]["id"]
    assert 0 == world.watcher("relabel", other, "--session", "L1_B")[0]
    shutil.rmtree(world.root / "state")
    put(world, "P1/L1", f"{A}.1", 11)
    put(world, "P1/L1", f"{B}.1", 12)
    _, events = world.once()
    assert ["decision"] * 2 == [e["by"] for e in events if e["event"] == "file.filed"]
    found = studies(world)
    assert ([(f"{A}.1", 3)], [(f"{B}.1", 2)]) == (found["L1"], found["L1_B"])
    decided = [
        json.loads(line)["command"]
        for line in (world.root / "history/decisions.jsonl").read_text().splitlines()
    ]
    assert ["split", "split", "relabel"] == decided
