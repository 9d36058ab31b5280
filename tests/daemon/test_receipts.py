"""Receipts as a sender meets them: the real program, a drop, and what stands in RECEIPTS."""

import json
import os
import shutil
from pathlib import Path

import pytest
from makers import make_dicom
from world import World, until


def stands(world, name):
    """The first line of a receipt; empty while there is none."""
    path = world.drop / "RECEIPTS" / f"{name}.txt"
    return path.read_text().partition("\n")[0] if path.is_file() else ""


def put(world, name, number=1, **more):
    return make_dicom(
        world.drop / name, sop=f"1.2.3.4.{number}", instance=number, **{"patient_id": "A"} | more
    )


@pytest.fixture
def world(tmp_path):
    return World(tmp_path, drop_lines=['contact = "the desk"', 'stuck_after = "2s"'])


@pytest.mark.campaign
def test_a_running_daemon_keeps_them(world):
    """A study arrives and is archived, a torn one is named, a conflict says whom to tell."""
    with world.daemon() as daemon:
        put(world, "study/1.dcm")
        own = {"study": "1.2.9", "series": "1.2.9.1", "patient_id": "B"}
        whole = Path(make_dicom(world.base / "whole", sop="1.2.9.1.1", **own)).read_bytes()
        (world.drop / "cut").mkdir()
        (world.drop / "cut/1.dcm").write_bytes(whole[:-10])
        done = "all here, nothing left to do"
        until(lambda: stands(world, "study"), done.__eq__, seconds=180)
        incomplete = "1 file incomplete: copy it again"
        until(lambda: stands(world, "cut"), incomplete.__eq__, seconds=180)
        put(world, "again/1.dcm", ImageComments="another")
        (said,) = daemon.wait_for("session.conflict")
        asks = f"waiting for a decision: tell the desk the number {said['session']}"
        until(lambda: stands(world, "again"), asks.__eq__, seconds=180)
        (world.drop / "cut/1.dcm").write_bytes(whole)
        until(lambda: stands(world, "cut"), done.__eq__, seconds=180)
    told = json.loads((world.drop / "RECEIPTS/study.json").read_text())
    assert (done, 1) == (told["status"], told["files"])
    assert (world.root / "archive" / told["sessions"][0]["place"]).is_dir()


def test_they_are_never_input(world):
    """RECEIPTS at the top is ours; a sender's folder of that name deeper is input."""
    put(world, "study/RECEIPTS/1.dcm")
    assert 0 == world.once()[0]
    assert done(world) == stands(world, "study")
    before = sorted(os.listdir(world.drop / "RECEIPTS"))
    code, events = world.once()
    asked = [each for each in events if each["event"].startswith("file.")]
    assert (0, [], before) == (code, asked, sorted(os.listdir(world.drop / "RECEIPTS")))


def done(world):
    return "all here, nothing left to do"


def test_a_unit_is_told_by_its_name(tmp_path):
    """An archive file that was taken whole, and a folder that was refused whole."""
    world = World(tmp_path, drop_lines=['import = "transactional"'])
    put(world, "aside/1.dcm")
    shutil.make_archive(str(tmp_path / "sent"), "zip", world.drop / "aside")
    shutil.rmtree(world.drop / "aside")
    shutil.move(tmp_path / "sent.zip", world.drop / "sent.zip")
    put(world, "bad/1.dcm", 7, study="", patient_id="C")
    assert 3 == world.once()[0]
    assert done(world) == stands(world, "sent.zip")
    assert "1 file refused: tell whoever looks after the archive" == stands(world, "bad")
    assert not (world.drop / "bad").exists()


@pytest.mark.parametrize(
    ("lines", "written"),
    [
        (["receipts = false"], False),
        (['after = "keep"'], False),
        (['after = "keep"', "receipts = true"], True),
    ],
)
def test_they_are_written_where_they_are_wanted(tmp_path, lines, written):
    """None where the drop wants none; a kept drop is touched only where it says so."""
    world = World(tmp_path, drop_lines=lines)
    put(world, "study/1.dcm")
    assert 0 == world.once()[0]
    assert written is (world.drop / "RECEIPTS").is_dir()
