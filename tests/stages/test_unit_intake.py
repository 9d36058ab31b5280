"""Units of a drop, with the real lander: seen whole, taken in hand, landed or waiting (spec 7)."""

import errno
import os
import zipfile
from dataclasses import replace

import anyio
import pytest
from mortal import MortalHop

from watcher.core.errors import StorageError
from watcher.core.policy import Identify, Limits
from watcher.core.session import Status
from watcher.io import files
from watcher.io.lease import session_key
from watcher.io.workers import Workers
from watcher.stages.filing import Filer
from watcher.stages.landing import Lander
from watcher.stages.sessions import Sessions

NEVER = 1000.0  # seconds of inactivity that no test waits for
SELDOM = 1e6  # seconds between two full looks, where none is to see what no event told of
REST = 0.3
PATIENCE = 240.0  # seconds until something must have happened: machines are shared and slow


@pytest.fixture
def anyio_backend():
    """One loop: each test starts a reader process, and test_intake runs this stage on both."""
    return "asyncio"


@pytest.fixture
async def workers():
    async with Workers.open(count=1, silent=120.0) as pool:
        yield pool


@pytest.fixture
def units(bench, workers):
    """What makes the stage of a transactional drop."""

    def made(*, rest=REST, lander=Lander, mode="transactional", **changes):
        filer = Filer(bench.parts)
        drop = replace(bench.drop, mode=mode, inactivity=rest, **changes)
        does = lander(bench.parts, Identify(), Limits(), workers, filer)
        return bench.intake(workers, drop=drop, filer=filer, lander=does)

    return made


async def round_of(intake):
    """One look and everything that can be landed then."""
    await intake.step()
    await intake.units.work()


async def until(intake, reached):
    """Round after round until something holds; fails after a while."""
    with anyio.fail_after(PATIENCE):
        await round_of(intake)
        while not reached():
            due = intake.looker.next_due() - intake.parts.clock.monotonic()
            await intake.bell.wait(min(max(min(due, intake.units.pause()), 0.01), 0.3))
            await round_of(intake)


def rested(intake):
    """As long as a unit must rest here has passed, however slow the machine."""
    intake.parts.clock.later += intake.looker.gathering.rest


def waiting(intake):
    return {each.path: each.reason for each in intake.waiting()}


def torn(path):
    """A whole file cut short; gives back what is missing."""
    with open(path, "rb") as file:
        data = file.read()
    os.truncate(path, len(data) - 5)
    return data[-5:]


def append(path, data):
    with open(path, "ab") as file:
        file.write(data)


def touch(path):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb"):
        pass


def pack(path, *names):
    """A .zip of these files, which it replaces."""
    with zipfile.ZipFile(path, "w") as packed:
        for name in names:
            packed.write(name, os.path.basename(name))
            os.remove(name)


