"""Dropped files are reached without following links, and removed only if they are still those."""

import errno
import os

import another
import pytest

from watcher.core.errors import ClashError, StorageError
from watcher.core.file import Fingerprint
from watcher.io import sources

ODD = b"caf\xe9/\xff\xfe.dcm"  # no UTF-8


@pytest.fixture
def drop(tmp_path):
    folder = tmp_path / "drop"
    folder.mkdir()
    return str(folder)


def put(root, path, data=b"data"):
    full = os.path.join(os.fsencode(root), path)
    os.makedirs(os.path.dirname(full), exist_ok=True)
    with open(full, "wb") as file:
        file.write(data)
    return full


def seen(full):
    return Fingerprint.of(os.lstat(full))


def got(path):
    with open(path, "rb") as file:
        return file.read()


@pytest.mark.parametrize("path", [b"a.dcm", b"one/two/a.dcm", ODD])
def test_unlink(drop, path):
    """A file that is still that one is removed, whatever bytes its name is made of."""
    full = put(drop, path)
    assert sources.unlink_if(drop, path, seen(full))
    assert not os.path.lexists(full)


def test_unlink_refuses_a_rewrite_that_hides(drop):
    """Rewritten in place with its old size and times (rsync --inplace -t): ctime tells."""
    full = put(drop, b"a")
    before = seen(full)
    with open(full, "r+b") as file:
        file.write(b"tada")
    while seen(full).ctime_ns == before.ctime_ns:  # a kernel's clock has ticks of milliseconds
        os.utime(full, ns=(before.mtime_ns, before.mtime_ns))
    os.utime(full, ns=(before.mtime_ns, before.mtime_ns))
    assert seen(full).same_content(before)
    assert not sources.unlink_if(drop, b"a", before)
    assert sources.unlink_if(drop, b"a", seen(full))


@pytest.mark.parametrize("change", ["grown", "touched", "replaced", "linked", "gone", "folder"])
def test_unlink_refuses(drop, tmp_path, change):
    """One that changed, was replaced or is gone is another file: nothing is removed."""
    full = put(drop, b"a")
    before = seen(full)
    elsewhere = put(tmp_path, b"elsewhere")
    if change == "grown":
        put(drop, b"a", b"data and more")
    elif change == "touched":
        os.utime(full, ns=(1, before.mtime_ns + 1))
    else:
        os.rename(full, tmp_path / "moved away")
        if change == "replaced":
            put(drop, b"a")
        elif change == "linked":
            os.symlink(elsewhere, full)
        elif change == "folder":
            os.mkdir(full)
    left = os.listdir(drop)
    assert not sources.unlink_if(drop, b"a", before)
    assert (left, b"data") == (os.listdir(drop), got(elsewhere))


def test_unlink_through_link(drop, tmp_path):
    """A folder that became a link leads nowhere: the very same file outside the drop stays."""
    full = put(drop, b"one/a")
    before = seen(full)
    os.rename(os.path.dirname(full), tmp_path / "outside")
    os.symlink(tmp_path / "outside", os.path.dirname(full))
    assert not sources.unlink_if(drop, b"one/a", before)
    assert got(tmp_path / "outside" / "a") == b"data"


@pytest.mark.parametrize("path", [b"../a", b"one/../../a", b"/etc/passwd", b"./a", b"", b"one/"])
def test_no_way_out(drop, tmp_path, path):
    """A path that is none below the drop is refused, wherever it came from (spec 13)."""
    full = put(tmp_path, b"a")
    with pytest.raises(OSError, match="leaves the drop"):
        sources.unlink_if(drop, path, seen(full))
    assert got(full) == b"data"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may do everything")
def test_unlink_denied(drop):
    """Not being allowed is the caller's to judge: the OSError passes."""
    full = put(drop, b"one/a")
    os.chmod(os.path.dirname(full), 0o500)
    try:
        with pytest.raises(PermissionError):
            sources.unlink_if(drop, b"one/a", seen(full))
    finally:
        os.chmod(os.path.dirname(full), 0o700)


