"""The reader processes: what kills or hangs one is refused, and everything else is answered."""

import errno
import os
import shutil
import signal
import sys
from itertools import count

import another
import anyio
import anyio.to_thread
import makers
import pytest

from watcher.core.errors import WorkerError
from watcher.io.worker import Usage
from watcher.io.workers import BATCH, Workers, examine_now, try_one

ROOM = 10 << 20  # bytes of address space besides what a reader takes: 60 MiB do not fit
NEVER = 1e6  # seconds


@pytest.fixture
def drop(tmp_path):
    folder = tmp_path / "drop"
    folder.mkdir()
    for number in range(3):
        makers.make_dicom(folder / f"{number}.dcm", sop=f"1.2.3.{number}")
    return folder


@pytest.fixture
def ask(drop):
    def request(path, **more):
        return {"root": str(drop), "path": path, "incoming": None, "lease": "skip"} | more

    return request


@pytest.fixture
def interpreter(tmp_path):
    """Puts a shell script in the interpreter's place, or nothing: a broken installation."""
    kept, path = sys.executable, tmp_path / "python"

    def broken(script):
        if script is not None:
            path.write_text(f"#!/bin/sh\n{script}\n")
            path.chmod(0o755)
        sys.executable = str(path)

    yield broken
    sys.executable = kept


def endless(path, size):
    """A DICOM file with so many bytes of pixels, none of them on the disk."""
    makers.make_dicom(path, PixelData=b"")
    with open(path, "r+b") as file:
        file.seek(-4, os.SEEK_END)  # the length of the pixel data
        file.write(size.to_bytes(4, "little"))
        file.truncate(file.tell() + size)
    return path


def pids(workers):
    return [each.process.pid for each in workers._idle]


def runs(pid):
    """Whether a process runs; one that ended and was not asked for does not."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def taken(pid):
    """Bytes of address space that a process took at most."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        (peak,) = (line.split()[1] for line in file if line.startswith("VmPeak:"))
    return int(peak) << 10


def stop(pid):
    """Stop a process, and wait until it stands."""
    os.kill(pid, signal.SIGSTOP)
    os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)


ONCE = 'test -e "$0.once" || ! touch "$0.once"'  # true from the second time on
ASLEEP = "read line; echo '[]'; read line; exec sleep 1000"
BUSY = "read line; echo '[]'; read line; while :; do :; done"


def digests(replies):
    return [len(each["digest"]) for each in replies]


async def test_answers(ask):
    """A batch is answered in order, by one process that serves the next batch too."""
    async with Workers.open(count=1) as workers:
        replies = await workers.examine([ask("1.dcm"), ask("missing"), ask("0.dcm")])
        first = pids(workers)
        again = await workers.examine([ask("1.dcm")])
        assert (first, len(first)) == (pids(workers), 1)
    assert ["1.2.3.1", "gone", "1.2.3.0"] == [
        each.get("refusal") or each["values"]["00080018"] for each in replies
    ]
    assert replies[0]["digest"] == again[0]["digest"]
    assert not runs(first[0])


async def test_nothing(ask):
    """Nothing asked, nothing answered."""
    async with Workers.open() as workers:
        assert await workers.examine([]) == []


async def test_together(ask):
    """Two batches are read at once, by no more processes than were allowed."""
    async with Workers.open(count=2) as workers:
        async with anyio.create_task_group() as tasks:
            for number in (0, 1, 2, 0, 1):
                tasks.start_soon(workers.examine, [ask(f"{number}.dcm")])
        assert len(pids(workers)) in {1, 2}


@pytest.mark.parametrize(("files", "started"), [(0, 0), (1, 1), (9, 2)])
async def test_warm(ask, files, started):
    """Ahead of so many files as many readers start as they need, and those read them."""
    async with Workers.open(count=2) as workers:
        await workers.warm(files)
        await workers.warm(files)
        waiting = pids(workers)
        assert started == len(waiting)
        await workers.examine([ask("0.dcm")])
        assert set(waiting) <= set(pids(workers))


async def test_warm_while_at_work(ask, interpreter):
    """A reader at work counts: never more than were allowed."""
    interpreter(ASLEEP)
    async with Workers.open(count=2, silent=NEVER) as workers, anyio.create_task_group() as tasks:
        tasks.start_soon(workers.examine, [ask("0.dcm")])
        await anyio.wait_all_tasks_blocked()
        await workers.warm(9)
        assert 1 == len(pids(workers))
        tasks.cancel_scope.cancel()


async def test_warm_in_vain(ask, interpreter):
    """Where no reader can be started, it is the question that says so."""
    interpreter(None)
    async with Workers.open(count=1) as workers:
        await workers.warm(1)
        with pytest.raises(WorkerError, match="No such file"):
            await workers.examine([ask("0.dcm")])


