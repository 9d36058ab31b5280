"""A daemon under mixed load for long: it stays as large as it was, and archives everything once."""

import contextlib
import json
import os
import random
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from faults import aftermath
from makers import make_dicom
from world import World

pytestmark = pytest.mark.faults
EXTRA = """
[projects.P1]
[projects.P2]
[[drop]]
path = "{base}/kept"
name = "kept"
project = "P2"
after = "keep"
settle = "100ms"
inactivity = "1s"
rescan_interval = "1s"
[session]
inactivity = "1s"
"""
# What a daemon that was warmed up may grow by. Resident memory: allocators keep what a peak took,
# and a peak is a batch of 64 files or a catalog, not the hour; 24 MiB is that, and less than
# 1 KiB for each of the files an hour brings. Descriptors and threads: what one batch has open or
# has at work at the moment of the sample. Children: two readers, one more while one is replaced.
# WAL: SQLite folds it in at 1000 pages of 4 KiB; a reader may hold that up for a while.
GROWTH = {"rss": 24 << 20, "fds": 16, "threads": 12, "children": 1}
WAL = 16 << 20


class Load:
    """What people and scanners do, one thing after the other, by chance."""

    def __init__(self, world, seed):
        self.world = world
        self.chance = random.Random(seed)
        self.sent = set()  # the digests of all that was whole
        self.waiting = {}  # what was dropped in part, and what it will be
        self.known = []  # drop, study, number of files of it
        self.done = Counter()
        self.count = 0
        (world.base / "kept").mkdir(exist_ok=True)
        (world.base / "outside").mkdir(exist_ok=True)

    def one(self):
        """Something happens."""
        kinds = ["study"] * 4 + ["late"] * 4 + ["again", "differs", "junk", "torn", "mend", "ask"]
        kind = self.chance.choice([*kinds, "rebuild", "settle", "locked"])
        self.done[kind] += 1
        getattr(self, kind)()

    def _make(self, drop, study, number, **values):
        """An instance, made elsewhere; it is whole when it takes its name in the drop."""
        self.count += 1
        path = self.world.base / "outside" / f"{self.count}"
        return make_dicom(
            str(path),
            study=f"1.2.{study}",
            series=f"1.2.{study}.{number % 2}",
            number=number % 2,
            sop=f"1.2.{study}.9.{number}",
            instance=number,
            patient_id=f"P{study}",
            **values,
        )

    def _send(self, path, drop, folder):
        self.sent.add(aftermath.md5(path))
        target = self.world.base / drop / folder
        while os.path.exists(path):
            target.mkdir(exist_ok=True)
            with contextlib.suppress(FileNotFoundError):  # emptied, and removed by the daemon
                os.rename(path, target / f"{self.count}")

    def study(self):
        drop, study = self.chance.choice(["drop", "drop", "kept"]), 1000 + len(self.known)
        number = self.chance.randint(1, 6)
        for each in range(1, number + 1):
            self._send(self._make(drop, study, each), drop, f"s{study}")
        self.known.append([drop, study, number])

    def late(self):
        if self.known:
            some = self.chance.choice(self.known)
            some[2] += 1
            self._send(self._make(*some), some[0], f"s{some[1]}")

    def again(self):
        if self.known:
            drop, study, number = self.chance.choice(self.known)
            self._send(self._make(drop, study, number), drop, f"s{study}")

    def differs(self):
        if self.known:
            drop, study, number = self.chance.choice(self.known)
            path = self._make(drop, study, number, ImageComments=f"other {self.count}")
            self._send(path, drop, f"s{study}")

    def junk(self):
        folder = self.world.drop / f"j{self.count}"
        folder.mkdir(exist_ok=True)
        (folder / "notes.txt").write_text(f"{self.count} is not DICOM")

    def torn(self):
        """A part of a file, which waits."""
        drop, study = "drop", 1000 + len(self.known)
        self.known.append([drop, study, 1])
        data = Path(self._make(drop, study, 1)).read_bytes()
        target = self.world.drop / f"t{self.count}"
        target.write_bytes(data[: self.chance.randrange(200, len(data) - 1)])
        self.waiting[target] = data

    def mend(self):
        """One that waits is sent whole."""
        if self.waiting:
            target, data = self.waiting.popitem()
            self.count += 1
            whole = self.world.base / "outside" / f"{self.count}"
            whole.write_bytes(data)
            self.sent.add(aftermath.md5(whole))
            os.rename(whole, target)

    def ask(self):
        code, _ = self.world.watcher(self.chance.choice(["status", "sessions"]))
        assert 0 == code, self.world.errors

    def rebuild(self):
        self._act("rebuild")

    def settle(self):
        """Somebody decides a conflict."""
        how = self.chance.choice(["--keep", "--overwrite"])
        self._act("archive", how, "--reason", "soak", status="CONFLICT")

    def _act(self, word, *more, status=None):
        words = ("--status", status) if status else ()
        found, _ = self.world.json("sessions", *words)
        if found:
            each = self.chance.choice(found)
            code, _ = self.world.watcher(word, each["id"], *more)
            assert code in {0, 2, 3, 4}, self.world.errors

    def locked(self):
        """A folder whose names can't be changed for a while; root is not held up by that."""
        folder = self.world.drop / f"l{self.count}"
        folder.mkdir(exist_ok=True)
        study = 1000 + len(self.known)
        self.known.append(["drop", study, 1])
        self._send(self._make("drop", study, 1), "drop", folder.name)
        with contextlib.suppress(FileNotFoundError):  # emptied, and removed by the daemon
            folder.chmod(0o555)
        threading.Timer(2.0, _open_again, [folder]).start()


