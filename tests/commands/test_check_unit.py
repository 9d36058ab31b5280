"""The doctor's commands for a unit, on a machine that systemd has booted."""

import json
import sys
from pathlib import Path

import pytest
from deploy.booted import Booted

import watcher

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(900)]

CONFIG = """
[storage]
root = "/srv/images of 100%"
[[drop]]
path = '/srv/drop "mri" \\n'
name = "mri"
"""
UNIT = """
[Service]
User=nobody
ProtectSystem=strict
TimeoutStopSec=1
ExecStart=/bin/sh -c "exec sleep 1000" run --config /etc/watcher/watcher.toml
"""


@pytest.fixture
def machine(tmp_path):
    """Its `watcher.service` shuts the stores out, and has no time; the doctor looks."""
    command = [sys.executable, "-m", "watcher", "check", "--config", "/etc/watcher/watcher.toml"]
    ours = {Path(sys.prefix), Path(watcher.__file__).parents[1]}  # where no /tmp hides them
    booted = Booted(tmp_path, binds={each: each for each in sorted(ours)})
    booted.put("/etc/watcher/watcher.toml", CONFIG)
    booted.put("/etc/systemd/system/watcher.service", UNIT)
    with booted:
        booted.run("install", "-d", "-o", "nobody", "/srv/images of 100%", '/srv/drop "mri" \\n')
        yield lambda *words: booted.run(*words, check=False).stdout, booted, command


def test_an_instance_that_starts_finds_itself(machine):
    """The check before the daemon, of an instance not enabled: its unit's bounds are seen."""
    _, booted, command = machine
    config = CONFIG.replace("/srv/images of 100%", "/srv/images")
    booted.put("/etc/watcher/ct.toml", f'{config}[log]\nfile = "/var/log/watcher-ct/log"\n')
    words = [each.replace("watcher.toml", "%i.toml") for each in command]
    more = "LogsDirectory=watcher-%i\nReadWritePaths=-/srv\nLimitNOFILE=200:4096"
    before = f"StandardOutput=file:/srv/found\nExecStartPre=-{' '.join(words)} --json\n{more}\n"
    unit = UNIT.replace("watcher.toml", "%i.toml").replace("TimeoutStopSec=1\n", before)
    unit = unit.replace("User=nobody\n", "")  # who can't read every developer's Python
    booted.put("/etc/systemd/system/watcher@.service", unit)
    booted.run("systemctl", "daemon-reload")
    booted.run("systemctl", "start", "watcher@ct")
    lines = {line["of"]: line for line in json.loads(booted.run("cat", "/srv/found").stdout)}
    assert "ok" == lines["unit watcher@ct.service"]["severity"]
    assert "LimitNOFILE=1024:4096" in lines["open files"]["command"]


def test_the_unit_is_mended_as_systemd_reads_it(machine):
    """Its paths and bounds are what the commands have written, for systemd too."""
    asked, booted, command = machine

    def found():
        lines = json.loads(asked(*command, "--json"))
        return {line["text"]: line for line in lines if line["of"] == "unit watcher.service"}

    for line in found().values():
        booted.sh(line["command"])
    assert ["ok"] == [line["severity"] for line in found().values()]
    shown = asked("systemctl", "show", "-p", "ReadWritePaths,TimeoutStopUSec", "watcher")
    assert r'"-/srv/drop \"mri\" \\n"' in shown
    assert '"-/srv/images of 100%/archive"' in shown
    assert "TimeoutStopUSec=20s" in shown
