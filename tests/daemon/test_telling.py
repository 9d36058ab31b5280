"""What the daemon writes for people: when, and what becomes of it where its store refuses."""

import contextlib
import json
import os
import socket
import sqlite3
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import anyio
import pytest
from imaging import configure
from makers import make_dicom
from prometheus_client.parser import text_string_to_metric_families
from world import World, own_host, until

from watcher.assembly import parts_of, prepare_storage
from watcher.core.errors import LedgerError
from watcher.core.rates import HOUR
from watcher.io.lease import lock_store
from watcher.io.ledger import NAME, Ledger
from watcher.remembered import RATES, UNKNOWN, kept_live
from watcher.settings import load
from watcher.telling import WORK, Published, Telling

EAGER = 'heartbeat = "200ms"'
PATIENCE = 180.0  # seconds
FILED = {  # what is true of one that was filed and archived, and one that is cut off
    ("watcher_sessions", "ARCHIVED"): 1,
    ("watcher_files_total", "mri", "filed"): 1,
    ("watcher_files_waiting", "mri"): 1,
    ("watcher_drop_up", "mri"): 1,
    ("watcher_drop_watched", "mri"): 1,
    ("watcher_open_conditions", "storage.low"): 0,
}
TORN = b"\0" * 128 + b"DICM" + b"\2\0\0\0UL\4\0"


def samples(text):
    return {
        (each.name, *each.labels.values()): each.value
        for family in text_string_to_metric_families(text)
        for each in family.samples
    }


def metrics(world):
    """The text file, as a collector reads it; nothing before it is there."""
    path = world.root / "status" / "metrics.prom"
    return samples(path.read_text()) if path.exists() else {}


def scraped(place):
    """What Prometheus would get; nothing where nobody answers, or nothing is known yet."""
    try:
        with urllib.request.urlopen(f"http://{place}/metrics", timeout=PATIENCE) as said:
            return samples(said.read().decode())
    except (urllib.error.HTTPError, ConnectionError, urllib.error.URLError):
        return {}


def is_folder_instead(path, aside):
    """Put one there in place of the file, unless the daemon wrote that anew in between."""
    path.rename(aside)
    with contextlib.suppress(FileExistsError):
        path.mkdir()
    return path.is_dir()


@contextlib.contextmanager
def lock_of(world):
    """What a daemon that runs holds."""
    (world.root / "state").mkdir(parents=True)
    marker = world.root / "state" / ".watcher-store"
    marker.write_text("0\n")
    held = lock_store(str(marker))
    yield
    os.close(held)


def drop(world, study="1.2.3", **values):
    make_dicom(world.drop / f"{study}.dcm", study=study, sop=f"{study}.9", **values)


def test_the_metrics_follow_what_happens(tmp_path):
    """Files filed and waiting are told while it runs, the same by HTTP, for any user to read.

    Whatever umask says (deploy/systemd: 0027). Where nothing happens the heartbeat is: an alert on
    its age is how a dead daemon is found.
    """
    place, beat = f"{own_host()}:9464", ("watcher_heartbeat_timestamp_seconds",)
    world = World(tmp_path, extra=f'{EAGER}\n[metrics]\nlisten = "{place}"')
    before = os.umask(0o077)
    try:
        with world.daemon() as daemon:
            drop(world)
            (world.drop / "other").mkdir()
            (world.drop / "other" / "torn.dcm").write_bytes(TORN)
            daemon.wait_for("session.archived")
            found = until(lambda: metrics(world), lambda found: FILED.items() <= found.items())
            until(lambda: metrics(world)[beat] > found[beat], bool)
            until(lambda: scraped(place).keys() == metrics(world).keys(), bool)
            path = world.root / "status" / "metrics.prom"
            assert 0o644 == stat.S_IMODE(path.stat().st_mode)
            assert 0o755 == stat.S_IMODE(path.parent.stat().st_mode)
            assert 0 == daemon.stop()[0]
    finally:
        os.umask(before)
    assert {} == scraped(place)
    assert found["watcher_storage_free_bytes", "archive"] > 0


def test_once_leaves_them_as_well(tmp_path):
    """`run --once` by a timer tells its counts at its end, takes no port, and names nobody.

    Names, labels and UIDs of what was dropped are in no sample: not plain, and not coded.
    """
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        world = World(tmp_path, extra=f'[metrics]\nlisten = "127.0.0.1:{port}"')
        drop(world, "1.2.77", patient_name="MUELLER^ANNA", patient_id="S4711")
        assert 0 == world.once()[0]
    found = metrics(world)
    assert 1 == found["watcher_files_total", "mri", "filed"]
    assert 1 == found["watcher_sessions", "ARCHIVED"]
    text = (world.root / "status" / "metrics.prom").read_text()
    assert not [word for word in ("MUELLER", "S4711", "1.2.77", "~", "P1") if word in text]
    rates, _ = world.json("status")
    assert 1 == sum(files for _, files in rates["rates"])


