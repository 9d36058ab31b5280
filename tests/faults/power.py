"""A daemon on file systems of its own, whose power is cut while files arrive."""

import contextlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from faults import aftermath, machine, scenes
from lxml import etree

TREE = Path(__file__).parents[2]
UNSYNCED = ("fsync", "fdatasync", "sync_file_range", "msync")
DEADLINE = 180.0  # seconds for whatever a machine under load does in one
LOG = '[log]\nidentifiers = "plain"\nlevel = "debug"\n'


class Disk:
    """A file system in an image, mounted at a path again and again."""

    def __init__(self, path, kind, name):
        self.path = Path(path)
        self.kind = kind
        self.options = ["-o", "commit=3600"] if kind == "ext4" else []  # nothing durable by itself
        done = subprocess.run(
            ["losetup", "--find", "--show", name], capture_output=True, text=True, check=True
        )
        self.device = done.stdout.strip()

    def mount(self):
        self.path.mkdir(parents=True, exist_ok=True)
        machine.command("mount", "-t", self.kind, *self.options, self.device, str(self.path))

    def unmount(self):
        """Once the last process that was killed is gone: else it would be no new mount.

        Nor is it one while a mount namespace that somebody made meanwhile has a copy of it.
        """
        alive = Path("/sys/fs", self.kind, Path(self.device).name)
        deadline = time.monotonic() + DEADLINE
        while subprocess.run(["umount", str(self.path)], capture_output=True).returncode:
            assert time.monotonic() < deadline, f"{self.path} is busy"
            threading.Event().wait(0.02)
        while alive.exists():
            assert time.monotonic() < deadline, f"{self.device} is mounted elsewhere"
            threading.Event().wait(0.02)

    def end(self):
        machine.unmount(self.path)
        subprocess.run(["losetup", "-d", self.device], check=False)


@contextmanager
def disks(kind, *paths):
    """File systems of this kind at these paths, each below those before."""
    machine.needs("losetup", "mount", f"mkfs.{kind}")
    with contextlib.ExitStack() as stack:
        made = []
        for path in paths:
            name = stack.enter_context(machine.image(kind))
            made.append(Disk(path, kind, name))
            stack.callback(made[-1].end)
            made[-1].mount()
        yield made


def cut(several):
    """The power goes, and comes again."""
    for disk in several:
        machine.cut_power(disk.path)
    revive(several)


def revive(several):
    """The power comes again; nothing may run on these file systems any more."""
    for disk in reversed(several):
        disk.unmount()
    for disk in several:
        disk.mount()


@dataclass
class Sender:
    """Puts whole files into the drop; only those that a power cut can't take back count as sent.

    Two of three have a second link elsewhere, so that they are copied, not linked.
    """

    drop: Path
    elsewhere: Path
    stock: list  # of files, elsewhere
    sent: dict = field(default_factory=dict)  # digest by name
    tried: set = field(default_factory=set)
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self, pace):
        with contextlib.suppress(OSError):  # the power is gone
            while self.stock and not self.stop.wait(pace):
                self.send(self.stock.pop(0))

    def send(self, source):
        draft, target = self.drop / f".{source.name}.part", self.drop / source.name
        digest = aftermath.md5(source)
        self.tried.add(digest)
        with draft.open("wb") as file:
            file.write(source.read_bytes())
            file.flush()
            os.fsync(file.fileno())
        if len(self.tried) % 3:
            with contextlib.suppress(FileNotFoundError):  # of a try that the power cut short
                os.remove(self.elsewhere / source.name)
            os.link(draft, self.elsewhere / source.name)
        os.rename(draft, target)
        fsync(self.drop)
        with target.open("rb") as file:
            os.fsync(file.fileno())  # EIO once the power is gone: xfs says 0 of a folder even then
        self.sent[source.name] = digest


