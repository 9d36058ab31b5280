"""Which session takes a file, and whether it has it already (spec 6)."""

import pytest
from filed import header, session
from hypothesis import given
from hypothesis import strategies as st

from watcher.core import life
from watcher.core.file import Examined, Fingerprint
from watcher.core.find import Bound, Fate, Known, choose, fate, fitting, follow
from watcher.core.session import SessionKey, Status

OLD, MIDDLE, NEW = "20260619_091425121", "20260619_091425122", "20260619_091425123"
EXAMINED = Examined(Fingerprint(1, 2, 3, 4, 5), "d1", header(SOPInstanceUID="1.2"))


def test_receiving_first():
    """The RECEIVING session takes the file, whatever newer one might."""
    sessions = [session(id=OLD, status=Status.RECEIVING), session(id=NEW, status=Status.READY)]
    assert sessions[0] == choose(sessions)


def test_newest_that_may():
    """With none RECEIVING the newest that takes files does; one being archived never."""
    sessions = [
        session(id=OLD, status=Status.READY),
        session(id=MIDDLE, status=Status.CONFLICT),
        session(id=NEW, status=Status.ARCHIVING),
    ]
    assert sessions[1] == choose(sessions)


def test_newest_receiving():
    """Of two RECEIVING ones the newer takes it: split may leave two."""
    sessions = [session(id=each, status=Status.RECEIVING) for each in (NEW, OLD)]
    assert sessions[0] == choose(sessions)


def test_newest_is_told_by_the_clock():
    """A session whose id a layout gave (`{timestamp}`) is as old as it is."""
    sessions = [session(id="20010101_000000", opened=20.0), session(id=NEW, opened=10.0)]
    assert sessions[0] == choose(sessions)


@pytest.mark.parametrize("status", Status)
def test_takers(status):
    """RECEIVING, BUILDING, READY, CONFLICT and ERROR take files; the others leave it to a new one.

    (Spec 6, find or create.)
    """
    takes = status in {
        Status.RECEIVING,
        Status.BUILDING,
        Status.READY,
        Status.CONFLICT,
        Status.ERROR,
    }
    assert takes == (choose([session(status=status)]) is not None)


def test_none():
    """No session, nobody to take it."""
    assert choose([]) is None


@given(st.lists(st.tuples(st.sampled_from(Status), st.integers(0, 999)), unique_by=lambda p: p[1]))
def test_choice_law(rows):
    """The choice may take files; it is RECEIVING if any is; none of its kind is newer."""
    sessions = [session(id=f"20260619_091425{n:03d}", status=status) for status, n in rows]
    found = choose(sessions)
    taking = [each for each in sessions if each.status in life.TAKES_FILES]
    receiving = [each for each in taking if each.status is Status.RECEIVING]
    assert found == (sorted(receiving or taking, key=lambda each: each.id) or [None])[-1]


def test_fitting():
    """A study's own sessions, or those a layout names for any study: by id, or by their name."""
    own = session(id="20260619_091425001", study="1.2", origins={"timestamp": "monday"})
    other = session(id="20260619_091425002", study="3.4", origins={"timestamp": "tuesday"})
    plain = session(id="20260619_091425003", study="1.2", origins={})
    several = [own, other, plain]
    assert [own, plain] == fitting(several, "1.2", any_study=False)
    assert several == fitting(several, "1.2", any_study=True)
    assert [own] == fitting(several, "1.2", any_study=True, timestamp="monday")
    assert [other] == fitting(several, "1.2", any_study=True, timestamp="tuesday")
    assert [] == fitting(several, "1.2", any_study=False, timestamp="tuesday")
    assert [plain] == fitting(several, "9.9", any_study=True, timestamp=plain.id)


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ([], Fate.FILE),
        ([Known("d1", False)], Fate.DUPLICATE),
        ([Known("d1", True)], Fate.LATER),
        ([Known("d1", True), Known("d1", False)], Fate.DUPLICATE),
        ([Known("d2", False)], Fate.FILE),
        ([Known("d2", True), Known("d3", False)], Fate.FILE),
    ],
)
def test_fate(known, expected):
    """Only a durable twin of the same bytes makes a duplicate; one in hand makes it wait."""
    assert expected == fate(EXAMINED, known)


KEY = SessionKey("P1", "1.2", "A")


def test_follow_nothing():
    """Without a decision a key is itself."""
    assert (KEY, None) == follow(KEY, {})


def test_follow_chain():
    """Decisions chain: relabelled twice, a file follows both."""
    bindings = {
        KEY: Bound("P1", "B", "S1"),
        SessionKey("P1", "1.2", "B"): Bound("P2", "C", "S2"),
    }
    assert (SessionKey("P2", "1.2", "C"), Bound("P2", "C", "S2")) == follow(KEY, bindings)


def test_follow_other_study():
    """A decision binds its own study only."""
    bindings = {SessionKey("P1", "9.9", "A"): Bound("P2", "C", "S2")}
    assert (KEY, None) == follow(KEY, bindings)


def test_follow_circle():
    """Relabelled there and back ends where it began, and is a decision all the same."""
    back = Bound("P1", "A", "S1")
    bindings = {KEY: Bound("P1", "B", "S1"), SessionKey("P1", "1.2", "B"): back}
    assert (KEY, back) == follow(KEY, bindings)