async def test_warm_and_gone(ask):
    """A reader that died before it was first asked is no file's fault: another reads."""
    async with Workers.open(count=1) as workers:
        await workers.warm(1)
        workers._idle[0].process.kill()
        await workers._idle[0].process.wait()
        with pytest.raises(WorkerError, match="can't be started"):
            await workers.examine([ask("0.dcm")])
        [read] = await workers.examine([ask("0.dcm")])
        assert digests([read]) == [32]


async def test_hangs(drop, ask):
    """A file that hangs its reader is tried once more alone, then refused; the others are read."""
    endless(drop / "hangs.dcm", 4_000_000_000)
    async with Workers.open(count=1, busy=1.5) as workers:
        replies = await workers.examine([ask("0.dcm"), ask("hangs.dcm"), ask("1.dcm")])
        assert digests([replies[0], replies[2]]) == [32, 32]
        assert replies[1]["refusal"] == "crashed-reader"
        assert "twice" in replies[1]["text"]
        [after] = await workers.examine([ask("2.dcm")])
        assert digests([after]) == [32]


async def test_size_counts(drop, ask):
    """A large file may keep it busy for longer: its size at 10 MiB a second is added."""
    endless(drop / "large.dcm", 100 << 20)
    async with Workers.open(count=1, busy=0.0) as workers:
        [read] = await workers.examine([ask("large.dcm", size=10**12)])
    assert digests([read]) == [32]


async def test_dies(drop, ask):
    """A file that takes more memory than a reader may have is refused; the others are read."""
    endless(drop / "big.dcm", 60 << 20)
    async with Workers.open(count=1) as workers:
        await workers.examine([ask("0.dcm")])
        [pid] = pids(workers)
        fits = taken(pid) + ROOM
    async with Workers.open(count=1, memory=fits) as workers:
        replies = await workers.examine([ask("0.dcm"), ask("big.dcm"), ask("1.dcm")])
    assert digests([replies[0], replies[2]]) == [32, 32]
    assert replies[1]["refusal"] == "crashed-reader"


async def test_killed_while_idle(ask):
    """No file is blamed for readers that died before it: killed at rest, they are replaced."""
    async with Workers.open(count=2) as workers:
        async with anyio.create_task_group() as tasks:
            for number in (0, 1):
                tasks.start_soon(workers.examine, [ask(f"{number}.dcm")] * 20)
        before = pids(workers)
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        [read] = await workers.examine([ask("2.dcm")])
        assert digests([read]) == [32]
        assert set(pids(workers)).isdisjoint(before)


async def test_stalls(ask, interpreter):
    """A reader that does nothing at all waits for a share: no file is refused for it."""
    interpreter(ASLEEP)
    async with Workers.open(count=1, silent=1.0) as workers:
        replies = await workers.examine([ask("0.dcm"), ask("1.dcm")])
        assert [errno.ETIMEDOUT] * 2 == [each["errno"] for each in replies]
        assert [] == pids(workers)


async def test_busy(ask, interpreter):
    """One that computes is no share's fault, however long it is silent: its file is refused."""
    interpreter(BUSY)
    async with Workers.open(count=1, busy=1.0, silent=30.0) as workers:
        [reply] = await workers.examine([ask("0.dcm")])
    assert "crashed-reader" == reply["refusal"]


async def test_stalls_alone(ask, interpreter):
    """One that killed a reader in company and stalls one alone is not refused either."""
    interpreter(f"read line; echo '[]'; read line; {ONCE} || exit 1; exec sleep 1000")
    async with Workers.open(count=1, silent=1.0) as workers:
        [reply] = await workers.examine([ask("0.dcm")])
    assert errno.ETIMEDOUT == reply["errno"]


async def test_stalls_beside_others(ask, interpreter):
    """While one waits for its share, another has its place: a pool of one still reads."""
    interpreter(f'{ONCE} && exec {sys.executable} "$@"; {ASLEEP}')
    async with Workers.open(count=1) as workers, anyio.create_task_group() as tasks:
        tasks.start_soon(workers.examine, [ask("0.dcm")])
        await anyio.wait_all_tasks_blocked()
        [read] = await workers.examine([ask("1.dcm")])
        assert digests([read]) == [32]
        tasks.cancel_scope.cancel()


async def test_stopped(ask, monkeypatch):
    """A reader that does not answer in its time is killed, and its batch read by another."""
    real, moments, stopped = Usage.of, count(), []

    def of(pid):  # the others are never silent, however long they have to wait for a processor
        return real(pid) if pid in stopped else Usage("R", 0.0, str(next(moments)))

    monkeypatch.setattr(Usage, "of", of)
    async with Workers.open(count=1, silent=1.0) as workers:
        await workers.examine([ask("0.dcm")])
        [pid] = stopped[:] = pids(workers)
        stop(pid)
        replies = await workers.examine([ask("0.dcm"), ask("1.dcm")])
        assert digests(replies) == [32, 32]
        assert pid not in pids(workers)
    assert not runs(pid)


