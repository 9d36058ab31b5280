"""The one clock."""

import time
from datetime import datetime
from types import SimpleNamespace

import pytest

from watcher.core import names
from watcher.io import clock as module
from watcher.io.clock import Clock


@pytest.fixture
def east(monkeypatch):
    """A local time without summer time: no hour of it comes twice."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "EAST-5")
        time.tzset()
        yield
    time.tzset()


def test_now():
    """Now is the time of day, in seconds since the epoch, and never goes backwards."""
    before = time.time()
    clock = Clock()
    looks = [clock.now() for _ in range(1000)]
    assert sorted(looks) == looks
    assert before - 0.001 <= looks[0] <= looks[-1] <= time.time() + 0.001


def test_together(monkeypatch):
    """Both clocks run alike: what is kept and what is measured do not drift apart."""
    day, since_boot = [5000.0], [10.0]
    told = SimpleNamespace(time=lambda: day[0], monotonic=lambda: since_boot[0])
    monkeypatch.setattr(module, "time", told)
    clock = Clock()
    assert (5000.0, 10.0) == (clock.now(), clock.monotonic())
    since_boot[0] += 7
    day[0] += 1000  # somebody sets the machine's clock
    assert (5007.0, 17.0) == (clock.now(), clock.monotonic())


def test_stamp(east):
    """A stamp is this moment as a session id, in local time."""
    clock = Clock()
    before, stamp, after = clock.now(), clock.stamp(), clock.now()
    assert names.is_timestamp(stamp)
    moment = datetime.strptime(stamp, "%Y%m%d_%H%M%S%f").astimezone().timestamp()
    assert before - 0.001 <= moment <= after
