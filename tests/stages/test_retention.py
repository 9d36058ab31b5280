"""What is kept for a time only, and what is not touched by it."""

import json
import os
import shutil
import sqlite3
from dataclasses import replace

import pytest

from watcher.core.errors import RefusedError
from watcher.core.file import Refusal, RefusalCode
from watcher.io import files
from watcher.io.lease import login
from watcher.io.ledger import NAME
from watcher.stages import decide, history
from watcher.stages.quarantine import put_aside
from watcher.stages.retention import AGAIN, EVERY, Expiry

DAY = 86400.0
OLD = "kept for 30 d, as [retention] {} says"
PERSON = {"who": "anna", "reason": "as the study says"}
MISSING = Refusal(RefusalCode.MISSING_UID, "It has no study.", "mend it", sop="1.2.9")
TEXT = Refusal(RefusalCode.NOT_DICOM, "It is no DICOM file.")


def days(bench, number):
    """The clock goes on."""
    bench.parts.clock.ahead += number * DAY


def delete(bench, number):
    session = bench.built(number, study=f"1.2.{number}")
    decide.delete(bench.parts, session.id, **PERSON)
    return session


def set_aside(bench, name, refusal):
    with open(bench.path(name), "wb") as file:
        file.write(name.encode())
    put_aside(bench.parts, bench.drop, bench.candidate(name), refusal)


def decisions(bench):
    data = files.read_if_there(bench.parts.storage.decisions) or b""
    lines = [json.loads(line) for line in data.splitlines()]
    return [(each["command"], each["who"], each["reason"]) for each in lines]


async def expire(bench, *, history=None, quarantine=None):
    return await Expiry(bench.parts, history, quarantine).purge()


class TestTheHistory:
    """What left sessions."""

    async def test_an_old_entry_goes_as_a_person_purges_one(self, bench):
        """With its files and documents; the decision says which setting it was."""
        old = delete(bench, 1)
        days(bench, 20)
        young = delete(bench, 2)
        days(bench, 11)
        await expire(bench, history=30 * DAY)
        assert [young.id] == [each.stamp for each in history.entries(bench.parts)]
        assert not [path for path in bench.tree("history") if old.id in path]
        purge = f"history purge P1/{old.label}/{old.id}"
        assert (purge, login(), OLD.format("history")) == decisions(bench)[-1]
        assert purge == bench.events("session.decided")[-1]["command"]

    async def test_age_counts_from_the_day_it_left(self, bench):
        """A session that waited for long is kept as long as any other."""
        session = bench.built(1)
        days(bench, 40)
        decide.delete(bench.parts, session.id, **PERSON)
        await expire(bench, history=30 * DAY)
        assert [session.id] == [each.stamp for each in history.entries(bench.parts)]

    async def test_an_entry_that_does_not_tell_its_age_stays(self, bench):
        """Its reason is gone, or no moment: a person may purge it."""
        for number in (1, 2):
            session = delete(bench, number)
            reason = os.path.join(bench.parts.storage.path("history"), "P1", session.label)
            path = os.path.join(reason, session.id, history.REASON)
            if number == 1:
                os.remove(path)
            else:
                files.swap(path, b'{"when": "long ago"}')
        days(bench, 400)
        await expire(bench, history=DAY)
        assert 2 == len(history.entries(bench.parts))

    async def test_one_that_is_held_waits_and_the_others_go(self, bench):
        """Somebody works on it: the next look takes it."""
        first, second = delete(bench, 1), delete(bench, 2)
        days(bench, 2)
        key = f"history/P1/{first.label}/{first.id}"
        with bench.parts.leases.hold([key], bench.parts.clock.now()):
            await expire(bench, history=DAY)
            assert [first.id] == [each.stamp for each in history.entries(bench.parts)]
        await expire(bench, history=DAY)
        assert [] == history.entries(bench.parts)
        assert second.id in decisions(bench)[-2][0]

    async def test_for_ever_is_for_ever(self, bench):
        """Without a setting nothing goes."""
        delete(bench, 1)
        set_aside(bench, "x.dcm", MISSING)
        days(bench, 40000)
        await expire(bench)
        assert 1 == len(history.entries(bench.parts))
        assert 1 == len(bench.parts.registry.aside())


class TestTheQuarantine:
    """What could not be filed."""

    @pytest.mark.parametrize("refusal", [MISSING, TEXT])
    async def test_an_old_entry_goes_open_or_settled(self, bench, refusal):
        """Its files are gone and it is settled; a younger one stays."""
        set_aside(bench, "x", refusal)
        (old,) = bench.parts.registry.aside(only_open=False)
        days(bench, 20)
        set_aside(bench, "y", MISSING)
        days(bench, 11)
        await expire(bench, quarantine=30 * DAY)
        (left,) = bench.parts.registry.aside()
        assert b"y" == left.path
        assert not [path for path in bench.tree("quarantine") if old.id in path]
        assert [old.id] == [each["entry"] for each in bench.events("quarantine.settled")][-1:]
        purge = f"quarantine purge {old.id}"
        assert (purge, login(), OLD.format("quarantine")) == decisions(bench)[-1]

    async def test_one_whose_files_are_gone_is_not_purged_again(self, bench):
        """Nothing is said of it at every look."""
        set_aside(bench, "x", MISSING)
        days(bench, 2)
        await expire(bench, quarantine=DAY)
        said = decisions(bench)
        await expire(bench, quarantine=DAY)
        assert said == decisions(bench)


