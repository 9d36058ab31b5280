"""What building and archiving a large session takes, in this process and by the daemon (spec 9)."""

import resource

import pytest
from at_rest import waiting
from measured import FULL, few, median, report, settled, timed
from quick import installed
from world import World

from watcher.core.life import Event
from watcher.core.session import Status
from watcher.stages.archive import archive
from watcher.stages.rebuild import build

FILES, SCANS = few(20_000, 40), few(20, 2)
ROUNDS = few(3, 1)
LIMIT = 3.0  # seconds of a build, from IDLE to READY: as the daemon says, and of CPU in here


def used(act, *arguments):
    """Seconds that a call takes, those of its CPU, and what it gives."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    seconds, given = timed(act, *arguments)
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return (seconds, cpu), given


def served(base):
    """The seconds that the daemon says of building and archiving such a session."""
    with installed(base) as bench:
        waiting(bench.parts, FILES, SCANS)
    settled()
    with World(base, level="info", rescan="100ms").daemon() as daemon:
        told = [
            daemon.wait_for(event, timeout=300)[-1]
            for event in ("session.rebuilt", "session.archived")
        ]
    assert {FILES} == {each["files"] for each in told}
    return [each["seconds"] for each in told]


@pytest.mark.benchmark
@pytest.mark.timeout(900)
def test_building_and_archiving_a_session(tmp_path):
    """A session at rest is READY, and then archived, with every file in the catalogs."""
    builds, archives = [], []
    for turn in range(ROUNDS):
        with installed(tmp_path / f"world{turn}") as bench:
            session = waiting(bench.parts, FILES, SCANS)
            settled()
            took, done = used(build, bench.parts, session, Event.IDLE)
            builds.append(took)
            assert Status.READY is done.status
            took, done = used(archive, bench.parts, session)
            archives.append(took)
            assert (Status.ARCHIVED, FILES) == (done.status, listed(bench))
    by_daemon = served(tmp_path / "served")
    report(
        "building and archiving a session",
        files=FILES,
        scans=SCANS,
        rounds=ROUNDS,
        build_seconds=median([wall for wall, _ in builds]),
        build_cpu_seconds=(found := median([cpu for _, cpu in builds])),
        archive_seconds=median([wall for wall, _ in archives]),
        archive_cpu_seconds=median([cpu for _, cpu in archives]),
        daemon_build_seconds=by_daemon[0],
        daemon_archive_seconds=by_daemon[1],
    )
    assert not FULL or max(found, by_daemon[0]) <= LIMIT


def listed(bench):
    """The entries of the archive's catalogs."""
    found = (path for path in bench.tree() if path.endswith("_catalog.xml"))
    base = bench.parts.storage.path("archive")
    texts = []
    for path in found:
        with open(f"{base}/{path}", encoding="utf-8") as file:
            texts.append(file.read())
    return sum(text.count("<cat:entry ") for text in texts)
