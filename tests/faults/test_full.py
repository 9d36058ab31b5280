"""Stores that run full, are over quota or read-only: said once, waited for, nothing lost.

The cases run beside each other, each on an installation and a small file system of its own: most
of their time is waiting. A test asks for the end of one of them.
"""

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from faults import machine
from faults.table import instances
from makers import make_dicom
from world import World, md5

from watcher.core.errors import FullError
from watcher.io.ledger import Ledger

pytestmark = [
    pytest.mark.faults,
    pytest.mark.campaign,
    pytest.mark.timeout(3000),
]  # the first waits for others
TREE = str(Path(__file__).parents[2])
STORES = ("prearchive", "archive", "quarantine", "history", "state", "status")
BUSY = 0.4  # of one core: more than this, of a program that can't work, is a busy loop
FLOOD = 60  # lines of the log, at level debug
PATIENCE = 420.0  # seconds: pauses between tries double
MIB = 1 << 20


class Case:
    """An installation with some of its stores on a file system of their own, and its two runs."""

    def __init__(self, base, stack, *kinds, reserve="1MiB"):
        self.small = base / "small"
        lines = [f'{kind} = "{self.small}/{kind}"' for kind in kinds]
        more = "[projects.P1]\noverwrite = true"
        self.world = World(base, storage_lines=lines, extra=more)
        text = self.world.config.read_text()
        self.world.config.write_text(text.replace('"1MiB"', f'"{reserve}"'))
        self.small.mkdir(exist_ok=True)
        self.stack = stack
        self.runs = []
        self.expected, self.aside = set(), set()

    def start(self):
        """The program, once more."""
        daemon = self.world.daemon()
        self.stack.callback(daemon.__exit__)
        self.runs.append(daemon)
        return daemon

    def send(self, study, count=3, *, linked_elsewhere=False, size=0, **values):
        """Files of one study, as one folder; each whole at once."""
        folder = self.world.drop / f"{study}{''.join(values)}"
        away = self.world.base / f"sent{study}{''.join(values)}"
        away.mkdir()
        for number in range(1, count + 1):
            uid = f"1.2.{study}"
            names = {"study": uid, "series": f"{uid}.1", "sop": f"{uid}.9.{number}"}
            more = {"patient_id": f"P{study}", "instance": number, **values}
            path = Path(make_dicom(away / str(number), **names, **more))
            if size:
                with path.open("ab") as file:  # a private element: (7FE1,0010) LO is no pixels
                    file.write(b"\xe1\x7f\x10\x00UN\x00\x00" + size.to_bytes(4, "little"))
                    file.write(os.urandom(size))
            self.expected.add(md5(path))
        if linked_elsewhere:
            folder.mkdir()
            for path in away.iterdir():
                os.link(path, folder / path.name)
        else:
            os.rename(away, folder)

    def send_for(self, kind):
        """What makes the program write to this store."""
        if kind == "history":
            old = set(self.expected)
            self.send(1, ImageComments="other")
            self.expected -= old
            self.aside |= old
        else:
            self.send(2)
        if kind == "quarantine":
            (self.world.base / "notes.txt").write_text("no DICOM")
            self.aside.add(md5(self.world.base / "notes.txt"))  # before the daemon has taken it
            os.rename(self.world.base / "notes.txt", self.world.drop / "notes.txt")

    def archived(self):
        return Counter(map(md5, instances(self.world.root / "archive"))) + Counter(
            map(md5, instances(self.small / "archive") if (self.small / "archive").is_dir() else [])
        )

    def kept(self, *kinds):
        folders = [base / kind for kind in kinds for base in (self.world.root, self.small)]
        return {md5(path) for each in folders if each.is_dir() for path in instances(each)}

    def is_done(self):
        """Whether everything is where it belongs."""
        with contextlib.suppress(FileNotFoundError):  # moved while it was looked at
            archived = set(self.archived()) == self.expected and not self.kept("prearchive")
            return archived and self.aside <= self.kept("quarantine", "history")
        return False

    def wait(self, reached=None, what="all is where it belongs"):
        """Until something holds."""
        deadline = time.monotonic() + PATIENCE
        while not (reached or self.is_done)():
            assert time.monotonic() < deadline, f"never: {what}; {self.told()[-30:]}"
            threading.Event().wait(0.1)

    def told(self, *names):
        """The lines of all runs, of these events."""
        lines = [each for run in self.runs for each in run.events]
        return [each for each in lines if not names or each["event"] in names]

    def answers(self):
        """Commands answer meanwhile, and the program neither spins nor chatters."""
        process = self.runs[-1].process.pid
        began, spent, lines = time.monotonic(), cpu(process), len(self.told())
        for name in ("status", "sessions", "status"):
            done = self.command(name, "--json")
            assert (0, "") == (done.returncode, done.stderr), name
        assert (cpu(process) - spent) / (time.monotonic() - began) < BUSY
        assert len(self.told()) - lines < FLOOD

    def command(self, *words):
        """A command line, in a process of its own."""
        line = [sys.executable, "-m", "watcher", *words, "--config", str(self.world.config)]
        return subprocess.run(line, capture_output=True, text=True, cwd=TREE, check=False)

    def judge(self, row):
        """The program ended; one run more of this row, by the files: none is partial."""
        assert 0 == self.runs[-1].stop()[0]
        archived = self.archived()
        everywhere = set(archived) | self.kept("quarantine", "history", "prearchive")
        everywhere |= {md5(path) for path in self.world.drop.rglob("*") if path.is_file()}
        row.ran(
            lost=len((self.expected | self.aside) - everywhere),
            torn=len(set(archived) - self.expected),
            duplicated=sum(archived.values()) - len(archived),
            recovered=self.is_done(),
        )

    def counts(self, *names):
        """How often each was said, by key."""
        return Counter((each["event"], each["key"]) for each in self.told(*names))


