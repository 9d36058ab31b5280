"""The log's own faults: nobody reads, nowhere to write. The work goes on, and the loss is said."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from faults import machine
from faults.faultfs import Faulty
from lines import checked_lines
from makers import make_dicom
from world import World, md5

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]
TREE = str(Path(__file__).parents[2])
PATIENCE = 180.0  # seconds


class Logged:
    """An installation whose program writes its log where it is told, and whether it works."""

    def __init__(self, base, *, folder=None, level="debug", more=""):
        self.folder = folder or base / "log"
        self.folder.mkdir(exist_ok=True)
        self.file = self.folder / "watcher.jsonl"
        self.world = World(base / "world", extra=f'file = "{self.file}"\n{more}', level=level)
        self.sent = set()

    @contextlib.contextmanager
    def running(self, stdout, **more):
        """The program, its lines going to `stdout`; ended by SIGTERM."""
        line = [sys.executable, "-m", "watcher", "run", "--config", str(self.world.config)]
        process = subprocess.Popen(line, stdout=stdout, stderr=subprocess.PIPE, cwd=TREE, **more)
        try:
            yield process
            process.send_signal(signal.SIGTERM)
            assert 0 == process.wait(PATIENCE)
            assert b"" == process.stderr.read()
        finally:
            process.kill()
            process.wait()
            process.stderr.close()

    def send(self, number, count=2):
        """Files of a study, and the wait until they are archived."""
        for each in range(count):
            names = {"study": f"1.2.{number}", "series": f"1.2.{number}.1"}
            path = self.world.base / "made" / str(each)
            make_dicom(path, **names, sop=f"1.2.{number}.1.{each}", patient_id=f"P{number}")
            self.sent.add(md5(path))  # before the daemon has taken it
            os.rename(path, self.world.drop / f"s{number}-{each}")
        self.wait(lambda: self.sent == set(self.world.archived().values()))

    def wait(self, reached):
        deadline = time.monotonic() + PATIENCE
        while not self.holds(reached):
            assert time.monotonic() < deadline, self.lines()[-20:]
            threading.Event().wait(0.1)

    def holds(self, reached):
        with contextlib.suppress(OSError):  # moved while it was looked at
            return reached()
        return False

    def lines(self):
        """What stands in the file."""
        return checked_lines(self.file.read_text()) if self.file.exists() else []

    def losses(self, sink):
        return [each for each in self.lines() if (each["event"], each.get("sink")) == LOST[sink]]

    def judge(self, row):
        row.judge(self.sent, self.world.root, [self.world.drop], md5)


LOST = {sink: ("log.degraded", sink) for sink in ("stream", "file")}


def test_a_reader_that_stops_reading_stops_nothing(tmp_path, row):
    """A pipe that is full costs lines, never work; once it is read again they are counted, once."""
    logged = Logged(tmp_path)
    reading, writing = os.pipe()
    drain = threading.Thread(target=lambda: list(iter(lambda: os.read(reading, 1 << 20), b"")))
    with open(writing, "wb", 0) as writer:
        os.set_blocking(writing, False)
        while writer.write(b" " * 4095 + b"\n"):
            pass
        os.set_blocking(writing, True)
        with logged.running(writer):
            logged.send(1)
            assert [] == logged.losses("stream")
            drain.start()
            logged.send(2)
            logged.wait(lambda: logged.losses("stream"))
            (lost,) = logged.losses("stream")
            assert (True, True) == (lost["lost"] > 5, "nobody reads it" in lost["error"])
    drain.join()
    os.close(reading)
    logged.judge(row("nobody reads the log", "standard output is a pipe that is full"))


@pytest.mark.parametrize("kind", ["closed", "without reader", "full"])
def test_a_stream_that_takes_nothing_stops_nothing(kind, tmp_path, row):
    """Standard output closed, without a reader, or on a full disk: the file has every line."""
    logged = Logged(tmp_path)
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb", 0) as writer, open("/dev/full", "wb") as full:
        target = {"closed": None, "without reader": writer, "full": full}[kind]
        more = {"preexec_fn": lambda: os.close(1)} if kind == "closed" else {}
        with logged.running(target, **more):
            logged.send(1)
    events = [each["event"] for each in logged.lines()]
    assert ("daemon.started", "daemon.stopped") == (events[0], events[-1])
    logged.judge(row("the log's stream fails", f"standard output: {kind}"))


def test_a_log_folder_that_is_removed_is_written_again_when_it_is_back(tmp_path, row):
    """Lines don't go on into a file that nobody can find any more; the loss is counted, once."""
    logged = Logged(tmp_path, more='heartbeat = "1s"')  # lines come without files, too
    with open(os.devnull, "wb") as nowhere, logged.running(nowhere):
        logged.send(1)
        os.rename(logged.folder, tmp_path / "gone")  # else a line comes while it is removed
        shutil.rmtree(tmp_path / "gone")
        logged.send(2)
        logged.folder.mkdir()
        logged.wait(lambda: logged.losses("file"))
        logged.send(3)
        (lost,) = logged.losses("file")
        assert (True, True) == (lost["lost"] > 2, "No such file" in lost["error"])
    logged.judge(row("the log's folder is gone", "removed, made anew later"))


