"""A deed tried at its crash points: killed there, started again, compared with the undisturbed end.

How it is killed is the test's choice: by the trip-wire in the program, or by strace from outside.
"""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue

from faults import aftermath, scenes

DRIVER = Path(__file__).with_name("trip_wire.py")
SLOW = bool(os.environ.get("WATCHER_SLOW"))
TREE = str(Path(__file__).parents[2])


class Driver:
    """One process that carries out jobs, one after the other; see `trip_wire`."""

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
        self.ask(**job)
        return self.answer()

    def ask(self, **job):
        """Without waiting for the answer."""
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()

    def answer(self):
        """How what was asked ended."""
        return json.loads(self.process.stdout.readline())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(60)
        self.process.stdout.close()


@dataclass(frozen=True)
class Case:
    """A beginning, what is then done to it, and how many crash points are tried every time."""

    begin: tuple  # of scenes; between two of them the daemon runs to its end
    do: str = "run"
    options: dict = field(default_factory=dict)
    points: int = 6
    lose_ledger: bool = False
    kinds: bool = True  # and the first effect of every kind; others of the table have had them


@dataclass
class Verdict:
    """What a crash led to: how many files it cost, and all that is wrong, as text."""

    faults: list
    lost: int = 0
    torn: int = 0
    duplicated: int = 0


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

    def copy(self, name):
        """The beginning once more, in a folder of this name."""
        root = str(self.folder / name)
        scenes.copied(self.beginning, root)
        if Path(root, "elsewhere").exists():
            for path in Path(root, "elsewhere").iterdir():
                path.unlink()
                os.link(f"{root}/drops/linked/a/{path.name}", path)
        return root

    def _carried_out(self, driver, name, **more):
        """The deed on a copy of the beginning, then a run of the daemon where it was a command."""
        root = self.copy(name)
        answer = self._done(driver, root, **more)
        if not more and self.case.do != "run":
            self._run(driver, root)
        return root, answer

    def _done(self, driver, root, **more):
        return driver(config=f"{root}/w.toml", do=self.case.do, options=self.case.options, **more)

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
        """Killed before this effect, and, with `again`, at that one of the next start."""
        name = f"{point} {again}"
        driver = self.drivers.get()
        try:
            root, answer = self._carried_out(driver, name, at=point)
            verdict = self.judged(root, driver, killed=answer["code"] == -9, again=again)
        finally:
            shutil.rmtree(self.folder / name, ignore_errors=True)
            self.drivers.put(driver)
        if verdict.faults:
            text = self.effects[point - 1] if point <= len(self.effects) else "?"
            verdict.faults.append(f"killed before effect {name}: {text}")
        return verdict

    def judged(self, root, driver, *, killed, again=0):
        """What a crash of the deed left, and how it ends once started again."""
        verdict = Verdict([])
        if killed:
            self._look(root, verdict)
        if self.case.lose_ledger:
            scenes.lose_ledger(root)
        if again:
            self._run(driver, root, at=again)
            self._look(root, verdict)
        last = self._run(driver, root)
        if self.case.do != "run" and not self._is_done(root):
            self._done(driver, root)
            last = self._run(driver, root)
        self._compare(root, verdict)
        if last["code"] not in {0, 3}:
            verdict.faults.append(f"the last run ended with {last['code']}")
        if verdict.faults:
            verdict.faults.append(Path(root, "output").read_text())
        return verdict

    def _look(self, root, verdict):
        """What must hold at every moment."""
        lost, wrong = aftermath.lost(root, self.inputs), aftermath.wrong_entries(root)
        verdict.lost += len(lost)
        verdict.torn += len(wrong)
        verdict.faults += [f"lost then: {each}" for each in lost]
        verdict.faults += [f"lies then: {each}" for each in wrong]

    def _compare(self, root, verdict):
        end = self._end(root)
        verdict.lost += len(end["lost"])
        verdict.torn += len(end["wrong entries"])
        verdict.duplicated += _doubled(end["stores"], self.expected["stores"])
        verdict.faults += [
            f"{what}: {_difference(self.expected[what], end[what])}"
            for what in end
            if end[what] != self.expected[what]
        ]

    def _is_done(self, root):
        """Whether the person's deed was begun, and so carried on; else it is typed again."""
        if self.case.do == "archive_now":
            return all(row[0] == "ARCHIVED" for row in aftermath.ledger(root)["sessions"])
        return Path(root, "store/history/decisions.jsonl").exists()


def told(record, verdicts):
    """The verdicts stand in the table of faults; fails where one of them found a fault."""
    counted(record, verdicts)
    judge(verdicts)


def counted(record, verdicts):
    """The verdicts stand in this line of the table of faults."""
    for each in verdicts:
        counts = {"lost": each.lost, "torn": each.torn, "duplicated": each.duplicated}
        record.add(**counts, recovered=not each.faults)


def judge(verdicts):
    """Fails where one of them found a fault."""
    bad = ["\n".join(each.faults) for each in verdicts if each.faults]
    assert not bad, f"{len(bad)} of {len(verdicts)} crashes\n" + "\n\n".join(bad[:9])


def _doubled(stores, expected):
    """Contents that lie in the stores more often than they should."""
    instances = [
        Counter(digest for path, digest in each.items() if path.endswith(".dcm"))
        for each in (stores, expected)
    ]
    return (instances[0] - instances[1]).total()


def _lies_there(root, drop, path):
    return os.path.lexists(f"{root}/drops/{drop}/{os.fsdecode(path)}")


def _difference(expected, actual):
    if isinstance(expected, dict):
        pairs = {key: (expected.get(key), actual.get(key)) for key in {**expected, **actual}}
        return {key: (one, other) for key, (one, other) in pairs.items() if one != other}
    return (expected, actual)
