"""The table of moves is the specification's picture, and nothing else; idleness is earned."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.core import life
from watcher.core.errors import RefusedError
from watcher.core.life import Event
from watcher.core.session import Session, Status

PICTURE = """
RECEIVING file RECEIVING
RECEIVING idle BUILDING
RECEIVING rebuild BUILDING
RECEIVING archive ARCHIVING
RECEIVING move MOVING
RECEIVING delete DELETING
BUILDING file RECEIVING
BUILDING built READY
BUILDING conflicted CONFLICT
BUILDING failed ERROR
BUILDING cut-off-build RECEIVING
READY file RECEIVING
READY rebuild BUILDING
READY archive ARCHIVING
READY move MOVING
READY delete DELETING
CONFLICT file RECEIVING
CONFLICT rebuild BUILDING
CONFLICT archive ARCHIVING
CONFLICT move MOVING
CONFLICT delete DELETING
ERROR file RECEIVING
ERROR rebuild BUILDING
ERROR archive ARCHIVING
ERROR move MOVING
ERROR delete DELETING
ARCHIVING archived ARCHIVED
ARCHIVING conflicted CONFLICT
ARCHIVING failed ERROR
ARCHIVING cut-off-archive READY
MOVING moved BUILDING
DELETING deleted DELETED
"""
MOVES = {
    (Status(a), Event(e)): Status(b)
    for a, e, b in (row.split() for row in PICTURE.split("\n")[1:-1])
}


@pytest.mark.parametrize("event", Event)
@pytest.mark.parametrize("status", Status)
def test_table(status, event):
    """Every move of the picture is made; every other is refused and says so."""
    expected = MOVES.get((status, event))
    assert (expected is not None) == life.may(status, event)
    if expected is not None:
        assert expected == life.move(status, event)
        return
    with pytest.raises(RefusedError, match=f"{status} does not take `{event}`"):
        life.move(status, event)


def test_ends_are_ends():
    """Nothing leaves ARCHIVED or DELETED; every other status can be left."""
    left = {status for status, _ in life.MOVES}
    assert {Status.ARCHIVED, Status.DELETED} == set(Status) - left


def test_who_takes_files():
    """A session somebody works on, other than by building, takes no file."""
    expected = {
        Status.RECEIVING,
        Status.BUILDING,
        Status.READY,
        Status.CONFLICT,
        Status.ERROR,
    }
    assert expected == life.TAKES_FILES
    assert {Status.RECEIVING} == life.RENEWED


SESSION = Session(
    id="20260619_091425123",
    project="PROJ1",
    subject="s",
    label="l",
    study="1.2",
    status=Status.RECEIVING,
    opened=1000.0,
    receiving_since=1000.0,
    last_arrival=1100.0,
    inactivity=300.0,
    drops=("mri", "ct"),
)


def idle(now, session=SESSION, **changes):
    facts = {
        "looked": {"mri": 1100.0, "ct": 1390.0},
        "available": {"mri": True, "ct": True},
        "holding": False,
        "max_open": 10_000.0,
    }
    return life.idle(session, now=now, **(facts | changes))


def test_idle_after_inactivity():
    """Idle exactly when `inactivity` has passed since the last filed file."""
    assert life.Idle(False, "files came within inactivity", 1400.0) == idle(1399.9)
    assert idle(1400.0).ready


def test_idle_wants_a_look_since_the_last_file():
    """A look at a feeding drop that began before the last file proves nothing."""
    found = idle(1400.0, looked={"mri": 1099.9, "ct": 1390.0})
    expected = life.Idle(False, "drop mri was not looked at since the last file", 11_000.0)
    assert expected == found


def test_idle_wants_nothing_pending():
    """A pending file beside those it took holds the session."""
    assert ((found := idle(1400.0, holding=True)).ready, found.at) == (False, 11_000.0)


@pytest.mark.parametrize("looked", [{"mri": None, "ct": 1390.0}, {"ct": 1390.0}])
def test_nothing_fires_before_the_first_look(looked):
    """After a restart not even max_open builds before a drop that is there was looked at."""
    expected = life.Idle(False, "drop mri was not looked at since the start")
    assert expected == idle(99_999.0, looked=looked)


def test_an_unavailable_drop_holds_until_max_open():
    """A drop that is away holds its sessions, but no longer than max_open."""
    away = {"available": {"mri": False, "ct": True}, "looked": {"mri": None, "ct": 1390.0}}
    assert life.Idle(False, "drop mri is unavailable", 11_000.0) == idle(10_999.9, **away)
    assert idle(11_000.0, **away).ready


def test_max_open_ends_all_waiting():
    """Files that keep coming, or stay pending, do not hold a session longer than max_open."""
    busy = replace(SESSION, last_arrival=10_990.0)
    assert ((found := idle(10_999.0, busy)).ready, found.at) == (False, 11_000.0)
    assert idle(11_000.0, busy, holding=True).ready


def test_a_drop_no_longer_configured_holds_nothing():
    """Nothing is expected of a drop that is in the configuration no more."""
    assert idle(1400.0, available={"ct": True}, looked={"ct": 1390.0}).ready


@given(
    now=st.floats(0, 20_000),
    looked=st.dictionaries(st.sampled_from(["mri", "ct"]), st.none() | st.floats(0, 20_000)),
    available=st.fixed_dictionaries({"mri": st.booleans(), "ct": st.booleans()}),
    holding=st.booleans(),
)
def test_idle_is_earned(now, looked, available, holding):
    """Ready before max_open means: quiet, nothing pending, every drop there and looked at since."""
    found = idle(now, looked=looked, available=available, holding=holding)
    if not found.ready:
        assert found.at is None or found.at > now
    elif now < 11_000.0:
        assert now >= 1400.0
        assert not holding
        assert all(available.values())
        assert all((looked.get(drop) or 0) >= 1100.0 for drop in available)
