"""What memory the daemon and its workers come to: large sessions and units, many pending files."""

import os

import pytest
from at_rest import waiting
from measured import FULL, children, few, make_small, memory, report, settled
from quick import installed
from world import World

from watcher.stages.looking import ROOM

MOST_DAEMON, MOST_WORKER = 150.0, 120.0  # MB
MB = 2**20 / 1e6
FILES = few(50_000, 20)
PENDING = few(100_000, 30)
missed = pytest.mark.xfail(FULL, reason="of 50 000 files at once: see the README", strict=False)
SHORT = few("1s", "100ms")
LONG = 3000.0  # seconds, at most


class Watched:
    """The peaks of a daemon and of its workers, in MB, as far as they were asked."""

    def __init__(self, daemon):
        self.pid = daemon.process.pid
        self.worker = 0.0

    def look(self):
        """Workers end when there is nothing to read: ask while they are there."""
        for pid in children(self.pid):
            try:
                self.worker = max(self.worker, round(memory(pid)[0] * MB, 1))
            except (FileNotFoundError, ProcessLookupError, KeyError):
                continue  # it has ended since
        return round(memory(self.pid)[0] * MB, 1)

    def until(self, daemon, reached):
        daemon.wait_until(lambda: self.look() and reached(), timeout=LONG)
        return self.look()


def said(daemon, name):
    return [each for each in daemon.events if each["event"] == name]


def when_archived(daemon, watched):
    """The daemon's peak when all files are archived, as one session."""
    peak = watched.until(daemon, lambda: said(daemon, "session.archived"))
    (done,) = said(daemon, "session.archived")
    assert FILES == done["files"]
    return peak


def kept_within(daemon, worker):
    """The bars, where it is measured."""
    assert not FULL or (daemon <= MOST_DAEMON and worker <= MOST_WORKER)


@pytest.mark.benchmark
@pytest.mark.timeout(3600)
@missed
@pytest.mark.parametrize("scans", few([20, 1], [2]))
def test_building_and_archiving_a_large_session(tmp_path, scans):
    """A session at rest is built and archived, all of it."""
    with installed(tmp_path) as bench:
        waiting(bench.parts, FILES, scans)
    settled()
    world = World(tmp_path, level="info", rescan="100ms", inactivity="100ms")
    with world.daemon() as daemon:
        watched = Watched(daemon)
        built = watched.until(daemon, lambda: said(daemon, "session.rebuilt"))
        archived = when_archived(daemon, watched)
    report(
        "memory: a session at rest",
        files=FILES,
        scans=scans,
        daemon_peak_mb_built=built,
        daemon_peak_mb_archived=archived,
        worker_peak_mb=watched.worker,
    )
    kept_within(archived, watched.worker)


@pytest.mark.benchmark
@pytest.mark.timeout(3600)
@missed
@pytest.mark.parametrize("mode", ["gradual", "transactional"])
def test_taking_a_large_session(tmp_path, mode):
    """So many files in one folder, filed one by one or as a unit, become one archived session."""
    name = "incoming" if mode == "gradual" else "unit"
    world = World(tmp_path, drop_lines=[f'import = "{mode}"'], level="info", inactivity=SHORT)
    make_small(tmp_path / name, FILES)
    os.rename(tmp_path / name, world.drop / name)
    settled()
    with world.daemon() as daemon:
        watched = Watched(daemon)
        peak = when_archived(daemon, watched)
    report(
        "memory: from the drop to the archive",
        files=FILES,
        mode=mode,
        daemon_peak_mb=peak,
        worker_peak_mb=watched.worker,
    )
    kept_within(peak, watched.worker)


def pending(base, number, **given):
    """The daemon's memory with so many files pending: at its peak and now, and its workers'."""
    world = World(base, level="info", extra='heartbeat = "1s"', **given)
    make_small(world.drop / "later", number)
    settled()
    with world.daemon() as daemon:
        watched = Watched(daemon)
        peak = watched.until(daemon, lambda: waits(world) >= min(number, ROOM))
        now = round(memory(watched.pid)[1] * MB, 1)
    return peak, now, watched.worker


def waits(world):
    """How many files the drop's metrics say are waiting."""
    try:
        text = (world.root / "status" / "metrics.prom").read_text()
    except FileNotFoundError:
        return 0
    lines = [line for line in text.splitlines() if line.startswith("watcher_files_waiting{")]
    return sum(int(float(line.rpartition(" ")[2])) for line in lines)


@pytest.mark.benchmark
@pytest.mark.timeout(3600)
def test_many_pending_files(tmp_path):
    """Files that have not settled yet cost their own rows, and no more than ROOM at a time."""
    peak, now, worker = pending(tmp_path / "many", PENDING, settle="1h")
    empty = pending(tmp_path / "none", 1, settle="1h")[1] if FULL else now
    report(
        "memory: pending files",
        files=PENDING,
        known_at_a_time=min(PENDING, ROOM),
        daemon_peak_mb=peak,
        daemon_mb=now,
        daemon_mb_without=empty,
        bytes_for_each=round((now - empty) * 1e6 / min(PENDING, ROOM)),
        worker_peak_mb=worker,
    )
    kept_within(peak, worker)
