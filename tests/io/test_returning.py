"""Files put back into a drop: whole or not at all, through no link, over nobody's file."""

import os

import pytest
from mortal import mode

from watcher.core.errors import ClashError, StorageError
from watcher.io.returning import FORBIDDEN, _digest, give_back, may_be_written


@pytest.fixture
def drop(tmp_path):
    (tmp_path / "drop").mkdir()
    (tmp_path / "kept").write_bytes(b"bytes")
    os.utime(tmp_path / "kept", ns=(1, 2_000_000_000))
    return tmp_path / "drop"


def give(drop, path):
    give_back(str(drop.parent / "kept"), str(drop), path)


def test_the_file_is_there_whole_with_its_time(drop):
    """Its folders are made; bytes and time are its own; the inode is new, and ours alone."""
    give(drop, b"a/b/\xff.dcm")
    there = os.path.join(os.fsencode(drop), b"a/b/\xff.dcm")
    with open(there, "rb") as file:
        assert b"bytes" == file.read()
    found, source = os.stat(there), os.stat(drop.parent / "kept")
    assert (2_000_000_000, 1) == (found.st_mtime_ns, found.st_nlink)
    assert found.st_ino != source.st_ino
    assert [b"\xff.dcm"] == os.listdir(os.path.dirname(there))


def test_half_a_copy_of_a_crash_is_replaced(drop):
    """The name it is written under is ours: what a crash left there goes."""
    (drop / ".x.new").write_bytes(b"half")
    give(drop, b"x")
    assert (["x"], b"bytes") == (os.listdir(drop), (drop / "x").read_bytes())


def test_its_own_bytes_there_are_enough(drop):
    """Given again after a crash: still one file, and no fault."""
    give(drop, b"x")
    before = os.stat(drop / "x")
    give(drop, b"x")
    assert before.st_ino == os.stat(drop / "x").st_ino
    assert ["x"] == os.listdir(drop)


@pytest.mark.parametrize("kind", ["file", "link", "folder"])
def test_a_taken_name_is_left_to_its_owner(drop, kind):
    """Another file, a link, even to our bytes, or a folder: ClashError, and it stays as it is."""
    if kind == "file":
        (drop / "x").write_bytes(b"theirs")
    elif kind == "link":
        (drop / "x").symlink_to(drop.parent / "kept")
    else:
        (drop / "x").mkdir()
    with pytest.raises(ClashError):
        give(drop, b"x")
    assert ["x"] == os.listdir(drop)
    assert (kind == "link", kind == "folder") == ((drop / "x").is_symlink(), (drop / "x").is_dir())


@pytest.mark.parametrize("kind", ["file", "link"])
def test_no_way_leads_through_a_link(drop, kind):
    """A link or a file where a folder should be is a taken name: nothing is written outside."""
    outside = drop.parent / "outside"
    outside.mkdir()
    if kind == "link":
        (drop / "a").symlink_to(outside)
    else:
        (drop / "a").write_bytes(b"theirs")
    with pytest.raises(ClashError):
        give(drop, b"a/x")
    assert [] == os.listdir(outside)


def test_a_drop_that_may_not_be_written_says_so(drop):
    """Its folders can't be made, nor its files."""
    with mode(drop, 0o555):
        assert not may_be_written(str(drop))
        for path in (b"x", b"a/x"):
            with pytest.raises(StorageError) as caught:
                give(drop, path)
            assert caught.value.number in FORBIDDEN
    assert may_be_written(str(drop))
    assert [] == os.listdir(drop)


def test_a_name_that_can_t_be_read_is_taken(drop):
    """A file there that we may not read may be anybody's."""
    (drop / "x").write_bytes(b"bytes")
    with mode(drop / "x", 0), pytest.raises(ClashError):
        give(drop, b"x")


def test_without_the_drop_nothing_is_made(drop):
    """A drop that is gone is not made."""
    drop.rmdir()
    with pytest.raises(StorageError):
        give(drop, b"x")
    assert not drop.exists()


def test_what_can_t_be_told_is_an_error(drop):
    """Neither the same bytes nor others: whoever asked may try again."""
    with pytest.raises(StorageError, match="reading a dropped file"):
        _digest(str(drop), b"x" * 300)