LOW = ("storage.low", "storage.recovered")
GONE = ("storage.unavailable", "storage.available")


def cpu(process):
    """Seconds of processor time a process has used (proc(5): utime, stime)."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def fill(folder, leave=0):
    """A file that takes the room of a file system, but for so many bytes."""
    with (folder / "ballast").open("ab", 0) as file, contextlib.suppress(OSError):
        while (room := free(folder) - leave) > 0:
            file.write(bytes(min(room, MIB)))


def free(folder):
    """Bytes there is room for."""
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


def make_room(folder):
    (folder / "ballast").unlink()


def brim(row, base, stack, kind):
    """A store is filled to the brim while files arrive; the program is restarted meanwhile."""
    stack.enter_context(machine.tmpfs(base / "small", size="8m"))
    case = Case(base, stack, kind)
    daemon = case.start()
    daemon.wait_for("daemon.ready", timeout=PATIENCE)
    case.send(1)
    daemon.wait_for("session.archived", timeout=PATIENCE)
    fill(case.small)
    case.send_for(kind)
    daemon.wait_for("storage.low", key=f"low/{kind}", timeout=PATIENCE)
    case.answers()
    assert 0 == daemon.stop()[0]
    again = case.start()
    again.wait_for("daemon.started" if kind != "state" else "storage.low", timeout=PATIENCE)
    make_room(case.small)
    again.wait_for("storage.recovered", key=f"low/{kind}", timeout=PATIENCE)
    case.wait()
    raised = 2 if kind == "state" else 1  # what could not be kept is said again by the next run
    expected = {("storage.low", f"low/{kind}"): raised, ("storage.recovered", f"low/{kind}"): 1}
    assert expected == case.counts(*LOW, *GONE)
    case.judge(row(f"disk full: {kind}", "tmpfs filled to the brim, restart meanwhile"))


def inodes(row, base, stack, kind):
    """No inode is left: as no room."""
    stack.enter_context(machine.tmpfs(base / "small", size="8m", inodes=300))
    case = Case(base, stack, kind)
    daemon = case.start()
    daemon.wait_for("daemon.ready", timeout=PATIENCE)
    ballast = case.small / "files"
    ballast.mkdir()
    with contextlib.suppress(OSError):
        for number in range(300):
            (ballast / str(number)).touch()
    case.send(2)
    daemon.wait_for("storage.low", key=f"low/{kind}", timeout=PATIENCE)
    case.answers()
    for path in ballast.iterdir():
        path.unlink()
    case.wait()
    daemon.wait_for("storage.recovered", timeout=PATIENCE)
    expected = {("storage.low", f"low/{kind}"): 1, ("storage.recovered", f"low/{kind}"): 1}
    assert expected == case.counts(*LOW, *GONE)
    case.judge(row(f"no inodes left: {kind}", "tmpfs, nr_inodes"))


def crossing(row, base, stack, kind):
    """The reserve is crossed slowly: work pauses below it, and goes on at 1.5 times."""
    stack.enter_context(machine.tmpfs(base / "small", size="16m"))
    case = Case(base, stack, kind, reserve="4MiB")
    daemon = case.start()
    daemon.wait_for("daemon.ready", timeout=PATIENCE)
    fill(case.small, leave=5 * MIB)
    case.send(1)
    daemon.wait_for("session.archived", timeout=PATIENCE)
    assert not case.told(*LOW)
    fill(case.small, leave=3 * MIB)
    daemon.wait_for("storage.low", timeout=PATIENCE)
    case.send(2)
    case.answers()
    os.truncate(case.small / "ballast", 11 * MIB)  # 5 are free: more than the reserve
    assert 0 == daemon.stop()[0]
    assert (3, {}) == (case.command("run", "--once").returncode, case.counts("storage.recovered"))
    again = case.start()
    again.wait_for("daemon.ready", timeout=PATIENCE)
    heard = len(again.events)
    again.wait_until(lambda: len(again.events) > heard, timeout=PATIENCE)
    assert not case.told("storage.recovered")
    assert 3 == sum(case.archived().values())
    os.truncate(case.small / "ballast", 9 * MIB)
    case.wait()
    again.wait_for("storage.recovered", timeout=PATIENCE)
    expected = {("storage.low", f"low/{kind}"): 1, ("storage.recovered", f"low/{kind}"): 1}
    assert expected == case.counts(*LOW, *GONE)
    case.judge(row(f"reserve crossed: {kind}", "tmpfs filled in steps; run --once; restart"))


def middle(row, base, stack, kind):
    """No room in the middle of a batch of copies: what found room is filed, the rest waits.

    Nothing is reserved: a look just when a copy has filled it would find that, too, and say so.
    """
    stack.enter_context(machine.tmpfs(base / "small", size="16m"))
    case = Case(base, stack, kind, reserve="0B")
    daemon = case.start()
    daemon.wait_for("daemon.ready", timeout=PATIENCE)
    fill(case.small, leave=3 * MIB)
    case.send(2, 12, linked_elsewhere=True, size=MIB // 2)
    daemon.wait_for("storage.low", store=kind, timeout=PATIENCE)
    case.answers()
    make_room(case.small)
    case.wait()
    daemon.wait_for("storage.recovered", store=kind, timeout=PATIENCE)
    assert {("storage.low", 1), ("storage.recovered", 1)} == said_of(case, kind)
    case.judge(row(f"disk full in a batch: {kind}", "12 copies, room for some"))


def said_of(case, kind):
    """What was said of a store, and how often."""
    lines = [each for each in case.told(*LOW, *GONE) if each["store"] == kind]
    assert len(lines) == len(case.told(*LOW, *GONE))
    return set(Counter(each["event"] for each in lines).items())


def readonly(row, base, stack, kind):
    """A store's file system is read-only for a while."""
    stack.enter_context(machine.tmpfs(base / "small", size="16m"))
    case = Case(base, stack, kind)
    daemon = case.start()
    daemon.wait_for("daemon.ready", timeout=PATIENCE)
    case.send(1)
    daemon.wait_for("session.archived", timeout=PATIENCE)
    with covered(case.small):
        daemon.wait_for("storage.unavailable", key=f"storage/{kind}", timeout=PATIENCE)
        case.send_for(kind)
        case.answers()
    daemon.wait_for("storage.available", key=f"storage/{kind}", timeout=PATIENCE)
    case.wait()
    assert {("storage.unavailable", 1), ("storage.available", 1)} == said_of(case, kind)
    case.judge(row(f"read-only: {kind}", "a read-only bind mount over it"))