class TestFolders:
    """A top-level directory."""

    async def test_it_lands_whole_once_it_rests(self, bench, units):
        """Two studies become two sessions, each held whole; source and folder are gone."""
        intake = units()
        bench.put("v/a", 1)
        bench.put("v/s/b", 2, study="1.2.4")
        await until(intake, lambda: intake.tally.filed)
        sessions = bench.parts.ledger.sessions()
        assert {("1.2.3", True, ""), ("1.2.4", True, "")} == {
            (each.study, each.whole, each.landing) for each in sessions
        }
        assert (2, {}) == (intake.tally.filed, waiting(intake))
        await until(intake, lambda: os.listdir(bench.drop.path) == [])

    async def test_nothing_of_it_is_filed_while_it_changes(self, bench, units):
        """File after file comes, each whole: none is taken before the last has rested."""
        intake = units(rest=NEVER)
        for number in range(1, 5):
            bench.put(f"v/{number}", number)
            intake.hint(b"v")
            await until(intake, lambda number=number: settled(intake, number))
            assert (0, []) == (intake.tally.filed, bench.parts.ledger.sessions())
        intake.looker.gathering.rest = 0.0
        bench.put("v/5", 5)
        intake.hint(b"v")
        await until(intake, lambda: intake.tally.filed)
        assert 5 == intake.tally.filed

    async def test_a_torn_member_lets_it_wait(self, bench, units):
        """Said of that file alone, once; nothing is filed, nor is it tried, before it changes."""
        intake = units()
        bench.put("v/a", 1)
        missing = torn(bench.put("v/b", 2))
        await until(intake, lambda: bench.events("file.waiting"))
        intake.hint(None)
        await until(intake, lambda: settled(intake, 1))
        for _ in range(3):
            await round_of(intake)
        assert [(b"v/b", "torn")] == [
            (each["path"], each["code"]) for each in bench.events("file.waiting")
        ]
        assert ({b"v/a": "", b"v/b": "torn"}, 0) == (waiting(intake), intake.tally.filed)
        assert intake.units.pause() > 1.0
        append(bench.path("v/b"), missing)
        intake.hint(b"v/b")
        await until(intake, lambda: intake.tally.filed)
        assert (2, {}) == (intake.tally.filed, waiting(intake))

    async def test_a_torn_member_is_stuck_in_the_end(self, bench, units):
        """It is said after `stuck_after` of this file only, and released when it goes."""
        intake = units()
        bench.put("v/a", 1)
        torn(bench.put("v/b", 2))
        await until(intake, lambda: bench.events("file.waiting"))
        assert [] == bench.events("file.stuck")
        bench.parts.clock.later += intake.drop.stuck_after
        await until(intake, lambda: bench.events("file.stuck"))
        assert [b"v/b"] == [each["path"] for each in bench.events("file.stuck")]
        os.remove(bench.path("v/b"))
        intake.hint(b"v/b")
        await until(intake, lambda: intake.tally.filed)
        assert 1 == len(bench.events("file.released"))

    async def test_a_file_that_no_event_told_of_is_seen_before_it_lands(self, bench, units):
        """What is complete is looked at once more, whole: half a unit never lands."""
        intake = units(rescan_interval=SELDOM, rest=NEVER)
        bench.put("v/a", 1)
        await until(intake, lambda: settled(intake, 1))
        torn(bench.put("v/s/b", 2))
        rested(intake)
        await until(intake, lambda: settled(intake, 2))
        assert ([], 0) == (bench.events("file.waiting"), intake.tally.filed)
        rested(intake)
        await until(intake, lambda: bench.events("file.waiting"))
        assert (0, {b"v/a", b"v/s/b"}) == (intake.tally.filed, {*waiting(intake)})

    async def test_a_member_that_went_meanwhile_is_missed_by_nobody(self, bench, units):
        """No event told of it: the look before the landing does, and the rest is rested anew."""
        intake = units(rescan_interval=NEVER)
        bench.put("v/a", 1)
        missing = torn(bench.put("v/b", 2))
        await until(intake, lambda: bench.events("file.waiting"))
        assert missing
        os.remove(bench.path("v/b"))
        bench.put("v/c", 3)
        intake.hint(b"v/c")
        intake.hint(b"v/b")
        await until(intake, lambda: intake.tally.filed)
        assert (2, {}) == (intake.tally.filed, waiting(intake))

    async def test_names_that_went_without_an_event_are_forgotten(self, bench, units):
        """All but one were removed unseen: that one lands alone, after another rest."""
        intake = units(rescan_interval=SELDOM, rest=NEVER)
        for number in range(1, 4):
            bench.put(f"v/{number}", number)
        await until(intake, lambda: settled(intake, 3))
        for number in (1, 2):
            os.remove(bench.path(f"v/{number}"))
        rested(intake)
        await round_of(intake)
        assert (0, [b"v/3"]) == (intake.tally.filed, [*waiting(intake)])
        rested(intake)
        await until(intake, lambda: intake.tally.filed)
        assert (1, {}) == (intake.tally.filed, waiting(intake))

    async def test_a_transfer_under_another_name_holds_it(self, bench, units):
        """`x.part` grows, or becomes `x`: something in it has changed, though it is no input."""
        intake = units(rescan_interval=0.05, rest=NEVER)
        bench.put("v/a", 1)
        data = torn(bench.put("v/b.part", 2))
        await until(intake, lambda: settled(intake, 1))
        moments = []
        for byte in data:
            append(bench.path("v/b.part"), bytes([byte]))
            intake.hint(b"v/b.part")
            await round_of(intake)
            moments.append(intake.looker.gathering.next_due(bench.parts.clock.monotonic()))
        assert moments == sorted(set(moments))
        os.rename(bench.path("v/b.part"), bench.path("v/b"))
        rested(intake)
        await until(intake, lambda: settled(intake, 2))
        assert 0 == intake.tally.filed
        rested(intake)
        await until(intake, lambda: intake.tally.filed)
        assert 2 == intake.tally.filed

    async def test_a_directory_that_can_not_be_read_may_hide_files(self, bench, units):
        """The unit waits for it; the others land."""
        intake = units()
        intake.looker.thread = MortalHop(2)
        bench.put("v/a", 1)
        bench.put("v/shut/b", 2)
        bench.put("w/c", 3)
        os.chmod(bench.path("v/shut"), 0)
        try:
            await until(intake, lambda: intake.tally.filed and bench.events("drop.degraded"))
            await until(intake, lambda: settled(intake, 1))
            await round_of(intake)
            assert (1, [b"v/a"]) == (intake.tally.filed, [*waiting(intake)])
        finally:
            os.chmod(bench.path("v/shut"), 0o755)
        intake.hint(None)
        await until(intake, lambda: intake.tally.filed == 3)

    async def test_a_link_in_it_stays(self, bench, units):
        """It is no file: said once, in nobody's way."""
        intake = units()
        bench.put("v/a", 1)
        os.symlink("/etc/passwd", bench.path("v/link"))
        await until(intake, lambda: intake.tally.filed)
        assert ["link"] == os.listdir(bench.path("v"))

    async def test_a_member_that_becomes_a_link_is_none_any_more(self, bench, units):
        """A torn file replaced by a link does not hold its unit for ever."""
        intake = units()
        bench.put("v/a", 1)
        torn(bench.put("v/b", 2))
        await until(intake, lambda: bench.events("file.waiting"))
        os.remove(bench.path("v/b"))
        os.symlink("a", bench.path("v/b"))
        intake.hint(b"v/b")
        await until(intake, lambda: intake.tally.filed)
        assert {} == waiting(intake)

    async def test_an_empty_directory_is_no_unit(self, bench, units):
        """Nor is one with nothing but ignored names in it."""
        intake = units(rest=0.0)
        os.mkdir(bench.path("v"))
        touch(bench.path("w/Thumbs.db"))
        for _ in range(3):
            await round_of(intake)
        assert ({}, None) == (waiting(intake), intake.looker.gathering.complete(NEVER**3))
        assert ["v", "w"] == sorted(os.listdir(bench.drop.path))


