"""Files on real disks: nothing is overwritten, what is there is whole, leftovers heal."""

import errno
import hashlib
import os
import shutil
import stat
import subprocess
import tempfile

import another
import pytest

from watcher.core.errors import ClashError, FullError, StorageError, SyncError
from watcher.io import blocks, files, journal
from watcher.io.reaching import MARKER

ROOT = os.geteuid() == 0
USER = pytest.mark.skipif(ROOT, reason="root may do everything")


@pytest.fixture
def path(tmp_path):
    """Places in a folder of a store."""
    (tmp_path / MARKER).touch()
    (tmp_path / "in").mkdir()

    def below(*parts):
        return os.path.join(tmp_path, "in", *parts)

    return below


@pytest.fixture
def elsewhere(tmp_path):
    """A folder on another file system: a link from tmp_path can't be made there."""
    if not os.access("/dev/shm", os.W_OK) or os.stat("/dev/shm").st_dev == tmp_path.stat().st_dev:
        pytest.skip("/dev/shm is no other file system")
    folder = tempfile.mkdtemp(dir="/dev/shm")
    yield folder
    shutil.rmtree(folder)


def put(path, data=b"data"):
    with open(path, "wb") as file:
        file.write(data)
    return path


def got(path):
    with open(path, "rb") as file:
        return file.read()


# -- syncing -----------------------------------------------------------------------------------


def test_sync_all(path):
    """Files and folders are synced, several at once, each named once; no news is good news."""
    wanted = [put(path("a")), put(path("b")), path(), path("a")]
    assert files.sync_all(wanted) == {}
    assert files.sync_all([]) == {}


def test_sync_failed(path):
    """Those that could not be synced are named, with why; the others are synced all the same."""
    failed = files.sync_all([put(path("a")), path("missing"), path("gone")])
    assert {path("missing"): errno.ENOENT, path("gone"): errno.ENOENT} == {
        name: error.number for name, error in failed.items()
    }


def test_sync_many(path):
    """More than are synced at once: each one is, and each that could not be is told of."""
    there = [put(path(f"f{each}")) for each in range(30)]
    missing = [path(f"m{each}") for each in range(30)]
    mixed = [each for pair in zip(there, missing, strict=True) for each in pair]
    assert set(missing) == set(files.sync_all(mixed))


def test_sync_one_failed(path):
    """A single one is told of in the same way."""
    assert list(files.sync_all([path("missing")])) == [path("missing")]


def test_sync_no_link(path):
    """A link is not followed to somebody else's file."""
    os.symlink(put(path("a")), path("link"))
    with pytest.raises(SyncError) as caught:
        files.sync(path("link"))
    assert caught.value.number == errno.ELOOP


def test_sync_folders(path):
    """The folders of files are synced; the first failure is raised, for nothing may follow it."""
    files.sync_folders([put(path("a"))])
    with pytest.raises(SyncError):
        files.sync_folders([path("a"), path("missing", "b")])


# -- folders -----------------------------------------------------------------------------------


def test_make_folder(path):
    """Missing parents are made; a folder that is there is left as it is."""
    files.make_folder(path("a", "b", "c"))
    put(path("a", "b", "c", "file"))
    files.make_folder(path("a", "b", "c"))
    assert os.listdir(path("a", "b", "c")) == ["file"]


def test_make_folder_over_file(path):
    """A file in the way is told: a folder that isn't there is never said to be."""
    put(path("a"))
    for wanted in (path("a"), path("a", "b")):
        with pytest.raises(StorageError):
            files.make_folder(wanted)
    assert got(path("a")) == b"data"


@USER
def test_make_folder_denied(path):
    """A folder that may not be made is a StorageError with its errno."""
    os.mkdir(path("a"), 0o500)
    with pytest.raises(StorageError) as caught:
        files.make_folder(path("a", "b"))
    assert caught.value.number == errno.EACCES


RACER = """
import sys
from watcher.io import files
print("there", flush=True)
sys.stdin.readline()
for number in range(200):
    files.make_folder(f"{sys.argv[1]}/{number}/a/b")
print("done", flush=True)
"""


def test_make_folder_race(path):
    """Two processes that make the same folders both succeed."""
    with another.process(RACER, path()) as one, another.process(RACER, path()) as two:
        for child in (one, two):
            child.stdin.write("go\n")
            child.stdin.flush()
        assert ["done\n", "done\n"] == [child.stdout.readline() for child in (one, two)]
    assert all(os.path.isdir(path(str(number), "a", "b")) for number in range(200))


