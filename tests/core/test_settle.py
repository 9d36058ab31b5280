"""A file is ripe when it has been the same for as long as it must, and never before."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.core.alarms import Alarms
from watcher.core.file import Fingerprint, Refusal, RefusalCode
from watcher.core.settle import Quiet, Settler

PATH = b"mri/a.dcm"


def print_of(version):
    return Fingerprint(1, 2, version, 3, 4)


ONE, TWO = print_of(1), print_of(2)
NO_LEASE = Refusal(RefusalCode.UNLEASED, "No lease.")
HOLLOW = Refusal(RefusalCode.HOLLOW, "It has holes.")


def settler(*, quick=1.0, quiet=5.0, looks=2, stuck_after=900.0):
    return Settler(quick=quick, quiet=quiet, looks=looks, stuck_after=stuck_after)


def seen(*looks, path=PATH, **settings):
    made = settler(**settings)
    for now, fingerprint in looks:
        made.see(path, fingerprint, now)
    return made


def ripe_paths(made, now):
    return [path for path, _, _ in made.ripe(now)]


def paths(made):
    return [each.path for each in made.waiting()]


def taken(**settings):
    """A settler whose one file, first seen at 0, is in hand at 1."""
    made = seen((0.0, ONE), (1.0, ONE), **settings)
    assert made.take(PATH)
    return made


def test_two_equal_looks_quick_apart():
    """Two equal looks `quick` apart make a file ripe, by lease; one or a hurried one does not."""
    made = seen((0.0, ONE), (0.9, ONE))
    assert ripe_paths(made, 0.9) == []
    assert made.next_due() == 1.0
    made.see(PATH, ONE, 1.0)
    assert made.ripe(1.0) == [(PATH, ONE, Quiet.QUICK)]
    assert made.next_due() == 1.0


def test_full_quiet_needs_a_look_at_its_end():
    """The full quiet is spanned by looks, not by time passing."""
    made = seen((0.0, ONE), (1.0, ONE))
    assert made.ripe(60.0) == [(PATH, ONE, Quiet.QUICK)]
    made.see(PATH, ONE, 5.0)
    assert made.ripe(60.0) == [(PATH, ONE, Quiet.FULL)]
    made.see(PATH, ONE, 60.0)
    assert made.ripe(60.0) == [(PATH, ONE, Quiet.LONG)]


def test_three_looks_on_a_network():
    """Where three looks are wanted, a burst of looks counts as one."""
    made = settler(quick=15.0, quiet=15.0, looks=3)
    for now in (0.0, 0.1, 0.2, 7.5):
        made.see(PATH, ONE, now)
    assert made.next_due() == 15.0
    assert made.ripe(14.9) == []
    made.see(PATH, ONE, 15.0)
    assert made.ripe(15.0) == [(PATH, ONE, Quiet.FULL)]


def test_a_change_restarts():
    """Another fingerprint starts the time anew, of a ripe file too."""
    made = seen((0.0, ONE), (1.0, ONE), (1.5, TWO))
    assert made.ripe(1.5) == []
    made.see(PATH, TWO, 2.4)
    assert made.ripe(2.4) == []
    made.see(PATH, TWO, 2.5)
    assert made.ripe(2.5) == [(PATH, TWO, Quiet.QUICK)]


def test_to_look_repeats_until_seen():
    """A due look is given once a step until it is made: no answer is no loss."""
    made = seen((0.0, ONE))
    assert made.to_look(0.9) == []
    assert made.to_look(1.0) == [PATH]
    assert made.to_look(1.5) == []
    assert made.to_look(2.0) == [PATH]


def test_taken_once():
    """What is in hand is not given again, looked for or stuck; what is not ripe is not taken."""
    made = taken()
    made.see(PATH, ONE, 2.0)
    assert (made.ripe(9e9), made.to_look(9e9), made.stuck(9e9)) == ([], [], [])
    assert made.next_due() is None
    assert not made.take(PATH)
    assert not made.take(b"unknown")
    assert made.holding_folders() == {b"mri"}


def test_a_change_in_hand_counts_afterwards():
    """A file that changes while in hand stays in hand, and settles anew when given back."""
    made = taken()
    made.see(PATH, TWO, 2.0)
    assert (made.ripe(9.0), made.to_look(9.0)) == ([], [])
    made.unproven(PATH, ONE, NO_LEASE)
    assert made.next_due() == 3.0
    made.see(PATH, TWO, 3.0)
    assert made.ripe(3.0) == [(PATH, TWO, Quiet.QUICK)]


def test_unleased_wants_the_full_quiet():
    """Without a lease a file is ripe again only after a look at the end of `quiet`."""
    made = taken()
    made.unproven(PATH, ONE, NO_LEASE)
    assert made.next_due() == 5.0
    made.see(PATH, ONE, 4.9)
    assert made.ripe(4.9) == []
    made.see(PATH, ONE, 5.0)
    assert made.ripe(5.0) == [(PATH, ONE, Quiet.FULL)]


def test_holes_want_the_longest_quiet():
    """A file with holes is ripe again after twelve times the full quiet, and says why it waits."""
    made = taken()
    made.unproven(PATH, ONE, HOLLOW)
    assert made.next_due() == 60.0
    assert [each.reason for each in made.waiting()] == [RefusalCode.HOLLOW]
    made.see(PATH, ONE, 59.0)
    assert made.ripe(59.0) == []
    made.see(PATH, ONE, 60.0)
    assert made.ripe(60.0) == [(PATH, ONE, Quiet.LONG)]


def test_no_lease_does_not_shorten_what_holes_want():
    """Both refusals of one fingerprint: the longer quiet stands; a change forgets it."""
    made = taken()
    made.unproven(PATH, ONE, HOLLOW)
    made.unproven(PATH, ONE, NO_LEASE)
    assert made.next_due() == 60.0
    made.see(PATH, TWO, 10.0)
    assert made.next_due() == 11.0


def test_busy_restarts_the_quiet_time_only():
    """A file open for writing settles anew, but its stuck time goes on."""
    made = taken(stuck_after=10.0)
    made.busy(PATH, 1.0)
    assert [wait.reason for wait in made.waiting()] == [RefusalCode.BUSY]
    assert made.next_due() == 2.0
    made.see(PATH, ONE, 1.9)
    assert made.ripe(1.9) == []
    made.see(PATH, ONE, 2.0)
    assert made.ripe(2.0) == [(PATH, ONE, Quiet.QUICK)]
    made.take(PATH)
    made.busy(PATH, 9.0)
    assert [wait.path for wait in made.stuck(10.0)] == [PATH]


def test_hold_until_changed():
    """A held file is neither looked for nor ripe until its fingerprint changes."""
    made = taken()
    made.hold(PATH, ONE, RefusalCode.TORN, "12 bytes are missing")
    made.see(PATH, ONE, 60.0)
    assert (made.ripe(60.0), made.to_look(60.0)) == ([], [])
    (wait,) = made.waiting()
    assert (wait.reason, wait.text, wait.since) == ("torn", "12 bytes are missing", 0.0)
    made.see(PATH, TWO, 61.0)
    made.see(PATH, TWO, 62.0)
    assert made.ripe(62.0) == [(PATH, TWO, Quiet.QUICK)]
    assert [wait.reason for wait in made.waiting()] == [""]


def test_hold_of_what_was_examined():
    """The fingerprint that was examined is the one held, though the last look saw another."""
    made = taken()
    made.hold(PATH, TWO, RefusalCode.TORN, "")
    made.see(PATH, TWO, 2.0)
    assert made.to_look(60.0) == []
    made.see(PATH, ONE, 61.0)
    assert made.to_look(62.0) == [PATH]


def test_retry_after_a_while():
    """After a passing fault a file is looked at again then, and ripe at that look."""
    made = taken()
    made.retry(PATH, 1.0, 30.0, "EIO", "input/output error")
    assert made.next_due() == 31.0
    made.see(PATH, ONE, 20.0)
    assert made.ripe(20.0) == []
    assert made.to_look(31.0) == [PATH]
    made.see(PATH, ONE, 31.0)
    assert made.ripe(31.0) == [(PATH, ONE, Quiet.FULL)]


def test_words_on_forgotten_files_do_nothing():
    """A file that went away while in hand is not brought back by what is said of it."""
    made = taken()
    assert not made.gone(PATH)
    made.unproven(PATH, ONE, NO_LEASE)
    made.busy(PATH, 2.0)
    made.hold(PATH, ONE, RefusalCode.GONE, "")
    made.retry(PATH, 2.0, 1.0)
    assert not made.gone(PATH)
    assert (len(made), paths(made), made.next_due()) == (0, [], None)
    assert made.holding_folders() == set()


def test_stuck_once():
    """A file that is not whole for `stuck_after` is said once, and holds nothing any more."""
    made = taken(stuck_after=10.0)
    made.hold(PATH, ONE, RefusalCode.TORN, "torn")
    made.see(b"loose.dcm", ONE, 9.0)
    assert made.stuck(9.9) == []
    (wait,) = made.stuck(10.0)
    assert (wait.path, wait.reason, wait.stuck) == (PATH, "torn", True)
    assert made.stuck(10.0) == []
    assert made.holding_folders() == {b""}
    assert made.released() == []
    assert made.gone(PATH)


def test_stuck_file_that_goes_on():
    """A change releases a stuck file: it holds its folder, and may be stuck again."""
    made = seen((0.0, ONE), stuck_after=10.0)
    assert len(made.stuck(10.0)) == 1
    made.busy(PATH, 11.0)
    made.see(PATH, TWO, 12.0)
    assert (made.released(), made.released()) == ([PATH], [])
    assert made.holding_folders() == {b"mri"}
    assert made.stuck(21.9) == []
    assert len(made.stuck(22.0)) == 1


def test_a_growing_file_is_not_stuck():
    """A slow upload that goes on is not stuck, however long it takes."""
    made = settler(stuck_after=10.0)
    for now in range(60):
        made.see(PATH, print_of(now), float(now))
        assert made.stuck(float(now)) == []


def test_a_ripe_file_is_not_stuck():
    """A whole file that waits for us is not its sender's fault."""
    assert seen((0.0, ONE), (1.0, ONE), stuck_after=10.0).stuck(99.0) == []


