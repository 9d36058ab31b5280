"""No link below a store is followed, and nothing but a regular file is read."""

import os

import pytest

from watcher.core.errors import OutsideError, StorageError
from watcher.io import files, journal, service
from watcher.io.reaching import MARKER

WAYS = {
    "read": files.read,
    "digest": files.digest,
    "print": files.print_of,
    "readable": lambda path: files.is_readable(path, 5),
    "remove": files.remove,
    "swap": lambda path: files.swap(path, b"mine"),
    "append": lambda path: journal.append_line(path, "mine"),
    "out": lambda path: files.transfer(path, f"{os.path.dirname(path)}/../../../own"),
    "place": lambda path: files.place(path, f"{path}.too"),
    "walk": lambda path: list(files.walk(os.path.dirname(path))),
    "names": lambda path: files.names_in(os.path.dirname(path)),
    "make": lambda path: files.make_folder(f"{os.path.dirname(path)}/new"),
    "empty": lambda path: files.remove_empty(f"{os.path.dirname(path)}/bare"),
    "prune": lambda path: files.remove_empty_below(os.path.dirname(path)),
}


@pytest.fixture
def store(tmp_path):
    """A store whose session has a link for a folder; the place it leads to."""
    (tmp_path / "outside" / "bare").mkdir(parents=True)
    (tmp_path / "outside" / "a").write_bytes(b"bytes")
    (tmp_path / "store" / "P1" / "SCANS").mkdir(parents=True)
    (tmp_path / "store" / MARKER).write_bytes(b"id")
    (tmp_path / "store" / "P1" / "SCANS" / "1").symlink_to(tmp_path / "outside")
    return tmp_path / "store"


@pytest.mark.parametrize("how", WAYS)
def test_nothing_behind_a_linked_folder_is_touched(store, how):
    """Neither read, nor written, nor removed, though the folder behind it pretends to be one."""
    outside = store.parent / "outside"
    (outside / MARKER).write_bytes(b"id")
    before = sorted((str(p), p.is_file() and p.read_bytes()) for p in outside.rglob("*"))
    with pytest.raises(OutsideError, match="a link"):
        WAYS[how](f"{store}/P1/SCANS/1/a")
    assert before == sorted((str(p), p.is_file() and p.read_bytes()) for p in outside.rglob("*"))


def test_a_path_that_leaves_its_store_is_none(store):
    """`..` below a store leads outside."""
    with pytest.raises(OutsideError):
        files.read(f"{store}/P1/../../outside/a")


def test_folders_above_a_store_are_the_administrators(store):
    """A store reached through a link is as good as another."""
    (store.parent / "alias").symlink_to(store)
    files.swap(f"{store.parent}/alias/P1/a", b"mine")
    assert b"mine" == files.read(f"{store}/P1/a")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("make", [os.mkfifo, lambda path: os.symlink("/dev/null", path)])
def test_what_is_no_file_is_not_read(tmp_path, make):
    """A FIFO does not block, and a device has no bytes for us: it is said, and for good."""
    make(tmp_path / "a")
    for reading in (files.read, files.read_if_there, files.digest):
        with pytest.raises(OutsideError, match="a FIFO") as found:
            reading(str(tmp_path / "a"))
        assert found.value.permanent


def test_nothing_is_made_where_no_store_is(tmp_path):
    """Without a marker above it a folder or record would lie beneath a mount: StorageError."""
    for make in (files.make_folder, lambda path: journal.append_line(path, "line")):
        with pytest.raises(StorageError, match="the store is not there"):
            make(str(tmp_path / "new"))
    assert [] == os.listdir(tmp_path)
    (tmp_path / MARKER).touch()
    files.make_folder(str(tmp_path / "new" / "deep"))
    assert os.path.isdir(tmp_path / "new" / "deep")


def test_each_look_is_a_sign_of_life(tmp_path):
    """Who opens twenty thousand files of a session one by one is not taken for hung."""
    signs = []
    token = service._alive.set(lambda: signs.append(1))
    try:
        for number in range(9):
            path = str(tmp_path / f"{number}")
            files.swap(path, b"x")
            signs.clear()
            for act in (files.print_of, files.read, files.digest, files.remove):
                before = len(signs)
                act(path)
                assert len(signs) > before
    finally:
        service._alive.reset(token)
