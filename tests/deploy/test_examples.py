"""What deploy/ ships is read by the tools that will read it."""

import shutil
import subprocess
from pathlib import Path

import pytest

from watcher.settings import load

DEPLOY = Path(__file__).parents[2] / "deploy"


def test_the_example_configuration_loads():
    """deploy/watcher.toml is a whole configuration, and has its say in the unit's paths."""
    found = load(str(DEPLOY / "watcher.toml"))
    unit = (DEPLOY / "systemd" / "watcher.service").read_text()
    assert [found.stores.root] == [
        path for path in ("/srv/imaging",) if f"ReadWritePaths={path}" in unit
    ]
    assert ["mri"] == [drop.name for drop in found.drops]


def test_the_unit_is_one(tmp_path):
    """The unit has no fault that systemd finds."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze on this machine")
    text = (DEPLOY / "systemd" / "watcher.service").read_text()
    unit = tmp_path / "watcher.service"
    unit.write_text(text.replace("/opt/watcher/bin/watcher", "/bin/true"))
    ended = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True)
    faults = [line for line in ended.stderr.splitlines() if "watcher.service" in line]
    assert ([], 0) == (faults, ended.returncode)
