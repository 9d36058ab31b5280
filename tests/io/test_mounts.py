"""The table of mounts, as text from real machines, and as this machine has it."""

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.core.errors import MissingPlaceError, StorageError
from watcher.io.mounts import (
    Mount,
    bare_point,
    is_network,
    may_hang,
    mount_of,
    mounted_at,
    named_points,
    parse,
    read_mounts,
    resolved,
)

HOST = r"""
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard
40 27 0:40 / /srv/drop rw,relatime shared:5 master:2 propagate_from:1 - nfs4 nas:/export rw,vers=4.2
41 40 8:1 /sub\040dir /srv/drop/local\040one rw - xfs /dev/sdb1 rw
42 27 0:42 / /mnt/t\011n\012b\134s rw - cifs //server/share\040x rw
43 27 0:43 / /srv/over rw - tmpfs first rw
44 43 0:44 / /srv/over rw - ext4 second rw
45 27 0:45 / /srv/dropbox rw - tmpfs none rw
"""


@pytest.fixture
def host():
    return parse(HOST)


def test_a_line_is_read_whole(host):
    """proc_pid_mountinfo(5): any number of optional fields; blanks are written in octal."""
    expected = Mount(41, b"/sub dir", b"/srv/drop/local one", "xfs", "/dev/sdb1", 40, "rw")
    assert expected == host[3]


def test_every_escape_is_undone(host):
    r"""Tab, newline and backslash are written \011, \012, \134."""
    assert (host[4].point, host[4].source) == (b"/mnt/t\tn\nb\\s", "//server/share x")


SANDBOX = r"""
27 1 254:0 / / ro,relatime - ext4 /dev/vda rw
40 27 0:40 / /srv/nas rw - nfs4 nas:/export rw
41 27 0:40 /ct /srv/drop/hidden rw - nfs4 nas:/export rw
50 27 254:0 /srv/drop /srv/drop rw - ext4 /dev/vda rw
51 50 254:0 /srv/drop/mri /srv/drop/mri rw - ext4 /dev/vda rw
52 50 0:40 /ct /srv/drop/ct rw - nfs4 nas:/export rw
53 52 0:40 /ct /srv/drop/ct rw - nfs4 nas:/export rw
54 40 0:40 / /srv/nas rw - nfs4 nas:/export rw
55 27 254:0 /var/tmp/private /tmp rw - ext4 /dev/vda rw
60 27 0:41 / /pool rw - btrfs /dev/vdb rw,subvolid=5,subvol=/
61 60 0:41 /ct /pool/ct rw - btrfs /dev/vdb rw,subvolid=256,subvol=/ct
"""


@pytest.mark.parametrize(
    ("path", "mounted"),
    [
        ("/srv/drop", ""),
        ("/srv/drop/mri", ""),
        ("/srv/drop/ct", "nfs4 nas:/export"),
        ("/srv/drop/hidden", ""),
        ("/srv/nas", "nfs4 nas:/export"),
        ("/tmp", "ext4 /dev/vda"),
        ("/pool/ct", "btrfs /dev/vdb"),
    ],
)
def test_what_a_sandbox_binds_onto_itself_is_no_mount(path, mounted):
    """Inside the service and outside it the same is mounted; a bare mount point stays bare, too."""
    table = parse(SANDBOX)
    assert mounted == mounted_at(path, table)
    assert ("" if mounted else path) == bare_point(path, [path], table)


@given(st.binary(min_size=1).filter(lambda name: b"\0" not in name and b"/" not in name))
def test_any_name_survives_the_table(name):
    """A mount point is bytes: whatever the kernel escapes comes back as it was."""
    escaped = b"".join(b"\\%03o" % c if c in b" \t\n\\#" else bytes([c]) for c in name)
    line = b"27 1 8:1 / /" + escaped + b" rw - ext4 /dev/sda rw\n"
    (mount,) = parse(os.fsdecode(line))
    assert mount.point == b"/" + name


@pytest.mark.parametrize(
    ("path", "number"),
    [
        ("/", 27),
        ("/srv", 27),
        ("/srv/drop", 40),
        ("/srv/drop/a/b", 40),
        ("/srv/drop/local one/x", 41),
        ("/srv/dropbox/x", 45),
        ("/srv/dropped", 27),
        ("/srv/over/x", 44),
        ("/srv/drop/../over", 44),
    ],
)
def test_a_path_lies_on_the_longest_and_topmost_mount(host, path, number):
    """The longest prefix in whole parts wins; of several at one point, the last mounted."""
    assert number == mount_of(path, host).id


