"""Hostile archive files in a drop: each refused whole with its reason, or it waits; no more.

Every rule by itself: tests/io/test_unpacking.py.
"""

import hashlib
import json
import os
import signal
import stat
import subprocess
import sys
from contextlib import contextmanager

import packing
import pytest
from archives import instance
from faults.trials import SLOW
from faults.waiting import WAIT, wait_until
from makers import make_dicom
from watched import DAEMON, READER, peaks
from world import World, md5

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1200)]
MEBI = 1 << 20
MANY = 50_000 if SLOW else 15_000  # members
PROMPT = 60.0  # seconds: two are promised (spec 4), the rest is for a machine under load


def slices(count):
    """So many small DICOM files of one session, by a name in an archive."""
    for number in range(count):
        yield f"S/{number // 500:03d}/IM{number:06d}", instance(number)[0]


def pax_bomb(path):
    """A tar whose first name is said to have a gibibyte."""
    with open(path, "wb") as file:
        file.write(packing.header("a", 1 << 30, b"x"))
        file.truncate(16 * MEBI)  # whoever asks for all of it has lost already


def slip(path, outside):
    packing.zip_of(path, [("../../../outside/slipped", b"evil"), (str(outside / "abs"), b"evil")])


HOSTILE = {  # what is dropped, and what the reason says
    "slip.zip": (None, "out of its folder"),
    "slip.tar": (lambda p: packing.tar_of(p, [("../x", b"1")]), "out of its folder"),
    "link.tar": (lambda p: packing.special_tar(p, "link"), "symbolic link"),
    "hard.tgz": (lambda p: packing.special_tar(p, "hard link"), "hard link"),
    "link.zip": (lambda p: packing.typed_zip(p, "a", stat.S_IFLNK, b"/etc/passwd"), "symbolic"),
    "fifo.tar": (lambda p: packing.special_tar(p, "FIFO"), "FIFO"),
    "device.tar": (lambda p: packing.special_tar(p, "disk"), "device"),
    "locked.zip": (lambda p: packing.patched(packing.zip_of(p, [("a", b"1")]), flags=1), "encrypt"),
    "nested.zip": (lambda p: packing.zip_of(p, [("a.tgz", b"1")]), "within"),
    "twice.tar": (lambda p: packing.tar_of(p, [("a", b"1"), ("a", b"2")]), "same name"),
    "bomb.zip": (lambda p: packing.zip_of(p, [("a", bytes(20 * MEBI))]), "times its own size"),
    "bomb.tgz": (lambda p: packing.tar_of(p, [("a", bytes(20 * MEBI))], "w:gz"), "times its own"),
    "overlap.zip": (packing.overlapping, "over another"),
    "many.tar": (lambda p: packing.tar_of(p, [(str(n), b"") for n in range(51)]), "more than 50"),
    "headers.tar": (pax_bomb, "too long"),
    "text.zip": (lambda p: p.write_bytes(b"no archive " * 99), "not an archive"),
}


def strew(world, outside):
    for name, (make, _) in HOSTILE.items():
        if make is None:
            slip(world.drop / name, outside)
        else:
            make(world.drop / name)
    whole = packing.zip_of(world.base / "whole", [("a", os.urandom(4000))]).read_bytes()
    (world.drop / "cut.zip").write_bytes(whole[:2000])


@pytest.fixture
def outside(tmp_path):
    (tmp_path / "outside").mkdir()
    return tmp_path / "outside"


def reasons(world):
    """What the entries of the quarantine say, by what was dropped."""
    found = {}
    for path in (world.root / "quarantine").rglob("reason.json"):
        told = json.loads(path.read_text(encoding="utf-8"))
        (name,) = (each for each in os.listdir(path.parent) if each in HOSTILE)
        found[name] = json.dumps(told)
    return found


def test_each_is_refused_for_its_reason(tmp_path, outside, row):
    """Whole to quarantine with one sentence, nothing written elsewhere; what is good is archived.

    One that is cut off waits where it lies.
    """
    world = World(tmp_path / "w", extra="[limits]\nentries = 50")
    packing.zip_of(world.drop / "good.zip", slices(3))
    good = make_dicom(world.drop / "good.dcm", series="1.2.3.1", sop="1.2.3.1.9", instance=9)
    sent = {md5(good)} | {hashlib.md5(data).hexdigest() for _, data in slices(3)}
    strew(world, outside)
    before = {path: md5(path) for path in world.drop.iterdir()}
    code, events = world.once()
    told = reasons(world)
    assert dict.fromkeys(HOSTILE, True) == {
        name: word in told.get(name, "") for name, (_, word) in HOSTILE.items()
    }
    assert (3, ["cut.zip"], []) == (code, world.left(), os.listdir(outside))
    assert sent == set(world.archived().values())
    said = [each for each in events if each["event"] == "file.quarantined"]
    assert {"archive-file"} == {each["code"] for each in said}
    waiting = [each for each in events if each["event"] == "file.waiting"]
    assert {("cut.zip", "torn")} == {(each["path"], each["code"]) for each in waiting}
    kept = {md5(path) for path in (world.root / "quarantine").rglob("*") if path.is_file()}
    lost = {digest for path, digest in before.items() if path.name in HOSTILE} - kept
    row("hostile archive files", f"{len(HOSTILE)} kinds").ran(lost=len(lost))


