"""Which files make a unit, and when it is complete: neither too early nor never (spec 7)."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.core.file import Fingerprint, Refusal, RefusalCode
from watcher.core.gathering import Gathering, spoken_of, unit_of
from watcher.core.settle import Quiet, Settler

REST = 10.0


def print_of(version):
    return Fingerprint(1, 2, version, 3, 4)


ONE, TWO = print_of(1), print_of(2)


class Drop:
    """A settler and what gathers its files; a file settles within two seconds."""

    def __init__(self, rest=REST):
        self.units = Gathering(rest=rest)
        self.files = Settler(quick=1.0, quiet=2.0, looks=2, stuck_after=900.0, told=self.units)

    def see(self, *paths, at, seen=ONE):
        for path in paths:
            self.files.see(path, seen, at)
        self.units.complete(at)  # as after each look

    def settled(self, *paths, at=0.0, seen=ONE):
        """Files that came at `at` and were the same in looks up to two seconds later."""
        for moment in (at, at + 1.0, at + 2.0):
            self.see(*paths, at=moment, seen=seen)

    def taken(self, *paths):
        assert all(self.files.take(path) for path in paths)


@pytest.mark.parametrize(
    ("path", "unit", "speaks_of"),
    [
        (b"visit/a/1", b"visit", b""),
        (b"one.dcm", b"one.dcm", b""),
        (b"visit.complete", b"visit.complete", b"visit"),
        (b"visit/a.complete", b"visit", b""),
        (b".complete", b".complete", b""),
    ],
)
def test_the_name_at_the_top_is_the_unit(path, unit, speaks_of):
    """A unit is a top-level directory or a loose file; `NAME.complete` beside it is a word."""
    assert (unit_of(path), spoken_of(path)) == (unit, speaks_of)


def test_a_unit_rests_before_it_is_complete():
    """Nothing in or below it has changed for `rest`: then, and not before."""
    drop = Drop()
    drop.settled(b"v/a", b"v/s/b")
    assert drop.units.complete(REST - 0.01) is None
    assert drop.units.next_due(REST - 0.01) == REST
    assert drop.units.complete(REST) == b"v"
    assert drop.units.next_due(REST) == REST
    assert drop.units.count(b"v") == 2


@pytest.mark.parametrize("change", ["comes", "changes", "goes", "is renamed", "ignored"])
def test_every_change_restarts_the_rest(change):
    """A file that comes, changes, goes or is renamed, or one that arrives under an ignored name."""
    drop = Drop()
    drop.settled(b"v/a", b"v/b")
    if change == "comes":
        drop.settled(b"v/c", at=7.0)
    elif change == "changes":
        drop.settled(b"v/a", at=7.0, seen=TWO)
    elif change == "goes":
        drop.files.gone(b"v/b")
    elif change == "is renamed":
        drop.files.gone(b"v/b")
        drop.settled(b"v/c", at=7.0)
    else:
        drop.units.mind(b"v/c.part", ONE)
    assert drop.units.complete(7.0) is None
    assert drop.units.complete(7.0 + REST - 0.01) is None
    assert drop.units.complete(7.0 + REST) == b"v"


def test_what_is_seen_again_as_it_was_is_no_change():
    """Looks that agree, of files and of ignored names, restart nothing."""
    drop = Drop()
    drop.settled(b"v/a")
    drop.units.mind(b"v/x.part", ONE)
    assert drop.units.complete(2.0) is None
    for at in range(3, 12):
        drop.see(b"v/a", at=float(at))
        drop.units.mind(b"v/x.part", ONE)
        drop.units.mind_only({b"v/x.part"})
    assert drop.units.complete(12.0) == b"v"


def test_an_ignored_name_that_goes_is_a_change():
    """A transfer that ends by a rename out of its own name, or is given up, was under way."""
    drop = Drop()
    drop.settled(b"v/a", b"w/a")
    for path in (b"v/x.part", b"w/x.part"):
        drop.units.mind(path, ONE)
    drop.units.complete(2.0)
    drop.units.mind_only((), below=b"v")
    assert drop.units.complete(11.0) is None
    drop.units.mind_only({b"w/x.part"})
    assert [drop.units.is_complete(name, 12.0) for name in (b"v", b"w")] == [False, True]
    assert drop.units.is_complete(b"v", 21.0)


def test_a_file_beside_units_changes_none():
    """Ignored names at the top of the drop are in no unit."""
    drop = Drop(rest=0.0)
    drop.settled(b"v")
    drop.units.mind(b"v.part", ONE)
    assert drop.units.complete(2.0) == b"v"


def test_units_do_not_wait_for_one_another():
    """Each has its own rest; the one that was complete first comes first, until it changes."""
    drop = Drop()
    drop.settled(b"old/a", at=0.0)
    drop.settled(b"new/a", at=5.0)
    assert drop.units.complete(18.0) == b"old"
    drop.see(b"old/a", at=18.0, seen=TWO)
    assert drop.units.complete(18.0) == b"new"


@pytest.mark.parametrize("where", ["inside", "beside"])
def test_a_word_of_its_sender_makes_it_complete_at_once(where):
    """`.complete` in its directory or `NAME.complete` beside it: its files need only settle."""
    drop = Drop()
    drop.see(b"v/a", at=0.0)
    if where == "inside":
        drop.units.sign(b"v", given=True)
        drop.units.sign(b"v", given=True)
    else:
        drop.see(b"v.complete", at=0.0)
    assert drop.units.complete(0.5) is None
    drop.see(b"v/a", at=1.0)
    assert drop.units.complete(1.0) == b"v"
    if where == "inside":
        drop.units.sign(b"v", given=False)
    else:
        drop.files.gone(b"v.complete")
    assert drop.units.complete(1.0) is None
    assert drop.units.complete(REST + 1.0) == b"v"


def test_a_word_is_no_member():
    """`NAME.complete` is counted in no unit, and is one's change of nothing."""
    drop = Drop()
    drop.settled(b"v/a")
    drop.units.complete(2.0)
    drop.settled(b"v.complete", at=3.0)
    drop.files.gone(b"v.complete")
    assert drop.units.count(b"v") == 1
    assert drop.units.count(b"v.complete") == 0
    assert drop.units.complete(12.0) == b"v"


