"""Folders of stores that stay open for a piece of work."""

import os

import pytest

from watcher.core.errors import OutsideError
from watcher.io import files, ways
from watcher.io.reaching import MARKER


@pytest.fixture
def store(tmp_path):
    """A store, and a file deep in it."""
    (tmp_path / MARKER).touch()
    (tmp_path / "A" / "B").mkdir(parents=True)
    (tmp_path / "A" / "B" / "file").write_text("ours")
    return tmp_path


def descriptors():
    return set(os.listdir("/proc/self/fd"))


def test_a_folder_is_reached_once(store):
    """Within the block what was reached is not reached anew; after it nothing stays open."""
    before = descriptors()
    with ways.open_ways():
        assert files.print_of(str(store / "A/B/file"))
        kept = ways.kept(str(store / "A/B"))
        assert kept is not None
        assert files.print_of(str(store / "A/B/file"))
        assert kept == ways.kept(str(store / "A/B"))
    assert before == descriptors()
    assert ways.kept(str(store / "A/B")) is None


def test_without_a_block_nothing_is_kept(store):
    """Whoever looks at one file keeps nothing open."""
    before = descriptors()
    assert files.print_of(str(store / "A/B/file"))
    assert before == descriptors()


def test_a_link_put_in_its_place_leads_nowhere(store, tmp_path_factory):
    """What was reached is read, also when a link has its name now; later blocks refuse the link."""
    other = tmp_path_factory.mktemp("other")
    (other / "file").write_text("theirs")
    with ways.open_ways():
        assert files.read(str(store / "A/B/file")) == b"ours"
        (store / "A/B").rename(store / "A/C")
        (store / "A/B").symlink_to(other)
        assert files.read(str(store / "A/B/file")) == b"ours"
    with ways.open_ways(), pytest.raises(OutsideError):
        files.read(str(store / "A/B/file"))


def test_what_is_removed_or_renamed_is_forgotten(store):
    """A new folder of an old name is another one, also one below a folder that was renamed."""
    with ways.open_ways():
        assert files.print_of(str(store / "A/B/file"))
        files.rename_store(str(store / "A"), str(store / "C"))
        assert files.print_of(str(store / "A/B/file")) is None
        assert files.print_of(str(store / "C/B/file"))
        files.remove(str(store / "C/B/file"))
        assert files.remove_empty(str(store / "C/B"))
        files.make_folder(str(store / "C/B"))
        (store / "C/B/file").touch()
        assert files.print_of(str(store / "C/B/file"))


def test_not_more_stay_open_than_the_limit(store):
    """A session of many scans keeps a bounded number of folders open."""
    folders = [store / f"F{number}" for number in range(2 * ways.MOST)]
    before = len(descriptors())
    with ways.open_ways():
        for folder in folders:
            folder.mkdir()
            (folder / "file").touch()
            assert files.print_of(str(folder / "file"))
            assert len(descriptors()) <= before + ways.MOST


def test_inner_blocks_share_the_outer(store):
    """The folders of an outer block are closed by it alone."""
    with ways.open_ways():
        with ways.open_ways():
            assert files.print_of(str(store / "A/B/file"))
        assert ways.kept(str(store / "A/B")) is not None
