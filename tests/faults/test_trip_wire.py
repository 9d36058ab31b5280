"""Every crash point: killed before the N-th effect, started again, the end is the same."""

import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from faults import scenes
from faults.trials import SLOW, Case, Trial, told

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]


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
    "overwrite": Case(
        (scenes.archived, scenes.late_in_part, None),
        "archive_now",
        {"overwrite": True, **PERSON},
        kinds=False,
    ),
    "keep": Case(
        (scenes.archived, scenes.late_in_part, None),
        "archive_now",
        {"keep": True, **PERSON},
        kinds=False,
    ),
    "relabel": Case((scenes.ready, None), "relocate", RELABEL),
    "relabel the subject": Case(
        (scenes.ready, None), "relocate", {**RELABEL, "label": "P1"}, points=5, kinds=False
    ),
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
    "ledger made anew": Case(
        (scenes.archived, scenes.late_in_part, scenes.lose_ledger), points=8, kinds=False
    ),
    "merge in part": Case((scenes.archived, scenes.late_in_part), points=10, kinds=False),
    "merge in part, ledger lost": Case(
        (scenes.archived, scenes.late_in_part), points=5, lose_ledger=True, kinds=False
    ),
    "merge with replacements": Case((scenes.overwriting, scenes.late_replacing), points=10),
    "merge into a poor catalog": Case(
        (scenes.archived, scenes.late_to_a_poor_catalog), points=6, kinds=False
    ),
}


def _points(effects, case, share):
    """Some of them evenly, with the first and the last, and the first of every kind.

    Of `share` parts one: of two, every third kind; the campaign has them all.
    """
    count, wanted = len(effects), max(3, case.points // share)
    if SLOW or wanted >= count:
        return list(range(1, count + 1))
    first = {}
    for number, effect in enumerate(effects if case.kinds else (), 1):
        first.setdefault("/".join(effect.split("/")[:2]), number)
    even = {1 + round(each * (count - 1) / (wanted - 1)) for each in range(wanted)}
    return sorted(even.union([*first.values()][:: 2 * share - 1]))


@pytest.mark.parametrize(
    "share", [pytest.param(2, id="some"), pytest.param(1, id="more", marks=pytest.mark.campaign)]
)
@pytest.mark.parametrize("name", CASES)
def test_killed_anywhere_a_restart_ends_as_if_nothing_had_happened(
    name, share, tmp_path, drivers, row
):
    """Killed before any effect: nothing is lost then, no catalog lies; started again, the stores,
    drops and ledger end as those of an undisturbed run.
    """
    trial = Trial(CASES[name], tmp_path, drivers)
    count = len(trial.effects)
    chance = random.Random(count)
    jobs = [(point, 0) for point in _points(trial.effects, CASES[name], share)]
    jobs += [(point, chance.randint(1, 40)) for point, _ in jobs[:: 1 if SLOW else 8]]
    with ThreadPoolExecutor(len(drivers)) as pool:
        results = list(pool.map(lambda job: trial.at(*job), jobs))
    told(row(f"kill -9: {name}", "before an effect, in the program"), results)