def fsync(folder):
    """Its names are durable, and with the journal all that went before on this file system."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class Rig:
    """An installation on such disks: what was sent, what was reported, and what is true."""

    def __init__(self, base, several, driver, *, seed):
        self.base = Path(base)
        self.driver = driver
        self.disks = several
        self.root = several[0].path
        self.chance = random.Random(seed)
        self.sent, self.tried, self.number = {}, set(), 0
        self.said, self.read = [], 0
        scenes.furnish(self.root, d='project = "AUTO"\ninactivity = "300ms"')
        self.config = self.base / "w.toml"
        self.config.write_text(Path(self.root, "w.toml").read_text() + LOG)
        self.elsewhere = self.root / "elsewhere"
        self.elsewhere.mkdir()
        for disk in several:
            machine.make_durable(disk.path)

    def stock(self, count):
        """Files made where no power is cut: bursts of one patient after the other."""
        for _ in range(count):
            self.number += 1
            at = self.number
            patient = {"patient_id": f"P{at // 9 % 5}", "study": f"1.2.{3 + at // 9 % 5}"}
            more = {**patient, "sop": at, "series": at % 2, "number": 4}
            scenes.put(self.base / "stock", "d", f"{at:05}", **more)
        made = sorted(Path(self.base, "stock/drops/d").iterdir())
        return [path for path in made if path.name not in self.sent]

    def daemon(self, *before):
        """The daemon at work; `before` are words put before the command."""
        told = len(self.lines())
        daemon = Started(self, before) if before else Forked(self)
        with daemon.ended_on_error():
            self.wait_for("daemon.ready", told)
        return daemon

    def round(self, *before, count=60):
        """The daemon at work, files arriving, and the power cut at a random moment."""
        stock, told = self.stock(count), len(self.lines())
        sender = Sender(self.root / "drops/d", self.elsewhere, stock)
        thread = threading.Thread(target=sender.run, args=(0.01,))
        with self.daemon(*before) as daemon:
            thread.start()
            try:
                self.wait_for("file.filed", told)
                threading.Event().wait(self.chance.uniform(0.0, 1.0))
                if self.chance.random() < 0.5:  # dead before the power goes, else at work
                    daemon.end()
                for disk in self.disks:
                    machine.cut_power(disk.path)
            finally:
                sender.stop.set()
                thread.join()
        revive(self.disks)
        self.sent |= sender.sent
        self.tried |= sender.tried

    def crash(self, match):
        """A run that is killed before this effect."""
        answer = self.driver(config=str(self.config), words=["run", "--once"], match=match)
        assert -signal.SIGKILL == answer["code"], (self.base / "output").read_text()

    def lines(self):
        """What the daemons have said so far, whole lines only."""
        path = self.base / "output"
        data = path.read_bytes()[self.read :] if path.exists() else b""
        *whole, _ = data.split(b"\n")
        self.read += sum(len(line) + 1 for line in whole)
        for line in whole:
            with contextlib.suppress(ValueError):  # killed while it wrote
                self.said.append(json.loads(line))
        return self.said

    def wait_for(self, event, told):
        """The first line of an event after so many lines."""
        deadline = time.monotonic() + DEADLINE
        while not (found := [line for line in self.lines()[told:] if line["event"] == event]):
            assert time.monotonic() < deadline, (self.base / "output").read_text()
            threading.Event().wait(0.02)
        return found[0]

    def broken(self):
        """Which promises do not hold now, by kind: lost, torn, unkept, and what else is wrong."""
        names = {p.name: aftermath.md5(p) for p in self.instances("prearchive", "archive")}
        filed = [line for line in self.lines() if line["event"] == "file.filed"]
        known = {**self.sent, **{p.name: aftermath.md5(p) for p in self._stocked()}}
        unkept = [
            line["target"]
            for line in filed
            if names.get(Path(line["target"]).name) != known[line["path"]]
        ]
        whole = aftermath.held(self.root) | aftermath.dropped(self.root)
        return {
            "lost": sorted(set(self.sent.values()) - whole),
            "torn": aftermath.wrong_entries(self.root),
            "unkept": unkept,
            "else": [*unreadable(self.root), *self._ledger_faults()],
        }

    def _stocked(self):
        return Path(self.base, "stock/drops/d").iterdir()

    def _waiting(self):
        """What lies in the drop under a name of its own; a draft is the sender's to finish."""
        names = (p.name for p in Path(self.root, "drops").rglob("*") if p.is_file())
        return [name for name in names if not name.startswith(".")]

    def instances(self, *stores):
        folders = (Path(self.root, "store", store) for store in stores)
        return [path for folder in folders for path in folder.rglob("*.dcm")]

    def _ledger_faults(self):
        """Of a copy, so that the program meets what the power cut left."""
        copy = self.base / "ledger"
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        for path in Path(self.root, "store/state").glob("ledger.sqlite*"):
            if not path.name.endswith("-shm"):
                shutil.copy2(path, copy)
        if not (copy / "ledger.sqlite").exists():
            return []
        with contextlib.closing(sqlite3.connect(copy / "ledger.sqlite")) as tx:
            (answer,) = tx.execute("pragma integrity_check").fetchone()
        return [] if answer == "ok" else [answer]

    def unfinished(self):
        """What is not as after an undisturbed run, once it was left to end its work."""
        code = self.driver(config=str(self.config), words=["run", "--once"])["code"]
        times = Counter(map(aftermath.md5, self.instances("archive")))
        missing = set(self.sent.values()) - set(times)
        return {
            "code": code,
            "missing": sorted(missing),
            "strange": sorted(set(times) - self.tried),
            "doubled": sorted(digest for digest, count in times.items() if count > 1),
            "wrong": aftermath.wrong_entries(self.root) + aftermath.uncatalogued(self.root),
            "left": aftermath.leftovers(self.root) + self.instances("prearchive"),
            "drop": sorted(self._waiting()),
            "in hand": aftermath.ledger(self.root)["instances"],
            "unreadable": unreadable(self.root),
        }


