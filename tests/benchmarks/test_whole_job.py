"""The whole job beside `cp -r`, `md5sum` and `sync` of the same tree, in one go.

Run every time with a few files, to keep it alive; measured with
`WATCHER_BENCH=1 .venv/bin/pytest -s -n 0 tests/benchmarks`, which prints one JSON line.
"""

import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import time

import pydicom
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from world import World

FULL = os.environ.get("WATCHER_BENCH") == "1"
SYNC = "sync" if FULL else "true"  # it waits for everybody's data: only to measure in earnest


def make_tree(folder, number):
    """So many MR images of 512 KiB with the header of a real scanner's file, in ten series."""
    folder.mkdir()
    path = get_testdata_file("MR_small.dcm", download=False)
    found = dcmread(path)
    found.Rows = found.Columns = 512
    found.PixelData = os.urandom(512 * 512 * 2)
    found.PatientID = "BENCH"
    for each in range(number):
        found.SeriesNumber = each % 10 + 1
        found.SeriesInstanceUID = f"1.2.3.{each % 10}"
        found.SOPInstanceUID = found.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{each}.7"
        found.InstanceNumber = each
        found.save_as(folder / f"{each:05}")


def plain_copy(source, target):
    """`cp -r`, `md5sum` of every copy, `sync`: seconds."""
    began = time.monotonic()
    subprocess.run(["cp", "-r", source, target], check=True)
    command = f"find {target} -type f -print0 | xargs -0 md5sum > {target}.md5 && {SYNC}"
    subprocess.run(["bash", "-c", command], check=True)
    return time.monotonic() - began


def whole_job(base, source):
    """`run --once` on a drop that already holds the tree: seconds, without the settle time."""
    world = World(base, settle="100ms", level="info")
    shutil.rmtree(world.drop)
    subprocess.run(["cp", "-r", source, world.drop], check=True)
    subprocess.run([SYNC], check=True)
    began = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "watcher", "run", "--once", "--config", str(world.config)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return time.monotonic() - began - 0.1, len(list((world.root / "archive").rglob("*.dcm")))


@pytest.mark.benchmark
@pytest.mark.timeout(900)
def test_whole_job_against_a_plain_copy(tmp_path):
    """Every file is archived; the figures of paired runs are printed."""
    number, rounds = (2000, 3) if FULL else (40, 1)
    make_tree(tmp_path / "tree", number)
    ours, theirs = [], []
    for turn in range(rounds):
        seconds, archived = whole_job(tmp_path / f"world{turn}", tmp_path / "tree")
        assert number == archived
        ours.append(seconds)
        theirs.append(plain_copy(tmp_path / "tree", tmp_path / f"copy{turn}"))
        shutil.rmtree(tmp_path / f"world{turn}")
        shutil.rmtree(tmp_path / f"copy{turn}")
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    print(
        json.dumps(
            {
                "benchmark": "whole job, run --once",
                "files": number,
                "bytes_each": 512 * 1024,
                "machine": platform.platform(),
                "cores": os.cpu_count(),
                "python": platform.python_version(),
                "pydicom": pydicom.__version__,
                "seconds": round(statistics.median(ours), 2),
                "files_per_second": round(number / statistics.median(ours)),
                "copy_md5sum_sync_seconds": round(statistics.median(theirs), 2),
                "ratio": round(statistics.median(ratios), 2),
                "peak_rss_children_mib": round(
                    resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
                ),
            }
        )
    )