@contextlib.contextmanager
def covered(path):
    """A read-only view of the same file system lies over it."""
    machine.command("mount", "--bind", "-o", "ro", str(path), str(path))
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)  # the upper one only


def readonly_at_start(row, base, stack, kind):
    """A store is read-only when the program starts: it waits for it."""
    stack.enter_context(machine.tmpfs(base / "small", size="16m"))
    case = Case(base, stack, kind)
    assert 0 == case.command("run", "--once").returncode
    machine.command("mount", "-o", "remount,ro", str(case.small))
    case.send(1)
    daemon = case.start()
    daemon.wait_for("storage.unavailable", key=f"storage/{kind}", timeout=PATIENCE)
    machine.command("mount", "-o", "remount,rw", str(case.small))
    daemon.wait_for("storage.available", key=f"storage/{kind}", timeout=PATIENCE)
    case.wait()
    assert {("storage.unavailable", 1), ("storage.available", 1)} == said_of(case, kind)
    case.judge(row(f"read-only at start: {kind}", "mount -o remount,ro and back"))


def emergency(row, base, stack, kind):
    """The kernel stops writing after a fault of the disk; it is mended and mounted again."""
    image = stack.enter_context(machine.image("ext4", "64M"))
    machine.command("tune2fs", "-e", "remount-ro", image)
    stack.enter_context(machine.loop(base / "small", image))
    case = Case(base, stack, kind)
    daemon = case.start()
    daemon.wait_for("daemon.ready", timeout=PATIENCE)
    case.send(1)
    daemon.wait_for("session.archived", timeout=PATIENCE)
    source = subprocess.check_output(["findmnt", "-no", "SOURCE", str(case.small)], text=True)
    trigger = Path("/sys/fs/ext4") / Path(source.strip()).name / "trigger_fs_error"
    if not trigger.exists():
        pytest.skip("this kernel's ext4 has no trigger_fs_error")
    machine.make_durable(case.small)
    trigger.write_text("1")
    case.send_for(kind)
    daemon.wait_for("storage.unavailable", store=kind, timeout=PATIENCE)
    case.answers()
    copy = f"{image}.mended"
    subprocess.run(["cp", "--sparse=always", image, copy], check=True)
    subprocess.run(["/usr/sbin/e2fsck", "-fy", copy], check=False, capture_output=True)
    machine.unmount(case.small)
    stack.enter_context(machine.loop(case.small, copy))
    case.wait()
    keys = {key for _, key in case.counts("storage.unavailable")}
    for key in keys:  # it refused; perhaps it was seen unmounted, too
        daemon.wait_for("storage.available", key=key, timeout=PATIENCE)
    assert {(event, key): 1 for event in GONE for key in keys} == case.counts(*GONE, *LOW)
    case.judge(row(f"file system shut down: {kind}", "ext4 trigger_fs_error; mended, mounted"))