def test_folder_mode(path):
    """A folder's mode follows the umask, its group a setgid parent (spec 8)."""
    os.mkdir(path("a"))
    os.chmod(path("a"), 0o2775)
    files.make_folder(path("a", "b"))
    mode = stat.S_IMODE(os.stat(path("a", "b")).st_mode)
    assert mode & 0o777 == 0o777 & ~files.UMASK
    assert mode & stat.S_ISGID


# -- placing -----------------------------------------------------------------------------------


def test_place(path):
    """A placed file is the same file under a second name."""
    files.place(put(path("a")), path("b"))
    assert files.same_inode(path("a"), path("b"))


@pytest.mark.parametrize("how", [files.place, files.transfer, files._reserve_and_rename])
def test_never_overwrites(path, how):
    """A name that is taken stays who it was, and the newcomer too: by file, link or folder."""
    put(path("new"), b"new")
    put(path("file"), b"old")
    os.symlink("nowhere", path("link"))
    os.mkdir(path("folder"))
    for taken in ("file", "link", "folder"):
        with pytest.raises(ClashError):
            how(path("new"), path(taken))
    assert (b"old", b"new") == (got(path("file")), got(path("new")))
    assert sorted(os.listdir(path())) == ["file", "folder", "link", "new"]


@pytest.mark.parametrize("how", [files.place, files.transfer, files._reserve_and_rename])
def test_place_fails(path, how):
    """Where there is nothing to place, or nowhere, nothing is left at the target."""
    put(path("a"))
    for source, target in (("missing", "b"), ("a", "missing/b")):
        with pytest.raises(StorageError) as caught:
            how(path(source), path(target))
        assert caught.value.number == errno.ENOENT
    assert os.listdir(path()) == ["a"]


def test_place_without_links(path):
    """Where the file system has no links the name is reserved, then taken by the file itself."""
    inode = os.stat(put(path("a"))).st_ino
    files._reserve_and_rename(path("a"), path("b"))
    assert (inode, ["b"]) == (os.stat(path("b")).st_ino, os.listdir(path()))


def test_place_unlinkable(path):
    """What can't be linked (EPERM) goes the other way; failing there leaves no reservation."""
    os.mkdir(path("folder"))
    with pytest.raises(StorageError):
        files.place(path("folder"), path("b"))
    assert os.listdir(path()) == ["folder"]


def test_transfer_links(path):
    """On one file system a transfer copies no bytes, and the source stays."""
    files.transfer(put(path("a")), path("b"))
    assert files.same_inode(path("a"), path("b"))


def test_transfer_copies(path, elsewhere):
    """Across file systems the bytes and the times arrive, the source stays, no temp is left."""
    data = os.urandom(blocks.BLOCK * 2 + 17)
    os.utime(put(path("a"), data), ns=(1_000_000_001, 2_000_000_002))
    target = os.path.join(elsewhere, "b")
    files.transfer(path("a"), target)
    assert got(target) == data == got(path("a"))
    assert os.stat(target).st_mtime_ns == 2_000_000_002
    assert os.listdir(elsewhere) == ["b"]


def test_transfer_leftover(path, elsewhere):
    """Half a copy that a crash left is replaced by a whole one."""
    target = os.path.join(elsewhere, "b")
    put(files.temporary(target), b"half")
    files.transfer(put(path("a"), b"whole"), target)
    assert (b"whole", ["b"]) == (got(target), os.listdir(elsewhere))


def test_transfer_clash(path, elsewhere):
    """A name taken on the other file system is not overwritten, and no temp is left."""
    target = put(os.path.join(elsewhere, "b"), b"old")
    with pytest.raises(ClashError):
        files.transfer(put(path("a"), b"new"), target)
    assert (b"old", ["b"]) == (got(target), os.listdir(elsewhere))


def test_transfer_long_name(path, elsewhere):
    """The longest name a file may have can be copied too: its temporary name fits (spec 8)."""
    target = os.path.join(elsewhere, "x" * 255)
    files.transfer(put(path("a")), target)
    assert os.listdir(elsewhere) == ["x" * 255]


LIMITED = """
import resource, sys
from watcher.core.errors import StorageError
from watcher.io import files, journal, sources
import os
limit, act, *arguments = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), resource.RLIM_INFINITY))
try:
    if act == "copy_from":
        folder = os.open(arguments[0], os.O_RDONLY)
        sources.copy_from(folder, b"a", arguments[1])
    elif act == "swap":
        files.swap(arguments[0], b"x" * 100)
    elif act == "append_line":
        journal.append_line(*arguments)
    else:
        getattr(files, act)(*arguments)
except StorageError as error:
    print(error.number)
"""


def limited(limit, act, *arguments):
    """What a process that may write so many bytes to a file says of its failure."""
    return int(another.run(LIMITED, limit, act, *arguments) or 0)


