"""More conditions in a minute than anybody reads."""

import pytest

from watcher.core.flood import MOST, SPAN, Flood, crowd_key, is_crowd, of_crowd

STUCK = "file.stuck"


def taken(flood, count, now, event=STUCK, drop="mri"):
    return [flood.takes(event, {"drop": drop}, now) for _ in range(count)]


def test_a_hundred_in_a_minute_are_said():
    """Those above go into the crowd of their event and drop."""
    flood = Flood()
    assert [""] * MOST + ["crowd/mri/file.stuck"] * 2 == taken(flood, MOST + 2, 0.0)
    assert [""] == taken(flood, 1, 0.0, drop="ct")
    assert [""] == taken(flood, 1, 0.0, event="drop.readonly")


def test_the_next_minute_begins_anew():
    """A minute lasts from its first condition; a clock that is put back ends it too."""
    flood = Flood()
    taken(flood, MOST + 1, 1000.0)
    assert not flood.is_over("crowd/mri/file.stuck", 1000.0 + SPAN - 1)
    assert flood.is_over("crowd/mri/file.stuck", 1000.0 + SPAN)
    assert [""] * MOST == taken(flood, MOST, 1000.0 + SPAN)
    assert flood.is_over("crowd/mri/file.stuck", 999.0)
    assert [""] == taken(flood, 1, 999.0)


def test_a_crowd_of_another_run_is_over():
    """What a restart finds is said at once: its minute was another run's."""
    assert Flood().is_over("crowd/mri/file.stuck", 0.0)


@pytest.mark.parametrize("fields", [{}, {"drop": None}])
def test_what_is_of_no_drop_is_never_many(fields):
    """Sessions and stores are said one by one."""
    flood = Flood()
    assert [""] * 200 == [flood.takes(STUCK, fields, 0.0) for _ in range(200)]


def test_what_has_no_count_is_never_many():
    """A drop is missing once."""
    assert [""] * 200 == taken(Flood(), 200, 0.0, event="drop.unavailable")


def test_a_key_tells_drop_and_event():
    """Names of drops may have slashes."""
    key = crowd_key(STUCK, "a/b")
    assert is_crowd(key)
    assert ("a/b", STUCK) == of_crowd(key)
    assert not is_crowd("file/mri/1")
