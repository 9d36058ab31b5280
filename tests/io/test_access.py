"""What a user may do at a place, and how long a place is waited for."""

import os
import time

import pytest

from watcher.core.errors import StorageError
from watcher.io import access
from watcher.io.lease import FILE


def test_a_lock_is_tried_and_left_free(tmp_path):
    """On a file that is there; where none is, nothing is made and the fault is said."""
    path = tmp_path / FILE
    with pytest.raises(StorageError):
        access.locks_hold(str(path))
    assert [] == os.listdir(tmp_path)
    path.touch()
    assert access.locks_hold(str(path))
    assert access.locks_hold(str(path))


def test_what_does_not_answer_is_left(tmp_path):
    """A marker that blocks for ever, as a dead share's: no answer, and nobody waits."""
    here, none = str(tmp_path), str(tmp_path / "none")
    assert frozenset() == access.silent([here, none], "marker", patience=180.0)
    assert frozenset() == access.silent([], "marker", patience=0)
    os.mkfifo(tmp_path / "marker")
    assert here in access.silent([here, none], "marker", patience=0.5)


def test_any_number_of_places_is_waited_for_once(tmp_path):
    """All are asked at the same time, and those that answer beside the silent ones are not lost."""
    places = [tmp_path / str(number) for number in range(40)]
    for number, place in enumerate(places):
        place.mkdir()
        if number % 2:
            os.mkfifo(place / "marker")
    before = time.monotonic()
    found = access.silent([str(place) for place in places], "marker", patience=5.0)
    assert time.monotonic() - before < 20 * 5.0
    assert {str(place) for place in places[1::2]} == found


def test_folders_are_counted_up_to_a_bound(tmp_path):
    """Of a drop of any size no more than the kernel would watch are looked at."""
    for name in ("a", "b/c"):
        (tmp_path / name).mkdir(parents=True)
    assert 4 == access.folders(str(tmp_path), 100)
    assert 2 == access.folders(str(tmp_path), 2)


def test_a_group_lets_in_who_joins_it():
    """One that has the rights; never root's."""
    assert "senders" == access.Rights(False, "root", "senders", 0o2770).joining(7)
    assert "" == access.Rights(False, "root", "senders", 0o2750).joining(7)
    assert "" == access.Rights(False, "root", "root", 0o770).joining(7)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may do everything")
def test_the_first_closed_folder_is_named(tmp_path):
    """The one that has to be opened, not the one that is out of reach."""
    (tmp_path / "a" / "b" / "c").mkdir(parents=True)
    (tmp_path / "a").chmod(0)
    try:
        assert str(tmp_path / "a") == access.closed_way(str(tmp_path / "a" / "b" / "c"))
    finally:
        (tmp_path / "a").chmod(0o755)
    assert "" == access.closed_way(str(tmp_path / "a" / "b" / "c"))


def test_names_and_numbers_of_nobody():
    """A number that no name is for is shown as it is."""
    assert "4000000001" == access.user_name(4000000001) == access.group_name(4000000001)
    assert None is access.number_of("no such user")
    assert 0 == access.number_of("root")
    assert "root" == access.user_name(0) == access.group_name(0)