def quota(row, base, stack, kind):
    """Over quota, where statvfs(2) shows room: the work that fails says it, and when it is over."""
    case = Case(base, stack)
    daemon = case.start()
    daemon.wait_for("daemon.ready", timeout=PATIENCE)
    with injected(daemon, "link,linkat,mkdir,mkdirat:error=EDQUOT"):
        case.send(1)
        daemon.wait_for("storage.low", key=f"refuses/{kind}", timeout=PATIENCE)
        case.answers()
    case.wait()
    daemon.wait_for("storage.recovered", key=f"refuses/{kind}", timeout=PATIENCE)
    assert {("storage.low", 1), ("storage.recovered", 1)} == said_of(case, kind)
    case.judge(row(f"over quota: {kind}", "strace: EDQUOT of link and mkdir"))


@contextlib.contextmanager
def injected(daemon, what, *more):
    """Calls of a running program fail meanwhile."""
    names = what.partition(":")[0]
    words = ["strace", "-f", "-qq", "-o", "/dev/null", *more]
    words += ["-e", f"trace={names}", "-e", f"inject={what}", "-p", str(daemon.process.pid)]
    strace = subprocess.Popen(words, stderr=subprocess.PIPE)
    try:
        status = Path(f"/proc/{daemon.process.pid}/status")
        deadline = time.monotonic() + PATIENCE
        while f"TracerPid:\t{strace.pid}" not in status.read_text():
            if strace.poll() is not None:
                pytest.skip(f"strace: {strace.stderr.read().decode()}")
            assert time.monotonic() < deadline
            threading.Event().wait(0.05)
        yield
    finally:
        strace.terminate()
        strace.wait()
        strace.stderr.close()