def test_a_word_for_nothing_is_lonely():
    """A settled `NAME.complete` without NAME is told, once NAME is there no more or not yet."""
    drop = Drop()
    drop.see(b"v.complete", at=0.0)
    assert drop.units.lonely(0.0) == []
    drop.settled(b"v.complete")
    assert drop.units.lonely(2.0) == [b"v.complete"]
    drop.see(b"v/a", at=3.0)
    assert drop.units.lonely(3.0) == []
    drop.files.gone(b"v/a")
    assert drop.units.lonely(3.0) == [b"v.complete"]
    drop.files.hold(b"v.complete", ONE, "unit", "")
    assert drop.units.lonely(3.0) == []


@pytest.mark.parametrize(
    ("path", "at_once"),
    [(b"v.zip", True), (b"V.TGZ", True), (b"v.zip/a", False), (b"v.dcm", False)],
)
def test_an_archive_file_is_complete_once_it_is_whole(path, at_once):
    """It settles as any file and waits for nothing else; a directory of that name rests."""
    drop = Drop()
    drop.settled(path)
    assert (drop.units.complete(2.0) is not None) is at_once
    assert drop.units.complete(2.0 + REST) == unit_of(path)


def test_a_file_that_is_held_or_in_hand_holds_its_unit():
    """A torn member lets all of it wait, without a look at it; another unit does not."""
    drop = Drop()
    drop.settled(b"v/a", b"v/b", b"w/a")
    assert drop.units.units() == 2
    drop.taken(b"v/a")
    assert drop.units.complete(math.inf) == b"w"
    assert not drop.units.is_complete(b"v", math.inf)
    drop.files.hold(b"v/a", ONE, "torn", "It stops early.")
    assert not drop.units.is_complete(b"v", math.inf)
    drop.files.gone(b"w/a")
    assert not drop.units.hopeful()
    assert (drop.units.complete(math.inf), drop.units.next_due(9.0)) == (None, None)
    drop.settled(b"v/a", at=20.0, seen=TWO)
    assert drop.units.hopeful()
    assert drop.units.is_complete(b"v", drop.units.next_due(22.0))


def test_what_wants_more_quiet_is_waited_for():
    """A file that can't be leased makes its unit wait for the full quiet, then it is complete."""
    drop = Drop(rest=1.0)
    drop.see(b"v/a", at=0.0)
    drop.see(b"v/a", at=1.0)
    assert drop.units.complete(2.0) == b"v"
    drop.taken(b"v/a")
    drop.files.unproven(b"v/a", ONE, Refusal(RefusalCode.UNLEASED, "No lease."))
    assert drop.units.complete(2.0) is None
    drop.see(b"v/a", at=2.0)
    assert drop.units.complete(2.0) == b"v"
    shown, quiet = drop.files.pending(b"v/a")
    assert (shown.path, quiet) == (b"v/a", Quiet.FULL)
    assert drop.files.pending(b"v/none") is None


