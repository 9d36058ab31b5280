"""What deploy/ ships is read by the tools that will read it."""

import runpy
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from watcher.settings import load

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = DEPLOY / "systemd"
PATHS = runpy.run_path(str(UNITS / "paths.py"))
EXPOSURE = 15  # tenths: `systemd-analyze security` calls 1.4 OK


def analyzed(*words):
    """What systemd-analyze says; the test is skipped where there is none."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze on this machine")
    return subprocess.run(["systemd-analyze", *map(str, words)], capture_output=True, text=True)


def test_the_example_configuration_loads():
    """deploy/watcher.toml is a whole configuration, and has its say in the unit's paths."""
    found = load(str(DEPLOY / "watcher.toml"))
    unit = (UNITS / "watcher.service").read_text()
    (line,) = [line for line in unit.splitlines() if line.startswith("ReadWritePaths=")]
    assert f"ReadWritePaths=-{found.stores.root} -/srv/drop" == line
    assert ["/srv/drop/mri"] == [drop.path for drop in found.drops]
    assert "/var/lib/watcher/state" == found.stores.state


@pytest.mark.parametrize("name", ["watcher.service", "watcher@.service"])
def test_the_units_have_no_fault(tmp_path, name):
    """Neither has one that systemd finds; they are exposed to 1.5 of 10 at the most."""
    unit = tmp_path / name
    text = (UNITS / name).read_text()
    unit.write_text(text.replace("/opt/watcher/bin/watcher", "/bin/true"))
    ended = analyzed("verify", unit)
    faults = [line for line in ended.stderr.splitlines() if "watcher" in line]
    assert ([], 0) == (faults, ended.returncode)
    graded = analyzed("security", "--offline=true", f"--threshold={EXPOSURE}", unit)
    assert 0 == graded.returncode, graded.stdout.splitlines()[-1]


def test_an_instance_is_the_same_unit():
    """They differ in the names of what each has for itself, and in nothing else."""
    unit, template = ((UNITS / f"watcher{at}.service").read_text() for at in ("", "@"))
    said = template.replace(" (%i)", "").replace(
        "/etc/watcher/%i.toml", "/etc/watcher/watcher.toml"
    )
    assert unit == said.replace("watcher-%i", "watcher")


def test_paths_opens_the_sandbox_for_what_is_configured():
    """Every store and drop and the log's folder; each mount on their way is waited for."""
    settings = tomllib.loads(
        'storage.root = "/srv/imaging"\nstorage.archive = "/big/arc-hive"\n'
        'drop = [{path = "/mnt/a share/50%"}]\nlog.file = "/var/log/watcher/w.jsonl"\n'
    )
    lines = PATHS["drop_in"]("x", settings).splitlines()
    paths = [line.partition("=")[2] for line in lines if line.startswith("ReadWritePaths=")]
    wanted = ["/srv/imaging", "/big/arc-hive", "/mnt/a share/50%%", "/var/log/watcher"]
    assert ["", *(f'"-{path}"' for path in wanted)] == paths
    mounts = {line.partition("=")[2] for line in lines if line.startswith("Wants=")}
    assert {"big-arc\\x2dhive.mount", "mnt-a\\x20share-50\\x25.mount", "srv.mount"} <= mounts
    assert mounts == {line.partition("=")[2] for line in lines if line.startswith("After=")}