def checkpoint(row, base, stack, kind):
    """SQLite's own files have no room: reads go on, writes are FullError, and all heals."""
    small = stack.enter_context(machine.tmpfs(base / "small", size="2m"))
    (base / kind).mkdir()
    ledger = Ledger.open(str(small))
    stack.callback(ledger.close)
    with ledger.engine.connect() as tx:
        tx.exec_driver_sql("PRAGMA wal_autocheckpoint=0")
    ledger.remember("before", "x" * 200_000)
    fill(small)
    with pytest.raises(FullError):
        ledger.remember("during", "x" * 200_000)
    assert "x" * 200_000 == ledger.recall("before")
    make_room(small)
    ledger.remember("after", "x" * 200_000)
    fill(small)
    with pytest.raises(FullError), ledger.write() as tx:
        tx.exec_driver_sql("UPDATE meta SET value = value || value")
    make_room(small)
    with ledger.read() as tx:
        assert "ok" == tx.exec_driver_sql("PRAGMA integrity_check").scalar()
    assert ("x" * 200_000, None) == (ledger.recall("after"), ledger.recall("during"))
    row("ledger's disk full", "tmpfs filled; insert, update, integrity_check").ran()


CASES = {
    **{f"brim {kind}": (brim, kind) for kind in STORES},
    **{f"inodes {kind}": (inodes, kind) for kind in ("prearchive", "archive")},
    **{f"crossing {kind}": (crossing, kind) for kind in ("prearchive", "archive")},
    **{f"middle {kind}": (middle, kind) for kind in ("prearchive", "archive")},
    **{f"readonly {kind}": (readonly, kind) for kind in ("prearchive", "archive", "quarantine")},
    **{f"readonly at start {kind}": (readonly_at_start, kind) for kind in ("archive", "state")},
    **{f"emergency {kind}": (emergency, kind) for kind in ("prearchive", "archive")},
    "quota": (quota, "prearchive"),
    "checkpoint": (checkpoint, "state"),
}
AT_ONCE = 6


@pytest.fixture(scope="module")
def outcomes(request, tmp_path_factory):
    """The cases that were asked for, under way."""
    machine.needs("mount", "strace", "mkfs.ext4")
    wanted = {item.callspec.params["name"] for item in request.session.items if is_case(item)}
    base = tmp_path_factory.mktemp("full")

    def run(name):
        rows = []
        work, kind = CASES[name]
        (base / name).mkdir()
        with contextlib.ExitStack() as stack:
            work(lambda *words: rows.append(words) or Told(rows), base / name, stack, kind)
        return rows

    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {name: pool.submit(run, name) for name in CASES if name in wanted}


def is_case(item):
    return item.path == Path(__file__) and "name" in getattr(item, "callspec", item).__dict__.get(
        "params", {}
    )


class Told:
    """A row as a case tells it, handed to the table by the test that asked."""

    def __init__(self, rows):
        self.rows = rows

    def ran(self, **numbers):
        self.rows[-1] = (*self.rows[-1], numbers)


@pytest.mark.parametrize("name", CASES)
def test_a_store_that_refuses_is_said_once_waited_for_and_loses_nothing(name, outcomes, row):
    """Whatever stops a store, one line says so and one that it is over; then all is archived."""
    for fault, how, numbers in outcomes[name].result():
        row(fault, how).ran(**numbers)
