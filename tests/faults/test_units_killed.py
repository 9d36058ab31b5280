"""Every crash point of a landing unit: either nothing of it or all, and the unit is still there."""

import itertools
import json
import os
import random
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from faults import aftermath, scenes, unit_scenes
from faults.test_kill import killed_sometime, started, watcher
from faults.trials import SLOW, Case, Trial, told
from faults.waiting import WAIT

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]
EMPTY = "d41d8cd98f00b204e9800998ecf8427e"  # the MD5 of nothing


class UnitTrial(Trial):
    """One case; what is in the last scene is one unit."""

    def __init__(self, case, folder, drivers, members):
        self.members = members
        super().__init__(case, folder, drivers)
        self.unit = members(self.beginning)
        self.before = unit_scenes.instances(self.beginning)

    def _prepare(self, driver):
        """What may be lost on no way: not the sign that it is complete, nor what is unpacked."""
        inputs = super()._prepare(driver)
        packed = {aftermath.md5(path) for path in self.beginning.rglob("drops/*/*.zip")}
        return inputs - packed - {EMPTY}

    def _look(self, root, verdict):
        """Besides what must hold of any file: nothing of the unit is anywhere, or all of it."""
        super()._look(root, verdict)
        new = self.unit - self.before
        here = unit_scenes.instances(root) & new
        if here and here != new and not unit_scenes.is_promised(root):
            verdict.faults.append(f"{len(here)} of {len(new)} files are filed, without a promise")
        if not here and not unit_scenes.is_promised(root) and self.members(root) != self.unit:
            verdict.faults.append("nothing of the unit is filed, and it is not in the drop whole")

    def _compare(self, root, verdict):
        super()._compare(root, verdict)
        if unit_scenes.is_promised(root):
            verdict.faults.append("a promise is left")


@dataclass(frozen=True)
class Crash:
    """One row of the table."""

    case: Case
    members: object = unit_scenes.unit_files


def case(*scenes_, points, ledger=True):
    """A crash case; so many points are tried evenly, all of them where there is time."""
    return Case(scenes_, points=points, lose_ledger=not ledger, kinds=False)


packed = unit_scenes.packed_files
FEW = {
    "directory": Crash(case(unit_scenes.two_studies, points=3)),
    "zip": Crash(case(unit_scenes.packed, points=2), packed),
    "merged, ledger lost": Crash(
        case(unit_scenes.waiting, unit_scenes.late, ledger=False, points=2)
    ),
}
CASES = {
    "directory": Crash(case(unit_scenes.two_studies, points=16)),
    "directory, ledger lost": Crash(case(unit_scenes.two_studies, ledger=False, points=8)),
    "kept directory": Crash(case(unit_scenes.kept, points=8)),
    "kept directory, ledger lost": Crash(case(unit_scenes.kept, ledger=False, points=6)),
    "to the archive": Crash(case(unit_scenes.called_complete, points=10)),
    "zip": Crash(case(unit_scenes.packed, points=12), packed),
    "zip, ledger lost": Crash(case(unit_scenes.packed, ledger=False, points=6), packed),
    "merged": Crash(case(unit_scenes.waiting, unit_scenes.late, points=12)),
    "merged, ledger lost": Crash(
        case(unit_scenes.waiting, unit_scenes.late, ledger=False, points=8)
    ),
}


def points(effects, case):
    """Of those from the first to the last that concern the unit: so many of them evenly."""
    here = [at for at, text in enumerate(effects, 1) if ".watcher-incoming/unit-" in text]
    first, last = here[0], here[-1] + 4  # and what the eyes remove of its folders
    wanted = range(first, min(last, len(effects)) + 1)
    count = len(wanted) if SLOW else min(case.points, len(wanted))
    return sorted({wanted[round(n * (len(wanted) - 1) / max(1, count - 1))] for n in range(count)})


def killed_at(crash, tmp_path, drivers, row, *, twice):
    """Try a case at its points; some of them are killed once more in the next start."""
    trial = UnitTrial(crash.case, tmp_path, drivers, crash.members)
    assert [] == trial.expected["lost"] == trial.expected["leftovers"]
    undisturbed = str(tmp_path / "undisturbed")
    assert trial.unit <= unit_scenes.instances(undisturbed) | aftermath.held(undisturbed)
    assert "Traceback" not in Path(undisturbed, "output").read_text()
    chance = random.Random(len(trial.effects))
    jobs = [(point, 0) for point in points(trial.effects, crash.case)]
    jobs += [(point, chance.randint(1, 40)) for point, _ in jobs[::twice]] if twice else []
    with ThreadPoolExecutor(len(drivers)) as pool:
        told(row, list(pool.map(lambda job: trial.at(*job), jobs)))