def test_a_mount_hidden_by_a_later_one_above_it_does_not_count():
    """Mounted over the parent afterwards, the kernel never reaches the older mount below it."""
    mounts = parse(
        "1 0 8:1 / / rw - ext4 /dev/sda rw\n"
        "2 1 0:2 / /a rw - tmpfs old rw\n"
        "3 2 0:3 / /a/b rw - nfs4 hidden rw\n"
        "4 2 0:4 / /a rw - tmpfs new rw\n"
    )
    assert mount_of("/a/b/c", mounts).source == "new"


def test_a_table_without_a_root_is_said():
    """No root, no answer: MissingPlaceError, not a guess."""
    with pytest.raises(MissingPlaceError):
        mount_of("/srv", ())


IN_CHROOT = """43 27 0:21 / /proc rw,relatime - proc proc rw
44 27 0:6 / /srv rw,relatime - ext4 /dev/sdb rw
45 44 0:27 / /srv/drop rw,relatime - nfs4 nas:/export rw
"""


def test_a_root_that_is_not_listed(tmp_path):
    """In a chroot whose root is no mount point: all that is listed lies on what is not."""
    (tmp_path / "mountinfo").write_text(IN_CHROOT)
    known = read_mounts(str(tmp_path / "mountinfo"))
    found = [mount_of(path, known) for path in ("/srv/drop/a", "/srv/a", "/proc/1", "/home")]
    assert ["nfs4", "ext4", "proc"] == [each.type for each in found[:-1]]
    assert (27, b"/") == (found[-1].id, found[-1].point)
    assert mounted_at("/srv/drop", known) == "nfs4 nas:/export"
    assert not mounted_at(str(tmp_path), known)


ASK = """
import os, sys
from watcher.io import mounts
os.chroot(sys.argv[1])
os.chdir("/")
known = mounts.read_mounts()
print([mounts.mount_of(path, known).type for path in ("/proc/1", "/disk/a", "/")])
print(mounts.is_network(mounts.mount_of("/", known)))
"""


def test_a_real_chroot(tmp_path):
    """A folder as the root: what is mounted in it is found, and the rest is on a disk."""
    for name in ("proc", "disk"):
        (tmp_path / name).mkdir()
    script = """
    mount --rbind /proc "$1/proc" && mount -t tmpfs none "$1/disk" && exec "$2" -c "$3" "$1"
    """
    alone = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"])]
    if subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no name space of mounts can be made here")
    words = [*alone, "sh", "-c", script, "sh", str(tmp_path), sys.executable, ASK]
    own = {"COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG"}  # no file of theirs is in there
    env = {name: value for name, value in os.environ.items() if name not in own}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=env)
    assert (0, "") == (done.returncode, done.stderr)
    kinds, network = done.stdout.splitlines()
    assert kinds.startswith("['proc', 'tmpfs', ")
    root = mount_of(str(tmp_path), read_mounts())
    assert str(is_network(root)) == network


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "virtiofs", "ceph",
                                  "fuse", "fuse.sshfs", "lustre", "gpfs", "glusterfs", "beegfs",
                                  "afs"])  # fmt: skip
def test_file_systems_others_write_to_are_network(kind):
    """Stack facts R3: what inotify can't speak for is looked at instead."""
    assert is_network(Mount(1, b"/", b"/x", kind, "s"))


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "zfs", "tmpfs", "fuseblk", "overlay"])
def test_file_systems_of_this_host_are_not(kind):
    """A block device's changes all come through this kernel."""
    assert not is_network(Mount(1, b"/", b"/x", kind, "s"))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("rw,lowerdir=/local:/nas/l,upperdir=/local/u", True),
        ("rw,lowerdir=/local,upperdir=/nas/u,workdir=/nas/w", True),
        ("rw,lowerdir+=/local,lowerdir+=/nas", True),
        (r"rw,lowerdir=/odd\:/nas,upperdir=/local", False),
        (r"rw,lowerdir=/co\,mma/x", True),
        ("rw,lowerdir=nas:../nas,workdir=/nas", False),
        ("rw,lowerdir=/merged:/local", False),
        ("rw", False),
    ],
)
def test_an_overlay_is_network_where_a_visible_branch_is(options, expected):
    """Its branches decide, each found beneath the overlay itself; relative ones say nothing."""
    mounts = parse(
        "1 0 8:1 / / rw - ext4 /dev/sda rw\n"
        "2 1 0:2 / /nas rw - nfs4 nas:/e rw\n"
        "3 1 0:3 / /co,mma rw - cifs //s/e rw\n"
        "4 1 0:4 / /merged rw - overlay overlay " + options.replace("\\", "\\134")
    )
    assert is_network(mounts[3], mounts) is expected


def test_an_overlay_as_root_hides_its_branches():
    """A container's root: its branches lie on the host and are not visible, so it is local."""
    mounts = parse("1 0 0:1 / / rw - overlay overlay rw,lowerdir=/var/lib/docker/l\n")
    assert not is_network(mounts[0], mounts)