def _open_again(folder):
    with contextlib.suppress(FileNotFoundError):  # emptied, and removed by the daemon
        folder.chmod(0o755)


def sample(daemon, world):
    """What the daemon takes: bytes resident, descriptors, threads, children, the ledger's log."""
    proc = Path(f"/proc/{daemon.process.pid}")
    status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
    children = (proc / f"task/{daemon.process.pid}/children").read_text().split()
    wal = world.root / "state/ledger.sqlite-wal"
    return {
        "rss": int(status["VmRSS"].split()[0]) << 10,
        "fds": len(list((proc / "fd").iterdir())),
        "threads": int(status["Threads"]),
        "children": len(children),
        "wal": wal.stat().st_size if wal.exists() else 0,
    }


def run_for(load, daemon, seconds, pace):
    """Load for so long; gives a sample taken after each second or so."""
    ends, samples = time.monotonic() + seconds, []
    while time.monotonic() < ends:
        load.one()
        threading.Event().wait(pace)
        samples.append(sample(daemon, load.world))
    return samples


def lowest(samples, name):
    return min(each[name] for each in samples)


@pytest.mark.parametrize(
    "seconds",
    [pytest.param(60, marks=pytest.mark.campaign), pytest.param(3600, marks=pytest.mark.soak)],
)
@pytest.mark.timeout(5400)
def test_it_stays_as_large_as_it_was(seconds, tmp_path, row):
    """Mixed load and restarts: memory, descriptors, threads, children and the ledger's log stay
    flat, and every file that was whole is kept once: archived, or in the history by a decision.
    """
    world = World(tmp_path, extra=EXTRA.format(base=tmp_path), level="info")
    load = Load(world, seed=seconds)
    for number, share in enumerate((0.1, 0.1, 0.1)):  # of the time; then one long life
        with world.daemon() as daemon:
            run_for(load, daemon, seconds * share, 0.2)
            daemon.stop(signal.SIGKILL if number % 2 else signal.SIGTERM)
    with world.daemon() as daemon:
        run_for(load, daemon, seconds * 0.25, 0.2)
        daemon.wait_for("session.archived", 5)  # on any machine it has done all kinds of work
        warm = run_for(load, daemon, seconds * 0.1, 0.2)
        run_for(load, daemon, seconds * 0.25, 0.2)
        late = run_for(load, daemon, seconds * 0.1, 0.2)
        assert 0 == daemon.stop()[0], daemon.errors
        assert "" == daemon.errors
    finish(world, load)
    # the lowest of many samples: what is at work for a moment is not growth
    grown = {name: lowest(late, name) - lowest(warm, name) for name in GROWTH}
    wal = max(each["wal"] for each in warm + late)
    figures = {"seconds": seconds, "files": len(load.sent), "did": dict(load.done)}
    print(json.dumps({**figures, "warm": warm[-1], "late": late[-1], "grown": grown, "wal": wal}))
    assert {} == {name: by for name, by in grown.items() if by > GROWTH[name]}
    assert wal < WAL
    judge(world, load, row("soak", f"mixed load and restarts, {seconds} s"))


def finish(world, load):
    """All that is torn is mended, and every conflict decided; what is left then is a loss."""
    while load.waiting:
        load.mend()
    for _ in range(10):
        world.once()
        found, _ = world.json("sessions")
        if not found and not world.left():
            return
        for each in found:
            code, _ = world.watcher("archive", each["id"], "--keep", "--reason", "soak")
            assert code in {0, 3}, world.errors
    raise AssertionError((found, world.left()))


def judge(world, load, counted):
    """Each once in the archive, or in the history: there what was sent again may lie again."""
    kept = {
        store: Counter(aftermath.md5(path) for path in (world.root / store).rglob("*.dcm"))
        for store in ("archive", "history")
    }
    assert [] == aftermath.wrong_entries(world.base) + world.uncatalogued()
    counted.ran(
        lost=len(load.sent - set(kept["archive"]) - set(kept["history"])),
        torn=len(set(kept["archive"]) - load.sent),
        duplicated=sum(count - 1 for count in kept["archive"].values()),
    )
