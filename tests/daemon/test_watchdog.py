"""What feeds the watchdog: the daemon as it is started by systemd, on a real socket."""

import socket
from contextlib import contextmanager
from uuid import uuid4

from makers import make_dicom
from world import World, until

PATIENCE = 40  # seconds: a sign is due every five; a loop that is silent for twenty starves it


@contextmanager
def supervised(tmp_path):
    """A daemon that was told of a watchdog, and all that it has told so far, by when it came."""
    name, told = f"watcher-test-{uuid4()}", []
    world = World(tmp_path, inactivity="100ms")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(f"\0{name}")
        systemd.settimeout(0)

        def heard():
            try:
                while True:
                    told.append(systemd.recv(4096).decode())
            except BlockingIOError:
                return told

        words = {"NOTIFY_SOCKET": f"@{name}", "WATCHDOG_USEC": str(PATIENCE * 1_000_000)}
        with world.daemon(**words) as daemon:
            yield world, daemon, heard


def test_an_idle_daemon_feeds_and_tells_how_it_stands(tmp_path):
    """READY comes first, then signs of life though nothing happens; the status follows the drop."""
    with supervised(tmp_path) as (world, daemon, heard):
        until(heard, lambda told: "WATCHDOG=1" in told)
        (ready,) = [each for each in heard() if each.startswith("READY=1")]
        assert "READY=1\nSTATUS=drops: 1, sessions here: 0" == ready
        assert heard().index(ready) < heard().index("WATCHDOG=1")
        world.drop.rename(world.base / "away")
        until(heard, lambda told: any("drops missing: 1" in each for each in told))
        make_dicom(world.base / "away" / "a.dcm")
        (world.base / "away").rename(world.drop)

        def archived():
            heard()  # a full queue loses what is told
            return [each for each in daemon.events if each["event"] == "session.archived"]

        daemon.wait_until(archived)
        assert (0, []) == (daemon.stop()[0], [each for each in heard() if "mri" in each])
        assert 1 == heard().count("STOPPING=1")  # a sign that was due may follow
