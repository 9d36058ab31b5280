"""Refused units at every crash point: in the drop whole, or in the quarantine whole."""

import hashlib
import os
import shutil
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from faults import aftermath, scenes
from faults.trials import SLOW, Case, Trial, told

pytestmark = [pytest.mark.faults, pytest.mark.timeout(3600 if SLOW else 900)]
EMPTY = hashlib.md5(b"").hexdigest()
POINTS = 0 if SLOW else 8  # of the broad sweeps; 0: all
UNIT = {"u/s/1", "u/s/2", "u/s/bad", "u/notes.txt"}


def transactional(root):
    """A drop whose folders are units."""
    scenes.furnish(root, units='project = "AUTO"\nimport = "transactional"')


def kept(root):
    """The same, only read."""
    scenes.furnish(root, units='project = "AUTO"\nimport = "transactional"\nafter = "keep"')


def a_bad_folder(root):
    """A unit in which one file has no study, with its marker."""
    for number in (1, 2):
        scenes.put(root, "units", f"u/s/{number}", sop=number)
    scenes.put(root, "units", "u/s/bad", sop=9, study=None)
    Path(root, "drops/units/u/notes.txt").write_text("as is")
    Path(root, "drops/units/u/.complete").touch()


def a_hostile_archive(root):
    """An archive file with a member that would lie outside."""
    with zipfile.ZipFile(f"{root}/drops/units/x.zip", "w") as archive:
        archive.writestr("../outside", "x")
        archive.writestr("inside", "y")


def begin(root):
    """A refused unit in the quarantine, and the drop empty again."""
    transactional(root)
    a_bad_folder(root)


CASES = {
    "a folder": Case((transactional, a_bad_folder)),
    "a folder, ledger lost": Case((transactional, a_bad_folder), lose_ledger=True),
    "a kept folder": Case((kept, a_bad_folder)),
    "an archive file": Case((transactional, a_hostile_archive)),
}


class Refused(Trial):
    """But for the marker, which is no input, and for inodes, which differ from run to run."""

    def _prepare(self, driver):
        return super()._prepare(driver) - {EMPTY}

    def _end(self, root):
        end = super()._end(root)
        stores = end["stores"].items()
        return {**end, "stores": {k: v for k, v in stores if not k.endswith("/.watcher-sources")}}


def _each(count, wanted):
    """Some points of so many, evenly, the first and the last among them; 0: all."""
    if not wanted or wanted >= count:
        return list(range(1, count + 1))
    return sorted({1 + round(each * (count - 1) / (wanted - 1)) for each in range(wanted)})


def _tried(name, tmp_path, drivers, row, points):
    trial = Refused(CASES[name], tmp_path, drivers)
    wanted = _each(len(trial.effects), points)
    with ThreadPoolExecutor(len(drivers)) as pool:
        results = list(pool.map(trial.at, wanted))
    told(row(f"kill -9: refusing {name}", "before an effect, in the program"), results)


@pytest.mark.parametrize("name", ["a folder", "a folder, ledger lost"])
def test_killed_while_a_unit_is_refused_it_ends_as_if_nothing_had_happened(
    name, tmp_path, drivers, row
):
    """Killed before some of its effects: nothing is lost or filed, and the end is the same."""
    _tried(name, tmp_path, drivers, row, 3)


@pytest.mark.campaign
@pytest.mark.parametrize("name", CASES)
def test_killed_before_any_effect_of_refusing(name, tmp_path, drivers, row):
    """The same, before more of them; before every one where there is time."""
    _tried(name, tmp_path, drivers, row, POINTS)


class Emptying:
    """A person's command on a refused unit, killed at its effects."""

    def __init__(self, folder, driver, command):
        self.folder, self.driver, self.command = folder, driver, command
        begin(folder / "beginning")
        driver(config=f"{folder}/beginning/w.toml", do="run")
        (self.entry,) = Path(folder, "beginning/store/quarantine").glob("*/*/unit-*")
        self.whole = self.unit(self.entry)
        assert set(self.whole) == UNIT
        root = scenes.copied(folder / "beginning", folder / "undisturbed")
        self.effects = self.typed(root)["effects"]
        self.end = self.seen(folder / "undisturbed")

    def typed(self, config, **more):
        words = ["quarantine", self.command, self.entry.name, "--reason", "as it is"]
        return self.driver(config=config, words=words, **more)

    def unit(self, folder):
        """Its files and their digests, below a folder; without our own."""
        return {
            str(path.relative_to(folder)): aftermath.md5(path)
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.name != "reason.json" and path.name[0] != "."
        }

    def seen(self, root):
        """What lies in the drop under names that are input, and in the quarantine's entries."""
        visible = Path(root, "store/quarantine").glob("*/*/unit-*")
        drop = self.unit(root / "drops/units") if (root / "drops/units/u").exists() else {}
        return drop, [self.unit(path) for path in visible]

    def at(self, point):
        """Killed there; gives what is wrong then, and once it was typed again."""
        root = self.folder / str(point)
        config = scenes.copied(self.folder / "beginning", root)
        self.typed(config, at=point)
        drop, kept = self.seen(root)
        faults = [drop] if drop not in ({}, self.whole) else []
        faults += [each for each in kept if each != self.whole]
        if self.command == "requeue" and not drop and not kept:
            faults.append("it is nowhere")
        self.typed(config)
        if self.seen(root) != self.end:
            faults.append(self.seen(root))
        self.driver(config=config, do="run")
        faults += [str(path) for path in Path(root, "store/quarantine").glob("*/*/.*")]
        shutil.rmtree(root)
        return [f"before {point}, {self.effects[point - 1]}: {each}" for each in faults]


def _emptied(command, tmp_path, drivers, points):
    trial = Emptying(tmp_path, drivers[0], command)
    found = [trial.at(point) for point in _each(len(trial.effects), points)]
    assert [] == [fault for faults in found for fault in faults]


def test_killed_a_command_leaves_no_part_of_a_unit(tmp_path, drivers):
    """The drop and the quarantine have all of it or nothing at any crash; typed again it ends."""
    _emptied("requeue", tmp_path, drivers, 3)


@pytest.mark.campaign
@pytest.mark.parametrize("command", ["requeue", "purge"])
def test_killed_before_any_effect_of_a_command(command, tmp_path, drivers):
    """The same, before more effects; before every one where there is time."""
    _emptied(command, tmp_path, drivers, POINTS)


def test_nothing_that_is_hidden_is_shown(tmp_path):
    """A scene of the above is what it says: the marker is there, and is no input."""
    begin(tmp_path)
    assert ".complete" in os.listdir(tmp_path / "drops/units/u")