def test_this_machine_has_a_table():
    """The real table is read, and /proc lies on proc."""
    assert mount_of("/proc/self", read_mounts()).type == "proc"


class TestResolved:
    """Links are followed, and no share is asked."""

    def test_as_the_system_does(self, tmp_path):
        """Relative and absolute links, `..` behind a link, what is not there: as realpath(3)."""
        (tmp_path / "a/b").mkdir(parents=True)
        (tmp_path / "near").symlink_to("a/b")
        (tmp_path / "far").symlink_to(tmp_path / "near")
        (tmp_path / "round").symlink_to("round")
        for path in ("a/b", "near", "far/x/y", "far/../z", "./a//b/", "nothing/x"):
            given = f"{tmp_path}/{path}"
            assert os.path.realpath(given) == resolved(given, read_mounts())
        assert f"{tmp_path}/round" == resolved(f"{tmp_path}/round", read_mounts())

    @pytest.mark.parametrize("kind", ["nfs4", "autofs"])
    def test_what_may_hang_is_taken_as_written(self, tmp_path, kind):
        """A link beyond the mount point is not even looked at; one that leads there is."""
        (tmp_path / "share").mkdir()
        (tmp_path / "share/link").symlink_to("/etc")
        (tmp_path / "drop").symlink_to("share/link/in")
        line = f"99 27 0:99 / {tmp_path}/share rw - {kind} nas:/x rw\n"
        root = "27 1 254:0 / / rw - ext4 /dev/vda rw\n"
        known, inside = parse(root + line), f"{tmp_path}/share/link/in"
        assert inside == resolved(f"{tmp_path}/drop", known)
        assert may_hang(mount_of(inside, known), known)
        assert "/etc/in" == resolved(inside, parse(root))


def test_a_machine_without_the_table_says_so(tmp_path):
    """Without /proc there is an error of ours, with the number."""
    with pytest.raises(StorageError):
        read_mounts(str(tmp_path / "mountinfo"))


class TestNamed:
    """The mount points that fstab and mount units name."""

    FSTAB = (
        "# /dev/sda9 /srv/comment ext4 defaults 0 0\n\n"
        "UUID=1 / ext4 defaults 0 1\n"
        "UUID=2 none swap sw 0 0\n"
        "nas:/export\t/srv/drop\\040one/ nfs4 noauto,ro 0 0\n"
        "odd\n"
        "  /dev/sdb1 /srv/imaging xfs nofail"
    )

    @pytest.fixture
    def named(self, tmp_path):
        (tmp_path / "fstab").write_text(self.FSTAB)
        units = tmp_path / "units"
        (units / "folder.mount").mkdir(parents=True)
        (units / "srv-more.mount").write_text("[Mount]\nWhat=nas:/more\n Where = /srv/more \n")
        (units / "srv-other.service").write_text("Where=/srv/other\n")
        return str(tmp_path / "fstab"), str(units)

    def test_all_are_known(self, named):
        """Entries that are not mounted by themselves, too; escapes undone; no swap, no comment."""
        expected = ("/", "/srv/drop one", "/srv/imaging", "/srv/more")
        assert expected == named_points(*named)

    def test_a_machine_that_names_none(self, tmp_path):
        """No fstab and no units, as in a container: nothing is missing."""
        assert () == named_points(str(tmp_path / "no"), str(tmp_path / "none"))

    def test_one_that_can_not_be_read_is_said(self, tmp_path):
        """It is not taken for an empty one."""
        with pytest.raises(StorageError):
            named_points(str(tmp_path))

    @pytest.mark.parametrize(
        ("path", "bare"),
        [
            ("/srv/drop/local one/x", ""),
            ("/srv/drop", ""),
            ("/srv/over/a", ""),
            ("/srv/imaging", "/srv/imaging"),
            ("/srv/imaging/../imaging/state", "/srv/imaging"),
            ("/srv/imaging2", ""),
        ],
    )
    def test_a_bare_point_is_found_from_below(self, path, bare, host):
        """A place at or below a named point where nothing is mounted; `/` never is one."""
        points = ("/", "/srv/drop", "/srv/drop/local one", "/srv/over", "/srv/imaging")
        assert bare == bare_point(path, points, host)

    def test_this_machine(self, tmp_path):
        """Through links too; the table is read where it is needed."""
        (tmp_path / "point").mkdir()
        (tmp_path / "link").symlink_to("point")
        assert f"{tmp_path}/point" == bare_point(f"{tmp_path}/link/a", [f"{tmp_path}/point"])
        assert "" == bare_point("/proc/self", ["/proc"])
        assert mounted_at("/proc", read_mounts()).startswith("proc ")
        assert "" == mounted_at(str(tmp_path), read_mounts())
