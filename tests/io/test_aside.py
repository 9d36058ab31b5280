"""A dropped file is removed only as what it was looked at: whatever happens between the two."""

import errno
import os

import pytest
from mortal import mode

from watcher.core.file import Fingerprint
from watcher.io import aside, sources
from watcher.io.ignore import Ignore


@pytest.fixture
def folder(tmp_path):
    fd = os.open(tmp_path, os.O_RDONLY)
    yield fd
    os.close(fd)


def left(tmp_path):
    """What a crash leaves between putting aside and removing."""
    (tmp_path / f"{aside.LEAVING}00000000.a.b").write_bytes(b"data")
    return os.fsencode(f"{aside.LEAVING}00000000.a.b")


def held(tmp_path):
    return {path.name: path.read_bytes() for path in tmp_path.iterdir()}


def looked(tmp_path):
    return sources.look_wholly(str(tmp_path), Ignore(), lambda: None)


def test_a_writer_who_has_it_open_keeps_it(tmp_path, folder):
    """Somebody still writes to it: it has its name again, and the next look reads it anew."""
    (tmp_path / "a").write_bytes(b"data")
    with (tmp_path / "a").open("r+b") as writer:
        print_ = Fingerprint.of(os.lstat(tmp_path / "a"))
        assert not aside.remove(folder, b"a", print_)
        writer.write(b"DATA")
    assert {"a": b"DATA"} == held(tmp_path)


def test_a_name_too_long_to_put_aside_is_removed(tmp_path, folder):
    """255 bytes leave no room for a mark."""
    name = "n" * 255
    (tmp_path / name).write_bytes(b"data")
    assert aside.remove(folder, name.encode(), Fingerprint.of(os.lstat(tmp_path / name)))
    assert {} == held(tmp_path)


def test_a_crash_between_is_repaired_by_the_next_look(tmp_path):
    """What lies aside has its name again, and is seen under it."""
    left(tmp_path)
    found = looked(tmp_path)
    assert ([b"a.b"], []) == ([seen.path for seen in found.found], found.aside)
    assert {"a.b": b"data"} == held(tmp_path)


def test_a_name_taken_since_keeps_both(tmp_path, folder):
    """Another file came to the name meanwhile: neither is lost."""
    (tmp_path / "a.b").write_bytes(b"new")
    aside.give_back(folder, left(tmp_path))
    assert {"a.b": b"new", "a.b-1": b"data"} == held(tmp_path)


def test_what_is_gone_meanwhile_is_gone(tmp_path):
    """It was removed between the look and the giving back."""
    assert [] == sources.give_back(str(tmp_path), [b".watcher-leaving-00000000.a"])


def test_a_folder_that_may_not_be_written_to_is_told(tmp_path):
    """It counts as one that can't be looked at: a file may hide there."""
    left(tmp_path)
    with mode(tmp_path, 0o500):
        found = looked(tmp_path)
    assert ([(b"", errno.EACCES)], []) == (found.failed, found.found)
    looked(tmp_path)
    assert {"a.b": b"data"} == held(tmp_path)
