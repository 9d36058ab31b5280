"""`watcher status`."""

import os
import subprocess
import sys

import pytest
from imaging import ask, configure, installation, told

from watcher.assembly import command_parts
from watcher.io.lease import lock_store
from watcher.io.stores import KINDS, Storage
from watcher.remembered import HEARTBEAT
from watcher.report import standing


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return installation(tmp_path_factory)


@pytest.fixture
def running(made):
    """The lock a daemon holds, held by a process of its own."""
    script = (
        "import sys\nfrom watcher.io.lease import lock_store\n"
        "lock_store(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
    )
    marker = Storage(made.settings.stores).marker("state")
    command = [sys.executable, "-c", script, marker]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        yield
        process.stdin.close()


def beat(made, ago):
    """The last heartbeat was so many seconds ago."""
    with command_parts(made.settings) as parts:
        parts.ledger.remember(HEARTBEAT, str(parts.clock.now() - ago))


def test_the_document_tells_how_everything_stands(made, capsys):
    """Daemon, drops, stores, sessions by status, what is open, what is in quarantine."""
    code, found = ask(capsys, made.config, "status")
    assert code == 0
    assert found["running"] is False
    assert found["sessions"] == {"READY": 1, "CONFLICT": 2, "ARCHIVED": 1}
    assert [(one["name"], one["available"]) for one in found["drops"]] == [
        ("mri", True),
        ("quiet", True),
    ]
    assert [one["store"] for one in found["stores"]] == list(KINDS)
    assert all(one["available"] and one["free"] > 0 for one in found["stores"])
    assert sorted(one["code"] for one in found["quarantine"]) == ["missing-uid", "not-dicom"]


def test_every_open_condition_has_a_hint(made, capsys):
    """What is open says since when and what to do."""
    _, found = ask(capsys, made.config, "status")
    assert {one["event"] for one in found["conditions"]} == {
        *("session.conflict", "file.quarantined", "file.stuck"),
    }
    assert all(one["hint"] and one["since"].endswith("Z") for one in found["conditions"])
    conflict = next(one for one in found["conditions"] if made.conflict in one["key"])
    assert conflict["hint"] == f"watcher show {made.conflict}"


def test_people_read_the_same(made, capsys):
    """The page for people names drops, stores, open conditions and entries."""
    _, said = told(capsys, made.config, "status")
    for word in ("not running", "2 CONFLICT", "mri", "prearchive", "file.stuck", "not-dicom"):
        assert word in said


def test_each_drop_says_how_it_takes_files(made, capsys):
    """Mode and destination of each drop, for programs and for people."""
    _, found = ask(capsys, made.config, "status")
    assert [("gradual", "prearchive")] * 2 == [
        (one["import"], one["dest"]) for one in found["drops"]
    ]
    assert "gradual, to the prearchive" in told(capsys, made.config, "status")[1]


def test_units_are_told_while_a_daemon_runs(made, running, capsys):
    """How many of a drop wait and whether one lands, as the last heartbeat said."""
    with command_parts(made.settings) as parts:
        parts.ledger.remember("live", '{"drops": {"mri": {"units": 3, "landing": true}}}')
    _, found = ask(capsys, made.config, "status")
    assert [(3, True), (None, False)] == [(one["units"], one["landing"]) for one in found["drops"]]
    assert "2 waiting, 1 landing" in told(capsys, made.config, "status")[1]


def test_units_of_a_run_that_is_over_are_not_told(made, capsys):
    """Without a daemon nothing is known of them, whatever the last one said."""
    with command_parts(made.settings) as parts:
        parts.ledger.remember("live", '{"drops": {"mri": {"units": 3, "landing": true}}}')
    _, found = ask(capsys, made.config, "status")
    assert [None, None] == [one["units"] for one in found["drops"]]


@pytest.mark.parametrize(
    ("count", "landing", "expected"),
    [(0, False, ""), (1, False, "1 waiting"), (1, True, "1 landing")],
)
def test_units_in_words(count, landing, expected):
    """The one that lands is not counted as waiting."""
    assert expected == standing.units(count, landing=landing)


def test_health_without_a_daemon_is_12(made, capsys):
    """Nobody holds the stores: not running, exit 12, and the sentence says so."""
    assert told(capsys, made.config, "status", "--health") == (12, "the daemon is not running\n")


def test_health_with_a_fresh_heartbeat_is_0(made, running, capsys):
    """A daemon holds the stores and its heart beat lately."""
    beat(made, 0)
    assert told(capsys, made.config, "status", "--health") == (0, "healthy\n")
    _, found = ask(capsys, made.config, "status")
    assert (found["running"], found["healthy"]) == (True, True)


def test_health_is_lost_without_a_heartbeat(made, running, capsys):
    """Long ago: stalled, exit 12, and since when."""
    beat(made, 7200)
    code, found = ask(capsys, made.config, "status", "--health")
    assert (12, False) == (code, found["healthy"])
    assert "no heartbeat for 2 h" in found["unhealthy"]


@pytest.mark.parametrize(
    ("heartbeat", "expected"),
    [(1000.0, ""), (820.0, ""), (819.0, "no heartbeat for 3 min"), (None, "was ever written")],
)
def test_a_daemon_is_stalled_after_three_heartbeats(heartbeat, expected):
    """One of a minute may be silent for three, and no longer."""
    said = standing.health(running=True, heartbeat=heartbeat, every=60.0, now=1000.0)
    assert (expected in said, bool(expected)) == (True, bool(said))


def test_before_the_first_start(tmp_path, capsys):
    """Nothing has run yet: a listing all the same, and not healthy."""
    config = configure(tmp_path)
    code, found = ask(capsys, config, "status")
    assert (code, found["has_run"], found["sessions"]) == (0, False, {})
    assert told(capsys, config, "status", "--health")[0] == 12
    assert "not made yet" in told(capsys, config, "status")[1]
    assert not (tmp_path / "imaging").exists()


def test_a_drop_that_is_away_is_said(tmp_path, capsys):
    """A drop whose directory is gone is not available."""
    config = configure(tmp_path)
    (tmp_path / "mri").rmdir()
    _, found = ask(capsys, config, "status")
    assert {one["name"]: one["available"] for one in found["drops"]} == {
        "mri": False,
        "quiet": True,
    }


def test_asking_takes_no_lock_a_daemon_wants(made, capsys):
    """After `status` the stores can be locked by a daemon."""
    told(capsys, made.config, "status")
    os.close(lock_store(Storage(made.settings.stores).marker("state")))


def test_what_waits_in_a_drop_in_words():
    """Files, since when the first of them does, and units; nothing where nothing does."""
    empty = {"waiting": None, "oldest_pending": None, "units": None, "landing": False}
    assert "" == standing.pending(empty)
    one = empty | {"waiting": 1, "oldest_pending": 0.2}
    assert "1 file" == standing.pending(one)
    many = {"waiting": 1200, "oldest_pending": 340.0, "units": 3, "landing": True}
    said = "1,200 files, the first for 5 min 40 s; units: 2 waiting, 1 landing"
    assert said == standing.pending(many)