class TestLooseFiles:
    """A file at the top of a transactional drop."""

    async def test_it_is_a_unit_of_one(self, bench, units):
        """It rests as any unit; a torn one beside it is another unit's matter."""
        intake = units()
        bench.put("a", 1)
        torn(bench.put("b", 2))
        await until(intake, lambda: intake.tally.filed and bench.events("file.waiting"))
        assert (1, {b"b": "torn"}) == (intake.tally.filed, waiting(intake))

    async def test_one_that_is_no_dicom_is_set_aside(self, bench, units):
        """It holds no session, and the drop is empty."""
        intake = units()
        with open(bench.path("readme.txt"), "w") as file:
            file.write("hello")
        await until(intake, lambda: intake.tally.quarantined)
        assert ({}, []) == (waiting(intake), os.listdir(bench.drop.path))


class TestArchives:
    """An archive file is a unit in any drop, complete once it is whole."""

    @pytest.mark.parametrize("mode", ["gradual", "transactional"])
    async def test_it_does_not_rest(self, bench, units, mode):
        """Its members are filed, it is gone, long before `inactivity`."""
        intake = units(rest=NEVER, mode=mode)
        pack(bench.path("v.zip"), bench.put("1", 1), bench.put("2", 2, study="1.2.4"))
        await until(intake, lambda: intake.tally.filed)
        assert (2, {}, []) == (intake.tally.filed, waiting(intake), os.listdir(bench.drop.path))
        assert {"1.2.3", "1.2.4"} == {each.study for each in bench.parts.ledger.sessions()}

    async def test_deep_in_a_gradual_drop(self, bench, units):
        """At any depth; files beside it are taken one by one as ever."""
        intake = units(rest=NEVER, mode="gradual")
        bench.put("a/b/loose", 3)
        pack(bench.path("a/b/v.ZIP"), bench.put("1", 1))
        await until(intake, lambda: intake.tally.filed == 2)
        assert {} == waiting(intake)

    @pytest.mark.parametrize("mode", ["gradual", "transactional"])
    async def test_one_that_is_torn_waits(self, bench, units, mode):
        """As any torn file: where it lies, said once, until it changes."""
        intake = units(rest=NEVER, mode=mode)
        pack(bench.path("v.zip"), bench.put("1", 1))
        missing = torn(bench.path("v.zip"))
        await until(intake, lambda: bench.events("file.waiting"))
        await round_of(intake)
        assert {b"v.zip": "torn"} == waiting(intake)
        append(bench.path("v.zip"), missing)
        intake.hint(b"v.zip")
        await until(intake, lambda: intake.tally.filed)

    async def test_one_within_a_unit_refuses_it(self, bench, units):
        """Nested: the whole unit goes to quarantine, and nothing of it is filed."""
        intake = units()
        bench.put("v/a", 1)
        pack(bench.path("v/b.zip"), bench.put("1", 2))
        await until(intake, lambda: intake.tally.quarantined)
        assert (0, {}, []) == (intake.tally.filed, waiting(intake), bench.parts.ledger.sessions())
        assert [] == [name for _, _, names in os.walk(bench.drop.path) for name in names]

    async def test_a_refused_one_is_gone(self, bench, units):
        """Hostile: refused in a gradual drop too, said once, with its reasons."""
        intake = units(mode="gradual")
        with zipfile.ZipFile(bench.path("v.zip"), "w") as packed:
            packed.writestr("../../evil", "x")
        await until(intake, lambda: intake.tally.quarantined)
        (said,) = bench.events("file.quarantined")
        assert ("archive-file", []) == (said["code"], os.listdir(bench.drop.path))


