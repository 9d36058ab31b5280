"""Receipts as a sender meets them: the real program, a drop, and what stands in RECEIPTS."""

import contextlib
import json
import os
import shutil
import zipfile
from pathlib import Path

import pytest
from faults.faultfs import Faulty
from makers import make_dicom
from world import World, md5, until

from watcher.stages.pending import MACHINE

pytestmark = pytest.mark.timeout(900)  # a slow machine writes them once a minute

DONE = "all here, nothing left to do"


def stands(world, name):
    """The first line of a receipt; empty while there is none."""
    with contextlib.suppress(FileNotFoundError):  # also where it goes while it is looked at
        return (world.drop / "RECEIPTS" / f"{name}.txt").read_text().partition("\n")[0]
    return ""


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
        until(lambda: stands(world, "study"), DONE.__eq__, seconds=180)
        incomplete = "1 file incomplete: copy it again"
        until(lambda: stands(world, "cut"), incomplete.__eq__, seconds=180)
        put(world, "again/1.dcm", ImageComments="another")
        (said,) = daemon.wait_for("session.conflict")
        asks = f"waiting for a decision: tell the desk the number {said['session']}"
        until(lambda: stands(world, "again"), asks.__eq__, seconds=180)
        (world.drop / "cut/1.dcm").write_bytes(whole)
        until(lambda: stands(world, "cut"), DONE.__eq__, seconds=180)
    told = json.loads((world.drop / "RECEIPTS/study.json").read_text())
    assert (DONE, 1) == (told["status"], told["files"])
    assert (world.root / "archive" / told["sessions"][0]["place"]).is_dir()


@pytest.mark.campaign
def test_a_share_that_hangs_under_a_receipt_holds_nothing(tmp_path):
    """The files of that drop and of others are filed and archived, other receipts are written, and
    a signal ends it.
    """
    point = tmp_path / "mount"
    extra = f'[[drop]]\npath = "{point}/share"\nname = "share"\nproject = "P1"\n'
    extra += 'settle = "100ms"\ninactivity = "1s"\nrescan_interval = "1s"\n'
    with Faulty(point, tmp_path / "behind") as faulty:
        os.mkdir(tmp_path / "behind/share")
        world = World(tmp_path / "world", extra=extra)
        with world.daemon() as daemon:
            faulty.hang("create", "^share/RECEIPTS")
            digests = [send(tmp_path / "behind/share", "there")]
            until(lambda: faulty.met("create"), bool)
            digests += [send(tmp_path / "behind/share", "after"), send(world.drop, "here")]
            until(lambda: sorted(world.archived().values()), sorted(digests).__eq__)
            until(lambda: stands(world, "here"), DONE.__eq__)
            assert 0 == daemon.stop()[0]


def send(drop, name):
    """A study of its own, whole at once; its digest."""
    study = f"1.2.{len(name)}.{sum(name.encode())}"
    ids = {"study": study, "series": f"{study}.1", "sop": f"{study}.1.1", "patient_id": name}
    made = make_dicom(drop.parent / f"made-{name}", **ids)
    digest = md5(made)  # once it lies in the drop it may be taken
    os.makedirs(drop / name)
    os.rename(made, drop / name / "1.dcm")
    return digest


def test_they_are_never_input(world):
    """RECEIPTS at the top is ours, also where the drop is a link; a sender's folder of that name
    deeper is input, and so is a copy under another name: once.
    """
    world.drop.rename(world.base / "real")
    world.drop.symlink_to("real")
    put(world, "study/RECEIPTS/1.dcm")
    assert 0 == world.once()[0]
    assert DONE == stands(world, "study")
    shutil.copytree(world.drop / "RECEIPTS", world.drop / "receipts")
    code, asked = again(world)
    assert (3, ["file.quarantined"]) == (code, asked)
    before = sorted(os.listdir(world.drop / "RECEIPTS"))
    assert (0, []) == again(world)
    assert before == sorted(os.listdir(world.drop / "RECEIPTS"))


def again(world):
    """Another run: its exit code, and what it says of files; not that the machine stalled."""
    code, events = world.once()
    files = (each for each in events if each["event"].startswith("file."))
    return code, [each["event"] for each in files if each.get("code") != MACHINE]


def test_files_that_go_straight_to_the_archive_are_told(tmp_path):
    """`dest = "archive"`: the first comes by the prearchive, the next joins the archived session;
    the receipt tells of both, and where they lie.
    """
    world = World(tmp_path, drop_lines=['dest = "archive"'])
    for number in (1, 2):
        put(world, f"study/{number}.dcm", number)
        assert 0 == world.once()[0]
        assert DONE == stands(world, "study")
    told = json.loads((world.drop / "RECEIPTS/study.json").read_text())
    assert (2, {"P1/arc001/A"}) == (told["files"], {each["place"] for each in told["sessions"]})


def test_a_unit_is_told_by_its_name(tmp_path):
    """An archive file and a folder that were taken whole; a folder and a file refused whole."""
    world = World(tmp_path, drop_lines=['import = "transactional"'])
    put(world, "aside/1.dcm")
    shutil.make_archive(str(tmp_path / "sent"), "zip", world.drop / "aside")
    shutil.rmtree(world.drop / "aside")
    shutil.move(tmp_path / "sent.zip", world.drop / "sent.zip")
    put(world, "good/1.dcm", 2, study="1.2.8", series="1.2.8.1", patient_id="D")
    put(world, "bad/1.dcm", 7, study="", patient_id="C")
    with zipfile.ZipFile(world.drop / "evil.zip", "w") as packed:
        packed.writestr("../outside", b"")
    assert 3 == world.once()[0]
    assert [DONE, DONE] == [stands(world, name) for name in ("sent.zip", "good")]
    refused = "1 file refused: tell whoever looks after the archive"
    assert [refused, refused] == [stands(world, name) for name in ("bad", "evil.zip")]
    assert ["evil.zip"] == [
        each["path"]
        for each in json.loads((world.drop / "RECEIPTS/evil.zip.json").read_text())["refused"]
    ]
    assert [] == world.left()


def test_they_are_written_where_they_are_wanted(tmp_path):
    """None where the drop wants none; a kept drop is touched only where it says so."""
    drops = {"kept": "", "told": "receipts = true"}
    extra = "".join(
        f'[[drop]]\npath = "{tmp_path}/{name}"\nproject = "P1"\nafter = "keep"\n{line}\n'
        f'settle = "100ms"\ninactivity = "1s"\n'
        for name, line in drops.items()
    )
    world = World(tmp_path, drop_lines=["receipts = false"], extra=extra)
    for name in ("drop", *drops):
        (tmp_path / name).mkdir(exist_ok=True)
        send(tmp_path / name, name)
    assert 0 == world.once()[0]
    wrote = [name for name in ("drop", *drops) if (tmp_path / name / "RECEIPTS").exists()]
    assert (["told"], 3) == (wrote, len(world.archived()))