def test_a_unit_that_was_tried_pauses_until_it_changes():
    """Pauses double up to a bound; a change ends them, and counts them anew."""
    drop = Drop(rest=0.0)
    drop.settled(b"v/a")
    assert drop.units.complete(2.0) == b"v"
    now = 2.0
    for pause in (1.0, 2.0, 4.0, 5.0, 5.0):
        drop.units.put_off(b"v", now, 1.0, 5.0)
        assert drop.units.complete(now + pause - 0.01) is None
        now += pause
        assert drop.units.complete(now) == b"v"
    drop.units.put_off(b"v", now, 1.0, 5.0)
    drop.settled(b"v/a", at=now, seen=TWO)
    assert drop.units.complete(now + 2.0) == b"v"
    drop.units.put_off(b"v", now, 1.0, 5.0)
    assert drop.units.next_due(now) == now + 1.0
    drop.units.put_off(b"none", now, 1.0, 5.0)


def test_a_unit_that_is_done_is_forgotten():
    """When its last file is filed nothing of it is left; what comes then is a new unit."""
    drop = Drop()
    drop.settled(b"v/a")
    assert drop.units.complete(20.0) == b"v"
    drop.taken(b"v/a")
    drop.see(b"v/b", at=21.0)
    drop.files.gone(b"v/a")
    assert drop.units.complete(21.0) is None
    assert drop.units.count(b"v") == 1
    drop.settled(b"v/b", at=22.0)
    assert drop.units.complete(21.0 + REST) == b"v"
    drop.files.gone(b"v/b")
    assert drop.units.complete(99.0) is None
    assert not drop.units.hopeful()
    assert drop.units._units == {}


PATHS = st.sampled_from([b"v/a", b"v/b", b"v/s/c", b"w/a", b"x", b"y.zip", b"v.complete"])
STEP = st.one_of(
    st.tuples(st.just("see"), PATHS, st.integers(1, 2)),
    st.tuples(st.just("gone"), PATHS, st.none()),
    st.tuples(st.just("take"), PATHS, st.none()),
    st.tuples(st.just("hold"), PATHS, st.none()),
    st.tuples(st.just("busy"), PATHS, st.none()),
    st.tuples(st.just("look"), st.none(), st.none()),
)


@given(steps=st.lists(st.tuples(STEP, st.floats(0.0, 4.0)), max_size=40))
def test_counting_agrees_with_the_files(steps):
    """Whatever happens: a complete unit has only ripe files, unchanged for `rest`; all are counted.

    Against the same told from the files themselves, each time anew.
    """
    drop, now, changed = Drop(), 0.0, {}
    for (act, path, version), passes in steps:
        now += passes
        act_on(drop, act, path, version, now, changed)
        found = drop.units.complete(now)
        for name in (b"v", b"w", b"x", b"y.zip"):
            here = [each.path for each in drop.files.waiting() if unit_of(each.path) == name]
            assert drop.units.count(name) == len(here)
            ripe = {each for each, _, _ in drop.files.ripe(now)}
            at_once = name == b"y.zip" or drop.files.pending(name + b".complete") is not None
            rested = at_once or now >= changed.get(name, math.inf) + REST
            whole = bool(here) and ripe.issuperset(here) and rested
            assert drop.units.is_complete(name, now) is whole
        assert found is None or drop.units.is_complete(found, now)


def act_on(drop, act, path, version, now, changed):
    """One step, and when the unit was changed by it."""
    before = drop.files.pending(path) if path else None
    if act == "see":
        drop.files.see(path, print_of(version), now)
        if before is None or before[0].print != print_of(version):
            changed[unit_of(path)] = now
    elif act == "gone":
        drop.files.gone(path)
        if before is not None:
            changed[unit_of(path)] = now
    elif act == "take":
        drop.files.take(path)
    elif act == "hold" and before is not None:
        drop.files.hold(path, before[0].print, "torn", "")
    elif act == "busy":
        drop.files.busy(path, now)
    elif act == "look":
        for each in drop.files.to_look(now):
            drop.files.see(each, drop.files.pending(each)[0].print, now)
