"""The real program and more stuck files than anybody reads; and where its log hangs."""

import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest
from makers import make_dicom
from world import World

from watcher.commands.options import Common
from watcher.core.flood import MOST
from watcher.io.lookup import Lookup

MANY = MOST + 7
CROWD = "crowd/mri/file.stuck"


def torn(world):
    """So many torn files, in a folder that comes at once."""
    data = Path(make_dicom(world.base / "whole")).read_bytes()[:-40]
    staged = world.base / "staged"
    staged.mkdir()
    for number in range(MANY):
        (staged / f"{number}").write_bytes(data)
    os.rename(staged, world.drop / "torn")


def raised(world):
    with Common(config=str(world.config)).parts() as parts:
        return len(Lookup(parts.ledger).raised())


def said(lines, event):
    """The lines said of files by themselves, and those of the crowd."""
    found = [each for each in lines if each["event"] == event]
    return [each for each in found if each["key"] != CROWD], [e for e in found if e["key"] == CROWD]


@pytest.mark.campaign
def test_a_flood_is_a_hundred_lines_and_a_number(tmp_path):
    """At the end of the run it is said for how many; the next says nothing again, and all ends."""
    world = World(tmp_path, drop_lines=['stuck_after = "1s"'])
    torn(world)
    with world.daemon() as daemon:
        daemon.wait_until(lambda: raised(world) == MANY)
        assert 0 == daemon.stop()[0]
    alone, crowd = said(daemon.events, "file.stuck")
    times = [datetime.fromisoformat(each["timestamp"]) for each in alone]
    if (times[-1] - times[0]).total_seconds() < 50:  # else the machine was too slow for a flood
        counts = [each["count"] for each in crowd]  # it is said again when it has grown
        assert (MOST, MANY - MOST, sorted(set(counts))) == (len(alone), counts[-1], counts)
    for name in os.listdir(world.drop / "torn"):
        os.unlink(world.drop / "torn" / name)
    _, lines = world.once()
    ended, last = said(lines, "file.released")
    assert [each["count"] for each in crowd[-1:]] == [each["count"] for each in last]
    assert {each["key"] for each in alone} == {each["key"] for each in ended}
    assert ([], []) == said(lines, "file.stuck")
    assert 0 == raised(world)


HUNG = """
import sys, threading
from datetime import UTC, datetime
from types import SimpleNamespace
import watcher.signals
from watcher.io.clock import Clock
from watcher.log import Log
watcher.signals.PATIENCE = 0.1
log = Log(stream=sys.stdout, file=None, rotate=1, keep=0, level="info", coder=None,
          clock=lambda: datetime.now(UTC))
writes = threading.Event()
def write():
    with log._lock:  # as a thread does whose disk does not answer
        writes.set()
        threading.Event().wait()
threading.Thread(target=write, daemon=True).start()
writes.wait()
parts = SimpleNamespace(clock=Clock(), emit=log)
watcher.signals.Signals(parts, log, 0.0)._end_by_force(7)
threading.Event().wait()
"""


def test_a_log_that_hangs_holds_nobody_at_the_end():
    """A program that is to end, and hangs on a dead share, ends though its log lies there too."""
    assert 7 == subprocess.run([sys.executable, "-c", HUNG], timeout=240).returncode
