"""What moves, and the ledger made anew, as `deploy/procedures.md` has it, run literally."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from deploy.procedures import OPEN, full_site, put
from faults.machine import needs
from world import until

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(1200)]  # a venv, many awaits
LOST = "the ledger: it was lost; made anew from the stores"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An installation with something of everything, stopped."""
    needs("rsync")
    return full_site(tmp_path_factory.mktemp("made"))


@pytest.fixture
def site(made, tmp_path):
    """A copy of it, that runs."""
    site = made.copy(tmp_path)
    with site.supervised() as supervisor:
        supervisor.do("start")
        yield site


@pytest.fixture
def elsewhere(tmp_path):
    """A folder on another file system than the tests'."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        if os.stat(folder).st_dev == os.stat(tmp_path).st_dev:
            pytest.skip("/dev/shm is no file system of its own")
        yield Path(folder)


def recovered(site):
    """What the last start said of the ledger."""
    events = [each for each in site.supervisor.daemon.events if each["event"] == "daemon.recovered"]
    return [each["text"] for each in events if each["text"].startswith("the ledger")]


def works(site, archived):
    """A late file of an archived session is merged into it; the archive is sound."""
    put(site.world.drop, "B", "1.2.2", instance=9)
    until(site.world.archived, lambda found: len(found) == archived + 1)
    site.until_statuses(OPEN)
    assert [] == site.verify()


def test_the_stores_to_another_disk(site, elsewhere):
    """Everything is where the configuration says, as it was; the ledger's memory came along."""
    expected = site.picture()
    disk = elsewhere / "imaging"
    site.run("The stores to another disk", DISK=disk)
    shutil.rmtree(site.root)
    site.root = site.world.root = disk
    assert expected == site.picture()
    assert [] == recovered(site)
    works(site, len(expected["archived"]))


def test_the_prearchive_to_a_disk_of_its_own(site, elsewhere):
    """What waits is there still, and goes into the archive across file systems."""
    expected = site.picture()
    site.run("The prearchive to a disk of its own", FAST=elsewhere / "prearchive")
    assert expected == site.picture()
    works(site, len(expected["archived"]))
    ready = expected["waiting"]["R", "1.2.4"][0]
    site.decide("archive", ready)
    assert ("R", "1.2.4") not in site.statuses()
    assert [] == site.verify()


def test_a_drop_to_another_path(site):
    """The session it feeds goes on; a second file comes to it by the new path."""
    put(site.base / "slow", "W", "1.2.5", instance=2)
    until(site.sessions, lambda found: found["W", "1.2.5"][3] == 2)
    expected = site.picture()
    moved = site.base / "scanners" / "slow1"
    moved.parent.mkdir()
    site.run("A drop to another path", FROM=site.base / "slow", TO=moved)
    assert expected == site.picture()
    drops = {each["name"]: each["path"] for each in site.json("status")["drops"]}
    assert str(moved) == drops["slow"]
    put(moved, "W", "1.2.5", instance=3)
    until(site.sessions, lambda found: found["W", "1.2.5"][3] == 3)
    assert 1 == len([key for key in site.sessions() if key[0] == "W"])


def test_state_to_a_local_disk(site):
    """The ledger goes along as it is, and is not made anew."""
    site.supervisor.do("stop")
    text = site.config.read_text().replace(f'state = "{site.state}"\n', "")
    site.config.write_text(text)
    os.rename(site.state, site.root / "state")  # as it is where nothing else is configured
    site.supervisor.do("start")
    expected = site.picture()
    site.run("`state` to a local disk")
    assert expected == site.picture()
    assert site.state.is_dir()
    assert [] == recovered(site)


def test_the_ledger_made_anew(site):
    """Sessions, statuses, decisions and entries are those of the tree; it is said.

    Of a kept drop all is read again, found to be here, and filed nowhere twice.
    """
    kept = site.base / "kept"
    kept.mkdir()
    more = f'[[drop]]\npath = "{kept}"\nafter = "keep"\nsettle = "100ms"\n'
    more += 'inactivity = "1s"\nrescan_interval = "1s"\n'
    site.config.write_text(f"{site.config.read_text()}\n{more}")
    site.supervisor.do("stop")
    site.supervisor.do("start")
    put(kept, "K", "1.2.8")
    until(site.world.archived, lambda found: "K" in {label for label, _ in found})
    site.until_statuses(OPEN)
    expected = site.picture()
    site.run("The ledger made anew")
    assert [LOST] == recovered(site)
    site.supervisor.daemon.wait_for("session.merged")
    site.until_statuses(OPEN)
    assert expected == site.picture()
    put(site.world.drop, "B", "1.2.7", instance=2)  # the forced merge binds it still
    works(site, len(expected["archived"]) + 1)
