"""The whole job beside `cp -r`, `md5sum` and `sync` of the same tree, in one go (spec 11)."""

import tempfile
from pathlib import Path

import pytest
from measured import (
    FULL,
    few,
    make_ct,
    make_mr,
    median,
    peak_of_children,
    plain_copy,
    ratio,
    report,
    settled,
)
from whole import whole_job

MR, CT = (make_mr, few(2000, 30), 512), (make_ct, few(4000, 40), 39)  # how, how many, KiB
ROUNDS = few(5, 1)


def compared(name, kind, drop, disk):
    """Paired rounds of the whole job and of the plain copy, from one folder to the other."""
    make, number, kib = kind
    make(drop / "tree", number)
    ours, theirs = [], []
    for turn in range(ROUNDS):
        seconds, archived = whole_job(drop / f"world{turn}", drop / "tree", disk / f"store{turn}")
        assert number == archived
        ours.append(seconds)
        settled()
        theirs.append(plain_copy(drop / "tree", disk / f"copy{turn}"))
        settled()
    report(
        name,
        files=number,
        kib_each=kib,
        rounds=ROUNDS,
        seconds=median(ours),
        files_per_second=round(number / median(ours)),
        copy_md5sum_sync_seconds=median(theirs),
        ratio=(found := ratio(ours, theirs)),
        ratios=[round(a / b, 2) for a, b in zip(ours, theirs, strict=True)],
        peak_rss_children_mib=peak_of_children(),
    )
    return found


@pytest.mark.benchmark
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("kind", "bar"), [(MR, 1.0), (CT, 2.5)], ids=["mr", "ct"])
def test_whole_job_against_a_plain_copy(tmp_path, kind, bar):
    """Every file is archived, in no more time than so many plain copies of the tree take."""
    found = compared("whole job, run --once", kind, tmp_path / "drop", tmp_path)
    assert not FULL or found <= bar


@pytest.mark.benchmark
@pytest.mark.timeout(1800)
def test_whole_job_across_file_systems(tmp_path):
    """The same where the drop lies in memory and the stores on a disk: every file is copied."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
        found = compared("whole job, across file systems", MR, Path(memory), tmp_path)
    assert not FULL or found <= 1.3
