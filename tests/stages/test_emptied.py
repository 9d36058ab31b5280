"""Directories that the daemon emptied are removed once they have been quiet for long enough."""

import os

from watcher.stages.emptied import Emptied

REST = 10.0  # seconds


def test_each_is_due_by_when_it_was_emptied_last(bench):
    """One that was emptied again has its time anew, and makes no other wait."""
    emptied = Emptied(bench.drop, REST)
    for name in ("a", "b"):
        os.mkdir(bench.path(name))
    emptied.add(b"a/1", 0.0)
    emptied.add(b"b/1", 1.0)
    emptied.add(b"a/2", 5.0)
    assert not emptied.is_due(REST + 0.9)
    assert emptied.is_due(REST + 1.0)
    emptied.prune(REST + 1.0)
    assert ["a"] == os.listdir(bench.drop.path)
    assert not emptied.is_due(REST + 4.9)
    emptied.prune(REST + 5.0)
    assert [] == os.listdir(bench.drop.path)
    assert not emptied.is_due(1000.0)


def test_the_drop_itself_is_never_due(bench):
    """A loose file leaves no directory behind."""
    emptied = Emptied(bench.drop, REST)
    emptied.add(b"a", 0.0)
    assert not emptied.is_due(1000.0)