async def test_recycled(ask):
    """After so many files a reader is replaced."""
    async with Workers.open(count=1, recycle=2) as workers:
        await workers.examine([ask("0.dcm")])
        [first] = pids(workers)
        await workers.examine([ask("1.dcm")])
        assert pids(workers) == []
        assert not runs(first)
        [read] = await workers.examine([ask("2.dcm")])
        assert digests([read]) == [32]


async def test_cancelled(ask):
    """Who is cancelled leaves no reader behind that still reads for nobody."""
    async with Workers.open(count=1, silent=NEVER) as workers:
        await workers.examine([ask("0.dcm")])
        [pid] = pids(workers)
        stop(pid)  # however late we are, it has not answered
        with anyio.move_on_after(0.2) as scope:
            await workers.examine([ask("2.dcm")])
        assert scope.cancelled_caught
        assert (False, []) == (runs(pid), pids(workers))
        [read] = await workers.examine([ask("1.dcm")])
        assert digests([read]) == [32]


@pytest.mark.parametrize("program", ["exit 1", "echo no; cat", "read line; echo 'no JSON'; cat"])
async def test_can_not_start(ask, interpreter, program):
    """Readers that fail before any file are the machine's fault: no file is refused for it."""
    interpreter(program)
    async with Workers.open(count=1) as workers:
        for _ in range(2):  # and the place in the pool is free again
            with pytest.raises(WorkerError, match="can't be started"):
                await workers.examine([ask("0.dcm")])


async def test_no_interpreter(ask, interpreter, tmp_path):
    """A program that can't be run is told as such."""
    interpreter(None)
    async with Workers.open(count=1) as workers:
        with pytest.raises(WorkerError, match="No such file"):
            await workers.examine([ask("0.dcm")])


@pytest.mark.parametrize("says", ["no JSON", "[]", "[{}, {}, {}]", "x" * 100])
async def test_babbles(ask, interpreter, says):
    """A reader that answers anything but one reply for each file is as good as dead."""
    interpreter(f"read line; echo '[]'; while read line; do echo '{says}'; done")
    async with Workers.open(count=1) as workers:
        replies = await workers.examine([ask("0.dcm"), ask("1.dcm")])
    assert ["crashed-reader"] * 2 == [each["refusal"] for each in replies]


ELSEWHERE = """
import os, sys
from functools import partial
import anyio
import anyio.to_thread
from watcher.io.workers import BATCH, Workers, examine_now

async def main():
    async with Workers.open(count=1) as workers:
        request = {"root": sys.argv[1], "path": "0.dcm", "incoming": None, "lease": "skip"}
        [reply] = await workers.examine([request])
        print(len(reply["digest"]), end="")

os.chdir(sys.argv[1])
anyio.run(main)
"""


def test_hostile_folder(drop):
    """Modules lying in the current folder, which may be a drop, are not run (spec 13)."""
    shutil.copy(drop / "0.dcm", drop / "pydicom.py")
    (drop / "json.py").write_text("raise SystemExit")
    assert another.run(ELSEWHERE, drop) == "32"


class TestWithoutALoop:
    """`examine_now`, for commands and threads."""

    def test_many_are_answered_in_order(self, drop, ask):
        """More files than one question holds: one reply each, in the order asked."""
        names = [f"{number % 3}.dcm" for number in range(BATCH + 6)]
        sops = [reply["values"]["00080018"] for reply in examine_now([ask(name) for name in names])]
        assert [f"1.2.3.{number % 3}" for number in range(BATCH + 6)] == sops

    def test_nothing_asked_nothing_started(self, interpreter):
        """No request needs no reader: a broken interpreter is not noticed."""
        interpreter("exit 1")
        assert [] == examine_now([])

    def test_a_thread_of_a_program_with_a_loop(self, drop, ask):
        """A worker thread of the daemon may ask too."""

        async def in_a_thread():
            return await anyio.to_thread.run_sync(examine_now, [ask("0.dcm")])

        (reply,) = anyio.run(in_a_thread)
        assert "1.2.3.0" == reply["values"]["00080018"]

    def test_one_is_tried(self, interpreter):
        """Started and ended, nothing asked; the same error where that can't be."""
        try_one()
        interpreter("exit 1")
        with pytest.raises(WorkerError, match="ended at once"):
            try_one()

    def test_no_reader_to_be_had_is_one_plain_error(self, ask, interpreter):
        """WorkerError itself, not a group of them."""
        interpreter("exit 1")
        with pytest.raises(WorkerError, match="ended at once"):
            examine_now([ask("0.dcm")] * (BATCH + 1))
