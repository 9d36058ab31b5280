"""What a placing leaves that a crash cut off, on a file system without links."""

import os

import pytest
from mortal import mode

from watcher.core.errors import ClashError, StorageError
from watcher.io import files, halves


@pytest.fixture
def half(tmp_path):
    """A name that is reserved, beside the whole file that was to take it."""
    path = str(tmp_path / "a")
    (tmp_path / ".a.new").write_bytes(b"whole")
    (tmp_path / "a").touch()
    return path


def test_a_reserved_name_is_none(half):
    """Whoever asks whether the file is there is told no, and the name is free again."""
    assert halves.placed(half) is None
    assert [".a.new"] == os.listdir(os.path.dirname(half))
    assert halves.placed(half) is None


def test_the_repeated_step_takes_it(half, tmp_path):
    """Carried on after the crash: the file has its name, and nothing else is left."""
    (tmp_path / "source").write_bytes(b"whole")
    files.transfer(str(tmp_path / "source"), half)
    assert b"whole" == files.read(half)


@pytest.mark.parametrize("why", ["no temporary", "an empty one", "older", "not empty", "a link"])
def test_what_is_somebody_s_stays(half, why):
    """Without a whole temporary that is older, or with a byte in it, the file is not ours."""
    temp = halves.temporary(half)
    if why == "no temporary":
        os.remove(temp)
    elif why == "an empty one":
        os.truncate(temp, 0)
    elif why == "older":
        while os.stat(temp).st_ctime_ns <= os.stat(half).st_ctime_ns:
            os.chmod(temp, 0o600)
    elif why == "not empty":
        os.truncate(half, 1)
    else:
        os.remove(half)
        os.symlink("nowhere", half)
    assert not halves.clear_half(half, temp)
    assert os.path.lexists(half)
    with pytest.raises(ClashError):
        files.transfer(__file__, half)
    assert os.path.lexists(half)


def test_a_folder_that_is_read_only(half):
    """What can't be removed now is a fault, no answer."""
    with mode(os.path.dirname(half), 0o555), pytest.raises(StorageError):
        halves.placed(half)


def test_a_whole_file_is_what_it_is(tmp_path):
    """The usual case: its fingerprint."""
    (tmp_path / "b").write_bytes(b"data")
    assert files.print_of(str(tmp_path / "b")) == halves.placed(str(tmp_path / "b"))
