"""What is removed stays removed before the plan that tells of it goes, on whatever disk it lies."""

import re
from pathlib import Path

import pytest
from faults import machine, scenes, strace

pytestmark = [pytest.mark.faults, pytest.mark.campaign, pytest.mark.timeout(600)]


def test_removals_are_durable_before_their_plan_goes(tmp_path):
    """Of a merge that replaces: after the last removal in a scan of the archive, or of a session
    in the prearchive, the folder above is synced, and only then the plan is removed.
    """
    machine.needs("strace")
    root = tmp_path / "base"
    scenes.overwriting(root)
    assert 0 == strace.once(root).wait(strace.PATIENCE)
    scenes.late_replacing(root)
    words = ("strace", "-f", "-y", "-q", "-s", "999", "-e", "signal=none")
    log = tmp_path / "calls"
    calls = "trace=fsync,unlink,unlinkat,rmdir"
    traced = strace.once(root, *words, "-e", calls, "-o", str(log))
    assert 0 == traced.wait(strace.PATIENCE)
    lines = log.read_text().splitlines()
    end = numbers(lines, r'unlink(at)?\(.*P1\.plan\.json"')[-1]
    for gone, synced in (
        (r'unlink(at)?\(.*store/archive/.*\.dcm"', r"fsync\(\d+<.*store/archive/OVER/.*/DICOM>"),
        (r'rmdir\(.*prearchive/OVER/\d+_\d+/P1"', r"fsync\(\d+<.*prearchive/OVER/\d+_\d+>"),
    ):
        last = numbers(lines[:end], gone)[-1]
        assert [] != numbers(lines[last:end], synced), gone
    assert [] == list(Path(root, "store/prearchive/OVER").rglob("*.dcm"))


def numbers(lines, wanted):
    """Which of the lines match."""
    return [number for number, line in enumerate(lines) if re.search(wanted, line)]
