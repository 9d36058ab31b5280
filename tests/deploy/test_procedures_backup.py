"""Backup and restore as `deploy/procedures.md` has them, run literally."""

import shutil
import socket
import subprocess

import pytest
from deploy.procedures import OPEN, Feed, full_site, put
from faults.machine import needs
from world import md5, until

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(1200)]  # a venv, many awaits


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An installation with something of everything, stopped; and a backup of it."""
    needs("rsync")
    return full_site(tmp_path_factory.mktemp("made"), "A copy, with a short stop")


@pytest.fixture
def site(made, tmp_path):
    """A copy of it, supervised."""
    site = made.copy(tmp_path)
    with site.supervised():
        yield site


def lose(site):
    """All that a new machine does not have."""
    for path in (site.root, site.state):
        shutil.rmtree(path)
    site.config.unlink()


def told(site, event):
    return [each["text"] for each in site.supervisor.events if each["event"] == event]


def test_a_copy_with_a_stop_is_what_was_there(site, monkeypatch):
    """Restored on a machine that has nothing: the same sessions, files, decisions, entries."""
    site.supervisor.do("start")
    put(site.world.drop, "C", "1.2.8")
    until(site.world.archived, lambda found: "C" in {label for label, _ in found})
    site.until_statuses(OPEN)
    site.run("A copy, with a short stop")
    expected = site.picture()
    site.supervisor.do("stop")
    lose(site)
    site.supervisor.past.clear()
    site.run("Everything, on a new machine")
    assert expected == site.picture()
    texts = told(site, "daemon.recovered")
    assert ["the ledger: it was lost; made anew from the stores"] == texts[:1]
    put(site.world.drop, "B", "1.2.7", instance=2)  # the forced merge binds it still
    until(site.world.archived, lambda found: len(found) == len(expected["archived"]) + 1)
    site.until_statuses(OPEN)
    assert [] == site.verify()


def test_a_store_of_another_host_is_taken_over(site):
    """The name of the machine is no part of a backup: it is restored under another one."""
    needs("unshare")
    if subprocess.run(["unshare", "--uts", "true"], capture_output=True).returncode:
        pytest.skip("no name space of host names can be made here")
    expected = site.picture()
    lose(site)
    shell = 'hostname elsewhere; shift 3; exec "$0" "$@"'
    site.words = ("unshare", "--uts", "sh", "-c", shell, f"{site.installed}/bin/watcher")
    site.run("Everything, on a new machine")
    (started,) = [each for each in site.supervisor.events if each["event"] == "daemon.started"]
    assert "elsewhere" == started["host"] != socket.gethostname()
    assert expected == site.picture()


RSYNC = """#!/bin/sh
{ask} more && exec {rsync} "$@"
"""


def test_a_copy_without_a_stop_is_sound(site):
    """While sessions are archived and merged between and during all of its steps.

    What was archived when it began is in it; what waited, waits; what was on its way is archived
    by the restored one; every catalog is right, and nothing is listed twice. Of a file that was
    being merged a second copy may lie beside it.
    """
    site.supervisor.do("start")
    daemon = site.supervisor.daemon
    merged = []

    def more(_word):
        """Two more sessions are archived, or merged, before the next step begins."""
        names = [each["event"] for each in daemon.events]
        merged.append(names.count("session.merged") + names.count("session.archived"))
        daemon.wait_for("session.merged", names.count("session.merged") + 1)
        daemon.wait_for("session.archived", names.count("session.archived") + 1)

    site.supervisor.other = more
    (site.base / "slowed").mkdir()
    text = RSYNC.format(ask=site.supervisor.ask, rsync=shutil.which("rsync"))
    site.script("slowed/rsync", text)
    shutil.rmtree(site.backup)
    with Feed(site) as feed:
        daemon.wait_for("session.merged", 1)
        before = site.world.archived()
        waiting = {key: each for key, each in site.sessions().items() if key in OPEN}
        site.run("A copy without a stop", first=f"PATH={site.base}/slowed:$PATH")
    assert 6 == len(merged)
    assert feed.number > 6
    site.supervisor.do("stop")
    lose(site)
    shutil.rmtree(site.world.drop)  # the senders' own: nothing of it helps
    site.world.drop.mkdir()
    site.run("Everything, on a new machine", codes=(0, 3))
    site.until_statuses(OPEN)
    found = site.world.archived()
    assert before.items() <= found.items()
    assert waiting == site.sessions()
    assert {"unlisted"} >= {code for code, _ in site.verify()}
    site.run("What a store lost", codes=(0, 3))
    listed = list(site.world.archived().values())
    assert len(listed) == len(set(listed))
    seconds = site.world.uncatalogued()  # placed at the very moment: the same bytes beside
    assert len(site.verify()) == len(seconds)
    assert {md5(path) for path in seconds} <= set(listed)


def test_one_session(site):
    """A session that is gone from the archive is back, whole, and takes files again."""
    expected = site.world.archived()
    shutil.rmtree(site.root / "archive/P1/arc001/B")
    (site.root / "archive/P1/arc001/B.xml").unlink()
    site.supervisor.do("start")
    assert expected != site.world.archived()
    site.run("One archived session", PROJECT="P1", LABEL="B")
    assert expected == site.world.archived()
    put(site.world.drop, "B", "1.2.2", instance=3)
    until(site.world.archived, lambda found: len(found) == len(expected) + 1)
    site.until_statuses(OPEN)
    site.run("Is the copy good?")
    assert [] == site.verify()


def test_what_a_store_lost(site):
    """Files that are gone, torn or changed come back; so do documents; what came since stays."""
    site.supervisor.do("start")
    put(site.world.drop, "A", "1.2.1", instance=3)
    expected = until(site.world.archived, lambda found: len(found) == 6)
    site.until_statuses(OPEN)
    archive = site.root / "archive/P1/arc001"
    one, two = sorted((archive / "B").rglob("*1.2.2*.dcm"))
    (three,) = (archive / "A").rglob("*-1-1-*.dcm")
    one.unlink()
    data = two.read_bytes()
    two.write_bytes(data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
    three.write_bytes(three.read_bytes()[:-100])
    (archive / "A.xml").unlink()
    codes = {code for code, _ in site.verify()}
    assert {"missing", "changed", "torn"} <= codes
    site.run("What a store lost")
    assert expected == site.world.archived()
    assert [] == site.verify()