@pytest.mark.parametrize("name", FEW)
def test_killed_here_and_there_nothing_or_all_of_a_unit_lands(name, tmp_path, drivers, row):
    """The table below, at a few of its points."""
    record = row(f"kill -9: unit, {name}", "before some effects, in the program")
    killed_at(FEW[name], tmp_path, drivers, record, twice=0)


@pytest.mark.campaign
@pytest.mark.timeout(7200 if SLOW else 900)
@pytest.mark.parametrize("name", CASES)
def test_killed_anywhere_nothing_or_all_of_a_unit_lands(name, tmp_path, drivers, row):
    """Killed before any effect: nothing of the unit is anywhere, and it lies in the drop whole; or
    it is promised. Started again, all ends as if nothing had happened.
    """
    record = row(f"kill -9: unit, {name}", "before an effect, in the program")
    killed_at(CASES[name], tmp_path, drivers, record, twice=8)


class Sender:
    """Units that arrive one by one: directories of two studies, and archive files of the same."""

    def __init__(self, root):
        self.root = root
        self.sent = {}  # by name in the drop: the digests of its instances
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        for number in itertools.count(1):
            if self.stop.wait(0.3):
                return
            self.send(number)

    def send(self, number):
        drop = "zipped" if number % 3 == 0 else "units"
        made = Path(self.root, "making", f"u{number}")
        for each in range(6):
            label = number % 5 * 2 + each % 2
            values = {"study": f"1.2.3.{label}", "patient_id": f"P{label}"}
            path = f"../../making/u{number}/{each}"
            scenes.put(
                self.root, drop, path, sop=number * 10 + each, series=f"{each % 3}", **values
            )
        digests = {aftermath.md5(path) for path in made.iterdir()}
        if drop == "units":
            name = f"u{number}"
            self.sent[name] = digests
            # first: once the unit is quiet it lands, and a word that comes later speaks of nothing
            Path(self.root, f"drops/units/{name}.complete").touch()
            os.rename(made, f"{self.root}/drops/units/{name}")
            return
        name = f"u{number}.zip"
        with zipfile.ZipFile(f"{self.root}/making/{name}", "w") as out:
            for path in made.iterdir():
                out.write(path, path.name)
        self.sent[name] = digests
        os.rename(f"{self.root}/making/{name}", f"{self.root}/drops/zipped/{name}")

    def __enter__(self):
        os.makedirs(f"{self.root}/making")
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()


def torn_units(root, sent):
    """Units of which some files are in sessions and some are not, without a promise."""
    here = unit_scenes.instances(root)
    promises = Path(root, "store/prearchive/.watcher-incoming").glob("unit-*/unit.json")
    promised = {json.loads(path.read_bytes())["name"] for path in promises}
    return [
        name
        for name, digests in dict(sent).items()
        if name not in promised and digests & here not in (set(), digests)
    ]


BOUNDED = pytest.param(20, marks=[pytest.mark.campaign, pytest.mark.timeout(1800)])
HOUR = pytest.param(3600, marks=[pytest.mark.soak, pytest.mark.timeout(5400)])


@pytest.mark.parametrize("seconds", [BOUNDED, HOUR])
def test_killed_again_and_again_while_units_land_none_is_torn(tmp_path, row, seconds):
    """Kill -9 of the daemon at random moments: at each of them every unit has landed whole, is
    promised, or is nowhere; in the end each file of each is in the archive once.
    """
    root = str(tmp_path)
    lines = f'project = "AUTO"\ninactivity = "500ms"\n{unit_scenes.WHOLE}'
    config = scenes.furnish(root, units=lines, zipped='project = "AUTO"\ninactivity = "500ms"')
    record = row("kill -9 at random", "the daemon, while units land")
    seed = random.randrange(1 << 32)
    print("seed", seed)
    chance = random.Random(seed)
    until = time.monotonic() + seconds
    with Sender(root) as sender:
        for times in itertools.count():
            killed_sometime(started(config, "daemon.ready"), chance.uniform(0.0, 4.0))
            assert [] == torn_units(root, sender.sent)
            killed_sometime(started(config, "daemon.started"), chance.uniform(0.0, 0.5))
            record.ran(torn=len(aftermath.wrong_entries(root)))
            if times > 2 and time.monotonic() > until:
                break
    assert watcher(config, "run", "--once").wait(WAIT) in {0, 3}
    sent = set().union(*sender.sent.values())
    found = [aftermath.md5(path) for path in Path(root, "store/archive").rglob("*.dcm")]
    assert (len(sent), sent) == (len(found), set(found))
    assert [] == aftermath.wrong_entries(root) + aftermath.uncatalogued(root)
    assert [] == aftermath.leftovers(root) + aftermath.unfound(root)
    assert set() == aftermath.dropped(root)