def test_keep_only():
    """A full look forgets what it did not meet, but not what came after it began or is in hand."""
    made = settler(stuck_after=10.0)
    for path in (b"lost", b"stuck", b"met"):
        made.see(path, ONE, 0.0)
    made.stuck(10.0)
    made.see(b"met", TWO, 11.0)
    made.see(b"hand", ONE, 11.0)
    made.see(b"hand", ONE, 12.0)
    made.take(b"hand")
    made.see(b"lost", TWO, 13.0)
    made.see(b"late", ONE, 20.0)
    assert made.keep_only([b"met"], began=15.0) == [b"stuck"]
    assert paths(made) == [b"met", b"hand", b"late"]
    assert made.keep_only(set()) == []
    assert paths(made) == [b"hand"]


def test_ripe_in_portions_oldest_first():
    """A limit gives the files that have been ripe longest."""
    made = settler()
    for path, start in ((b"b", 0.0), (b"a", 0.5), (b"c", 0.7)):
        made.see(path, ONE, start)
        made.see(path, ONE, start + 2.0)
    assert [path for path, _, _ in made.ripe(9.0, limit=2)] == [b"b", b"a"]


def test_alarms_forget_what_was_dropped():
    """A dropped path is not due; a later time replaces an earlier one, and the other way round."""
    alarms = Alarms()
    alarms.set(b"dropped", 1.0)
    alarms.drop(b"dropped")
    alarms.set(b"later", 1.0)
    alarms.set(b"later", 3.0)
    alarms.set(b"sooner", 4.0)
    alarms.set(b"sooner", 2.0)
    assert alarms.next() == 2.0
    assert alarms.due(9.0) == [b"sooner", b"later"]
    assert (alarms.next(), alarms.due(9.0)) == (None, [])


