"""Every crash point: killed before the N-th effect, started again, the end is the same."""

import json
import os
import random
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue

import pytest
from faults import aftermath, scenes

pytestmark = pytest.mark.faults
DRIVER = Path(__file__).with_name("trip_wire.py")
SLOW = bool(os.environ.get("WATCHER_SLOW"))
TREE = str(Path(__file__).parents[2])


class Driver:
    """One process that carries out jobs, one after the other."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, str(DRIVER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=TREE,
            env=scenes.environment(PYTHONPATH=TREE),
        )

    def __call__(self, **job):
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


@pytest.fixture(scope="module")
def drivers():
    """Two at a time."""
    both = [Driver(), Driver()]
    yield both
    for each in both:
        each.close()


@dataclass(frozen=True)
class Case:
    """A beginning, what is then done to it, and how many crash points are tried every time."""

    begin: tuple  # of scenes; between two of them the daemon runs to its end
    do: str = "run"
    options: dict = field(default_factory=dict)
    points: int = 6
    lose_ledger: bool = False
    kinds: bool = True  # and the first effect of every kind; others of the table have had them


PERSON = {"who": "anna", "reason": "as the study says"}
RELABEL = {"project": "HELD", "label": "S2", "subject": "N2", "command": "relabel", **PERSON}
MOVE = {"project": "AUTO", "label": "P1", "subject": "N1", "command": "move", **PERSON}
CASES = {
    "archive": Case((scenes.two_drops, scenes.both_filled), points=12),
    "copy": Case((scenes.one_drop, scenes.shared), points=8),
    "archive, ledger lost": Case(
        (scenes.one_drop, scenes.shared), points=8, lose_ledger=True, kinds=False
    ),
    "merge": Case((scenes.archived, scenes.late), points=8),
    "merge, ledger lost": Case(
        (scenes.archived, scenes.late), points=6, lose_ledger=True, kinds=False
    ),
    "force": Case(
        (scenes.archived, scenes.foreign, None), "archive_now", {"force": True, **PERSON}
    ),
    "relabel": Case((scenes.ready, None), "relocate", RELABEL),
    "move": Case((scenes.unassigned, None), "relocate", MOVE),
    "move, ledger lost": Case(
        (scenes.unassigned, None), "relocate", MOVE, lose_ledger=True, kinds=False
    ),
    "split": Case((scenes.mixed, None), "split", PERSON, points=8),
    "split, ledger lost": Case(
        (scenes.mixed, None), "split", PERSON, points=8, lose_ledger=True, kinds=False
    ),
    "delete": Case((scenes.ready, None), "delete", PERSON, points=5),
    "delete scans": Case(
        (scenes.ready, None), "delete_scans", {"scans": ["4-MR2"], **PERSON}, points=5
    ),
    "rebuild": Case((scenes.ready, None), "rebuild", points=5),
    "merge in part": Case((scenes.archived, scenes.late_in_part), points=10, kinds=False),
    "merge in part, ledger lost": Case(
        (scenes.archived, scenes.late_in_part), points=5, lose_ledger=True, kinds=False
    ),
    "merge with replacements": Case((scenes.overwriting, scenes.late_replacing), points=10),
    "merge into a poor catalog": Case(
        (scenes.archived, scenes.late_to_a_poor_catalog), points=6, kinds=False
    ),
}


class Trial:
    """One case, tried at its crash points."""

    def __init__(self, case, folder, drivers):
        self.case = case
        self.folder = folder
        self.drivers = SimpleQueue()
        for driver in drivers:
            self.drivers.put(driver)
        self.beginning = folder / "beginning"
        self.inputs = self._prepare(drivers[0])
        root, answer = self._carried_out(drivers[0], "undisturbed")
        self.effects = answer["effects"]
        assert answer["code"] in {0, 3}, Path(root, "output").read_text()
        self.expected = self._end(root)

    def _prepare(self, driver):
        """Make the beginning; gives the digests of all that was ever put into the drops."""
        first, *rest = self.case.begin
        first(self.beginning)
        inputs = aftermath.dropped(self.beginning)
        for scene in rest:
            self._run(driver, self.beginning)
            if scene is not None:
                scene(self.beginning)
                inputs |= aftermath.dropped(self.beginning)
        return inputs

    def _run(self, driver, root, **more):
        return driver(config=f"{root}/w.toml", do="run", **more)

    def _carried_out(self, driver, name, **more):
        """The deed on a copy of the beginning, then a run of the daemon where it was a command."""
        root = str(self.folder / name)
        config = scenes.copied(self.beginning, root)
        if Path(root, "elsewhere").exists():
            for path in Path(root, "elsewhere").iterdir():
                path.unlink()
                os.link(f"{root}/drops/linked/a/{path.name}", path)
        answer = driver(config=config, do=self.case.do, options=self.case.options, **more)
        if not more and self.case.do != "run":
            self._run(driver, root)
        return root, answer

    def _end(self, root):
        lost_ledger = self.case.lose_ledger
        known = aftermath.ledger(root)
        known["taken"] = [row for row in known["taken"] if _lies_there(root, *row)]
        if lost_ledger:  # what left the prearchive before, and what was said, is nowhere else
            known = {"taken": known["taken"], "instances": known["instances"]}
        drops = sorted(aftermath.names_below(f"{root}/drops"))
        return {
            "stores": aftermath.picture(root, ledger=not lost_ledger),
            "drops": [name for name in drops if not name.endswith("/")],
            "ledger": known,
            "leftovers": aftermath.leftovers(root),
            "wrong entries": aftermath.wrong_entries(root),
            "uncatalogued": aftermath.uncatalogued(root),
            "unfound": aftermath.unfound(root),
            "lost": aftermath.lost(root, self.inputs),
        }

    def at(self, point, again=0):
        """Killed before this effect, and, with `again`, at that one of the next start; faults."""
        driver = self.drivers.get()
        name = f"{point} {again}"
        try:
            return self._faults(driver, name, point, again)
        finally:
            shutil.rmtree(self.folder / name, ignore_errors=True)
            self.drivers.put(driver)

    def _faults(self, driver, name, point, again):
        root, answer = self._carried_out(driver, name, at=point)
        faults = self._at_this_moment(root) if answer["code"] == -9 else []
        if self.case.lose_ledger:
            for path in Path(root, "store/state").glob("ledger.sqlite*"):
                path.unlink()
        if again:
            self._run(driver, root, at=again)
            faults += self._at_this_moment(root)
        last = self._run(driver, root)
        if self.case.do != "run" and not self._is_done(root):
            driver(config=f"{root}/w.toml", do=self.case.do, options=self.case.options)
            last = self._run(driver, root)
        end = self._end(root)
        faults += [
            f"{what}: {_difference(self.expected[what], end[what])}"
            for what in end
            if end[what] != self.expected[what]
        ]
        if faults or last["code"] not in {0, 3}:
            text = self.effects[point - 1] if point <= len(self.effects) else "?"
            faults += [f"killed before effect {name}: {text}", Path(root, "output").read_text()]
        return faults

    def _at_this_moment(self, root):
        faults = {"lost": aftermath.lost(root, self.inputs), "lies": aftermath.wrong_entries(root)}
        return [f"{what} then: {each}" for what, several in faults.items() for each in several]

    def _is_done(self, root):
        """Whether the person's deed was begun, and so carried on; else it is typed again."""
        if self.case.do == "archive_now":
            return all(row[0] == "ARCHIVED" for row in aftermath.ledger(root)["sessions"])
        return Path(root, "store/history/decisions.jsonl").exists()