def test_an_address_that_is_taken_ends_the_start(tmp_path):
    """Exit 2 and one line that names it; nothing was begun, and nothing of Python is shown."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        world = World(tmp_path, extra=f'[metrics]\nlisten = "{place}"')
        code, said = world.watcher("run")
    assert (2, 1) == (code, len(world.errors.splitlines()))
    assert f"metrics.listen: {place} can't be had: Address already in use" in world.errors
    assert "daemon.started" not in said


def test_check_tells_whether_the_address_can_be_had(tmp_path):
    """Before a start: taken is an error with exit 2, free is said; a daemon that runs has it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        world = World(tmp_path / "taken", extra=f'[metrics]\nlisten = "{place}"')
        lines, code = world.json("check")
    assert [(2, "error")] == [(code, one["severity"]) for one in lines if "listen" in one["of"]]
    world = World(tmp_path / "free", extra=f'[metrics]\nlisten = "{own_host()}:9464"')
    lines, code = world.json("check")
    assert [(0, "ok")] == [(code, one["severity"]) for one in lines if "listen" in one["of"]]
    with lock_of(world):
        lines, code = world.json("check")
    assert [] == [one for one in lines if "listen" in one["of"]]


@pytest.mark.campaign
def test_the_last_picture_is_that_of_the_end(tmp_path):
    """Whatever the heartbeat: what is told last was true when the daemon ended."""
    beat = ("watcher_heartbeat_timestamp_seconds",)
    world = World(tmp_path, extra='heartbeat = "1h"')
    with world.daemon() as daemon:
        until(lambda: beat in metrics(world), bool)
        first = metrics(world)[beat]
        assert 0 == daemon.stop()[0]
    assert metrics(world)[beat] > first


@pytest.mark.campaign
def test_a_status_store_that_is_away_stops_nothing(tmp_path):
    """It is said as of any store; files are archived meanwhile, and it is told once it is back."""
    world = World(tmp_path, extra=EAGER)
    with world.daemon() as daemon:
        until(lambda: metrics(world), bool)
        (world.root / "status").rename(tmp_path / "aside")
        daemon.wait_for("storage.unavailable", store="status")
        drop(world)
        daemon.wait_for("session.archived")
        assert not (world.root / "status").exists()
        (tmp_path / "aside").rename(world.root / "status")
        daemon.wait_for("storage.available", store="status")
        until(lambda: metrics(world).get(("watcher_sessions", "ARCHIVED")) == 1, bool)


@pytest.mark.campaign
def test_a_status_store_that_refuses_is_told_as_any_other(tmp_path):
    """What it refuses is a condition with its reason, and clears when it takes files again."""
    world = World(tmp_path, extra=EAGER)
    with world.daemon() as daemon:
        until(lambda: metrics(world), bool)
        path = world.root / "status" / "metrics.prom"
        until(lambda: is_folder_instead(path, tmp_path / "old"), bool)
        daemon.wait_for("storage.unavailable", store="status")
        drop(world)
        daemon.wait_for("session.archived")
        path.rmdir()
        daemon.wait_for("storage.available", store="status")
        until(path.is_file, bool)


# -- one look after the other, in this process -----------------------------------------------------


class Teller:
    """What a daemon tells with, and what it knows of its drops: `live`."""

    def __init__(self, base):
        settings = load(str(configure(base, more='heartbeat = "1h"\n')))
        storage = prepare_storage(settings)
        self.ledger = Ledger.open(settings.stores.state)
        self.said = []
        self.parts = parts_of(settings, storage, self.ledger, self._say)
        drops = {each.name: {**UNKNOWN, "filed": 0, "available": True} for each in settings.drops}
        self.live = {"started": "2026-06-19T09:14:25.123Z", "lost": 0, "drops": drops}
        self.telling = Telling(settings, self.parts, Published(), lambda: self.live)
        self.status = Path(settings.stores.status)
        self._path = os.path.join(settings.stores.state, NAME)

    def _say(self, event, **fields):
        self.said.append((event, fields.get("part"), fields.get("error")))

    def tell(self, **options):
        """One look; gives the names of the files that it wrote."""
        before = self._inodes()
        anyio.run(lambda: self.telling.tell(**options))
        after = self._inodes()
        return sorted(name for name in after if after[name] != before.get(name))

    def _inodes(self):
        """Each file by its number and its moment: a new one may get the old one's number."""
        files = (each for each in self.status.iterdir() if each.name[0] != ".")
        found = {each.name: each.stat() for each in files}
        return {name: (each.st_ino, each.st_ctime_ns) for name, each in found.items()}

    def sql(self, *statement):
        """As another process writes into the ledger."""
        with contextlib.closing(sqlite3.connect(self._path)) as other:
            other.execute(*statement)
            other.commit()


