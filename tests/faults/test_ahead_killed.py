"""Files on their way into the archive ahead: killed before any effect, and started again."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from faults import aftermath, scenes
from faults.trials import SLOW, Case, Trial, told

pytestmark = [pytest.mark.faults, pytest.mark.timeout(3600 if SLOW else 900)]
PERSON = {"who": "anna", "reason": "as the study says"}
RELABEL = {"project": "AUTO", "label": "S2", "subject": "N2", "command": "relabel", **PERSON}


def archived(root):
    """A session that is to be archived, of a drop for the archive."""
    scenes.furnish(root, linked='project = "AUTO"\ndest = "archive"')
    scenes.put(root, "linked", "a/1", sop=1)
    scenes.put(root, "linked", "a/2", sop=2, series="2")
    scenes.put(root, "linked", "a/3", sop=3, series="2")


def late(root):
    """Late files: of a scan that is archived, of a new one, and one that is known."""
    scenes.put(root, "linked", "b/4", sop=4, series="2")
    scenes.put(root, "linked", "b/5", sop=5, series="3")
    scenes.put(root, "linked", "b/1", sop=1)


def late_in_part(root):
    """The same, and one that differs, so that its scan is held."""
    late(root)
    scenes.put(root, "linked", "b/6", sop=3, series="2", ImageComments="another")


class Ahead(Trial):
    """Late files are filed, the session RECEIVING; where `gone`, they lie in the archive too."""

    def __init__(self, case, folder, drivers, *, gone=False):
        self.gone = gone
        super().__init__(case, folder, drivers)

    def _prepare(self, driver):
        first, second = self.case.begin
        first(self.beginning)
        inputs = aftermath.dropped(self.beginning)
        assert self._run(driver, self.beginning)["code"] == 0
        second(self.beginning)
        inputs |= aftermath.dropped(self.beginning)
        killed = self._run(driver, self.beginning, match="_catalog.xml")
        assert killed["code"] == -9, killed
        if self.gone:
            driver(config=f"{self.beginning}/w.toml", do="send")
            assert aftermath.uncatalogued(self.beginning)
        return inputs

    def _end(self, root):
        ends = list(Path(root, "store").rglob("*.ahead.json"))
        return {**super()._end(root), "lists": ends}

    def _is_done(self, root):
        return self.case.do == "send" or super()._is_done(root)


def tried(trial, drivers):
    """Killed at some points, evenly, the first and the last among them.

    Of a person's deed from the first file that is taken back: it is recorded by then.
    """
    taken = (n for n, effect in enumerate(trial.effects, 1) if "store/archive" in effect)
    first, count = next(taken) if trial.case.options else 1, len(trial.effects)
    wanted = count if SLOW else min(trial.case.points, count)
    span = (count - first) / max(1, wanted - 1)
    chosen = sorted({round(first + each * span) for each in range(wanted)})
    with ThreadPoolExecutor(len(drivers)) as pool:
        return list(pool.map(trial.at, chosen))


CASES = {
    "sent ahead": (Case((archived, late), "send", points=3), False),
    "catalogued": (Case((archived, late), points=2), True),
}
MORE = {
    "sent ahead, everywhere": (Case((archived, late), "send", points=12), False),
    "sent ahead in part": (Case((archived, late_in_part), "send", points=5), False),
    "sent ahead, ledger lost": (Case((archived, late), "send", points=5, lose_ledger=True), False),
    "catalogued in part": (Case((archived, late_in_part), points=5), True),
    "catalogued, ledger lost": (Case((archived, late), points=5, lose_ledger=True), True),
    "relabelled": (Case((archived, late), "relocate", RELABEL, points=5), True),
    "deleted": (Case((archived, late), "delete", PERSON, points=5), True),
    "deleted in part": (
        Case((archived, late), "delete_scans", {"scans": ["4-MR2"], **PERSON}, points=5),
        True,
    ),
}
EVERY = [*CASES, *(pytest.param(each, marks=pytest.mark.campaign) for each in MORE)]


@pytest.mark.parametrize("name", EVERY)
def test_killed_anywhere_the_next_start_has_the_session_whole(name, tmp_path, drivers, row):
    """Nothing is lost, no catalog lies; started again all ends as if nothing had happened, and
    nothing lies in the archive that no catalog lists.
    """
    case, gone = (CASES | MORE)[name]
    trial = Ahead(case, tmp_path, drivers, gone=gone)
    done = tried(trial, drivers)
    told(row(f"kill -9: {name}", "before an effect, in the program"), done)
    assert [] == trial.expected["uncatalogued"]