def _lies_there(root, drop, path):
    return os.path.lexists(f"{root}/drops/{drop}/{os.fsdecode(path)}")


def _difference(expected, actual):
    if isinstance(expected, dict):
        pairs = {key: (expected.get(key), actual.get(key)) for key in {**expected, **actual}}
        return {key: (one, other) for key, (one, other) in pairs.items() if one != other}
    return (expected, actual)


def _points(effects, case):
    """Some of them evenly, with the first and the last, and the first of every kind."""
    count, wanted = len(effects), case.points
    if SLOW or wanted >= count:
        return list(range(1, count + 1))
    first = {}
    for number, effect in enumerate(effects if case.kinds else (), 1):
        first.setdefault("/".join(effect.split("/")[:2]), number)
    even = {1 + round(each * (count - 1) / (wanted - 1)) for each in range(wanted)}
    return sorted(even | set(first.values()))


@pytest.mark.timeout(600 if SLOW else 120)
@pytest.mark.parametrize("name", CASES)
def test_killed_anywhere_a_restart_ends_as_if_nothing_had_happened(name, tmp_path, drivers):
    """Killed before any effect: nothing is lost then, no catalog lies; started again, the stores,
    drops and ledger end as those of an undisturbed run.
    """
    trial = Trial(CASES[name], tmp_path, drivers)
    count = len(trial.effects)
    chance = random.Random(count)
    jobs = [(point, 0) for point in _points(trial.effects, CASES[name])]
    jobs += [(point, chance.randint(1, 40)) for point, _ in jobs[:: 1 if SLOW else 8]]
    with ThreadPoolExecutor(len(drivers)) as pool:
        results = list(pool.map(lambda job: trial.at(*job), jobs))
    bad = ["\n".join(faults) for faults in results if faults]
    assert not bad, f"{len(bad)} of {len(jobs)} crashes, {count} effects\n" + "\n\n".join(bad[:9])
