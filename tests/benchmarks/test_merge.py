"""What merging one file costs beside the size of the session it goes into (spec 11)."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from archives import Archive, instance
from measured import FULL, WATCHER, few, median, ratio, report, run, settled, timed
from quick import installed
from world import World

from watcher.core.life import Event
from watcher.core.session import Status
from watcher.stages.archive import archive
from watcher.stages.rebuild import build

SMALL, LARGE, SCANS, ROUNDS = few((200, 20_000, 100, 7), (4, 40, 10, 1))
LIMIT = 3  # times what it takes for the small one
HOME = {"label": "P1", "subject": "DOE_JOHN"}  # where the files of `instance` belong


def session(base, scans):
    """An archived session of so many files in each of so many scans, and how to merge one more."""
    with installed(base) as bench:
        files = sum(scans.values())
        Archive(bench.parts, scans, **HOME)
        while True:
            files += 1
            data, _ = instance(files)
            Path(bench.path(f"in{files}")).write_bytes(data)
            (outcome,) = bench.file(f"in{files}")
            settled()
            began = time.monotonic()
            build(bench.parts, outcome.session, Event.IDLE)
            built = time.monotonic()
            done = archive(bench.parts, outcome.session)
            ended = time.monotonic()
            assert Status.ARCHIVED is done.status
            assert 1 == bench.events("session.merged")[-1]["added"]
            yield {"build": built - began, "merge": ended - built, "both": ended - began}


def program(base, scans):
    """The same by `watcher run --once`, from the start of the program to its end."""
    with installed(base) as bench:
        Archive(bench.parts, scans, **HOME)
    world = World(base)
    files = sum(scans.values())
    command = [*WATCHER, "run", "--once", "--config", str(world.config)]
    while True:
        files += 1
        (world.drop / f"in{files}").write_bytes(instance(files)[0])
        settled()
        seconds, said = timed(run, *command)
        assert '"event": "session.merged"' in said
        yield {"program": seconds}


@pytest.mark.benchmark
@pytest.mark.timeout(900)
def test_one_file_into_sessions_of_any_size(tmp_path):
    """One file into 20 000 takes less than 3 times what it takes into 200.

    By the program, as one scan or as many; within it, as many scans. Within it one scan alone is
    measured and not judged: its catalog of 7 MB is read and written, all else is nearly nothing.
    """
    shapes = {
        "small": {1: SMALL},
        "many_scans": dict.fromkeys(range(1, SCANS + 1), LARGE // SCANS),
        "one_scan": {1: LARGE},
    }
    found = {}
    for way in (session, program):
        some = shapes if FULL or way is session else {"small": shapes["small"]}
        kinds = {name: way(tmp_path / way.__name__ / name, s) for name, s in some.items()}
        for each in kinds.values() if FULL else ():
            next(each)  # the first is a warming up
        rounds = [{name: next(each) for name, each in kinds.items()} for _ in range(ROUNDS)]
        for each in kinds.values():
            each.close()
        found[way.__name__] = {"seconds": seconds(rounds), "ratio": ratios(rounds)}
    files = {"small": SMALL, "many_scans": LARGE, "one_scan": LARGE}
    report("merging one file, from idle to archived", files=files, rounds=ROUNDS, **found)
    if FULL:
        for each in found["program"]["ratio"].values():
            assert each["program"] < LIMIT
        assert found["session"]["ratio"]["many_scans"]["both"] < LIMIT


def seconds(rounds):
    """The median of each part of the work, by session."""
    return {
        name: {part: median([each[name][part] for each in rounds], 4) for part in parts}
        for name, parts in rounds[0].items()
    }


def ratios(rounds):
    """The same, as times of the small session's in the same round."""

    def of(name, part):
        return ratio(
            [each[name][part] for each in rounds], [each["small"][part] for each in rounds]
        )

    return {
        name: {part: of(name, part) for part in parts}
        for name, parts in rounds[0].items()
        if name != "small"
    }


def traces():
    """Whether programs can be traced here."""
    if shutil.which("strace") is None:
        return False
    command = ["strace", "-o", os.devnull, "-e", "trace=openat", "true"]
    return subprocess.run(command, stderr=subprocess.DEVNULL).returncode == 0


@pytest.mark.skipif(not traces(), reason="needs strace, and the right to trace")
def test_no_archived_image_is_opened(tmp_path):
    """A merge with a new file and a known one opens none of those that were archived before."""
    with installed(tmp_path) as bench:
        made = Archive(bench.parts, {1: 5, 2: 3}, **HOME)
    before = {str(path) for scan in ("1", "2") for path in made.files(scan)}
    world = World(tmp_path)
    for number, scan in ((1, 1), (6, 1), (1, 3)):
        (world.drop / f"in{scan}-{number}").write_bytes(instance(number, scan)[0])
    trace = tmp_path / "trace"
    command = ["strace", "-f", "-y", "-o", trace, "-e", "trace=open,openat,openat2"]
    command += [sys.executable, "-m", "watcher", "run", "--once", "--config", world.config]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    opened = set(re.findall(r"= \d+<([^>]*)>", trace.read_text()))
    assert 10 == len(world.archived())
    assert str(made.catalog()) in opened
    assert set() == opened & before
