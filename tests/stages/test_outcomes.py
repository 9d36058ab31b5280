"""The sources of copies: removed once their content is recorded, apart from the filing."""

import os
from dataclasses import replace

from mortal import mode
from stages.test_looking import looker

from watcher.stages.filing import Filer
from watcher.stages.outcomes import Result, remove_copied


def copied(bench, *names, drop=None):
    """The outcomes of these files, filed as copies, and not yet gone from the drop."""
    drop = drop or bench.drop
    batch = []
    for number, name in enumerate(names, 1):
        bench.put(name, number)
        batch.append(bench.incoming(name, drop=drop, copy=True))
    outcomes = Filer(bench.parts).file(drop, batch)
    assert {Result.FILED} == {one.result for one in outcomes}
    return outcomes


def test_they_go_after_the_filing(bench):
    """Filed and recorded first; then each is removed, with a sign of life, and forgotten."""
    outcomes = copied(bench, "a", "b")
    assert {b"a", b"b"} == set(bench.parts.receiving.taken("mri"))
    assert ["a", "b"] == sorted(os.listdir(bench.drop.path))
    beats = []
    gone = remove_copied(bench.parts, bench.drop, outcomes, lambda: beats.append(1))
    assert ([b"a", b"b"], [1, 1]) == (gone, beats)
    assert ([], {}) == (os.listdir(bench.drop.path), bench.parts.receiving.taken("mri"))


def test_kept_ones_stay(bench):
    """With `after = "keep"` nothing in the drop is touched."""
    drop = replace(bench.drop, after="keep")
    outcomes = copied(bench, "a", drop=drop)
    assert [] == remove_copied(bench.parts, drop, outcomes, lambda: None)
    assert (["a"], {b"a"}) == (os.listdir(drop.path), set(bench.parts.receiving.taken("mri")))


def test_one_that_can_not_be_removed_is_remembered(bench):
    """It stays known as taken, and is said once."""
    outcomes = copied(bench, "a", "b")
    with mode(bench.drop.path, 0o555):
        assert [] == remove_copied(bench.parts, bench.drop, outcomes, lambda: None)
    assert {b"a", b"b"} == set(bench.parts.receiving.taken("mri"))
    assert 1 == len(bench.events("drop.readonly"))


async def test_a_crash_before_is_repaired_by_the_next_look(bench):
    """What was recorded and lies there still is removed when it is seen, and not filed again."""
    copied(bench, "a")
    eyes = looker(bench)
    await eyes.look_fully()
    assert ([], {}) == (os.listdir(bench.drop.path), bench.parts.receiving.taken("mri"))
    assert 0 == len(eyes.settler)
