"""A running daemon: what it sees, how it stops, and commands beside it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from makers import make_dicom
from world import World

PATIENT = """
import sys, watcher.signals
from watcher.cli import main
watcher.signals.PATIENCE = 600.0  # a slow machine is no hung share
sys.argv[1:] = sys.argv[4:]  # what stands after `python -m watcher`
main()
"""


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def instance(path, number, *, study="1.2.3"):
    """The `number`-th instance of one series."""
    return make_dicom(
        path, study=study, series=f"{study}.1", sop=f"{study}.1.{number}", instance=number
    )


class TestSeeing:
    """Everything dropped while it runs is found within a rescan and a settle."""

    def test_deep_renamed_and_strange(self, world):
        """New deep directories, a full directory renamed in, a name that is not UTF-8."""
        staged = world.base / "staged" / "a" / "b"
        staged.mkdir(parents=True)
        for number in range(1, 6):
            instance(staged / f"{number}", number)
        with world.daemon() as daemon:
            deep = world.drop / "x" / "y" / "z"
            deep.mkdir(parents=True)
            for number in range(6, 11):
                instance(deep / f"{number}", number)
            os.rename(world.base / "staged", world.drop / "moved")
            odd = os.fsencode(world.drop) + b"/\xff\xfe"
            os.mkdir(odd)
            os.rename(instance(world.base / "11", 11), odd + b"/\xe9.dcm")
            daemon.wait_for("file.filed", 11)
            daemon.wait_until(lambda: len(world.archived()) == 11)
            assert world.left() == []

    def test_a_burst_of_nested_directories(self, world):
        """Directories made faster than watches can be added hide nothing."""
        with world.daemon() as daemon:
            for outer in range(30):
                folder = world.drop / f"s{outer}" / "a" / "b"
                folder.mkdir(parents=True)
                (folder.parent.parent / "n.txt").write_text(f"{outer}")
                instance(folder / "i", 100 + outer)
            daemon.wait_for("file.filed", 30)
            daemon.wait_until(lambda: len(world.archived()) == 30)

    def test_an_open_writer_is_waited_for(self, world):
        """A file is not taken while somebody has it open for writing, however quiet it is."""
        whole = Path(instance(world.base / "a", 1)).read_bytes()
        with world.daemon() as daemon:
            with open(world.drop / "a", "wb") as writer:
                writer.write(whole)
                writer.flush()
                instance(world.drop / "b", 2, study="1.2.9")
                daemon.wait_for("file.filed")
                assert "a" in world.left()
            daemon.wait_for("file.filed", 2)

    def test_a_file_during_the_rest_renews_it(self, world):
        """A file that comes while its session is built or archived is never left out."""
        with world.daemon() as daemon:
            instance(world.drop / "1", 1)
            daemon.wait_for("session.archived")
            instance(world.drop / "2", 2)
            (merged,) = daemon.wait_for("session.merged")
            assert 1 == merged["added"]
        assert len(world.archived()) == 2


class TestStopping:
    """Signals."""

    def test_sigterm_ends_it_in_good_order(self, world):
        """SIGTERM: exit 0, said, within two seconds on a quiet machine."""
        began = time.monotonic()
        with world.daemon(sys.executable, "-c", PATIENT) as daemon:
            start = time.monotonic() - began  # how fast the machine is now
            code, took = daemon.stop()
            assert 0 == code, daemon.errors
            assert "SIGTERM" == daemon.events[-1]["reason"]
            assert took < 15 + 10 * start  # two seconds and what a shared machine adds
            assert "" == daemon.errors

    def test_sigint_is_an_interruption(self, world):
        """Ctrl-C: exit 130."""
        with world.daemon() as daemon:
            assert 130 == daemon.stop(signal.SIGINT)[0]

    def test_sighup_reopens_the_log(self, tmp_path):
        """After SIGHUP lines go to a new file of the old name."""
        log = tmp_path / "watcher.jsonl"
        world = World(tmp_path, extra=f'file = "{log}"')
        with world.daemon() as daemon:
            log.rename(tmp_path / "old.jsonl")
            daemon.process.send_signal(signal.SIGHUP)
            instance(world.drop / "a", 1)
            daemon.wait_for("session.archived")
            daemon.stop()
        events = [json.loads(line)["event"] for line in log.read_text().splitlines()]
        assert "daemon.stopped" == events[-1]
        assert "daemon.started" in (tmp_path / "old.jsonl").read_text()


class TestBeside:
    """A second daemon, and commands beside a running one."""

    def test_a_second_daemon_is_refused(self, world):
        """Exit 11, and the first goes on."""
        with world.daemon() as daemon:
            second = subprocess.run(
                [sys.executable, "-m", "watcher", "run", "--config", str(world.config)],
                capture_output=True,
                text=True,
                timeout=180,
            )
            assert 11 == second.returncode, second.stderr
            assert "another daemon" in second.stderr
            instance(world.drop / "a", 1)
            daemon.wait_for("session.archived")

    def test_a_commands_events_are_said_by_the_daemon(self, tmp_path):
        """What a command did comes out of the running daemon's log."""
        world = World(tmp_path, extra="[projects.P1]\nauto_archive = false")
        with world.daemon() as daemon:
            instance(world.drop / "a", 1)
            (built,) = daemon.wait_for("session.rebuilt")
            world.let_go(built["session"])
            assert 0 == world.watcher("archive", built["session"])[0]
            daemon.wait_for("session.archived", session=built["session"])

    def test_a_held_session_is_refused(self, tmp_path):
        """Exit 4 while somebody else holds the session."""
        world = World(tmp_path, extra="[projects.P1]\nauto_archive = false")
        instance(world.drop / "a", 1)
        world.once()
        (session,) = world.json("sessions")[0]
        holder = (
            "import sys\n"
            "from watcher.commands.options import Common\n"
            "with Common(config=sys.argv[1]).parts() as parts:\n"
            "    session = parts.ledger.session(sys.argv[2])\n"
            "    with parts.leases.hold(parts.keys(session), parts.clock.now()):\n"
            "        print('held', flush=True)\n"
            "        sys.stdin.read()\n"
        )
        with subprocess.Popen(
            [sys.executable, "-c", holder, str(world.config), session["id"]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert "held\n" == process.stdout.readline()
            assert 4 == world.watcher("archive", session["id"])[0]
            process.kill()
        assert 0 == world.watcher("archive", session["id"])[0]


class TestMissing:
    """Drops and stores that go away."""

    def test_a_drop_that_goes_and_comes_back(self, world):
        """Said once each; what is dropped after the return is archived."""
        with world.daemon() as daemon:
            os.rename(world.drop, world.base / "away")
            daemon.wait_for("drop.unavailable")
            os.rename(world.base / "away", world.drop)
            daemon.wait_for("drop.available")
            instance(world.drop / "a", 1)
            daemon.wait_for("session.archived")
            assert 1 == len([e for e in daemon.events if e["event"] == "drop.unavailable"])

    def test_a_drop_made_anew_is_watched_again(self, world):
        """Another directory at the same path is a drop like the one before."""
        with world.daemon() as daemon:
            shutil.rmtree(world.drop)
            daemon.wait_for("drop.unavailable")
            world.drop.mkdir()
            daemon.wait_for("drop.available")
            instance(world.drop / "a", 1)
            daemon.wait_for("session.archived")

    def test_a_store_without_its_marker_is_missing(self, world):
        """The prearchive without its marker is not written; with it, work goes on."""
        instance(world.drop / "a", 1)
        assert 0 == world.once()[0]
        marker = world.root / "prearchive" / ".watcher-store"
        kept = marker.read_bytes()
        marker.unlink()
        instance(world.drop / "b", 2)
        code, events = world.once()
        assert 10 == code
        assert ["prearchive"] == [e["store"] for e in events if e["event"] == "storage.unavailable"]
        assert ["b"] == world.left()
        marker.write_bytes(kept)
        code, events = world.once()
        assert 0 == code
        assert [e for e in events if e["event"] == "storage.available"]
        assert len(world.archived()) == 2


class TestRetention:
    """What was set aside is purged once it is old."""

    RETENTION = '[retention]\nquarantine = "1ms"'

    def test_a_daemon_purges_what_is_old_when_it_starts(self, tmp_path):
        """An entry of an earlier run goes, settled; its file is nowhere any more."""
        world = World(tmp_path)
        (world.drop / "notes.txt").write_text("no DICOM")
        world.once()
        assert 1 == len(world.json("quarantine", "list", "--all")[0])
        with World(tmp_path, extra=self.RETENTION).daemon() as daemon:
            (settled,) = daemon.wait_for("quarantine.settled")
        assert "purged" == settled["outcome"]
        assert [] == list((world.root / "quarantine").rglob("notes.txt"))

    def test_a_drain_purges_too(self, tmp_path):
        """For whoever runs it by a timer; the exit code is that of a drained drop."""
        world = World(tmp_path, extra=self.RETENTION)
        (world.drop / "notes.txt").write_text("no DICOM")
        code, lines = world.once()
        outcomes = [each["outcome"] for each in lines if each["event"] == "quarantine.settled"]
        assert (0, "purged") == (code, outcomes[-1])
