"""Conditions that an earlier run raised, or whose cause others have removed, come to their end."""

import os

import pytest
from mortal import mode
from sqlalchemy import text
from stages.test_looking import looker

from watcher.core.errors import StorageError
from watcher.core.file import Fingerprint
from watcher.stages import pending
from watcher.upkeep import Upkeep


def stuck(bench, name, drop="mri"):
    """An earlier run said this of a file; gives its key."""
    key = looker(bench, name=drop).met.key(os.fsencode(name))
    bench.parts.conditions.raise_("file.stuck", key, 1.0, drop=drop, path=name)
    return key


async def test_a_stuck_file_that_went_while_nothing_ran_is_released(bench):
    """The first complete look of a run says so; of those that lie there still it says nothing."""
    bench.put("there")
    gone, _there, other = stuck(bench, "gone"), stuck(bench, "there"), stuck(bench, "gone", "ct")
    await looker(bench).look_fully()
    expected = [{"key": gone, "drop": "mri", "path": "gone"}]
    assert expected == bench.events("file.released")
    assert other in bench.parts.conditions.open()


async def test_a_stuck_file_that_is_filed_by_another_run_is_released(bench):
    """Whichever run said it was stuck."""
    bench.put("a")
    key, eyes = stuck(bench, "a"), looker(bench)
    await eyes.look_fully()
    assert [] == bench.events("file.released")
    eyes.met.finish(b"a", None)
    assert [key] == [each["key"] for each in bench.events("file.released")]


@pytest.mark.parametrize("after", ["remove", "keep"])
async def test_a_drop_is_writable_once_no_source_stays(bench, after):
    """A person removed them, or the drop is kept by now; while they stay it is said once."""
    bench.put("a")
    with mode(bench.drop.path, 0o555):
        bench.file("a")
    (said,) = bench.events("drop.readonly")
    if after == "remove":
        os.remove(bench.path("a"))
    eyes = looker(bench, after=after)
    for _ in range(3):
        await eyes.look_fully()
    assert [said["key"]] == [each["key"] for each in bench.events("drop.writable")]


async def test_a_source_that_is_read_again_stays_all_the_same(bench):
    """Nothing is over while one that could not be removed waits to be read anew."""
    bench.put("a")
    with mode(bench.drop.path, 0o555):
        bench.file("a")
        before = os.stat(bench.path("a")).st_ctime_ns
        while before == os.stat(bench.path("a")).st_ctime_ns:  # its clock ticks each few ms
            os.chmod(bench.path("a"), 0o600)  # another ctime: not quite what was filed
        eyes = looker(bench)
        for _ in range(3):
            await eyes.look_fully()
    assert (1, []) == (len(eyes.settler), bench.events("drop.writable"))


def test_a_drop_that_is_polled_by_now_is_not_degraded(bench):
    """Whoever sets `watch = "poll"`, as the event advises, ends what was said."""
    upkeep = Upkeep(bench.parts, None, None, None, 60.0)
    for number in range(2):
        bench.parts.conditions.raise_("drop.degraded", "watch/mri", 1.0, drop="mri")
        upkeep.watch({"mri": (intake := bench.intake(None))}, ["mri"] if not number else [])
        assert (not number, number) == (intake.looker.watched, len(bench.events("drop.restored")))


def test_what_was_said_of_a_drop_that_is_configured_no_more(bench):
    """It ends: nobody looks there any more. What is in quarantine stays open."""
    raise_, old = bench.parts.conditions.raise_, {"drop": "old", "path": "x"}
    for event, key in (("drop.unavailable", "drop/old"), ("file.stuck", "file/old/1")):
        raise_(event, key, 1.0, **old)
    raise_("file.quarantined", "quarantine/0123456789ab", 1.0, **old)
    raise_("drop.degraded", "watch/mri", 1.0, drop="mri")
    raise_("storage.low", "low/archive", 1.0, store="archive")
    pending.forget_drops(bench.parts, {"mri"})
    left = {"quarantine/0123456789ab", "watch/mri", "low/archive"}
    assert left == bench.parts.conditions.open().keys()
    assert 1 == len(bench.events("drop.available")) == len(bench.events("file.released"))


async def test_what_the_ledger_refused_is_said_later(bench):
    """No stuck file is forgotten, and none that went meanwhile stays raised."""
    intake, clock = bench.intake(None), bench.parts.clock
    for name in (b"a", b"b"):
        intake.settler.see(name, Fingerprint(1, 2, 3, 4, 5), clock.monotonic())
    clock.later += bench.drop.stuck_after
    ledger = bench.parts.ledger
    with ledger.write() as tx:
        refuse = "BEGIN SELECT RAISE(ABORT, 'no'); END"
        tx.execute(text(f"CREATE TRIGGER no BEFORE INSERT ON condition {refuse}"))
    with pytest.raises(StorageError):
        await intake._tell_stuck()
    with ledger.write() as tx:
        tx.execute(text("DROP TRIGGER no"))
    intake.settler.gone(b"b")
    await intake._tell_stuck()
    assert {intake.looker.met.key(b"a")} == bench.parts.conditions.open().keys()
    assert [b"a"] == [each["path"] for each in bench.events("file.stuck") if each["path"] == b"a"]
