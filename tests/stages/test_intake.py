"""One drop's stage, with real readers: what is filed, what waits, what is refused."""

import errno
import os
import sys
from dataclasses import replace

import anyio
import pytest
from makers import make_dicom

from watcher.core.errors import StorageError
from watcher.core.file import Fingerprint
from watcher.core.session import Status
from watcher.io.workers import Workers
from watcher.stages.disk import store_at
from watcher.stages.file_intake import BATCH, BYTES
from watcher.stages.filing import Filer
from watcher.stages.recover import recover
from watcher.stages.sessions import Sessions


@pytest.fixture
async def workers():
    async with Workers.open(count=2, silent=120.0) as pool:  # a busy machine is no dead share
        yield pool


async def until(intake, reached):
    """Step the stage until something holds; fails after a while."""
    with anyio.fail_after(240):
        await intake.step()
        while not reached():
            pause = intake.looker.next_due() - intake.parts.clock.monotonic()
            await intake.bell.wait(min(max(pause, 0.01), 0.5))
            await intake.step()


async def test_a_settled_file_is_filed(bench, workers):
    """A file that is quiet and whole ends in a RECEIVING session, its source gone."""
    intake = bench.intake(workers)
    path = make_dicom(os.path.join(bench.drop.path, "a"))
    await until(intake, lambda: intake.tally.filed)
    (session,) = bench.parts.ledger.sessions()
    assert ("P1", Status.RECEIVING) == (session.project, session.status)
    assert not os.path.exists(path)
    assert 1 == len(bench.parts.ledger.instances(session.id))


async def test_batches(bench, workers):
    """Files of more batches than are under way at once are all filed, each once."""
    number = BATCH * 2 + 7
    for each in range(number):
        path = os.path.join(bench.drop.path, f"{each}")
        make_dicom(path, sop=f"1.2.3.9.{each}", PixelData=bytes(2), Rows=1, Columns=1)
    intake = bench.intake(workers)
    await until(intake, lambda: intake.tally.filed >= number)
    (session,) = bench.parts.ledger.sessions()
    assert number == len(bench.parts.ledger.instances(session.id)) == intake.tally.filed
    assert [] == os.listdir(bench.drop.path)