@pytest.fixture
def teller(tmp_path):
    found = Teller(tmp_path)
    yield found
    found.ledger.close()


BOTH = ["index.html", "metrics.prom"]


def test_nothing_is_written_while_nothing_changes(teller):
    """Neither page nor metrics; but whatever was written into the ledger, or the daemon knows.

    How long the first file has waited is no news. The last time it is, whatever was told before.
    """
    assert BOTH == teller.tell()
    assert [] == teller.tell()
    teller.sql("INSERT INTO meta VALUES ('a', 'b')")
    assert BOTH == teller.tell()
    teller.live["drops"]["mri"]["oldest_pending"] = 7.0
    assert [] == teller.tell()
    teller.live["drops"]["mri"]["filed"] = 3
    assert BOTH == teller.tell()
    assert 3 == kept_live(teller.parts)["drops"]["mri"]["filed"]  # what `watcher status` shows
    assert [] == teller.tell()
    assert BOTH == teller.tell(last=True)
    assert "The watcher is stopped" in (teller.status / "index.html").read_text()


def test_a_page_that_cannot_be_made_holds_nothing_up(teller):
    """A bug, provoked by what no ledger of ours holds: said once, the metrics are written still.

    The page is made again as soon as it can be.
    """
    hour = int(time.time() // HOUR) - 1
    teller.sql("INSERT INTO meta VALUES (?, ?)", (RATES, json.dumps({hour: None})))
    assert ["metrics.prom"] == teller.tell()
    teller.sql("INSERT INTO meta VALUES ('a', 'b')")
    assert ["metrics.prom"] == teller.tell()
    assert [("daemon.fault", WORK, "ValueError")] == teller.said
    teller.sql("DELETE FROM meta WHERE key = ?", (RATES,))
    assert BOTH == teller.tell()


def test_a_look_that_fails_ends_nothing(teller):
    """The same of the picture itself: what was written stays, and grows old."""
    teller.sql("INSERT INTO condition VALUES ('k', 'storage.low', 0, '[]')")
    assert [] == teller.tell()
    assert [("daemon.fault", WORK, "TypeError")] == teller.said
    teller.sql("DELETE FROM condition")
    assert BOTH == teller.tell()


def test_a_ledger_that_fails_ends_the_run(teller):
    """It is not told as a bug: the daemon begins again with another ledger."""
    teller.sql(
        "INSERT INTO session VALUES ('1', 'P', 'S', 'L', '1.2', 'READY', 0, 0, 0, 0, 0, 0, 0, 0, "
        "'no JSON', 0, 0, 0)"
    )
    with pytest.raises(LedgerError):
        teller.tell()
    assert [] == teller.said


def test_what_the_store_refuses_is_tried_again(teller):
    """One file that can't be written holds the other up as little; both are written once it can."""
    (teller.status / "metrics.prom").mkdir()
    assert ["index.html"] == teller.tell()
    now = teller.parts.clock.monotonic()
    assert [WORK] == list(teller.parts.failing.open(now))
    (teller.status / "metrics.prom").rmdir()
    assert BOTH == teller.tell()
    assert [] == list(teller.parts.failing.open(now))


@pytest.mark.campaign
def test_a_page_that_cannot_be_made_stops_no_file(tmp_path):
    """The daemon says `daemon.fault` once, and files go on into the archive."""
    world = World(tmp_path, extra=EAGER)
    world.once()
    hour = int(time.time() // HOUR) - 1
    with contextlib.closing(sqlite3.connect(world.root / "state" / NAME)) as ledger:
        ledger.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (RATES, f'{{"{hour}": null}}'))
        ledger.commit()
    before = (world.root / "status" / "index.html").read_bytes()
    with world.daemon() as daemon:
        daemon.wait_for("daemon.fault", part=WORK)
        drop(world)
        daemon.wait_for("session.archived")
        until(lambda: metrics(world).get(("watcher_sessions", "ARCHIVED")) == 1, bool)
        assert 0 == daemon.stop()[0]
    assert before == (world.root / "status" / "index.html").read_bytes()
    assert 1 == sum(each["event"] == "daemon.fault" for each in daemon.events)


def test_asking_needs_no_telling(tmp_path):
    """`--help` and `status` import neither what the page nor what the metrics are made with.

    Nor what reads images and XML; `--help` no database either. That is what makes them fast.
    """
    world = World(tmp_path)
    script = (
        "import sys\nfrom watcher import cli\ncli.call(sys.argv[1:])\n"
        "print(*set(sys.modules), file=sys.stderr)"
    )
    slow = {"jinja2", "prometheus_client", "pydicom", "lxml", "watchfiles"}
    for words, more in ((["--help"], {"sqlalchemy", "pydantic"}), (["status"], set())):
        command = [sys.executable, "-c", script, *words, "--config", str(world.config)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert set() == (slow | more) & set(done.stderr.splitlines()[-1].split())
