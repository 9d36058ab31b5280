"""A file that was written all over has no holes; one that was laid out in advance has."""

import os
import tempfile

import pytest

from watcher.io.holes import is_hollow

SIZE = 300_000


@pytest.fixture
def file(tmp_path):
    made = os.open(tmp_path / "a", os.O_RDWR | os.O_CREAT)
    yield made
    os.close(made)


def written(file, at, count):
    os.pwrite(file, b"x" * count, at)


def test_written_all_over(file):
    """Bytes on disk or on their way there, zeros too, are no hole; nor is an empty file."""
    assert not is_hollow(file)
    written(file, 0, SIZE)
    assert not is_hollow(file)
    os.pwrite(file, bytes(SIZE), 0)
    os.fsync(file)
    assert not is_hollow(file)


@pytest.mark.parametrize(("at", "count"), [(0, 100_000), (200_704, SIZE - 200_704), (0, 0)])
def test_size_first(file, at, count):
    """A file given its size and filled from the front, the back or not at all has a hole."""
    os.ftruncate(file, SIZE)
    written(file, at, count)
    assert is_hollow(file)
    written(file, 0, SIZE)
    assert not is_hollow(file)


@pytest.mark.parametrize("synced", [True, False])
def test_reserved_first(file, synced):
    """Reserved space that was never written is a hole, also after somebody has read it."""
    os.posix_fallocate(file, 0, SIZE)
    written(file, 0, 200_000)
    assert SIZE == len(os.pread(file, SIZE, 0))
    assert is_hollow(file)
    written(file, 0, SIZE)
    if synced:
        os.fsync(file)
    assert not is_hollow(file)


def test_many_pieces(file, tmp_path):
    """However many pieces on disk come before it, the hole at the end is seen."""
    with (tmp_path / "other").open("wb", buffering=0) as other:
        for page in range(200):  # each next to the other file's, so that none is next to the last
            os.posix_fallocate(file, page * 4096, 4096)
            written(file, page * 4096, 4096)
            os.posix_fallocate(other.fileno(), page * 4096, 4096)
        os.fsync(file)
        assert not is_hollow(file)
        os.posix_fallocate(file, 200 * 4096, 4096)
        os.pread(file, 4096, 200 * 4096)
        assert is_hollow(file)


def test_space_behind_the_end(file):
    """Space reserved behind the end of the file is no hole in it."""
    written(file, 0, 8192)
    os.posix_fallocate(file, 0, 8192)
    os.fsync(file)
    assert not is_hollow(file)


def test_a_file_system_that_knows_no_extents():
    """In memory only holes are known."""
    if not os.path.isdir("/dev/shm"):
        pytest.skip("no file system in memory")
    with tempfile.TemporaryFile(dir="/dev/shm", buffering=0) as made:
        made.write(b"x" * 100)
        assert not is_hollow(made.fileno())


def test_no_answer():
    """Where nothing is known of holes, there are none; other errors pass."""
    ours, theirs = os.pipe()
    os.close(theirs)
    with pytest.raises(OSError, match="seek"):
        is_hollow(ours)
    os.close(ours)
    with pytest.raises(OSError, match="descriptor"):
        is_hollow(ours)
