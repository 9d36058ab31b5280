"""What a start waits for, without the waiting: that is faults/test_full.py's."""

import errno
import os

import pytest

from watcher import starting
from watcher.core.errors import LedgerError, StorageError, storage_error
from watcher.io.ledger import Ledger
from watcher.io.service import Watchdog
from watcher.stages.disk import Disk
from watcher.stages.hop import Hop
from watcher.upkeep import Upkeep


def refused(number, place=""):
    return storage_error(OSError(number, os.strerror(number)), "opening", place)


def test_what_a_start_waits_for_is_said_once_and_handed_over(bench):
    """One line for each store and cause; the ledger then knows it, and says no more."""
    waited = starting.Waited(bench.parts.emit, Watchdog())
    archive = bench.parts.storage.path("archive")
    for fault in (refused(errno.ENOSPC), refused(errno.EROFS, archive), refused(errno.ENOSPC)):
        waited.refused(bench.parts.storage, fault)
    said = {("storage.low", "state"), ("storage.unavailable", "archive")}
    names = {name for name, _ in said}
    assert said == {(name, each["store"]) for name in names for each in bench.events(name)}
    assert 1 == len(bench.events("storage.low"))
    waited.hand_over(bench.parts.conditions)
    Disk(bench.parts, 0).check()
    assert ["state"] == [each["store"] for each in bench.events("storage.recovered")]
    assert ["archive"] == [each["store"] for each in bench.events("storage.available")]


@pytest.mark.parametrize("kind", [StorageError, LedgerError])
def test_a_drain_waits_for_nothing(bench, kind):
    """With `once` a ledger that can't be opened ends the run; a damaged one is never waited for."""

    def fail() -> Ledger:
        raise kind("no", number=errno.EIO)

    waited = starting.Waited(bench.parts.emit, Watchdog())
    with pytest.raises(kind):
        starting.opened(bench.parts.storage, waited, fail, once=kind is StorageError)
    with starting.locked(bench.parts.storage, waited, once=True):
        assert {} == waited.said


async def test_a_drain_that_could_not_begin_says_what_refuses(bench):
    """What a start owes can't be done: said, and the drain ends; done, and it goes on."""
    disk = Disk(bench.parts, 0)
    upkeep = Upkeep(bench.parts, bench.parts.emit, disk, Hop(1), 60.0)
    faults = [refused(errno.EDQUOT, bench.parts.storage.path("prearchive"))]

    async def owed() -> None:
        if faults:
            raise faults.pop()

    assert not await starting.recovered(bench.parts, upkeep, owed, once=True)
    assert (["prearchive"], ["prearchive"]) == (
        [each["store"] for each in bench.events("storage.low")],
        disk.shut(),
    )
    assert await starting.recovered(bench.parts, upkeep, owed, once=True)
    disk.check()
    assert 1 == len(bench.events("storage.recovered"))
