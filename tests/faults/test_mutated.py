"""Spoilt files through everything that reads them: no error, no hang, no hunger for memory."""

import hashlib
import os
import resource
import time
import warnings

import pytest
from faults.mutants import mutants, originals
from makers import make_dicom
from watched import DAEMON, READER, peaks
from world import World, md5

from watcher.core import names
from watcher.core.file import RefusalCode
from watcher.core.policy import Drop, Identify, Project, Projects
from watcher.core.route import identify
from watcher.core.tags import TAGS
from watcher.dicom.compare import Source, compare
from watcher.dicom.header import header_of, judge
from watcher.dicom.structure import walk

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]
LONGEST = 1.0  # seconds of processor time for one file
GROWTH = 256  # MiB that all of them together may add
WANTED = frozenset(TAGS.values())
PROJECTS = Projects({"P1": Project("P1")})


def read(data):
    """All that a reader and the daemon make of one file, but for writing it; gives its verdict."""
    walked = walk(data, len(data), WANTED)
    header, _ = header_of(walked)
    refusal = judge(walked, header)
    if refusal is not None:
        return refusal.code
    found = identify(
        header, drop=Drop("mri", "/drop"), path=b"a", identify=Identify(), projects=PROJECTS
    )
    assert (True, True) == (names.is_label(found.subject), names.is_label(found.key.label))
    parts = names.file_name(header), names.scan_folder(header)
    assert all(map(names.is_part, parts))
    assert len(parts[0]) <= names.NAME_LENGTH
    return "whole"


def source(data):
    return Source(lambda at, count: data[at : at + count], len(data))


@pytest.mark.parametrize(
    ("count", "seed"),
    [
        (2_000, 1),
        *(pytest.param(20_000, seed, marks=pytest.mark.campaign) for seed in range(2, 7)),
        pytest.param(1_000_000, 7, marks=[pytest.mark.soak, pytest.mark.timeout(7200)]),
    ],
)
def test_spoilt_files(count, seed, row):
    """Each is whole, or refused for a reason that has a code, within a second and in silence."""
    before, verdicts = _peak(), {}
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for data in mutants(count, seed=seed):
            verdict = quickly(read, data)
            verdicts[verdict] = verdicts.get(verdict, 0) + 1
    assert [] == [str(each.message) for each in warned]
    assert {"whole"} < verdicts.keys() <= {"whole", *RefusalCode}
    assert _peak() - before < GROWTH
    row("spoilt files, read", "bits, bytes, cuts, crossings").ran()


def quickly(act, *given):
    """What it gives; in a virtual machine other machines' time counts as well: the best tells."""
    for _ in range(3):
        began = time.process_time()
        answer = act(*given)
        if time.process_time() - began < LONGEST:
            return answer
    raise AssertionError(f"it took longer than {LONGEST} s, three times")


def _peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


@pytest.mark.parametrize("count", [500, pytest.param(5_000, marks=pytest.mark.campaign)])
def test_spoilt_files_compared(count, row):
    """With the file it was made from, and with another: an answer, within a second each."""
    whole = originals()
    for number, data in enumerate(mutants(count, seed=8)):
        quickly(compare, source(data), source(whole[number % len(whole)]))
        assert quickly(compare, source(data), source(data)).same in {True, None}
    row("spoilt files, compared", "with another, and themselves").ran()


@pytest.mark.campaign
@pytest.mark.timeout(900)
def test_a_drop_of_spoilt_files(tmp_path, row):
    """Four hundred in one drop: each ends somewhere, and the daemon is none the worse."""
    world = World(tmp_path / "w", drop_lines=['stuck_after = "2s"'])
    given = {}
    with world.daemon() as daemon, peaks(daemon.process.pid) as peak:
        for number, data in enumerate(mutants(400, seed=9)):
            given[hashlib.md5(data).hexdigest()] = number
            (world.drop / f"m{number}.dcm").write_bytes(data)
        sent = md5(make_dicom(tmp_path / "good", patient_id="GOOD"))
        os.rename(tmp_path / "good", world.drop / "good.dcm")
        daemon.wait_for("session.archived", label="GOOD", timeout=300)
        daemon.wait_until(lambda: ENDS <= {each["event"] for each in [*daemon.events]}, timeout=300)
        code, _ = daemon.stop()
    assert (0, "") == (code, daemon.errors)
    assert (peak["daemon"] < DAEMON, peak["reader"] < READER) == (True, True), peak
    kept = {md5(path) for path in world.root.rglob("*") if path.is_file()}
    left = {md5(path) for path in world.drop.rglob("*") if path.is_file()}
    row("spoilt files in one drop", "400, seeded").ran(
        lost=len({*given, sent} - kept - left), recovered=sent in kept
    )


ENDS = {"file.quarantined", "file.filed", "file.stuck"}
