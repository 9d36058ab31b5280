"""From the start of the program to READY, beside an installation as large as a site's (spec 9)."""

import time

import pytest
from measured import FULL, cpu, few, median, memory, report
from multitude import ARCHIVED_IMAGES, IMAGES, MOULDS, multitude
from world import World

STAGED, ARCHIVED = few(10_000, 10), few(1_000_000, 1000) // ARCHIVED_IMAGES
ROUNDS = few(5, 1)


def ready(world):
    """Start the daemon and end it when it is ready: the seconds, and what it used until then."""
    began = time.monotonic()
    with world.daemon() as daemon:
        seconds = time.monotonic() - began
        used, (peak, _) = cpu(daemon.process.pid), memory(daemon.process.pid)
        (line,) = daemon.wait_for("daemon.ready")
        assert [] == [each for each in daemon.events if each["event"] == "daemon.recovered"]
        code, _ = daemon.stop()
    assert 0 == code
    return {"seconds": seconds, "cpu": used, "peak": peak, "sessions": line["sessions"]}


@pytest.mark.benchmark
@pytest.mark.timeout(1800)
def test_start_beside_a_large_archive(tmp_path):
    """READY is said within three seconds of the start, and every session is known as it was."""
    world, empty = multitude(tmp_path, staged=STAGED, archived=ARCHIVED), tmp_path / "empty"
    rounds = [(ready(world), ready(World(empty)) if FULL else {}) for _ in range(ROUNDS)]
    large, small = zip(*rounds, strict=True)
    assert {STAGED + MOULDS} == {each["sessions"] for each in large}
    found = median([each["seconds"] for each in large], 2)
    report(
        "start to READY",
        prearchive_sessions=STAGED,
        files_in_each=IMAGES,
        archived_sessions=ARCHIVED,
        archived_files=ARCHIVED * ARCHIVED_IMAGES,
        rounds=ROUNDS,
        seconds=found,
        cpu_seconds=median([each["cpu"] for each in large], 2),
        peak_rss_mib=median([each["peak"] for each in large], 1),
        **{
            f"{name}_of_an_empty_one": median([each.get(name, 0) for each in small], 2)
            for name in ("seconds", "cpu")
        },
    )
    assert not FULL or found <= 3.0