def test_transfer_breaks_off(path, elsewhere):
    """A copy that breaks off leaves neither the target nor half a copy: the disk may be full."""
    put(path("a"), b"x" * 100_000)
    target = os.path.join(elsewhere, "b")
    assert limited(50_000, "transfer", path("a"), target) == errno.EFBIG
    assert os.listdir(elsewhere) == []


# -- documents ---------------------------------------------------------------------------------


def test_swap(path):
    """A swap makes a document or gives it new contents; readers of the old one keep it."""
    files.swap(path("a.xml"), b"one")
    with open(path("a.xml"), "rb") as reader:
        files.swap(path("a.xml"), b"two")
        assert (b"one", b"two") == (reader.read(), got(path("a.xml")))
    assert os.listdir(path()) == ["a.xml"]


def test_swap_leftover(path):
    """A temp that a crash left is in nobody's way; a link there is not written through."""
    put(path("victim"), b"precious")
    os.symlink(path("victim"), files.temporary(path("a.xml")))
    files.swap(path("a.xml"), b"new")
    assert (b"new", b"precious") == (got(path("a.xml")), got(path("victim")))


def test_swap_breaks_off(path):
    """A swap that breaks off leaves the old contents, whole; the repeated one succeeds."""
    put(path("a.xml"), b"old")
    assert limited(50, "swap", path("a.xml")) == errno.EFBIG
    assert got(path("a.xml")) == b"old"
    files.swap(path("a.xml"), b"new")
    assert (b"new", ["a.xml"]) == (got(path("a.xml")), os.listdir(path()))


def test_swap_nowhere(path):
    """Without its folder a document can't be written, and that is said."""
    with pytest.raises(StorageError) as caught:
        files.swap(path("missing", "a.xml"), b"new")
    assert caught.value.number == errno.ENOENT


def test_append_line(path):
    """Lines are added at the end; folder and file are made."""
    for line in ("one", "zwö"):
        journal.append_line(path("logs", "events.jsonl"), line)
    assert got(path("logs", "events.jsonl")) == "one\nzwö\n".encode()


def test_append_after_torn(path):
    """A torn last line is closed first: it costs itself, not its successor."""
    put(path("a"), b"one\ntor")
    journal.append_line(path("a"), "two")
    assert got(path("a")) == b"one\ntor\ntwo\n"


def test_append_short(path):
    """A line that could be written by halves only is an error, never taken for written."""
    put(path("a"), b"one\n")
    assert limited(10, "append_line", path("a"), "a long line") == errno.EFBIG
    assert got(path("a")) == b"one\na long"
    journal.append_line(path("a"), "two")
    assert got(path("a")) == b"one\na long\ntwo\n"


def test_append_to_folder(path):
    """What is no file takes no line."""
    os.mkdir(path("a"))
    with pytest.raises(StorageError) as caught:
        journal.append_line(path("a"), "x")
    assert caught.value.number == errno.EISDIR


APPENDER = """
import sys
from watcher.io import journal
print("there", flush=True)
sys.stdin.readline()
for number in range(100):
    journal.append_line(sys.argv[1], f"{sys.argv[2]} {number}")
print("done", flush=True)
"""


def test_append_two(path):
    """Two processes that append to one record tear nothing and lose nothing."""
    record = path("a.jsonl")
    with (
        another.process(APPENDER, record, "x") as one,
        another.process(APPENDER, record, "y") as two,
    ):
        for child in (one, two):
            child.stdin.write("go\n")
            child.stdin.flush()
        assert ["done\n", "done\n"] == [child.stdout.readline() for child in (one, two)]
    expected = sorted(f"{who} {number}" for who in "xy" for number in range(100))
    assert expected == sorted(line for line in got(record).decode().split("\n") if line)


def test_read(path):
    """A document is read whole; one that is not there is None, or an error where it must be."""
    put(path("a"), b"text")
    assert (b"text", b"text", None) == (
        files.read(path("a")),
        files.read_if_there(path("a")),
        files.read_if_there(path("missing")),
    )
    with pytest.raises(StorageError) as caught:
        files.read(path("missing"))
    assert caught.value.number == errno.ENOENT


def test_read_if_there_unsure(path):
    """What can't be read is not called missing: nothing is concluded from a fault (spec 5)."""
    os.symlink("loop", path("loop"))
    with pytest.raises(StorageError) as caught:
        files.read_if_there(path("loop"))
    assert caught.value.number == errno.ELOOP
    assert files.read_if_there(os.path.join(put(path("a")), "below")) is None


def test_digest(path):
    """The digest is the MD5 of all bytes, lower case; a missing file has none."""
    data = os.urandom(3 * blocks.BLOCK + 1)
    assert hashlib.md5(data).hexdigest() == files.digest(put(path("a"), data))
    with pytest.raises(StorageError):
        files.digest(path("missing"))


