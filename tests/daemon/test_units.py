"""Units on the real program: what a user drops, what the daemon does meanwhile, how it stops."""

import os
import signal
import sys
import time
import zipfile

import pytest
from daemon.test_running import PATIENT
from makers import make_dicom
from world import World

pytestmark = pytest.mark.timeout(900)

MANY = 300  # members of a unit that takes a while: more than a batch


@pytest.fixture
def world(tmp_path):
    return World(
        tmp_path,
        drop_lines=('import = "transactional"',),
        inactivity="200ms",
        rescan="200ms",
        extra=f'[[drop]]\npath = "{tmp_path}/other"\nname = "other"\nproject = "P1"\n'
        'settle = "100ms"\ninactivity = "200ms"\nrescan_interval = "200ms"\n',
    )


@pytest.fixture(autouse=True)
def other(tmp_path):
    (tmp_path / "other").mkdir()
    return tmp_path / "other"


def instance(path, number, label, **more):
    """The `number`-th instance of the one series of a study that is the label's own."""
    study = f"1.2.3.{sum(label.encode())}"
    ids = {"study": study, "series": f"{study}.1", "sop": f"{study}.1.{number}"}
    return make_dicom(str(path), instance=number, patient_id=label, **{**ids, **more})


def bring(world, name):
    """What was made aside comes whole: else a slow sender would make two units of it."""
    os.rename(world.base / "aside" / name, world.drop / name)


def labels(world):
    """How many files of each label the archive's catalogs list."""
    found = [label for label, _ in world.archived()]
    return {label: found.count(label) for label in found}


def test_a_folder_a_file_and_an_archive(world):
    """Each lands whole, is archived by itself, and nothing of it is left in the drop."""
    aside = world.base / "aside"
    for number in range(1, 4):
        instance(aside / "visit" / "deep" / f"{number}", number, "A")
    instance(aside / "visit" / "4", 4, "B")
    instance(aside / "loose", 1, "C")
    with zipfile.ZipFile(aside / "pack.zip", "w") as packed:
        for number in (1, 2):
            packed.write(instance(aside / "m" / f"{number}", number, "D"), f"d/{number}")
    with world.daemon() as daemon:
        for name in ("visit", "loose", "pack.zip"):
            bring(world, name)
        for label in "ABCD":
            daemon.wait_for("session.archived", label=label)
        daemon.wait_until(lambda: world.left() == [])
        assert (0, {"A": 3, "B": 1, "C": 1, "D": 2}) == (daemon.stop()[0], labels(world))


def test_a_torn_member_is_told_and_mended(world):
    """The unit waits for it alone; `explain` tells of the unit; whole, all of it is archived."""
    aside, path = world.base / "aside", world.drop / "visit" / "2"
    instance(aside / "visit" / "1", 1, "A")
    instance(aside / "visit" / "2", 2, "A")
    data = (aside / "visit" / "2").read_bytes()
    (aside / "whole").write_bytes(data)
    (aside / "visit" / "2").write_bytes(data[:-7])
    with world.daemon() as daemon:
        bring(world, "visit")
        daemon.wait_for("file.waiting", path="visit/2", code="torn")
        told, code = world.json("explain", str(path))
        assert ("waits", "torn", 0) == (told["verdict"], told["code"], code)
        assert any("the unit visit" in note for note in told["notes"])
        assert [] == world.prearchive()
        os.replace(aside / "whole", path)
        daemon.wait_for("session.archived", label="A")
        assert {"A": 2} == labels(world)


def test_a_word_of_the_sender(world):
    """`NAME.complete` is waited for by nobody, and goes with its unit; without one it is told."""
    text = world.config.read_text()
    world.config.write_text(text.replace('inactivity = "200ms"', 'inactivity = "1h"', 1))
    with world.daemon() as daemon:
        (world.drop / "none.complete").touch()
        instance(world.drop / "visit" / "1", 1, "A")
        (world.drop / "visit.complete").touch()
        daemon.wait_for("session.archived", label="A")
        daemon.wait_for("file.waiting", path="none.complete", code="unit")
        daemon.wait_until(lambda: world.left() == ["none.complete"])


def test_a_large_unit_stops_neither_other_drops_nor_the_end(world, other):
    """While it lands something comes to the other drop, and the program ends at once when told.

    The next start carries on: all of the unit is archived, once, and what came.
    """
    for number in range(1, MANY + 1):
        instance(world.drop / "visit" / f"{number}", number, "BIG", rows=1, columns=1)
    (world.drop / "visit.complete").touch()
    began = time.monotonic()
    with world.daemon(sys.executable, "-c", PATIENT) as daemon:
        start = time.monotonic() - began  # how fast the machine is now
        daemon.wait_until(lambda: unit_is_staged(world))
        instance(other / "1", 1, "SMALL")
        code, took = daemon.stop(signal.SIGTERM)
        assert 0 == code
        assert took < 5 + 10 * start  # two seconds and what a shared machine adds
        assert "hung" not in {each.get("reason") for each in daemon.events}
    code, _ = world.once()
    assert {"BIG": MANY, "SMALL": 1} == labels(world)
    assert (0, [], []) == (code, world.left(), world.uncatalogued())


def unit_is_staged(world):
    """Whether something of a unit lies in its staging folder, or all of it is on its way."""
    staged = any(path.startswith(".watcher-incoming/unit-") for path in world.prearchive())
    return staged or bool(world.archived())


@pytest.mark.campaign
def test_one_drop_beside_another(world, other):
    """Ten files of a gradual drop are archived while a unit of another drop is landing or waits."""
    for number in range(1, MANY + 1):
        instance(world.drop / "visit" / f"{number}", number, "BIG", rows=1, columns=1)
    (world.drop / "visit.complete").touch()
    for number in range(1, 11):
        instance(world.base / "aside" / "small" / f"{number}", number, "SMALL")
    with world.daemon() as daemon:
        daemon.wait_until(lambda: unit_is_staged(world))
        os.rename(world.base / "aside" / "small", other / "small")
        daemon.wait_for("session.archived", label="SMALL")
        daemon.wait_for("session.archived", label="BIG")
    assert {"BIG": MANY, "SMALL": 10} == labels(world)


def test_once_lands_what_is_whole(world):
    """`run --once` takes what has settled, and says what of units it leaves: exit 3."""
    instance(world.drop / "whole" / "1", 1, "A")
    for number in (1, 2, 3):
        instance(world.drop / "part" / f"{number}", number, "B")
    os.truncate(world.drop / "part" / "3", 700)
    code, events = world.once()
    left = {
        (each["path"], each["code"])
        for each in events
        if (each["event"], each["level"]) == ("file.waiting", "info")
    }
    assert (3, {("part/3", "torn"), ("part", "unit")}) == (code, left)
    assert {"A": 1} == labels(world)
    assert ["part/1", "part/2", "part/3"] == world.left()
