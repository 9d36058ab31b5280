"""Of more than a hundred conditions in a minute it is said how many (spec 12)."""

import pytest

from watcher.core.flood import MOST, SPAN
from watcher.io.ledger import Ledger
from watcher.io.lookup import Lookup
from watcher.io.said import Conditions

CROWD = "crowd/mri/file.stuck"
KEYS = [f"file/mri/{number}" for number in range(MOST + 5)]


@pytest.fixture
def ledger(tmp_path):
    opened = Ledger.open(str(tmp_path))
    yield opened
    opened.close()


class Run:
    """Conditions as a start makes them, and what they said."""

    def __init__(self, ledger):
        self.said = []
        self.made = Conditions(ledger, lambda event, **fields: self.said.append((event, fields)))

    def flood(self, keys=KEYS, now=1.0):
        for key in keys:
            self.made.raise_("file.stuck", key, now, drop="mri", path=b"a")

    def clear(self, keys=KEYS):
        for key in keys:
            self.made.clear("file.released", key, drop="mri")

    def told(self, event):
        """What was said of crowds: for how many."""
        return [one["count"] for name, one in self.said if name == event and one["key"] == CROWD]


def test_a_crowd_is_one_line_with_its_number(ledger):
    """A hundred lines, and one for the rest when the minute is over; none of them is forgotten."""
    run = Run(ledger)
    run.flood()
    assert MOST == len(run.said)
    run.made.tell_crowds(1.0 + SPAN - 1)
    assert [] == run.told("file.stuck")
    for _ in range(3):
        run.made.tell_crowds(1.0 + SPAN)
    assert [5] == run.told("file.stuck")
    assert set(KEYS) == set(run.made.open()) == {each.key for each in Lookup(ledger).raised()}
    assert {"drop": "mri", "path": "a"} == Lookup(ledger).raised()[-1].fields


def test_a_crowd_ends_with_its_last(ledger):
    """Who is in it ends silently; those said by themselves are ended by lines of their own."""
    run = Run(ledger)
    run.flood()
    run.made.tell_crowds(1000.0)
    run.clear(KEYS[:-1])
    run.made.tell_crowds(1000.0)
    assert [] == run.told("file.released")
    run.clear(KEYS[-1:])
    run.made.tell_crowds(1000.0)
    run.made.tell_crowds(1000.0)
    assert [5] == run.told("file.released")
    assert MOST + 1 == sum(event == "file.released" for event, _ in run.said)
    assert [] == Lookup(ledger).raised()


def test_a_crowd_that_is_never_said_needs_no_end(ledger):
    """All are over before the minute is."""
    run = Run(ledger)
    run.flood()
    run.clear()
    run.made.tell_crowds(1000.0)
    assert ([], []) == (run.told("file.stuck"), run.told("file.released"))


def test_the_end_of_a_run_says_it_at_once(ledger):
    """A program that ends does not wait for the minute."""
    run = Run(ledger)
    run.flood()
    run.made.tell_crowds(1.0, ending=True)
    assert [5] == run.told("file.stuck")


def test_a_command_tells_of_its_own_crowds_only(ledger):
    """One that only looks says nothing of what the daemon is still counting, and writes nothing."""
    run, looking, settling = Run(ledger), Run(ledger), Run(ledger)
    run.flood()
    looking.made.refresh()
    settling.made.refresh()
    version = ledger.version()
    looking.made.tell_own_crowds(2.0)
    assert ([], version) == (looking.said, ledger.version())
    settling.clear(KEYS[-1:])
    settling.made.tell_own_crowds(2.0)
    assert [4] == settling.told("file.stuck")


def test_the_end_of_a_crowd_is_said_once(ledger):
    """Whoever finds it first says so."""
    run = Run(ledger)
    run.flood()
    run.made.tell_crowds(1000.0)
    command = Run(ledger)
    command.clear()
    run.made.refresh()
    run.made.tell_crowds(1000.0)
    command.made.tell_own_crowds(1000.0)
    assert ([5], []) == (run.told("file.released"), command.told("file.released"))


def test_a_crowd_that_grows_is_said_again(ledger):
    """With the number it stands for by then; not when it shrinks."""
    run = Run(ledger)
    run.flood()
    run.made.tell_crowds(1000.0)
    run.flood([f"file/mri/more{number}" for number in range(MOST + 2)], 1000.0)
    run.made.tell_crowds(2000.0)
    run.clear(KEYS[-1:])
    run.made.tell_crowds(3000.0)
    assert [5, 7] == run.told("file.stuck")


def test_across_restarts(ledger):
    """Killed before it was said: the next run says it, once; and its end, which others made."""
    Run(ledger).flood()
    again = Run(ledger)
    again.flood()
    again.made.tell_crowds(1.0)
    third = Run(ledger)
    third.made.tell_crowds(2.0)
    assert ([5], []) == (again.told("file.stuck"), third.said)
    Run(ledger).clear()
    third.made.refresh()
    third.made.tell_crowds(3.0)
    assert [5] == third.told("file.released")


def test_one_raised_anew_out_of_a_crowd_is_said(ledger):
    """After its end it may be raised again, and is then one of its own."""
    run = Run(ledger)
    run.flood()
    run.clear(KEYS[-1:])
    run.flood(KEYS[-1:], 1000.0)
    run.clear(KEYS[-1:])
    assert ["file.stuck", "file.released"] == [event for event, _ in run.said[-2:]]