class TestTheClock:
    """One that is wrong makes everything old at once."""

    async def test_after_a_leap_ages_count_anew(self, bench):
        """Ten years ahead and back: nothing goes before it has been kept for so long once more."""
        delete(bench, 1)
        set_aside(bench, "x", MISSING)
        kept = {"history": 30 * DAY, "quarantine": 30 * DAY}
        await expire(bench, **kept)
        for leap in (3650, 5, -3655, 5, 6, 6, 6, 6):
            days(bench, leap)
            await expire(bench, **kept)
            assert 1 == len(history.entries(bench.parts))
            assert 1 == len(bench.parts.registry.aside())
        days(bench, 2)
        await expire(bench, **kept)
        assert [] == history.entries(bench.parts)
        assert [] == bench.parts.registry.aside()

    async def test_what_a_dead_clock_dated_is_not_old_when_it_is_mended(self, bench):
        """Made in 2000, as the clock had it; then it is set right."""
        days(bench, -9000)
        delete(bench, 1)
        await expire(bench, history=30 * DAY)
        days(bench, 9000)
        await expire(bench, history=30 * DAY)
        assert 1 == len(history.entries(bench.parts))


async def test_an_entry_that_has_grown_stays(bench):
    """An archiving sets something aside with it, after the look and before its turn."""
    set_aside(bench, "x", MISSING)
    days(bench, 2)
    (entry,) = bench.parts.registry.aside()
    found = [*Expiry(bench.parts, None, DAY)._aside(bench.parts.clock.now() - DAY, **PERSON)]
    bench.parts.registry.set_aside(replace(entry, set_aside=bench.parts.clock.now()))
    with pytest.raises(RefusedError, match="has grown"):
        found[0]()
    assert [entry.id] == [each.id for each in bench.parts.registry.aside()]


async def test_an_entry_that_is_refused_stops_no_other(bench):
    """A project's folder is a link: it is told of, and nothing behind it goes; the rest does."""
    linked, other = delete(bench, 1), bench.built(2, study="1.2.2", project="P2")
    decide.delete(bench.parts, other.id, **PERSON)
    store = bench.parts.storage.path("history")
    os.rename(f"{store}/P1", bench.path("elsewhere"))
    os.symlink(bench.path("elsewhere"), f"{store}/P1")
    days(bench, 2)
    assert EVERY == await expire(bench, history=DAY)
    assert os.path.isdir(f"{store}/P1/{linked.label}/{linked.id}")
    assert not [path for path in bench.tree("history") if other.id in path]
    met = bench.parts.failing.open(bench.parts.clock.monotonic())
    assert ["history"] == [each.store for each in met.values()]


async def test_a_store_that_is_not_there_is_waited_for(bench):
    """Nothing is concluded from it, and nothing is said: `disk` does that."""
    delete(bench, 1)
    days(bench, 2)
    store = bench.parts.storage.path("history")
    shutil.move(store, f"{store}.gone")
    said = len(bench.said)
    await expire(bench, history=DAY, quarantine=DAY)
    assert said == len(bench.said)
    shutil.move(f"{store}.gone", store)
    await expire(bench, history=DAY)
    assert [] == history.entries(bench.parts)


async def test_a_store_that_refuses_is_told_of_until_it_does_not(bench):
    """What can't be removed for now is `disk`'s to say."""
    set_aside(bench, "x", MISSING)
    days(bench, 2)
    clock = bench.parts.clock
    with bench.parts.ledger.write() as tx:
        tx.exec_driver_sql("PRAGMA busy_timeout=0")
    other = sqlite3.connect(f"{bench.parts.storage.stores.state}/{NAME}", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert AGAIN == await expire(bench, quarantine=DAY)
    met = bench.parts.failing.open(clock.monotonic())
    assert ["state"] == [each.store for each in met.values()]
    other.execute("ROLLBACK")
    other.close()
    assert EVERY == await expire(bench, quarantine=DAY)
    assert {} == bench.parts.failing.open(clock.monotonic())
    assert [] == bench.parts.registry.aside()


async def test_a_program_that_ends_stops_between_two_entries(bench):
    """The next run goes on."""
    delete(bench, 1)
    days(bench, 2)
    bench.parts.stopping.set()
    await expire(bench, history=DAY)
    assert 1 == len(history.entries(bench.parts))
