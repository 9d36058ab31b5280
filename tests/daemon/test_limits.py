"""`[limits]`, handed down to what reads files: as a user meets it."""

import zipfile
from pathlib import Path

import pytest
from faults import scenes
from hostile import nested
from makers import make_dicom
from world import World

DEEP = 40  # sequences in one another; 32 is the default


@pytest.fixture
def world(tmp_path):
    """A project whose sessions wait for a person."""
    made = World(tmp_path, extra="[projects.P1]\nauto_archive = false")
    made.plain = made.config.read_text()
    return made


def test_depth_is_how_deep_sequences_may_lie(world):
    """A file with deeper sequences than `depth` is quarantined; with a larger one it is filed.

    What was filed stays: a smaller one later, and a ledger to be made anew, read it still.
    """
    nested(world.drop / "deep.dcm", DEEP)
    assert world.once()[0] == 3
    (entry,), _ = world.json("quarantine", "list")
    assert ("unreadable", []) == (entry["code"], world.prearchive())
    world.config.write_text(f"{world.plain}\n[limits]\ndepth = {DEEP}")
    nested(world.drop / "deep.dcm", DEEP)
    world.once()
    (before,) = world.sessions.values()
    assert ("READY", 1) == (before["status"], before["files"])
    world.config.write_text(world.plain)
    scenes.lose_ledger(world.base)
    world.once()
    (after,) = world.sessions.values()
    assert ("READY", 1) == (after["status"], after["files"])


def test_an_archive_file_beyond_a_limit_is_refused_whole(world):
    """One member more than allowed: the archive file is in quarantine as it came, with the limit
    named, and nothing of it is anywhere else. As many as allowed are filed.
    """
    world.config.write_text(f"{world.plain}\n[limits]\nentries = 2")
    sent = pack(world)
    assert world.once()[0] == 3
    (entry,), _ = world.json("quarantine", "list")
    assert ("archive-file", 1) == (entry["code"], entry["files"])
    document, _ = world.json("quarantine", "show", entry["id"])
    assert "limits.entries" in str(document)
    assert [sent] == [p.read_bytes() for p in (world.root / "quarantine").rglob("sent.zip")]
    assert ([], [], {}) == (world.left(), world.prearchive(), world.archived())
    world.config.write_text(f"{world.plain}\n[limits]\nentries = 3")
    pack(world)
    world.once()
    (session,) = world.sessions.values()
    assert ("READY", 3, []) == (session["status"], session["files"], world.left())


@pytest.mark.campaign
@pytest.mark.parametrize("limit", ['bytes = "1KiB"', "ratio = 2"])
def test_the_other_limits_are_handed_down_too(world, limit):
    """Bytes unpacked, and how many times the archive's own size: each refuses it by its name."""
    world.config.write_text(f"{world.plain}\n[limits]\n{limit}")
    pack(world, rows=512, columns=512)
    assert world.once()[0] == 3
    (entry,), _ = world.json("quarantine", "list")
    document, _ = world.json("quarantine", "show", entry["id"])
    assert f"limits.{limit.split()[0]}" in str(document)
    assert ([], [], {}) == (world.left(), world.prearchive(), world.archived())


def pack(world, **more):
    """A zip of three files, well pressed; gives its bytes."""
    made = Path(world.base / "sent.zip")
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in (1, 2, 3):
            sop = f"1.2.3.1.{number}"
            path = make_dicom(world.base / "one", sop=sop, instance=number, **more)
            archive.write(path, f"study/{number}.dcm")
    return made.rename(world.drop / "sent.zip").read_bytes()