class TestSigns:
    """What a sender says of a unit."""

    @pytest.mark.parametrize("sign", ["v/.complete", "v.complete"])
    async def test_it_is_complete_at_once(self, bench, units, sign):
        """Its members need only settle; the word goes with them."""
        intake = units(rest=NEVER)
        bench.put("v/a", 1)
        bench.put("v/b", 2)
        await until(intake, lambda: settled(intake, 2))
        assert 0 == intake.tally.filed
        touch(bench.path(sign))
        intake.hint(os.fsencode(sign))
        await until(intake, lambda: intake.tally.filed)
        assert (2, {}) == (intake.tally.filed, waiting(intake))
        assert [] == [name for _, _, names in os.walk(bench.drop.path) for name in names]

    @pytest.mark.parametrize("sign", ["v/.complete", "v.complete"])
    async def test_a_torn_member_counts_more(self, bench, units, sign):
        """A word does not make a torn file whole."""
        intake = units(rest=NEVER)
        bench.put("v/a", 1)
        missing = torn(bench.put("v/b", 2))
        touch(bench.path(sign))
        await until(intake, lambda: bench.events("file.waiting"))
        assert 0 == intake.tally.filed
        append(bench.path("v/b"), missing)
        intake.hint(b"v/b")
        await until(intake, lambda: intake.tally.filed)
        assert (2, {}) == (intake.tally.filed, waiting(intake))

    async def test_one_that_is_taken_back_says_nothing(self, bench, units):
        """Gone before its unit was complete, without an event."""
        intake = units(rest=NEVER, rescan_interval=0.05)
        missing = torn(bench.put("v/a", 1))
        touch(bench.path("v/.complete"))
        await until(intake, lambda: bench.events("file.waiting"))
        os.remove(bench.path("v/.complete"))
        append(bench.path("v/a"), missing)
        await until(intake, lambda: settled(intake, 1))
        await round_of(intake)
        assert 0 == intake.tally.filed

    async def test_a_word_without_its_unit_waits(self, bench, units):
        """`NAME.complete`: said once, stuck in the end, released when NAME comes and lands."""
        intake = units(rest=NEVER)
        touch(bench.path("v.complete"))
        await until(intake, lambda: bench.events("file.waiting"))
        assert [] == bench.events("file.stuck")
        bench.parts.clock.later += intake.drop.stuck_after
        await until(intake, lambda: bench.events("file.stuck"))
        assert [(b"v.complete", "unit")] == [
            (each["path"], each["code"]) for each in bench.events("file.waiting")
        ]
        bench.put("v/a", 1)
        intake.hint(b"v")
        await until(intake, lambda: intake.tally.filed)
        assert [b"v.complete"] == [each["path"] for each in bench.events("file.released")]
        assert {} == waiting(intake)

    async def test_an_old_word_says_nothing_of_new_files(self, bench, units):
        """A `.complete` that lay there alone does not tear the unit that comes next."""
        intake = units(rest=NEVER)
        touch(bench.path("v/.complete"))
        await round_of(intake)
        bench.put("v/a", 1)
        intake.hint(None)
        await until(intake, lambda: settled(intake, 1))
        await round_of(intake)
        assert 0 == intake.tally.filed
        append(bench.path("v/.complete"), b"now")
        intake.hint(b"v/.complete")
        await until(intake, lambda: intake.tally.filed)
        assert not os.path.exists(bench.path("v/.complete"))

    async def test_a_word_deeper_down_says_nothing(self, bench, units):
        """Only the top directory of a unit, or beside it."""
        intake = units(rest=NEVER)
        bench.put("v/s/a", 1)
        touch(bench.path("v/s/.complete"))
        await until(intake, lambda: settled(intake, 1))
        await round_of(intake)
        assert 0 == intake.tally.filed

    async def test_in_a_gradual_drop_it_is_an_ignored_name(self, bench, units):
        """`.complete` is no input there; `x.complete` is a file as any."""
        intake = units(mode="gradual")
        bench.put("v/a", 1)
        touch(bench.path("v/.complete"))
        bench.put("v/b.complete", 2)
        await until(intake, lambda: intake.tally.filed == 2)
        assert [".complete"] == os.listdir(bench.path("v"))


