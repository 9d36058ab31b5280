"""Stores that go away or run full."""

import os
import shutil

from watcher.stages.disk import Disk

ALL = 2**62  # bytes: more than any disk has


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


def test_it_goes_on_only_with_half_as_much_again(bench):
    """Between the reserve and 1.5 times it nothing changes: low stays low, well stays well."""
    store = os.statvfs(bench.parts.storage.path("archive"))
    reserve = store.f_bavail * store.f_frsize * 4 // 5
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