ALARMS = st.lists(
    st.tuples(st.sampled_from([b"a", b"b", b"c"]), st.none() | st.integers(0, 9), st.integers(0, 9))
)


@given(ALARMS)
def test_alarms_are_a_plain_table(words):
    """However times are set, dropped and due: what a table of path and time would say."""
    alarms, table = Alarms(), {}
    for path, at, now in words:
        if at is None:
            alarms.drop(path)
            table.pop(path, None)
        else:
            alarms.set(path, at)
            table[path] = at
        assert alarms.next() == min(table.values(), default=None)
        due = sorted((when, each) for each, when in table.items() if when <= now)
        assert alarms.due(now) == [each for _, each in due]
        for _, each in due:
            del table[each]


GAPS = st.lists(st.floats(0.01, 0.99), min_size=1, max_size=30)


@given(GAPS, st.lists(st.floats(0.0, 1.0), min_size=30, max_size=30))
def test_never_ripe_while_written(gaps, when):
    """Written at gaps shorter than `settle`, with looks at any time: never ripe before the end."""
    made, now = settler(), 0.0
    for version, (gap, part) in enumerate(zip(gaps, when, strict=False)):
        made.see(PATH, print_of(version), now)
        made.see(PATH, print_of(version), now + gap * part)
        assert made.ripe(now + gap) == []
        now += gap


