"""A kept drop of very many files that were all taken: what the daemon needs for doing nothing.

At the default scan interval: names are looked at every time, known files' stat on a hint and in
every tenth look (issue 7).
"""

import os
import threading
import time
from contextlib import suppress
from functools import partial

import anyio
import pytest
from makers import make_dicom
from measured import FULL, cpu, few, memory, report
from quick import installed
from world import World

from watcher.core.file import Candidate, Fingerprint
from watcher.io.receiving import PAGE
from watcher.stages.hop import Hop
from watcher.stages.looking import WHOLLY, Looker
from watcher.stages.patience import Speed

FOLDER = few(500, 10)  # files
INTERVAL = few(30.0, 1.0)  # seconds between two full looks: the default
IDLE = few(WHOLLY * INTERVAL, 0.2)  # seconds: one of the looks in it asks every file
BAR = 1.0  # percent of a core (issue 7)
GIVEN = {
    "drop_lines": ['after = "keep"'],
    "level": "debug",
    "rescan": f"{INTERVAL:.0f}s",
    "inactivity": few("1s", "100ms"),
}


def fill(drop, number):
    """So many empty files in folders of folders; their paths."""
    for each in range(number):
        folder = f"PAT{each // (10 * FOLDER):05}/SERIES{each // FOLDER % 10:02}"
        if each % FOLDER == 0:
            os.makedirs(drop / folder)
        path = f"{folder}/IM{each:07}.dcm"
        os.close(os.open(drop / path, os.O_CREAT | os.O_WRONLY, 0o644))
        yield path


def take_all(bench, paths):
    """Tell the ledger that all of them are filed, as a run would have."""
    rows = {}
    for path in paths:
        seen = Fingerprint.of(os.stat(bench.path(path)))
        rows[Candidate("mri", os.fsencode(path), seen)] = seen
        if len(rows) == PAGE:
            bench.parts.receiving.record([], rows)
            rows = {}
    bench.parts.receiving.record([], rows)


async def looks(bench):
    """Seconds of a first look, one that asks every file, one by names; and what is pending."""
    eyes = Looker(bench.parts, bench.drop, Speed(0.1, 0.1), Hop(1))
    took = {}
    for way, names in (("first", False), ("wholly", False), ("by_names", True)):
        began = time.monotonic()
        await eyes.look_fully(names=names)
        took[f"look_{way}_seconds"] = round(time.monotonic() - began, 3)
    return took, len(eyes.settler)


def wakings(pid):
    """How often the threads of a process have gone to sleep, in all; one may end meanwhile."""
    found = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        path = f"/proc/{pid}/task/{thread}/status"
        with suppress(FileNotFoundError, ProcessLookupError), open(path, encoding="utf-8") as file:
            (line,) = (line for line in file if line.startswith("voluntary_ctxt_switches"))
            found += int(line.split()[1])
    return found


def served(world, name, idle=IDLE):
    """A daemon on it, until it has taken a new file and been idle; what it used for all that."""
    with world.daemon() as daemon:
        pid, began = daemon.process.pid, time.monotonic()
        make_dicom(world.drop / name)
        daemon.wait_for("session.archived", timeout=3000)
        new = time.monotonic() - began
        used, woken = cpu(pid), wakings(pid)
        threading.Event().wait(idle)  # an idle daemon has nothing to tell that could be awaited
        used, woken = cpu(pid) - used, wakings(pid) - woken
        peak, now = memory(pid)
        code, _ = daemon.stop()
    assert (0, 1) == (code, sum(each["event"] == "file.filed" for each in daemon.events))
    return {
        "cpu_while_idle_percent": round(100 * used / idle, 2),
        "wakings_a_second": round(woken / idle, 1),
        "new_file_archived_after": round(new, 1),
        "rss_mib": now,
        "peak_rss_mib": peak,
    }


def kept(base, number):
    """A drop of so many files that were all taken, looked at and served; prints what that costs."""
    load = os.getloadavg()[0]
    world = World(base, **GIVEN)
    with installed(base, **GIVEN) as bench:
        take_all(bench, fill(world.drop, number))
        took, pending = anyio.run(partial(looks, bench))
    assert 0 == pending
    found = served(world, "PAT00000/new.dcm")
    about = {"files": number, "rescan_interval": INTERVAL, "idle_seconds": IDLE}
    report("kept files", **about, load_before=load, **took, **found)
    return found


@pytest.mark.benchmark
@pytest.mark.timeout(3600)
def test_kept_files(tmp_path):
    """None of 100 000 is taken again, what comes new is, and that costs less than 1 % of a core."""
    found = kept(tmp_path, few(100_000, 100))
    assert not FULL or found["cpu_while_idle_percent"] <= BAR


@pytest.mark.benchmark
@pytest.mark.timeout(3600)
@pytest.mark.skipif(not FULL, reason="only to measure: WATCHER_BENCH=1")
def test_a_million_kept_files_and_none(tmp_path):
    """What a million cost, and a drop of nothing: printed."""
    found = kept(tmp_path / "million", 1_000_000)
    empty = served(World(tmp_path / "empty", **GIVEN), "new.dcm", 120.0)
    each = round((found["rss_mib"] - empty["rss_mib"]) * 2**20 / 1_000_000)
    report("an empty drop", **empty, bytes_for_each_of_a_million=each)
