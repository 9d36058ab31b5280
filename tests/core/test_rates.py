"""Files filed by the hour."""

from hypothesis import given
from hypothesis import strategies as st

from watcher.core import rates

NOON = 1_750_000_000 // rates.HOUR * rates.HOUR  # some hour's beginning


def test_files_of_one_hour_add_up():
    """The hour is that of the moment, to its last second; the next begins a number of its own."""
    found = rates.counted(rates.counted({}, NOON, 3), NOON + rates.HOUR - 0.001, 4)
    assert {NOON // rates.HOUR: 7} == found
    later = rates.counted(found, NOON + rates.HOUR, 1)
    assert {NOON // rates.HOUR: 7, NOON // rates.HOUR + 1: 1} == later


def test_the_series_has_every_hour_oldest_first():
    """48 of them, with nought where nothing came; the last is the one that runs."""
    found = rates.series({NOON // rates.HOUR: 7, NOON // rates.HOUR - 2: 5}, NOON + 60)
    assert rates.HOURS == len(found)
    assert [(NOON - 2 * rates.HOUR, 5), (NOON - rates.HOUR, 0), (NOON, 7)] == found[-3:]
    assert 12 == sum(files for _, files in found)


def test_what_is_older_is_left_out():
    """Two days after, nothing is kept of an hour; within them it is."""
    old = {NOON // rates.HOUR: 7}
    last = NOON + (rates.HOURS - 1) * rates.HOUR
    assert old == {k: v for k, v in rates.counted(old, last, 0).items() if v}
    assert {} == {k: v for k, v in rates.counted(old, last + rates.HOUR, 0).items() if v}
    assert (NOON, 7) == rates.series(old, last)[0]


def test_hours_to_come_are_left_out():
    """A clock that was set back leaves no files of hours that are still to be."""
    found = rates.counted({NOON // rates.HOUR + 5: 9}, NOON, 1)
    assert {NOON // rates.HOUR: 1} == found


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 1000)), max_size=30))
def test_never_more_than_two_days_are_kept(told):
    """Whatever comes when: the ledger keeps a bounded number of hours, none of them negative."""
    kept: dict[int, int] = {}
    for hours, files in told:
        kept = rates.counted(kept, NOON + hours * rates.HOUR, files)
    assert len(kept) <= rates.HOURS
    assert all(files >= 0 for files in kept.values())
