"""Our folder in a drop: written by descriptor, whatever somebody planted under its names."""

import os
import stat
import subprocess
import sys

import pytest

from watcher.core.errors import MissingPlaceError, StorageError
from watcher.io import receipts


@pytest.fixture
def drop(tmp_path):
    """A drop, with a folder beside it that nobody may write to through the drop."""
    (tmp_path / "drop").mkdir()
    (tmp_path / "outside").mkdir()
    return tmp_path / "drop"


def write(drop, name="a.txt", data=b"one", identity=None):
    with receipts.folder(str(drop), identity, make=True) as here:
        receipts.write(here, name, data)


def test_written_whole_and_readable_by_others(drop):
    """A receipt is replaced in one step, leaves nothing beside it, and others may read it."""
    before = os.umask(0o077)
    try:
        write(drop)
        write(drop, data=b"two")
    finally:
        os.umask(before)
    folder = drop / "RECEIPTS"
    assert [("a.txt", b"two")] == [(p.name, p.read_bytes()) for p in folder.iterdir()]
    modes = [path.stat().st_mode & 0o777 for path in (folder, folder / "a.txt")]
    assert [0o755, 0o644] == modes


DIES = """
import os, sys
from watcher.io import receipts
sys.addaudithook(lambda event, _: os._exit(9) if event == "os.rename" else None)
with receipts.folder(sys.argv[1], None, make=True) as here:
    receipts.write(here, "a.txt", b"half")
"""


def test_a_crash_before_it_has_its_name_leaves_nothing_that_stays(drop):
    """Killed between writing and naming: the old one is whole, and the next write tidies up."""
    write(drop)
    assert 9 == subprocess.run([sys.executable, "-c", DIES, str(drop)]).returncode
    assert ["a.txt", receipts.TEMP] == sorted(os.listdir(drop / "RECEIPTS"), key=len)
    assert b"one" == (drop / "RECEIPTS/a.txt").read_bytes()
    write(drop, "b.txt")
    assert ["a.txt", "b.txt"] == sorted(os.listdir(drop / "RECEIPTS"))


@pytest.mark.parametrize("planted", ["link", "file"])
def test_a_folder_that_is_none_is_never_written_through(drop, planted):
    """A link in its place leads nowhere, and is left; so is a file."""
    if planted == "link":
        (drop / "RECEIPTS").symlink_to("../outside")
    else:
        (drop / "RECEIPTS").write_text("mine")
    with pytest.raises(StorageError):
        write(drop)
    assert [] == os.listdir(drop.parent / "outside")
    assert planted == "link" or (drop / "RECEIPTS").read_text() == "mine"


@pytest.mark.parametrize("name", ["a.txt", receipts.TEMP])
def test_a_link_under_its_name_is_replaced(drop, name):
    """What a link planted in the folder leads to keeps its bytes."""
    victim = drop.parent / "outside" / "victim"
    victim.write_text("whole")
    (drop / "RECEIPTS").mkdir()
    (drop / "RECEIPTS" / name).symlink_to(victim)
    write(drop)
    assert ("whole", b"one") == (victim.read_text(), (drop / "RECEIPTS/a.txt").read_bytes())
    assert ["a.txt"] == os.listdir(drop / "RECEIPTS")


def test_a_folder_under_its_name_is_an_error_of_this_one(drop):
    """It stays as it is, and others are written."""
    (drop / "RECEIPTS" / "a.txt").mkdir(parents=True)
    with receipts.folder(str(drop), None, make=True) as here:
        with pytest.raises(StorageError):
            receipts.write(here, "a.txt", b"one")
        receipts.write(here, "b.txt", b"one")
        receipts.sync(here, ["b.txt", "gone.txt"])
    assert (drop / "RECEIPTS/a.txt").is_dir()
    assert (drop / "RECEIPTS/b.txt").is_file()


def test_another_directory_is_not_the_drop(drop):
    """What was looked at may have been unmounted since: nothing is made beneath it."""
    with pytest.raises(MissingPlaceError):
        write(drop, identity=(1, 2))
    assert [] == os.listdir(drop)
    found = os.stat(drop)
    write(drop, identity=(found.st_dev, found.st_ino))
    assert ["RECEIPTS"] == os.listdir(drop)


def test_a_folder_that_is_not_there_is_not_made_to_be_read(drop):
    """None, and nothing is made; what is gone can be removed again."""
    with receipts.folder(str(drop), None, make=False) as here:
        assert here is None
    assert [] == os.listdir(drop)
    write(drop)
    with receipts.folder(str(drop), None, make=False) as here:
        receipts.remove(here, "a.txt")
        receipts.remove(here, "a.txt")
    assert [] == os.listdir(drop / "RECEIPTS")


def test_what_is_read_again_is_small_and_regular(drop):
    """Links, FIFOs, sockets and huge files in the folder are not opened, or not read."""
    write(drop, "a.json", b"{}")
    folder = drop / "RECEIPTS"
    (drop.parent / "outside" / "secret").write_text("{}")
    (folder / "link.json").symlink_to("../../outside/secret")
    os.mkfifo(folder / "fifo.json")
    os.mknod(folder / "socket.json", stat.S_IFSOCK | 0o600)  # no bind: that wants a short path
    (folder / "huge.json").write_bytes(b"x" * (receipts.LONGEST + 1))
    (folder / "a.txt").write_text("text")
    with receipts.folder(str(drop), None, make=False) as here:
        assert {"a": b"{}"} == receipts.written(
            here, [each for each in receipts.names(here) if each != "a.txt"]
        )