class TestKeeping:
    """With `after = "keep"` a unit is taken once."""

    async def test_what_comes_later_is_a_new_unit(self, bench, units):
        """Kept files are in no unit any more, and a kept word says nothing of new ones."""
        intake = units(after="keep")
        bench.put("v/a", 1)
        touch(bench.path("v/.complete"))
        touch(bench.path("v.complete"))
        await until(intake, lambda: intake.tally.filed == 1)
        intake.looker.gathering.rest = NEVER
        bench.put("v/b", 2)
        intake.hint(None)
        await until(intake, lambda: settled(intake, 1))
        await round_of(intake)
        assert (1, [b"v/b"]) == (intake.tally.filed, [*waiting(intake)])
        intake.looker.gathering.rest = 0.0
        bench.put("v/c", 3)
        intake.hint(None)
        await until(intake, lambda: intake.tally.filed == 3)
        assert [".complete", "a", "b", "c"] == sorted(os.listdir(bench.path("v")))


def settled(intake, count):
    """Whether so many files of units are ripe, and no other is pending but what waits."""
    ripe = {path for path, _, _ in intake.settler.ripe(intake.parts.clock.monotonic())}
    return count == len(ripe) == sum(not each.reason for each in intake.waiting())


class Adding(Lander):
    """A lander beside which files come."""

    comes = None

    async def land(self, drop, unit, quiet=None):
        come, self.comes = self.comes, None
        if come is not None:
            await come()
        return await super().land(drop, unit, quiet)


