"""The real program killed by strace before any system call that changes something."""

import random
import shutil
import zlib
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor

import pytest
from faults import scenes, strace
from faults.machine import needs
from faults.trials import Case, Driver, Trial, counted, judge

pytestmark = pytest.mark.faults
SOME = pytest.param(30, marks=[pytest.mark.campaign, pytest.mark.timeout(600)])
ALL = pytest.param(100_000, marks=[pytest.mark.soak, pytest.mark.timeout(7200)])
SCENE = Case((scenes.two_drops_archived, scenes.crowded))


def tried(trial, point):
    """A kill at this point and what came of it; None where the run did not come to it."""
    root = trial.copy(f"{point.call} {point.number} {zlib.crc32(point.path.encode())}")
    try:
        if not strace.kill(root, point):
            return None
        driver = trial.drivers.get()
        try:
            verdict = trial.judged(root, driver, killed=True)
        finally:
            trial.drivers.put(driver)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    if verdict.faults:
        verdict.faults.append(f"killed before {point}")
    return verdict


def sampled(points, count, chance):
    """So many points, of every call some."""
    kinds = defaultdict(list)
    for point in points:
        kinds[point.call].append(point)
    each = [chance.sample(some, len(some)) for some in kinds.values()]
    turns = [some[turn] for turn in range(len(points)) for some in each if turn < len(some)]
    return turns[:count]


@pytest.mark.parametrize("count", [SOME, ALL])
def test_killed_before_any_system_call_it_ends_as_if_nothing_had_happened(tmp_path, row, count):
    """Linked, copied and kept files, series of one number, a duplicate, a merge, quarantine,
    auto-archive: killed before any call that changes something, SQLite's too, nothing is lost
    then; started again, stores, drops and ledger end as those of an undisturbed run.
    """
    needs("strace")
    seed = random.randrange(1 << 32)
    print("seed", seed)
    with Driver() as one, Driver() as other:
        trial = Trial(SCENE, tmp_path, [one, other])
        points = strace.points(trial.copy("counted"))
        wanted = sampled(points, count, random.Random(seed))
        with ThreadPoolExecutor(2) as pool:
            ends = list(
                zip(wanted, pool.map(lambda point: tried(trial, point), wanted), strict=True)
            )
    met = [(point, verdict) for point, verdict in ends if verdict]
    print(f"{len(met)} kills at {len(wanted)} of {len(points)} points")
    assert len(met) > len(wanted) / 2
    for call in {point.call for point, _ in met}:
        line = row("kill -9: all of it at once", f"strace, before {call}")
        counted(line, [verdict for point, verdict in met if point.call == call])
    judge([verdict for _, verdict in met])
