"""The power goes while the daemon works: what it reported is there, and nothing else is gone."""

import contextlib
import random
import subprocess
import sys
from pathlib import Path

import pytest
from faults import machine, power, scenes
from faults.trials import Driver

pytestmark = pytest.mark.faults
TEN = pytest.param(10, marks=[pytest.mark.campaign, pytest.mark.timeout(1800)])
MANY = pytest.param(1000, marks=[pytest.mark.soak, pytest.mark.timeout(36_000)])
KINDS = ("ext4", "xfs")
LAYOUTS = {"one disk": (), "archive on another": ("store/archive",)}


@contextlib.contextmanager
def rig(base, kind, layout):
    seed = random.randrange(1 << 32)
    print("seed", seed)
    places = ("", *LAYOUTS[layout])
    with power.disks(kind, *(base / "disk" / p for p in places)) as several, Driver() as driver:
        yield power.Rig(base, several, driver, seed=seed)


@pytest.mark.parametrize("cuts", [TEN, MANY])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_was_reported_outlives_the_power(tmp_path, row, kind, layout, cuts):
    """Whatever `file.filed` named is there whole after the cut, no source left the drop before,
    catalogs and documents are true; started again it ends as if nothing had happened.
    """
    record = row("power cut", f"{kind}, {layout}: shutdown ioctl under the daemon")
    with rig(tmp_path, kind, layout) as its:
        for _ in range(cuts):
            its.round()
            broken = its.broken()
            counts = {"lost": len(broken["lost"]), "torn": len(broken["torn"])}
            record.add(**counts, recovered=not any(broken.values()))
            assert {"lost": [], "torn": [], "unkept": [], "else": []} == broken
        end = its.unfinished()
        print(f"{len(its.sent)} files sent")
        assert 0 == end.pop("code")
        assert {} == {what: found for what, found in end.items() if found}


@pytest.mark.campaign
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_without_syncing_loses_files(tmp_path, kind, layout):
    """The negative control: with fsync and fdatasync left out the same cuts break the promises."""
    machine.needs("strace")
    with rig(tmp_path, kind, layout) as its:
        broken = []
        for _ in range(10):
            its.round(*power.without_syncing())
            found = its.broken()
            broken += found["lost"] + found["torn"] + found["unkept"]
            if broken:  # and the installation with them
                break
    assert broken


ALONE = {  # how a name comes to be durable: a line of code on the folder given, and what it makes
    "a folder made": ("files.make_folder(folder + '/a/b')", "a/b", ("", "/a")),
    "a file placed": (
        "files.place(folder + '.other', folder + '/file'); files.sync_folders([folder + '/file'])",
        "file",
        ("",),
    ),
    "a document swapped": ("files.swap(folder + '/document', b'after')", "document", ("",)),
}


@pytest.mark.campaign
@pytest.mark.parametrize("deed", ALONE)
@pytest.mark.parametrize("kind", KINDS)
def test_a_name_outlives_the_power_for_its_folder_was_synced(tmp_path, row, kind, deed):
    """What `io.files` made is there after a cut, and is not where only the fsync of the folders
    is left out. (The first line of a record is there all the same: on ext4 and xfs the fsync of a
    new file brings its name with it.)
    """
    machine.needs("strace")
    code, made, synced = ALONE[deed]
    with power.disks(kind, tmp_path / "disk") as several:
        record = row("power cut", f"{kind}: {deed}, no later sync")
        for leave_out in (False, True):
            folder = tmp_path / "disk" / f"folder{leave_out}"
            folder.mkdir()
            Path(folder, ".watcher-store").touch()  # nothing is made where no store is
            Path(folder, "document").write_bytes(b"before")
            Path(f"{folder}.other").write_bytes(b"")
            machine.make_durable(folder)
            paths = [f"{folder}{below}" for below in synced]
            before = power.without_syncing(*paths) if leave_out else []
            program = f"from watcher.io import files; folder = {str(folder)!r}; {code}"
            subprocess.run([*before, sys.executable, "-c", program], check=True)
            power.cut(several)
            there = Path(folder, made).exists() and Path(folder, "document").read_bytes()
            expected = b"after" if "swapped" in deed else b"before"
            assert (there == expected) is not leave_out
        record.ran()


@pytest.mark.campaign
@pytest.mark.parametrize("kind", KINDS)
def test_what_was_taken_back_from_another_disk_stays_taken_back(tmp_path, row, kind):
    """An archiving that was cut off is undone at the next start. The plan goes only after that is
    durable: else a power cut brings the copies back, and nobody knows whose they are.
    """
    with rig(tmp_path, kind, "archive on another") as its:
        scenes.put(its.root, "d", "1", sop=1)
        its.crash("arc001/P1/SCANS/4/DICOM/.scan_4_catalog.xml.new")
        its.crash(".P1.plan.json.new")  # of the second try; the first is undone
        power.fsync(its.root)
        power.cut(its.disks)
        assert 0 == its.driver(config=str(its.config), words=["run", "--once"])["code"]
        assert 1 == len(its.instances("archive"))
    row("power cut", f"{kind}: after an archiving was taken back").ran()
