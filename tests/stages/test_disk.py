"""Stores that go away or run full."""

import errno
import os
import shutil

import pytest

from watcher.core.errors import StorageError, storage_error
from watcher.io.room import free
from watcher.io.said import Conditions
from watcher.stages.disk import Disk

ALL = 2**62  # bytes: more than any disk has


@pytest.fixture(autouse=True)
def room(bench, monkeypatch):
    """What the disk has, the same at each look, whoever fills and empties it meanwhile."""
    found = free(bench.parts.storage.path("archive"))
    monkeypatch.setattr("watcher.stages.disk.free", lambda _: found)
    return found


def test_a_store_without_its_marker_is_said_once_each_way(bench):
    """Missing once, back once; nothing is made in its place."""
    disk = Disk(bench.parts, 0)
    marker = bench.parts.storage.marker("archive")
    os.rename(marker, f"{marker}.away")
    for _ in range(2):
        disk.check()
    assert {"archive"} == disk.missing
    assert ["archive"] == [each["store"] for each in bench.events("storage.unavailable")]
    os.rename(f"{marker}.away", marker)
    for _ in range(2):
        disk.check()
    assert set() == disk.missing
    assert ["archive"] == [each["store"] for each in bench.events("storage.available")]


def test_a_store_that_is_gone_is_not_made(bench):
    """Nothing is concluded from absence: no folder appears where a store was."""
    shutil.rmtree(bench.parts.storage.path("history"))
    disk = Disk(bench.parts, 0)
    disk.check()
    assert {"history"} == disk.missing
    assert not os.path.exists(bench.parts.storage.path("history"))


def test_below_the_reserve_work_pauses(bench):
    """Less room than the reserve: said once for each store; filing and archiving pause."""
    disk = Disk(bench.parts, ALL)
    disk.check()
    disk.check()
    assert disk.pauses_intake()
    assert disk.pauses_archive()
    assert 6 == len(bench.events("storage.low"))


def test_room_ends_the_pause(bench):
    """With room again it is said, and work goes on."""
    disk = Disk(bench.parts, ALL)
    disk.check()
    disk.reserve = 0
    disk.check()
    assert not disk.pauses_intake()
    assert not disk.pauses_archive()
    assert 6 == len(bench.events("storage.recovered"))


def test_it_goes_on_only_with_half_as_much_again(bench, room):
    """Between the reserve and 1.5 times it nothing changes: low stays low, well stays well."""
    reserve = room.bytes_free * 4 // 5
    before = Disk(bench.parts, reserve)
    before.check()
    assert not before.low
    low = Disk(bench.parts, ALL)
    low.check()
    low.reserve = reserve
    low.check()
    assert {"state", "prearchive", "archive", "quarantine", "history", "status"} == low.low


def test_each_store_pauses_what_writes_to_it(bench):
    """A low history pauses nothing; a low state everything."""
    disk = Disk(bench.parts, 0)
    disk.low = {"history", "quarantine", "status"}
    assert (False, False) == (disk.pauses_intake(), disk.pauses_archive())
    disk.low = {"archive"}
    assert (False, True) == (disk.pauses_intake(), disk.pauses_archive())
    disk.low = {"prearchive"}
    assert (True, False) == (disk.pauses_intake(), disk.pauses_archive())
    disk.low = {"state"}
    assert (True, True) == (disk.pauses_intake(), disk.pauses_archive())


def refusal(bench, kind, number=errno.EDQUOT, name="a file"):
    """What a write to a store met."""
    place = os.path.join(bench.parts.storage.path(kind), "SCANS", name)
    return storage_error(OSError(number, os.strerror(number)), "placing a file", place)


def told(bench):
    """What was said of stores: event and store."""
    names = ("low", "recovered", "unavailable", "available")
    return [(each, line["store"]) for each in names for line in bench.events(f"storage.{each}")]


def test_what_only_a_write_meets_is_said_once_until_none_fails(bench):
    """Over quota: one line while any work is refused, one when all of it was done after all."""
    disk, failing = Disk(bench.parts, 0), bench.parts.failing
    for work in ("a", "b", "a"):
        failing.met(work, refusal(bench, "archive", name=work), 0.0, 1e9)
        disk.check()
    assert [("low", "archive")] == told(bench)
    assert ["archive"] == disk.shut()
    failing.over("a")
    disk.check()
    assert [("low", "archive")] == told(bench)
    failing.over("b")
    disk.check()
    disk.check()
    assert [("low", "archive"), ("recovered", "archive")] == told(bench)
    assert [] == disk.shut()


