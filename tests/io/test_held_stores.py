"""Stores that two installations want: one has them, and keeps them when their markers change."""

import os

import pytest

from watcher.core.errors import AlreadyRunningError, MissingPlaceError
from watcher.core.policy import Stores
from watcher.io.lease import is_locked, lock_store
from watcher.io.stores import KINDS, MAKING, Storage


def storage(root, **others):
    """The stores of an installation below a folder, but for those given."""
    return Storage(Stores(root=str(root), **{k: others.get(k, str(root / k)) for k in KINDS}), ())


@pytest.fixture
def one(tmp_path):
    made = storage(tmp_path / "one")
    made.prepare()
    return made


def test_a_store_taken_during_a_first_start(tmp_path, one):
    """Another took a store at the same moment: refused, and all that was made is taken back."""
    two = storage(tmp_path / "two", history=one.path("history"))
    two.id = "f" * 32
    with pytest.raises(AlreadyRunningError, match="has just taken"):
        two._make_all(os.path.join(two.path("state"), MAKING))
    assert {True} == {one.is_there(kind) for kind in KINDS}
    assert [] == [name for _, _, names in os.walk(tmp_path / "two") for name in names]
    two.prepare()
    assert (one.id, True) == (two.id, two.is_there("history"))


def test_two_first_starts_of_one_installation(tmp_path):
    """Both write the id that one of them chose: neither takes the other's markers away."""
    first, second = storage(tmp_path), storage(tmp_path)
    first.id, second.id = "a" * 32, "b" * 32
    making = os.path.join(first.path("state"), MAKING)
    os.makedirs(first.path("state"))
    assert first.id == first._claim(making)
    second._make_all(making)
    before = [os.stat(second.marker(kind)).st_ino for kind in KINDS]
    first._make_all(making)
    assert ("a" * 32, "a" * 32) == (first.id, second.id)
    assert before == [os.stat(second.marker(kind)).st_ino for kind in KINDS]
    assert not os.path.exists(making)


def test_an_empty_marker_is_nobodys(tmp_path):
    """A first start that finds an empty marker, as a disk that was full leaves, writes its own."""
    new = storage(tmp_path)
    os.makedirs(new.path("archive"))
    open(new.marker("archive"), "w").close()
    new.prepare()
    assert {True} == {new.is_there(kind) for kind in KINDS}


def test_a_marker_made_anew_is_held(one):
    """While a daemon holds the stores, a marker that is another file is held as soon as seen."""
    marker = one.marker("archive")
    with one.locked():
        renew(marker)
        assert not is_locked(marker)
        assert (True, True) == (one.is_there("archive"), is_locked(marker))
    assert not is_locked(marker)


def test_a_store_that_came_back_held_by_another_is_missing(one):
    """It is not worked on until the other lets go; then it is there again, and held."""
    marker = one.marker("archive")
    with one.locked():
        renew(marker)
        other = lock_store(marker)
        with pytest.raises(MissingPlaceError):
            one.require("archive")
        os.close(other)
        assert (one.path("archive"), True) == (one.require("archive"), is_locked(marker))


def renew(marker):
    with open(marker, "rb") as file:
        data = file.read()
    with open(f"{marker}.new", "wb") as file:
        file.write(data)
    os.rename(f"{marker}.new", marker)