def test_link_from(drop, tmp_path):
    """A drop's file is linked into a store; a name that is taken is not overwritten."""
    full = put(drop, ODD)
    with sources.parent_of_drop(drop, ODD) as (folder, name):
        sources.link_from(folder, name, str(tmp_path / "placed"))
        with pytest.raises(ClashError):
            sources.link_from(folder, name, str(tmp_path / "placed"))
        with pytest.raises(StorageError) as caught:
            sources.link_from(folder, name, str(tmp_path / "missing" / "placed"))
    assert caught.value.number == errno.ENOENT
    assert seen(full) == seen(tmp_path / "placed")


def test_parent_missing(drop):
    """Where a dropped file can't be reached, that is a StorageError with its errno."""
    with pytest.raises(StorageError) as caught, sources.parent_of_drop(drop, b"missing/a"):
        pass
    assert caught.value.number == errno.ENOENT


def test_no_descriptor_stays(drop):
    """However reaching ends, no descriptor is left open."""
    put(drop, b"one/two/a")
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(RuntimeError), sources.parent_of_drop(drop, b"one/two/a"):
        raise RuntimeError
    for path in (b"one/missing/a", b"one/two/a/b/c"):
        with pytest.raises(StorageError), sources.parent_of_drop(drop, path):
            pass
    assert set(os.listdir("/proc/self/fd")) <= before  # the collector may close another's


def test_copy_from(drop, tmp_path):
    """A copy is another file with the same bytes and times; a name that is taken stays."""
    full = put(drop, b"a", os.urandom(3 << 20))
    os.utime(full, ns=(1_000_000_001, 2_000_000_002))
    with sources.parent_of_drop(drop, b"a") as (folder, name):
        sources.copy_from(folder, name, str(tmp_path / "copy"))
        with pytest.raises(ClashError):
            sources.copy_from(folder, name, str(tmp_path / "copy"))
    assert got(full) == got(tmp_path / "copy")
    assert os.stat(tmp_path / "copy").st_mtime_ns == 2_000_000_002
    assert os.stat(tmp_path / "copy").st_ino != os.stat(full).st_ino


@pytest.mark.parametrize("kind", ["link", "fifo", "folder", "missing"])
def test_copy_irregular(drop, tmp_path, kind):
    """What is no regular file is not copied, does not hang, and leaves nothing in the store."""
    where = os.path.join(drop, "a")
    if kind == "link":
        os.symlink("/etc/passwd", where)
    elif kind == "fifo":
        os.mkfifo(where)
    elif kind == "folder":
        os.mkdir(where)
    with sources.parent_of_drop(drop, b"a") as (folder, name), pytest.raises(StorageError):
        sources.copy_from(folder, name, str(tmp_path / "copy"))
    assert not os.path.lexists(tmp_path / "copy")


BREAKS = """
import errno, os, resource, sys
from watcher.core.errors import StorageError
from watcher.io import sources
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))
with sources.parent_of_drop(sys.argv[1], b"a") as (folder, name):
    try:
        sources.copy_from(folder, name, sys.argv[2])
    except StorageError as error:
        print(errno.errorcode[error.number], end="")
"""


def test_copy_breaks_off(drop, tmp_path):
    """A copy that breaks off leaves no half of itself: the next try finds its name free."""
    put(drop, b"a", b"x" * 100_000)
    assert another.run(BREAKS, drop, tmp_path / "copy") == "EFBIG"
    assert not os.path.lexists(tmp_path / "copy")


WRITER = """
import sys
with open(sys.argv[1], "ab"):
    print("there", flush=True)
    sys.stdin.read()
"""


def test_has_writer(drop):
    """A writer of the file, under any of its names, is seen while it writes and not after."""
    full = os.fsdecode(put(drop, b"a"))
    with another.process(WRITER, full):
        assert sources.has_writer(full)
    assert not sources.has_writer(full)
    with pytest.raises(StorageError):
        sources.has_writer(f"{full}.missing")
