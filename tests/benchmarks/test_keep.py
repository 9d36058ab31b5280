"""A kept drop of a million files that were all taken: what the daemon needs for it.

Run every time with a few files, to keep it alive; `WATCHER_BENCH=1 .venv/bin/pytest -s -n 0
tests/benchmarks/test_keep.py` measures, and prints one JSON line.
"""

import json
import os
import platform
import threading
import time
from functools import partial

import anyio
import pytest
from makers import make_dicom
from quick import installed
from world import World

from watcher.core.file import Candidate, Fingerprint
from watcher.io.receiving import PAGE
from watcher.stages.hop import Hop
from watcher.stages.looking import Looker
from watcher.stages.patience import Speed

FULL = os.environ.get("WATCHER_BENCH") == "1"
FOLDER = 500  # files
IDLE = 120.0 if FULL else 0.2  # seconds


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


def status(daemon, *names):
    """Lines of the daemon's /proc status, in MiB."""
    with open(f"/proc/{daemon.process.pid}/status", encoding="utf-8") as file:
        lines = dict(line.split(":", 1) for line in file)
    return [round(int(lines[name].split()[0]) / 1024, 1) for name in names]


def cpu(daemon):
    """Seconds of CPU the daemon has used."""
    with open(f"/proc/{daemon.process.pid}/stat", encoding="utf-8") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def looks(bench):
    """Seconds of a first look, one that asks every file, one by names; and what is pending."""
    eyes = Looker(bench.parts, bench.drop, Speed(0.1, 0.1), Hop(1))
    took = []
    for names in (False, False, True):
        began = time.monotonic()
        await eyes.look_fully(names=names)
        took.append(round(time.monotonic() - began, 2))
    return took, len(eyes.settler)


def served(world, name):
    """A daemon on it, until it has taken a new file and been idle; what it used for all that."""
    with world.daemon() as daemon:
        began = time.monotonic()
        make_dicom(world.drop / name)
        daemon.wait_for("session.archived", timeout=3000)
        new = time.monotonic() - began
        before = cpu(daemon)
        threading.Event().wait(IDLE)  # an idle daemon has nothing to tell that could be awaited
        used = cpu(daemon) - before
        peak, now = status(daemon, "VmHWM", "VmRSS")
        code, _ = daemon.stop()
    assert (0, 1) == (code, sum(each["event"] == "file.filed" for each in daemon.events))
    return {
        "rss_mib": now,
        "peak_rss_mib": peak,
        "new_file_archived_after": round(new, 1),
        "cpu_while_idle_percent": round(100 * used / IDLE, 2),
    }


@pytest.mark.benchmark
@pytest.mark.timeout(3600)
def test_a_million_kept_files(tmp_path):
    """None of them is taken again, and what comes new is; the figures are printed."""
    number = 1_000_000 if FULL else 1500
    given = {"drop_lines": ['after = "keep"'], "level": "debug"}
    world = World(tmp_path / "large", **given)
    with installed(tmp_path / "large", **given) as bench:
        take_all(bench, fill(world.drop, number))
        (first, wholly, names), pending = anyio.run(partial(looks, bench))
    assert 0 == pending
    found = served(world, "PAT00000/new.dcm")
    empty = served(World(tmp_path / "small", **given), "new.dcm") if FULL else found
    print(
        json.dumps(
            {
                "benchmark": "kept files",
                "files": number,
                "machine": platform.platform(),
                "cores": os.cpu_count(),
                "python": platform.python_version(),
                "look_first_seconds": first,
                "look_wholly_seconds": wholly,
                "look_by_names_seconds": names,
                "rescan_interval": 1.0,
                **found,
                "rss_of_an_empty_drop_mib": empty["rss_mib"],
                "bytes_for_each": round((found["rss_mib"] - empty["rss_mib"]) * 2**20 / number),
            }
        )
    )