def test_an_error_that_is_no_want_of_room_is_another_line(bench):
    """EIO makes a store unavailable; what fails in a drop is no store's."""
    disk, failing = Disk(bench.parts, 0), bench.parts.failing
    failing.met("a", refusal(bench, "history", errno.EIO), 0.0, 1e9)
    elsewhere = storage_error(OSError(errno.EIO, "no"), "reading", b"/drop/caf\xe9")
    failing.met("b", elsewhere, 0.0, 1e9, store="prearchive")
    failing.met("c", StorageError("the ledger", number=errno.EIO), 0.0, 1e9, store="state")
    disk.check()
    assert {("unavailable", "history"), ("unavailable", "state")} == set(told(bench))


def test_work_that_is_tried_no_more_is_forgotten(bench):
    """A file that was removed from the drop, and a session that was deleted, end the line too."""
    disk, now = Disk(bench.parts, 0), bench.parts.clock.monotonic()
    bench.parts.failing.met("a", refusal(bench, "archive"), now - 1e6, 1e6)
    disk.check()
    bench.parts.failing.met("a", refusal(bench, "archive"), now - 1e6, 1.0)
    disk.check()
    assert [("low", "archive"), ("recovered", "archive")] == told(bench)


def test_what_a_look_explains_is_not_said_twice(bench):
    """The work that a store without room refused is no second cause, nor when room comes back."""
    disk = Disk(bench.parts, ALL)
    bench.parts.failing.met("a", refusal(bench, "archive"), 0.0, 1e9)
    disk.check()
    bench.parts.failing.met("a", refusal(bench, "archive"), 0.0, 1e9)
    disk.reserve = 0
    disk.check()
    assert 6 == len(bench.events("storage.low")) == len(bench.events("storage.recovered"))


def test_a_restart_repeats_nothing_that_lasts(bench, room):
    """Low, or refusing, before the restart: said by the first run, cleared by the second, once."""
    first = Disk(bench.parts, ALL)
    first.check()
    second = Disk(bench.parts, room.bytes_free * 4 // 5)  # between once and 1.5
    second.check()
    assert (6, 0) == (len(bench.events("storage.low")), len(bench.events("storage.recovered")))
    second.reserve = 0
    second.check()
    assert (6, 6) == (len(bench.events("storage.low")), len(bench.events("storage.recovered")))


def test_a_refusal_before_a_restart_is_over_when_something_worked(bench):
    """What refused before the start is taken to refuse still, until the store takes something."""
    bench.parts.clock.stop()  # a minute after the start it counts as over by itself
    bench.parts.failing.met("a", refusal(bench, "archive"), 0.0, 1e9)
    Disk(bench.parts, 0).check()
    bench.parts.failing.over("a")
    again = Disk(bench.parts, 0)
    again.check()
    assert [("low", "archive")] == told(bench)
    bench.parts.failing.over("another", "archive")
    again.check()
    assert [("low", "archive"), ("recovered", "archive")] == told(bench)


def test_a_ledger_that_keeps_nothing_is_said_all_the_same(bench):
    """The state's disk is full: said once though it can't be kept, and kept when it can."""
    disk = Disk(bench.parts, 0)
    with bench.parts.ledger.write() as tx:
        refuse = "BEGIN SELECT RAISE(ABORT, 'no'); END"
        tx.exec_driver_sql(f"CREATE TRIGGER no BEFORE INSERT ON condition {refuse}")
    bench.parts.failing.met("a", refusal(bench, "state"), 0.0, 1e9)
    for _ in range(3):
        disk.check()
        bench.parts.conditions.refresh()
    assert [("low", "state")] == told(bench)
    with bench.parts.ledger.write() as tx:
        tx.exec_driver_sql("DROP TRIGGER no")
    disk.check()
    bench.parts.failing.over("a")
    disk.check()
    disk.check()
    assert [("low", "state"), ("recovered", "state")] == told(bench)
    assert {} == Conditions(bench.parts.ledger, bench.parts.emit).open()