HOLDING = """
import os, sys
from watcher import signals
from watcher.cli import main
from watcher.io import worker
start = worker.anyio.open_process
def held(command, **more):
    return start([command[0], "-P", "-c", os.environ["READER"], *command[4:]], **more)
worker.anyio.open_process = held
signals.PATIENCE = 600.0  # a slow machine is no hung share
sys.argv[1:] = sys.argv[4:]  # what stands after `python -m watcher`
main()
"""
HELD_READER = """
import os, sys, threading
from watcher.io import reader, unpacking
heed = unpacking._Staging._heed
def hold(staging):
    heed(staging)
    try:
        os.symlink(str(os.getpid()), os.environ["HELD"])
    except FileExistsError:
        return
    with open("/dev/zero", "rb", buffering=0) as zero:
        while zero.read(1):  # it is not silent
            heed(staging)
            threading.Event().wait(0.05)
unpacking._Staging._heed = hold
sys.exit(reader.main())
"""


@contextmanager
def unpacking_for_ever(world):
    """A daemon whose reader stays within the first member of an archive file; and that reader."""
    held = str(world.base / "held")
    words = (sys.executable, "-c", HOLDING)
    with world.daemon(*words, READER=HELD_READER, HELD=held) as daemon:
        members = {f"S/stray{n}": os.urandom(2 * MEBI) for n in range(4)} | dict(slices(3))
        packing.tar_of(world.base / "unit.tgz", members.items(), "w:gz")
        os.rename(world.base / "unit.tgz", world.drop / "unit.tgz")
        wait_until(lambda: os.path.lexists(held))
        yield daemon, int(os.readlink(held))


def test_a_reader_that_dies_while_it_unpacks(tmp_path, row):
    """The archive is unpacked by another one, from the beginning, and lands whole."""
    world = World(tmp_path / "w")
    with unpacking_for_ever(world) as (daemon, reader):
        assert unpacked(world)
        os.kill(reader, signal.SIGKILL)
        daemon.wait_for("session.archived", timeout=WAIT)
        wait_until(lambda: not world.left())  # it may leave the drop after its session went
    assert 3 == len(world.archived())
    row("a reader killed while it unpacks", "SIGKILL").ran(recovered=not world.left())


def unpacked(world):
    """The files that something was unpacked into; folders may go meanwhile."""
    staged = os.walk(world.root / "prearchive" / ".watcher-incoming")
    return [name for _, _, names in staged for name in names if name[0] == "m"]


@pytest.mark.campaign
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_stopped_while_it_unpacks(tmp_path, row, number):
    """The program ends, soon and by itself, its reader too; the archive is in the drop, whole.

    The next start sweeps what was laid out and lands it.
    """
    world = World(tmp_path / "w")
    with unpacking_for_ever(world) as (daemon, reader):
        code, took = daemon.stop(number)
        wait_until(lambda: not runs(reader))
    assert (["unit.tgz"], {}) == (world.left(), world.archived())
    if number == signal.SIGTERM:
        assert (0, "SIGTERM") == (code, daemon.events[-1]["reason"])
        assert took < PROMPT
    with world.daemon() as daemon:
        daemon.wait_for("session.archived", timeout=WAIT)
        wait_until(lambda: not world.left())
        wait_until(lambda: not unpacked(world))
    assert 3 == len(world.archived())
    row("stopped while it unpacks", number.name).ran()


def runs(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.campaign
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("ending", ["zip", "tgz"])
def test_many_members(tmp_path, row, ending):
    """They land as one session, in bounded memory, and the good file beside them is not held up.

    None is built meanwhile: what that takes is what it takes for as many files of any drop.
    """
    world = World(tmp_path / "w", level="info", inactivity="12h")
    name = tmp_path / f"unit.{ending}"
    if ending == "zip":
        packing.zip_of(name, slices(MANY))
    else:
        packing.tar_of(name, slices(MANY), "w:gz")
    with world.daemon() as daemon, peaks(daemon.process.pid) as peak:
        os.rename(name, world.drop / name.name)
        make_dicom(tmp_path / "a.dcm", study="1.9", series="1.9.1", sop="1.9.1.1",
                   patient_id="BESIDE")  # fmt: skip
        os.rename(tmp_path / "a.dcm", world.drop / "a.dcm")
        daemon.wait_for("session.opened", timeout=WAIT, label="BESIDE")
        wait_until(lambda: not world.left(), 1800)
        assert 0 == daemon.stop()[0]
    print(f"{ending}: {peak} MiB")
    assert (True, True) == (peak["daemon"] < DAEMON, peak["reader"] < READER), peak
    assert {"BESIDE": 1, "P1": MANY} == {n: s["files"] for n, s in world.sessions.items()}
    words = (sys.executable, "-m", "watcher", "run", "--once", "--config", str(world.config))
    assert 0 == subprocess.run(words, stdout=subprocess.DEVNULL, timeout=1800).returncode
    assert MANY + 1 == len(world.archived())
    row(f"an archive file of {MANY} members", ending).ran()
