"""The one clock."""

import time
from datetime import datetime

from watcher.core import names
from watcher.io.clock import Clock


def test_now():
    """Now is the time of day, in seconds since the epoch, and never goes backwards."""
    clock = Clock()
    looks = [clock.now() for _ in range(1000)]
    assert sorted(looks) == looks
    assert abs(looks[-1] - time.time()) < 1.0


def test_together():
    """Both clocks run alike: what is kept and what is measured do not drift apart."""
    clock = Clock()
    first = clock.now() - clock.monotonic()
    assert abs(clock.now() - clock.monotonic() - first) < 0.1


def test_stamp():
    """A stamp is this moment as a session id, in local time."""
    clock = Clock()
    before, stamp, after = clock.now(), clock.stamp(), clock.now()
    assert names.is_timestamp(stamp)
    moment = datetime.strptime(stamp, "%Y%m%d_%H%M%S%f").astimezone().timestamp()
    assert before - 0.001 <= moment <= after