class TestLanding:
    """What goes on beside a landing, and what fails in it."""

    async def test_files_that_come_meanwhile_are_another_unit(self, bench, units):
        """Seen while their namesakes land, they are in no hand, and land later."""
        intake = units(lander=Adding)

        async def come():
            intake.looker.gathering.rest = NEVER
            bench.put("v/b", 2)
            intake.hint(b"v/b")
            await until_seen()

        async def until_seen():
            with anyio.fail_after(PATIENCE):
                while b"v/b" not in waiting(intake):
                    await intake.step()

        intake.lander.comes = come
        bench.put("v/a", 1)
        await until(intake, lambda: intake.tally.filed == 1)
        await until(intake, lambda: settled(intake, 1))
        assert (1, {b"v/b": ""}) == (intake.tally.filed, waiting(intake))
        rested(intake)
        await until(intake, lambda: intake.tally.filed == 2)
        assert {} == waiting(intake)

    async def test_one_that_changes_meanwhile_is_not_lost(self, bench, units):
        """It was whole when the unit was; the unit waits for what it has become."""
        intake = units(lander=Adding)

        async def come():
            torn(bench.path("v/b"))

        intake.lander.comes = come
        bench.put("v/a", 1)
        bench.put("v/b", 2)
        await until(intake, lambda: bench.events("file.waiting"))
        assert (0, [b"v/b"]) == (
            intake.tally.filed,
            [each["path"] for each in bench.events("file.waiting")],
        )

    async def test_a_fault_is_tried_again_with_pauses(self, bench, units):
        """Whatever fails: nothing is lost, said once, and the unit lands at the next try."""
        intake = units(lander=Adding)

        async def come():
            raise StorageError("a disk", number=errno.EIO)

        intake.lander.comes = come
        bench.put("v/a", 1)
        bench.put("v/b", 2)
        await until(intake, lambda: intake.tally.filed)
        assert (2, ["a disk"]) == (
            intake.tally.filed,
            [each["text"] for each in bench.events("file.waiting")],
        )

    async def test_what_is_carried_on_is_taken_once(self, bench, units):
        """A kept unit that could not be let go at once: the next try ends it, and none repeats."""
        intake = units(after="keep")
        session = bench.filed(2)
        bench.put("v/a", 1)
        parts = bench.parts
        with parts.leases.hold([session_key(session.id)], parts.clock.now()):
            await until(intake, lambda: parts.ledger.session(session.id).landing)
        await until(intake, lambda: not intake.lander.owes)
        assert ({}, ["v/a"]) == (waiting(intake), sorted(files.walk(bench.drop.path)))
        assert (2, 0) == (len(parts.ledger.instances(session.id)), intake.tally.duplicates)
        await round_of(intake)
        assert {} == waiting(intake)

    async def test_nothing_lands_on_a_full_disk(self, bench, units, workers):
        """Units wait where they lie while the prearchive is low, and land when there is room."""
        low = True
        drop = replace(bench.drop, mode="transactional", inactivity=0.01)
        intake = bench.intake(workers, drop=drop, low=lambda: low)
        bench.put("v/a", 1)
        await until(intake, lambda: settled(intake, 1))
        await round_of(intake)
        assert (0, 1) == (intake.tally.filed, intake.units.open())
        low = False
        await until(intake, lambda: intake.tally.filed)
        assert 0 == intake.units.open()

    async def test_pending_units_hold_no_session(self, bench, units):
        """A torn unit beside it: what has landed is built and archived all the same."""
        intake = units()
        sessions = Sessions(bench.parts, {"mri": intake})
        bench.put("v/a", 1)
        torn(bench.put("w/a", 1, study="1.2.4"))
        await until(intake, lambda: intake.tally.filed and bench.events("file.waiting"))
        assert set() == intake.holding_folders() == intake.settling()
        with anyio.fail_after(PATIENCE):
            while not bench.events("session.archived"):
                await sessions.round()
        assert [] == bench.parts.ledger.sessions((Status.RECEIVING,))

    async def test_the_stage_lands_by_itself(self, bench, units):
        """`run`: looks, and lands what is complete beside them."""
        intake = units()
        bench.put("v/a", 1)
        async with anyio.create_task_group() as tasks:
            await tasks.start(intake.run)
            with anyio.fail_after(PATIENCE):
                while not intake.tally.filed:
                    await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
        assert 1 == len(bench.parts.ledger.sessions())


class TestOnce:
    """`run --once` of such a drop."""

    async def test_settle_stands_for_inactivity(self, bench, units):
        """What is whole lands; each torn file is told, and once all those that wait for it."""
        intake = units(rest=NEVER)
        bench.put("v/a", 1)
        for number in range(2, 5):
            bench.put(f"w/{number}", number)
        torn(bench.path("w/4"))
        await intake.drain()
        left = [each for each in bench.events("file.waiting") if each.get("level") == "info"]
        assert 1 == intake.tally.filed
        assert {(b"w/4", "torn"), (b"w", "unit")} == {(each["path"], each["code"]) for each in left}

    async def test_archives_of_a_gradual_drop_are_landed_too(self, bench, units):
        """The drain ends when they have, not before."""
        intake = units(rest=NEVER, mode="gradual")
        pack(bench.path("v.zip"), bench.put("1", 1), bench.put("2", 2))
        bench.put("3", 3)
        await intake.drain()
        assert (3, {}) == (intake.tally.filed, waiting(intake))
