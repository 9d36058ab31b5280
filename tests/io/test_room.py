"""How much room is left."""

import os

import pytest

from watcher.core.errors import MissingPlaceError, StorageError
from watcher.io.room import Space, free


def test_free_space_is_what_a_user_may_use(tmp_path):
    """In bytes and inodes; the blocks kept for root don't count."""
    status = os.statvfs(tmp_path)
    space = free(str(tmp_path))
    assert space.bytes_total == status.f_blocks * status.f_frsize
    assert 0 <= space.bytes_free <= space.bytes_total
    assert space == Space(space.bytes_free, space.bytes_total, space.inodes_free, status.f_files)


def test_free_space_of_nothing(tmp_path):
    """A place that is not there is missing, one that can't be asked is a fault with its errno."""
    with pytest.raises(MissingPlaceError):
        free(str(tmp_path / "none"))
    with pytest.raises(StorageError):
        free(str(tmp_path / ("x" * 300)))