def unreadable(root):
    """Documents in the stores that are no XML or JSON."""
    found = []
    for path in Path(root, "store").rglob("*"):
        try:
            if path.suffix == ".xml" and not path.name.startswith("."):
                etree.parse(path)
            elif path.name in {"reason.json"} or path.name.endswith(".plan.json"):
                json.loads(path.read_bytes())
        except (etree.XMLSyntaxError, ValueError) as error:
            found.append(f"{path}: {error}")
    return found


class Forked:
    """`watcher run` in a child of the driver, whose imports are paid for."""

    def __init__(self, rig):
        self.rig = rig
        self.told = len(rig.lines())
        rig.driver.ask(config=str(rig.config), words=["run"])
        self.running = True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    @contextmanager
    def ended_on_error(self):
        try:
            yield
        except BaseException:
            self.end()
            raise

    def end(self):
        """It and all it started, as when the machine stops."""
        if self.running:
            self.running = False
            self.kill()

    def kill(self):
        os.killpg(self.rig.wait_for("daemon.started", self.told)["pid"], signal.SIGKILL)
        self.rig.driver.answer()


class Started(Forked):
    """`watcher run` as a process, with words before it."""

    def __init__(self, rig, before):
        with (rig.base / "output").open("ab") as output:
            self.process = subprocess.Popen(
                [*before, sys.executable, "-m", "watcher", "run", "--config", str(rig.config)],
                stdout=output,
                stderr=output,
                cwd=TREE,
                env=scenes.environment(),
                start_new_session=True,
            )
        self.running = True

    def kill(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(DEADLINE)


def without_syncing(*paths):
    """The words that make a program think that all it wrote is durable, or only these paths."""
    calls = ",".join(UNSYNCED)
    words = ["strace", "-f", "-qq", "--seccomp-bpf", "-e", f"trace={calls}", "-e", "signal=none"]
    only = [word for path in paths for word in ("-P", path)]
    return [*words, "-e", f"inject={calls}:retval=0", *only, "-o", "/dev/null"]
