"""`after = "keep"` on the real program: each file is taken once, changed ones again (spec 5)."""

import os
import subprocess

import pytest
from faults import scenes
from makers import make_dicom
from world import World, md5

from watcher.stages.pending import MACHINE

KEEP = 'after = "keep"'


@pytest.fixture
def world(tmp_path):
    return World(tmp_path, drop_lines=[KEEP])


def said(world):
    """What a run says of files; not that this machine stalled, and one was tried again."""
    _, events = world.once()
    files = (each for each in events if each["event"].startswith("file."))
    return [each["event"] for each in files if each.get("code") != MACHINE]


def drop_all(world, *names):
    """One instance of a series under each name; the digests of all."""
    for number, name in enumerate(names, 1):
        make_dicom(world.drop / name, sop=f"1.2.3.1.{number}", instance=number)
    return sorted(md5(world.drop / name) for name in names)


@pytest.mark.parametrize("watch", ["native", "poll"])
def test_each_is_taken_once_by_a_daemon_too(tmp_path, watch):
    """Look after look, start after start: one line for a file; one that changes has another."""
    lines = [KEEP, f'watch = "{watch}"']
    world = World(tmp_path, drop_lines=lines, inactivity="200ms", rescan="200ms")
    digests = drop_all(world, "d/a", "d/b")
    assert ["file.filed", "file.filed"] == said(world)
    with world.daemon() as daemon:
        make_dicom(world.drop / "d/a", sop="1.2.3.1.3", instance=3)
        (filed,) = daemon.wait_for("file.filed")
        make_dicom(world.drop / "d/c", sop="1.2.3.1.4", instance=4)
        daemon.wait_for("file.filed", path="d/c")
        daemon.wait_for("session.merged")
        code, _ = daemon.stop()
    assert (0, "d/a") == (code, filed["path"])
    assert [] == said(world)
    assert ["d/a", "d/b", "d/c"] == world.left()
    assert 4 == len(world.archived())
    assert set(digests) < set(world.archived().values())


def test_a_renamed_file_is_a_new_path_with_known_content(world):
    """It is read, and it is a duplicate: nothing is filed twice."""
    digests = drop_all(world, "a")
    said(world)
    os.rename(world.drop / "a", world.drop / "b")
    said(world)
    assert digests == sorted(world.archived().values())
    assert ([], ["b"]) == (said(world), world.left())


def test_another_file_of_the_same_size_and_time_is_new(world):
    """Its inode tells."""
    drop_all(world, "a")
    said(world)
    found = os.stat(world.drop / "a")
    make_dicom(world.base / "new", sop="1.2.3.1.2", instance=2)
    os.utime(world.base / "new", ns=(found.st_atime_ns, found.st_mtime_ns))
    assert found.st_size == os.stat(world.base / "new").st_size
    os.replace(world.base / "new", world.drop / "a")
    assert ["file.filed"] == said(world)
    assert 2 == len(world.archived())


def test_what_is_not_dicom_is_set_aside_once(world):
    """One copy and one line; not at each start."""
    (world.drop / "visit").mkdir()
    (world.drop / "visit/notes.txt").write_text("not DICOM")
    assert ["file.quarantined"] == said(world)
    assert [[], []] == [said(world), said(world)]
    assert 1 == len(list((world.root / "quarantine").rglob("notes.txt*")))
    assert ["visit/notes.txt"] == world.left()


@pytest.mark.parametrize("auto", ["true", "false"])
def test_a_lost_ledger_files_nothing_twice(tmp_path, auto):
    """All are read again, and all are duplicates: of the prearchive, or of the archive."""
    extra = f"[projects.P1]\nauto_archive = {auto}"
    world = World(tmp_path, drop_lines=[KEEP], extra=extra)
    digests = drop_all(world, "d/a", "d/b")
    said(world)
    scenes.lose_ledger(world.base)
    assert 2 == len(said(world))
    if auto == "false":
        (session,) = world.sessions.values()
        assert 0 == world.watcher("archive", session["id"])[0]
    assert digests == sorted(world.archived().values())
    assert [] == world.prearchive()
    assert [] == world.uncatalogued()
    assert [] == said(world)


def test_what_went_and_came_again_is_a_duplicate(world):
    """A name that is gone is forgotten; when it comes again it is read again."""
    drop_all(world, "a")
    said(world)
    os.rename(world.drop / "a", world.base / "away")
    said(world)
    os.rename(world.base / "away", world.drop / "a")
    assert 1 == len(said(world))
    assert ([], 1) == (said(world), len(world.archived()))


@pytest.mark.campaign
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts want root")
@pytest.mark.parametrize("after", ["keep", "remove"])
def test_a_drop_that_is_mounted_read_only(tmp_path, after):
    """With `keep` nothing is said and nothing tried; with `remove` it is `drop.readonly`, once."""
    world = World(tmp_path, drop_lines=[f'after = "{after}"'])
    drop_all(world, "d/a", "d/b")
    for options in (["--bind"], ["-o", "remount,ro,bind"]):
        subprocess.run(["mount", *options, str(world.drop), str(world.drop)], check=True)
    try:
        runs = [world.once()[1] for _ in range(2)]
    finally:
        subprocess.run(["umount", "-l", str(world.drop)], check=True)  # also while somebody looks
    about = [e["event"] for run in runs for e in run if e["event"].startswith("drop.")]
    assert ([] if after == "keep" else ["drop.readonly"]) == about
    assert [2, 0] == [sum(e["event"] == "file.filed" for e in run) for run in runs]
    assert (["d/a", "d/b"], 2) == (world.left(), len(world.archived()))