@pytest.mark.campaign
def test_a_full_disk_under_the_log_stops_nothing(tmp_path, row):
    """No room for the log: archived all the same, and how much was lost is said when it ends."""
    with machine.tmpfs(tmp_path / "small", size="64k") as small:
        logged = Logged(tmp_path, folder=small)
        with open(os.devnull, "wb") as nowhere, logged.running(nowhere):
            with (small / "ballast").open("wb", 0) as ballast, contextlib.suppress(OSError):
                while True:
                    ballast.write(bytes(4096))
            logged.send(1, 30)
            (small / "ballast").unlink()
            logged.wait(lambda: logged.losses("file"))
            logged.send(2)
            (lost,) = logged.losses("file")
            assert (True, True) == (lost["lost"] > 2, "No space left" in lost["error"])
        logged.judge(row("disk full: the log", "tmpfs filled to the brim"))


@pytest.mark.campaign
def test_a_failing_disk_under_the_log_stops_nothing(tmp_path, row):
    """The log's file answers EIO: archived all the same, and the loss is said when it ends."""
    machine.needs("strace")
    logged = Logged(tmp_path)
    with open(os.devnull, "wb") as nowhere, logged.running(nowhere) as process:
        logged.send(1)
        with failing(process, logged.file):
            logged.send(2)
        logged.wait(lambda: logged.losses("file"))
        (lost,) = logged.losses("file")
        assert (True, True) == (lost["lost"] > 2, "Input/output error" in lost["error"])
    logged.judge(row("the log's disk fails", "strace: EIO of write to that file"))


@pytest.mark.campaign
def test_a_share_that_hangs_under_the_log_stops_nothing(tmp_path, row):
    """The log's file does not answer: archived all the same, and the loss is said when it does."""
    with Faulty(tmp_path / "share", tmp_path / "behind") as share:
        logged = Logged(tmp_path, folder=share.point)
        with open(os.devnull, "wb") as nowhere, logged.running(nowhere):
            logged.send(1)
            share.hang("write")
            logged.send(2)
            share.rules()
            # a share that is only slow may have cost a line or two before
            logged.wait(lambda: any(each["lost"] > 2 for each in logged.losses("file")))
            errors = [each["error"] for each in logged.losses("file")]
            assert [] == [each for each in errors if "does not answer" not in each]
            logged.send(3)
        logged.judge(row("the log's share hangs", "FUSE, until released"))


@contextlib.contextmanager
def failing(process, path):
    """Writes of a running program to one file fail meanwhile."""
    words = ["strace", "-f", "-qq", "-o", "/dev/null", "-P", str(path), "-e", "trace=write"]
    words += ["-e", "inject=write:error=EIO", "-p", str(process.pid)]
    strace = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    try:
        status = Path(f"/proc/{process.pid}/status")
        deadline = time.monotonic() + PATIENCE
        while f"TracerPid:\t{strace.pid}" not in status.read_text():
            if strace.poll() is not None:
                pytest.skip("strace may not attach here")
            assert time.monotonic() < deadline
            threading.Event().wait(0.05)
        yield
    finally:
        strace.terminate()
        strace.wait()