# -- removing and looking ------------------------------------------------------------------------


def test_remove(path):
    """Removing tells whether there was anything; a folder is not removed by mistake."""
    put(path("a"))
    assert [True, False] == [files.remove(path("a")) for _ in range(2)]
    os.mkdir(path("folder"))
    with pytest.raises(StorageError):
        files.remove(path("folder"))
    assert os.path.isdir(path("folder"))


def test_remove_link(path):
    """Removing a link leaves what it names."""
    os.symlink(put(path("a")), path("link"))
    files.remove(path("link"))
    assert os.listdir(path()) == ["a"]


def test_remove_empty(path):
    """Only an empty folder goes; one that is gone counts as gone; what is no folder is said."""
    os.makedirs(path("full", "empty"))
    gone = [files.remove_empty(path(*p)) for p in (("full",), ("full", "empty"), ("missing",))]
    assert gone == [False, True, True]
    with pytest.raises(StorageError):
        files.remove_empty(put(path("file")))


def test_remove_empty_below(path):
    """Empty folders go from below; one with a file stays, and with it those above."""
    os.makedirs(path("a", "b", "c"))
    os.makedirs(path("a", "d"))
    put(path("a", "d", "file"))
    assert not files.remove_empty_below(path("a"))
    assert (["d"], ["file"]) == (os.listdir(path("a")), os.listdir(path("a", "d")))
    os.remove(path("a", "d", "file"))
    assert files.remove_empty_below(path("a"))
    assert files.remove_empty_below(path("a"))


def test_walk(path):
    """Every file below, sorted, relative; a link to a folder is not entered."""
    os.makedirs(path("s", "b"))
    os.makedirs(path("outside"))
    put(path("outside", "x"))
    for name in ("s/b/2", "s/b/1", "s/a"):
        put(path(name))
    os.symlink(path("outside"), path("s", "link"))
    assert list(files.walk(path("s"))) == ["a", "b/1", "b/2"]
    assert list(files.walk(path("missing"))) == []


def test_print_of(path):
    """Only a regular file has a fingerprint."""
    put(path("a"))
    os.symlink("a", path("link"))
    found = [files.print_of(path(*name)) for name in (("a",), ("link",), ("missing",), ())]
    assert [4, None, None, None] == [each and each.size for each in found]


def test_same_inode(path):
    """Links are one file; copies, and what is missing, are not."""
    put(path("a"))
    put(path("copy"))
    os.link(path("a"), path("link"))
    same = [files.same_inode(path("a"), path(name)) for name in ("link", "copy", "missing")]
    assert same == [True, False, False]
    assert not files.same_inode(path("missing"), path("missing"))


def test_names_in(path):
    """The names of a folder; none where it is missing; a fault is a fault."""
    put(path("a"))
    assert {"a"} == files.names_in(path())
    assert frozenset() == files.names_in(path("missing"))
    with pytest.raises(StorageError):
        files.names_in(path("a"))


def test_match_folder(path):
    """A linked-in file gets the mode a file made here would have."""
    os.chmod(put(path("a")), 0o6711)
    files.match_folder(path("a"))
    assert stat.S_IMODE(os.stat(path("a")).st_mode) == 0o666 & ~files.UMASK
    with pytest.raises(StorageError):
        files.match_folder(path("missing"))


def test_match_folder_group(path):
    """In a setgid folder it gets the folder's group too (spec 8)."""
    others = [each for each in os.getgroups() if each != os.getegid()]
    group = 12345 if ROOT else next(iter(others), os.getegid())
    os.mkdir(path("team"))
    os.chown(path("team"), -1, group)
    os.chmod(path("team"), 0o2775)
    put(path("a"))
    os.link(path("a"), path("team", "a"))
    files.match_folder(path("team", "a"))
    assert os.stat(path("team", "a")).st_gid == group


def test_full(tmp_path):
    """A full disk is a FullError, and leaves no half of anything; the retry succeeds."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", folder]
    if not ROOT or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting a small file system takes root")
    try:
        put(tmp_path / "a", b"x" * 100_000)
        with pytest.raises(FullError):
            files.transfer(str(tmp_path / "a"), str(folder / "b"))
        assert os.listdir(folder) == []
        files.swap(str(folder / "doc"), b"old")
        with pytest.raises(FullError):
            files.swap(str(folder / "doc"), b"x" * 100_000)
        assert got(folder / "doc") == b"old"
        put(tmp_path / "a", b"x" * 10_000)
        files.remove(files.temporary(str(folder / "doc")))
        files.transfer(str(tmp_path / "a"), str(folder / "b"))
        assert sorted(os.listdir(folder)) == ["b", "doc"]
    finally:
        subprocess.run(["umount", folder], check=True)