async def test_a_batch_is_bounded(bench, workers):
    """A batch ends before its bytes become too many, and takes one file whatever its size."""
    intake = bench.intake(workers)
    for moment in (0.0, 1.0):
        for at, size in enumerate((BYTES, 1, BYTES // 2, BYTES * 3)):
            seen = Fingerprint(1, at, size, 0, 0)
            intake.settler.see(b"%d" % at, seen, moment)
    chosen = [[path for path, _, _ in intake.files.choose()] for _ in range(4)]
    assert [[b"0"], [b"1", b"2"], [b"3"], []] == chosen


class NotNow(Filer):
    """A filer whose prearchive refuses."""

    def file(self, drop, incoming):
        place = self._parts.storage.path("prearchive")
        raise StorageError("removing a file", number=errno.EIO, place=f"{place}/x")


async def test_each_store_is_told_of_its_own_files(bench, workers):
    """What the filing of others meets is not said of a file that the quarantine refuses."""
    intake = bench.intake(workers, filer=NotNow(bench.parts))
    make_dicom(bench.path("image"))
    for path in (bench.path("text"), f"{bench.parts.storage.path('quarantine')}/mri"):
        with open(path, "wb") as file:
            file.write(b"no DICOM, and no folder")
    await until(intake, lambda: len(bench.parts.failing.open(0.0)) == 2)
    met = bench.parts.failing.open(0.0)
    stores = {
        path: store_at(bench.parts.storage, each.error.place) for (_, path), each in met.items()
    }
    assert {b"image": "prearchive", b"text": "quarantine"} == stores


async def test_readers_that_can_not_be_started_are_said_once(bench, workers):
    """One error for all files that wait for them, and one word when they start again."""
    intake = bench.intake(workers)
    for name in "abc":
        make_dicom(bench.path(name), sop=f"1.2.3.9.{ord(name)}")
    kept, sys.executable = sys.executable, bench.path("none")
    try:
        await until(intake, lambda: bench.events("reader.unavailable"))
        await intake.drain()
    finally:
        sys.executable = kept
    (said,) = bench.events("reader.unavailable")
    assert ("readers", "watcher check") == (said["key"], said["hint"])
    assert "can't be started" in said["error"]
    assert {"debug"} == {each.get("level", "debug") for each in bench.events("file.waiting")}
    make_dicom(bench.path("d"))
    intake.hint(b"d")
    await until(intake, lambda: intake.tally.filed)
    assert 1 == len(bench.events("reader.available"))


async def test_a_growing_file_is_not_taken(bench, workers):
    """While a file changes between looks it is not read, be they as far apart as they may."""
    intake = bench.intake(workers)
    path = os.path.join(bench.drop.path, "a")
    make_dicom(path)
    bench.parts.clock.stop()
    for number in range(5):
        await intake.step()
        os.utime(path, (number, number))
        intake.looker.hint(b"a")
        bench.parts.clock.later += 1.0
    assert 0 == intake.tally.filed
    bench.parts.clock.go()
    await until(intake, lambda: intake.tally.filed)


async def test_a_hint_alone_is_enough(bench, workers):
    """A file is found by its hint, long before the next full look."""
    intake = bench.intake(workers, drop=replace(bench.drop, rescan_interval=1e6))
    await intake.step()
    following = intake.looker.next_full
    make_dicom(os.path.join(bench.drop.path, "a"))
    intake.hint(b"a")
    await until(intake, lambda: intake.tally.filed)
    assert following == intake.looker.next_full


async def test_an_ignored_name_is_no_input_even_when_hinted(bench, workers):
    """`x.part` is never taken, whatever an event says; renamed, it is."""
    intake = bench.intake(workers)
    make_dicom(os.path.join(bench.drop.path, "x.part"))
    intake.hint(b"x.part")
    await intake.step()
    assert 0 == len(intake.settler)
    os.rename(os.path.join(bench.drop.path, "x.part"), os.path.join(bench.drop.path, "x"))
    intake.hint(b"x")
    await until(intake, lambda: intake.tally.filed)


async def test_a_new_directory_is_looked_at_again(bench, workers):
    """What appears in a new directory after its event is found within seconds."""
    intake = bench.intake(workers)
    await intake.step()
    os.mkdir(os.path.join(bench.drop.path, "d"))
    intake.hint(b"d")
    await intake.step()
    make_dicom(os.path.join(bench.drop.path, "d", "a"))
    await until(intake, lambda: intake.tally.filed)


async def test_a_torn_file_holds_and_is_said_stuck_once(bench, workers):
    """A torn file waits; after `stuck_after` it is said once, and released when it goes."""
    intake = bench.intake(workers)
    path = make_dicom(bench.path("a"))
    os.truncate(path, os.path.getsize(path) - 5)
    await until(intake, lambda: bench.events("file.waiting"))
    assert [] == bench.events("file.stuck")
    bench.parts.clock.later += bench.drop.stuck_after
    for _ in range(2):
        await intake.step()
    (stuck,) = bench.events("file.stuck")
    assert "torn" == stuck["code"]
    assert f"watcher explain {bench.path('a')}" == stuck["hint"]
    assert set() == intake.settler.holding_folders()
    os.unlink(path)
    intake.hint(None)
    await until(intake, lambda: bench.events("file.released"))
    assert 1 == len(bench.events("file.stuck"))


async def test_low_disk_pauses_intake(bench, workers):
    """Nothing is taken while the prearchive's disk is low; it goes on when there is room."""
    low = True
    intake = bench.intake(workers, low=lambda: low)
    make_dicom(os.path.join(bench.drop.path, "a"))
    for _ in range(3):
        await intake.step()
        await intake.bell.wait(0.1)
    assert 0 == intake.tally.filed
    low = False
    await until(intake, lambda: intake.tally.filed)


async def test_a_missing_prearchive_pauses_intake(bench, workers):
    """Without the store's marker nothing is read or written."""
    marker = bench.parts.storage.marker("prearchive")
    os.rename(marker, f"{marker}.away")
    intake = bench.intake(workers)
    make_dicom(os.path.join(bench.drop.path, "a"))
    await intake.step()
    assert 0 == len(intake.settler)
    os.rename(f"{marker}.away", marker)
    intake.hint(None)
    await until(intake, lambda: intake.tally.filed)


async def test_another_file_system_means_a_copy(bench, workers):
    """Where a link can't be made the file is read again and copied."""
    if os.stat("/dev/shm").st_dev == os.stat(bench.drop.path).st_dev:
        pytest.skip("/dev/shm is not another file system here")
    import tempfile

    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        drop = replace(bench.drop, path=folder)
        intake = bench.intake(workers, drop=drop)
        make_dicom(os.path.join(folder, "a"))
        await until(intake, lambda: intake.tally.filed)
        assert [] == os.listdir(folder)
        assert [] == os.listdir(bench.parts.storage.incoming)


async def test_emptied_directories_go_once_quiet(bench, workers):
    """Directories the stage emptied are removed after `inactivity`; others stay."""
    drop = replace(bench.drop, inactivity=0.1)
    intake = bench.intake(workers, drop=drop)
    os.makedirs(os.path.join(drop.path, "a", "b"))
    os.makedirs(os.path.join(drop.path, "empty"))
    make_dicom(os.path.join(drop.path, "a", "b", "x"))
    await until(intake, lambda: intake.tally.filed)
    with anyio.fail_after(240):
        while os.path.exists(os.path.join(drop.path, "a")):
            intake.hint(b"empty")
            await intake.step()
            await intake.bell.wait(0.05)
    assert ["empty"] == os.listdir(drop.path)


async def test_a_fault_of_the_machine_is_tried_again(bench, workers):
    """A file the ledger could not take is not lost: it is filed at the next try."""
    intake = bench.intake(workers)
    real = intake.files.filer

    class Failing:
        left_in_hand = False

        def file(self, drop, batch):
            intake.files.filer = real
            raise StorageError("the ledger: disk I/O error", number=errno.EIO)

    intake.files.filer = Failing()
    make_dicom(os.path.join(bench.drop.path, "a"))
    await until(intake, lambda: bench.events("file.waiting"))
    assert "machine" == bench.events("file.waiting")[0]["code"]
    (waiting,) = intake.waiting()
    assert "machine" == waiting.reason
    os.utime(os.path.join(bench.drop.path, "a"), (1, 1))
    intake.hint(b"a")
    await until(intake, lambda: intake.tally.filed)


class TestSessions:
    """The sessions' stage beside one drop."""

    async def test_a_quiet_session_is_built_and_archived(self, bench, workers):
        """After inactivity and a complete look it is archived by itself."""
        intake = bench.intake(workers)
        sessions = Sessions(bench.parts, {"mri": intake})
        make_dicom(os.path.join(bench.drop.path, "a"))
        await until(intake, lambda: intake.tally.filed)
        await sessions.round()
        assert [] == bench.events("session.rebuilt")
        intake.hint(None)
        await intake.step()
        bench.parts.clock.ahead += 10
        await sessions.round()
        assert 1 == len(bench.events("session.archived"))
        assert [] == bench.parts.ledger.sessions()

    async def test_a_pending_neighbour_holds_it(self, bench, workers):
        """A file still arriving in the same directory holds the session until `max_open`."""
        intake = bench.intake(workers)
        sessions = Sessions(bench.parts, {"mri": intake})
        make_dicom(os.path.join(bench.drop.path, "a"))
        torn = make_dicom(os.path.join(bench.drop.path, "b"), sop="1.2.3.1.2")
        os.truncate(torn, os.path.getsize(torn) - 5)
        await until(intake, lambda: intake.tally.filed and bench.events("file.waiting"))
        intake.hint(None)
        await intake.step()
        bench.parts.clock.ahead += 10
        await sessions.round()
        assert [] == bench.events("session.rebuilt")
        bench.parts.clock.ahead += bench.parts.rules.max_open
        await sessions.round()
        assert 1 == len(bench.events("session.rebuilt"))

    async def test_a_held_session_is_put_off(self, bench, workers):
        """While somebody else holds its lease a session is left alone, then worked on."""
        intake = bench.intake(workers)
        sessions = Sessions(bench.parts, {"mri": intake})
        make_dicom(os.path.join(bench.drop.path, "a"))
        await until(intake, lambda: intake.tally.filed)
        (session,) = bench.parts.ledger.sessions()
        with bench.parts.leases.hold(bench.parts.keys(session), 0.0):
            await sessions.round(idle=True)
            assert Status.RECEIVING is bench.parts.ledger.session(session.id).status
        with anyio.fail_after(240):
            while bench.parts.ledger.sessions():
                await sessions.round(idle=True)
                await sessions.bell.wait(0.2)
        assert Status.ARCHIVED is bench.parts.ledger.session(session.id).status

    async def test_a_start_sweeps_and_carries_on(self, bench, workers):
        """Left-over copies are swept, and a build that was cut off is RECEIVING again."""
        from watcher.core.life import Event
        from watcher.stages.hop import Hop

        intake = bench.intake(workers)
        make_dicom(os.path.join(bench.drop.path, "a"))
        await until(intake, lambda: intake.tally.filed)
        (session,) = bench.parts.ledger.sessions()
        bench.parts.ledger.move(session.id, Event.IDLE)
        os.makedirs(bench.parts.storage.incoming, exist_ok=True)
        with open(os.path.join(bench.parts.storage.incoming, "x.part"), "wb"):
            pass
        await recover(bench.parts, workers.examine, Hop(1))
        assert Status.RECEIVING is bench.parts.ledger.session(session.id).status
        assert [] == os.listdir(bench.parts.storage.incoming)
        assert bench.events("daemon.recovered")
