"""Hostile archive files in a drop: each refused whole with its reason, or it waits; no more.

Every rule by itself: tests/io/test_unpacking.py.
"""

import hashlib
import json
import os
import signal
import stat
import time

import packing
import pytest
from archives import instance
from makers import make_dicom
from watched import DAEMON, READER, peaks
from world import World, md5, until

pytestmark = pytest.mark.faults
MEBI = 1 << 20


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


def test_a_reader_that_dies_while_it_unpacks(tmp_path, row):
    """The archive is unpacked by another one, from the beginning, and lands whole."""
    world = World(tmp_path / "w")
    large = {f"S/stray{n}": os.urandom(2 * MEBI) for n in range(8)}
    with world.daemon() as daemon:
        packing.tar_of(tmp_path / "unit.tgz", (large | dict(slices(3))).items(), "w:gz")
        os.rename(tmp_path / "unit.tgz", world.drop / "unit.tgz")
        until(lambda: _unpacking(world), bool, 60)
        for reader in _children(daemon.process.pid):
            os.kill(reader, signal.SIGKILL)
        daemon.wait_for("session.archived", timeout=60)
    assert 3 == len(world.archived())
    row("a reader killed while it unpacks", "SIGKILL").ran(recovered=not world.left())


def _unpacking(world):
    """The folders that something is unpacked into."""
    return list((world.root / "prearchive").glob(".watcher-incoming/unit-*/m*"))


def _children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="utf-8") as file:
        return [int(child) for child in file.read().split()]


@pytest.mark.campaign
@pytest.mark.timeout(200)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_stopped_while_it_unpacks(tmp_path, row, number):
    """The program ends within two seconds, its reader too; the archive is in the drop, whole.

    The next start sweeps what was laid out and lands it.
    """
    world = World(tmp_path / "w")
    large = {f"S/stray{n}": os.urandom(16 * MEBI) for n in range(12)}
    packing.tar_of(tmp_path / "unit.tgz", (large | dict(slices(3))).items(), "w:gz")
    with world.daemon() as daemon:
        os.rename(tmp_path / "unit.tgz", world.drop / "unit.tgz")
        until(lambda: _unpacking(world), bool, 60)
        readers = _children(daemon.process.pid)
        _, took = daemon.stop(number)
        until(lambda: [pid for pid in readers if _runs(pid)], lambda alive: not alive, 30)
    assert (["unit.tgz"], {}) == (world.left(), world.archived())
    if number == signal.SIGTERM:
        assert took < 5  # two seconds, on a machine with other things to do
    with world.daemon() as daemon:
        daemon.wait_for("session.archived", timeout=120)
        until(world.left, lambda left: not left, 60)
        until(lambda: _unpacking(world), lambda staged: not staged, 60)
    assert 3 == len(world.archived())
    row("stopped while it unpacks", number.name).ran()


def _runs(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.campaign
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("ending", ["zip", "tgz"])
def test_fifty_thousand_members(tmp_path, row, ending):
    """They land as one session, in bounded memory, and the good file beside them is not held up."""
    world = World(tmp_path / "w", level="info", extra='[session]\nmax_open = "1h"')
    count, name = 50_000, tmp_path / f"unit.{ending}"
    if ending == "zip":
        packing.zip_of(name, slices(count))
    else:
        packing.tar_of(name, slices(count), "w:gz")
    began = time.monotonic()
    with world.daemon() as daemon, peaks(daemon.process.pid) as peak:
        os.rename(name, world.drop / name.name)
        make_dicom(world.drop / "beside" / "a.dcm", study="1.9", series="1.9.1", sop="1.9.1.1",
                   patient_id="BESIDE")  # fmt: skip
        daemon.wait_for("session.archived", label="BESIDE", timeout=300)
        until(world.left, lambda left: not left, 900)
        landing = dict(peak)
        daemon.wait_for("session.archived", label="P1", timeout=900)
    print(f"{ending}: {time.monotonic() - began:.0f} s, {landing} MiB, then {peak}")
    assert count + 1 == len(world.archived())
    # what comes then is the build of a session of as many files, as of any drop
    assert (True, True) == (landing["daemon"] < DAEMON, landing["reader"] < READER), landing
    row("an archive file of 50000 members", ending).ran()
