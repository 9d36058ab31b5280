"""The whole job on a file system that behaves as those of the network do: see `standin`."""

import ctypes
import errno
import os

import pytest
from deploy.standin import ASKED, MANNERS, Standin

from deploy import shares
from watcher.io import aside, sources
from watcher.io.mounts import is_network, mount_of, read_mounts
from watcher.io.remote import is_remote

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(1200)]
NFS = ("stale", "handles", "silly")
SMB = ("stale", "folded", "uncounted")
NUMBERED = (*SMB, "numbered")
LINKLESS = ("linkless", "still", "stale")


@pytest.fixture
def share(tmp_path):
    """Makes one of these manners; all are unmounted in the end."""

    def made(*manners):
        return Standin(tmp_path / "mount", tmp_path / "behind", *manners)

    return made


@pytest.mark.parametrize(
    ("manners", "layout"),
    [
        *((NFS, layout) for layout in shares.LAYOUTS),
        *((NUMBERED, layout) for layout in shares.LAYOUTS),
        (SMB, "both"),
        (LINKLESS, "stores"),
        (LINKLESS, "both"),
    ],
    ids=lambda each: each if isinstance(each, str) else " ".join(each),
)
def test_all_is_archived_whole_and_once(share, tmp_path, manners, layout):
    """Whatever lies there: nothing lost, torn, twice or left; and nobody is called for it.

    A stale handle is a fault of the machine, which passes.
    """
    with share(*manners) as made:
        found = shares.job(tmp_path / "local", made.point, layout, made.behind)
    passed = ["machine"] if "handles" in manners and layout != "stores" else []
    assert {**shares.WELL, "waited": [*passed, "torn"]} == found


@pytest.mark.parametrize("manners", [("stale", "silly"), NUMBERED], ids=["nfs", "smb"])
def test_a_daemon_is_killed_there(share, tmp_path, manners):
    """What a crash left is carried on, where no inode or count of names tells what it was."""
    with share(*manners) as made:
        found = shares.job(tmp_path / "local", made.point, "both", made.behind, killed=True)
    assert shares.WELL == found


def test_it_is_a_share_to_the_program(share, tmp_path):
    """As NFS and FUSE it refuses RENAME_NOREPLACE; it is polled, and known by mount and file."""
    with share() as made:
        (made.point / "a").write_bytes(b"data")
        table = read_mounts()
        with open(made.point / "a", "rb") as file:
            known = is_network(mount_of(str(made.point), table), table), is_remote(file.fileno())
        folder = os.open(made.point, os.O_RDONLY)
        refused = aside._renameat2(folder, b"a", folder, b"b", aside._NOREPLACE)
        number = ctypes.get_errno()
        aside.rename_free(folder, b"a", b"b")
        (made.point / "a").write_bytes(b"other")
        with pytest.raises(FileExistsError):
            aside.rename_free(folder, b"a", b"b")
        os.close(folder)
        assert (True, True) == known
        assert (-1, errno.EINVAL, b"data") == (refused, number, (made.point / "b").read_bytes())


def test_its_manners(share, tmp_path):
    """Each is what it is said to be: else the others would prove nothing."""
    with share(*MANNERS - {"linkless", "handles"}) as made:
        one, two, behind = made.point / "one", made.point / "two", made.behind / "one"
        one.write_bytes(b"data")
        os.link(one, two)
        assert (1, 1) == (one.stat().st_nlink, two.stat().st_nlink)
        assert one.stat().st_ino != two.stat().st_ino
        assert b"data" == (made.point / "ONE").read_bytes()
        behind.write_bytes(b"longer data")
        sizes = [one.stat().st_size for _ in range(ASKED + 1)]
        assert (4, 11) == (sizes[0], sizes[-1])
        with open(two, "rb"):
            two.unlink()
            assert [".nfs"] == [name[:4] for name in os.listdir(made.point) if name != "one"]
        assert 0 == made.point.stat().st_mtime
    with share("linkless", "handles") as made:
        with pytest.raises(OSError, match="Stale"):
            (made.point / "one").read_bytes()
        assert b"longer data" == (made.point / "one").read_bytes()
        with pytest.raises(PermissionError):
            os.link(made.point / "one", made.point / "two")
        assert sources.is_alone(str(made.point / "one"))