@given(GAPS, st.sampled_from([2, 3, 4]), st.floats(0.1, 20.0))
def test_untouched_files_ripen(gaps, looks, settle):
    """A file untouched for `settle` is ripe once looked at when `to_look` says, and in full."""
    made, now = settler(quick=settle, quiet=settle, looks=looks), 0.0
    for version, gap in enumerate(gaps):
        made.see(PATH, print_of(version + 10), now)
        now += gap
    last = now
    made.see(PATH, TWO, now)
    while not made.ripe(now):
        now = made.next_due()
        for path in made.to_look(now):
            made.see(path, TWO, now)
    assert last + settle == pytest.approx(now)


def say(made, verb, path, fingerprint, now):
    words = {
        "see": lambda: made.see(path, fingerprint, now),
        "take": lambda: made.take(path),
        "busy": lambda: made.busy(path, now),
        "unleased": lambda: made.unproven(path, fingerprint, NO_LEASE),
        "hollow": lambda: made.unproven(path, fingerprint, HOLLOW),
        "hold": lambda: made.hold(path, fingerprint, RefusalCode.TORN, ""),
        "retry": lambda: made.retry(path, now, 2.0),
        "gone": lambda: made.gone(path),
        "stuck": lambda: made.stuck(now),
    }
    return words[verb]()


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["see", "take", "busy", "unleased", "hollow", "hold", "retry", "gone", "stuck"]
            ),
            st.sampled_from([b"x/a", b"x/b", b"y/c"]),
            st.sampled_from([ONE, TWO]),
            st.floats(0.0, 3.0),
        ),
        max_size=60,
    )
)
def test_no_file_is_forgotten(words):
    """Whatever is said: every pending file is held, ripe, in hand or has a look due."""
    made, now, pending, in_hand, held = settler(stuck_after=5.0), 0.0, set(), set(), set()
    for verb, path, fingerprint, gap in words:
        now += gap
        before = {wait.path: wait.print for wait in made.waiting()}
        took = say(made, verb, path, fingerprint, now)
        if verb == "see":
            pending.add(path)
            held -= {path} if before.get(path) != fingerprint else set()
        elif verb == "take":
            in_hand |= {path} if took else set()
        elif verb != "stuck":
            in_hand.discard(path)
            held.discard(path)
            pending -= {path} if verb == "gone" else set()
            held |= {path} & pending if verb == "hold" else set()
    assert set(paths(made)) == pending
    free = {wait.path.rpartition(b"/")[0] for wait in made.waiting() if not wait.stuck}
    assert made.holding_folders() == free
    assert {*made.to_look(9e9), *ripe_paths(made, 9e9)} == pending - in_hand - held


def test_links_and_modes_are_no_news():
    """A ctime that we move ourselves at each try does not put off what is said of the file."""
    made = seen((0.0, ONE), stuck_after=10.0)
    made.see(PATH, replace(ONE, ctime_ns=ONE.ctime_ns + 1), 9.0)
    assert [PATH] == [wait.path for wait in made.stuck(10.0)]
    made.see(PATH, replace(ONE, mtime_ns=ONE.mtime_ns + 1), 11.0)
    assert ([PATH], []) == (made.released(), made.stuck(20.9))
    assert [PATH] == [wait.path for wait in made.stuck(21.0)]
