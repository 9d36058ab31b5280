"""What the benchmarks share: real files in numbers, paired rounds, and one JSON line each.

Every `pytest` runs them with a few files, to keep them alive and to see that what they measure is
done; `WATCHER_BENCH=1 .venv/bin/pytest -s -n 0 tests/benchmarks` measures, and holds the bars.
"""

import json
import os
import platform
import resource
import shutil
import sqlite3
import statistics
import subprocess
import sys
import time

import pydicom
from pydicom import dcmread
from pydicom.data import get_testdata_file

from watcher import __version__

FULL = os.environ.get("WATCHER_BENCH") == "1"
SYNC = "sync" if FULL else "true"  # it waits for everybody's data: only to measure in earnest
WATCHER = (sys.executable, "-m", "watcher")


def report(benchmark, **figures):
    """One JSON line: what was measured, where, with what, and the figures."""
    line = {
        "benchmark": benchmark,
        "machine": platform.platform(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "watcher": __version__,
        "pydicom": pydicom.__version__,
        "sqlite": sqlite3.sqlite_version,
        **figures,
    }
    print("\n" + json.dumps(line))


def few(number, small):
    """So many where it is measured, few where it is only kept alive."""
    return number if FULL else small


def median(values, digits=3):
    return round(statistics.median(values), digits)


def ratio(ours, theirs):
    """The median of the ratios of paired rounds."""
    return median([a / b for a, b in zip(ours, theirs, strict=True)], 2)


def timed(act, *arguments):
    """Seconds that a call takes, and what it gives."""
    began = time.monotonic()
    given = act(*arguments)
    return time.monotonic() - began, given


# -- files ---------------------------------------------------------------------------------------


def make_mr(folder, number, first=0):
    """So many MR images of 512 KiB with the header of a real scanner's file, in ten series."""
    found = dcmread(get_testdata_file("MR_small.dcm", download=False))
    found.Rows = found.Columns = 512
    found.PixelData = os.urandom(512 * 512 * 2)
    _make(folder, found, number, first)


def make_ct(folder, number, first=0):
    """So many CT images of 39 KiB, a real scanner's file with its 256 elements, in ten series."""
    _make(folder, dcmread(get_testdata_file("CT_small.dcm", download=False)), number, first)


def make_small(folder, number, first=0):
    """So many files of 6 KiB in ten series: a real scanner's header above four pixels.

    Cheap by tens of thousands: one file is written, and its numbers replaced in its bytes.
    """
    found = dcmread(get_testdata_file("CT_small.dcm", download=False))
    found.Rows = found.Columns = 2
    found.PixelData = bytes(8)
    del found[0xFFFCFFFC]  # padding
    mark, made = 50_000_000, []  # the numbers below have as many digits
    _make(folder, found, 10, mark)
    for each in range(mark, mark + 10):
        path = os.path.join(folder, f"{each:06}")
        with open(path, "rb") as file:
            made.append((file.read(), b"%d" % each))
        os.remove(path)
    for each in range(first, first + number):
        data, own = made[each % 10]
        with open(os.path.join(folder, f"{each:06}"), "xb") as file:
            file.write(data.replace(own, b"%d" % (10_000_000 + each)))


def _make(folder, found, number, first):
    os.makedirs(folder, exist_ok=True)
    found.PatientID = "BENCH"
    for each in range(first, first + number):
        found.SeriesNumber = each % 10 + 1
        found.SeriesInstanceUID = f"1.2.3.{each % 10}"
        found.SOPInstanceUID = found.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{each}.7"
        found.InstanceNumber = each
        found.save_as(os.path.join(folder, f"{each:06}"))


# -- programs ------------------------------------------------------------------------------------


def plain_copy(source, target):
    """`cp -r`, `md5sum` of every copy, `sync`: seconds."""
    command = (
        f"cp -r {source} {target} && "
        f"find {target} -type f -print0 | xargs -0 md5sum > {target}.md5 && {SYNC}"
    )
    seconds, _ = timed(run, "bash", "-c", command)
    shutil.rmtree(target)
    return seconds


def run(*command):
    """A program that has to succeed; its output."""
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def settled():
    """What others wrote is on disk: it is nobody's burden in the next round."""
    run(SYNC)


# -- processes -----------------------------------------------------------------------------------


def memory(pid):
    """The peak and the present resident size of a process, in MiB."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        lines = dict(line.split(":", 1) for line in file)
    return [round(int(lines[name].split()[0]) / 1024, 1) for name in ("VmHWM", "VmRSS")]


def cpu(pid):
    """Seconds of CPU a process has used, without its children."""
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def children(pid):
    """The processes that one has started, and which are there still."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="utf-8") as file:
        return [int(each) for each in file.read().split()]


def peak_of_children():
    """The largest resident size, in MiB, that any process waited for has had."""
    return round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
