"""The daemon where it meets the machine: systemd, a locked ledger, a watch that is lost."""

import os
import shlex
import signal
import socket
import sqlite3
import tempfile

import another
import pytest
from makers import make_dicom
from world import World

from watcher.assembly import open_storage
from watcher.core.errors import ConfigurationError
from watcher.settings import load

LONG = 180.0  # seconds until something must have happened: machines are shared and slow
ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="changes the user, which takes root")


def instance(world, number=1, **values):
    """One instance, dropped."""
    sop = f"1.2.3.1.{number}"
    return make_dicom(world.drop / f"{number}", sop=sop, instance=number, **values)


def test_systemd_is_told(tmp_path):
    """READY once it watches, WATCHDOG while it lives, STOPPING at a signal (sd_notify(3))."""
    world = World(tmp_path)
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind(address)
        line.settimeout(LONG)
        with world.daemon(NOTIFY_SOCKET=address, WATCHDOG_USEC="20000000") as daemon:
            told = [line.recv(1000)]
            while told[-1] != b"WATCHDOG=1":
                told.append(line.recv(1000))
            daemon.process.send_signal(signal.SIGTERM)
            while told[-1] != b"STOPPING=1":
                told.append(line.recv(1000))
            daemon.stop(0)
    ready = told.index(b"READY=1\nSTATUS=drops: 1, sessions here: 0")
    assert ready < told.index(b"WATCHDOG=1")


def test_a_locked_ledger_is_said_once_and_waited_for(tmp_path):
    """Somebody else writes to the ledger for long: said, nothing lost, and over when it is over."""
    world = World(tmp_path, extra='heartbeat = "1s"')
    with world.daemon() as daemon:
        path = world.root / "state" / "ledger.sqlite"
        other = sqlite3.connect(path, timeout=LONG, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        daemon.wait_for("storage.unavailable", store="state")
        other.execute("ROLLBACK")
        other.close()
        daemon.wait_for("storage.available", store="state")
        instance(world)
        daemon.wait_for("session.archived")
        assert 0 == daemon.stop()[0]
        assert 1 == sum(each["event"] == "storage.unavailable" for each in daemon.events)


def test_a_drop_replaced_at_its_path_is_watched(tmp_path):
    """Another directory takes the path of a drop: what comes there is found and archived."""
    world = World(tmp_path)
    fresh = world.base / "fresh"
    fresh.mkdir()
    with world.daemon() as daemon:
        os.rename(world.drop, world.base / "old")
        os.rename(fresh, world.drop)
        instance(world, 1)
        daemon.wait_for("session.archived")
        assert 0 == daemon.stop()[0]


def test_a_polled_drop_needs_no_watch(tmp_path):
    """`watch = "poll"`: files are found by looking alone, and the heartbeat says so."""
    world = World(tmp_path, drop_lines=['watch = "poll"'])
    with world.daemon() as daemon:
        instance(world)
        daemon.wait_for("session.archived")
        (beat,) = daemon.wait_for("daemon.heartbeat")
        assert "poll" == beat["drops"]["mri"]["watch"]
        assert 0 == daemon.stop()[0]


class TestStarting:
    """What a start refuses, and what a command finds before one."""

    def test_commands_before_the_first_start_say_so(self, tmp_path):
        """Nothing was ever run here: 10, and no store is made."""
        world = World(tmp_path)
        assert 10 == world.watcher("sessions")[0]
        assert 10 == world.watcher("archive", "P1")[0]
        assert not world.root.exists()

    def test_once_says_ten_for_a_drop_that_is_missing(self, tmp_path):
        """`run --once` without its drop: 10, and the drop is not made."""
        world = World(tmp_path)
        world.drop.rmdir()
        assert 10 == world.once()[0]
        assert not world.drop.exists()

    @ROOT
    @pytest.mark.parametrize(("owner", "name"), [(54321, "#54321"), (0, "root")])
    def test_another_user_is_told_whose_stores_they_are(self, installed, owner, name):
        """A foreign user: 2 and the sudo line; nothing is touched."""
        os.chown(installed.root / "state", owner, -1)
        os.seteuid(54322)
        try:
            with pytest.raises(ConfigurationError, match=f"belong to {name}") as caught:
                open_storage(load(str(installed.config)))
        finally:
            os.seteuid(0)
        assert caught.value.hint.startswith(f"sudo -u {shlex.quote(name)} ")

    @ROOT
    def test_root_becomes_the_owner(self, installed):
        """A command of root works as the stores' owner, and leaves nothing that is root's."""
        code, user, _ = another.run(AS_OWNER, installed.config, installed.root).split()
        assert ("0", "54321") == (code, user)
        assert {54321} == {
            os.lstat(os.path.join(base, name)).st_uid
            for base, _, names in os.walk(installed.root)
            for name in names
        }


AS_OWNER = """
import os, sys
from watcher.cli import call
config, root = sys.argv[1:]
words = ["rebuild", "P1", "--config", config]
sys.stdout = open(os.devnull, "w")
assert call(words) == 0  # and everything is imported
for base, folders, names in os.walk(root):
    for name in (".", *folders, *names):
        os.chown(os.path.join(base, name), 54321, 54321)
code = call(words)
sys.stdout = sys.__stdout__
print(code, os.geteuid(), os.getegid(), flush=True)
os._exit(0)  # there is nothing this user may write elsewhere
"""


@pytest.fixture
def installed():
    """An installation with a session, in a directory that every user may enter."""
    with tempfile.TemporaryDirectory() as base:
        os.chmod(base, 0o755)
        world = World(base, extra="[projects.P1]\nauto_archive = false")
        instance(world)
        world.once()
        yield world
