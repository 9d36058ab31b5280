"""The sessions' stage: one error border round each session, and patience."""

import os
import threading

import pytest
from anyio import to_thread
from mortal import MortalHop

from watcher.core.life import Event
from watcher.core.session import Status
from watcher.stages.sessions import Sessions


@pytest.fixture
async def stage(bench):
    """The stage without drops, on threads that obey modes."""
    made = Sessions(bench.parts, {})
    made._thread = MortalHop(1)
    return made


def status(bench, session):
    return bench.parts.ledger.session(session.id).status


async def test_a_low_disk_stops_archiving_not_building(bench):
    """While the archive's disk is low sessions are built, and stay READY."""
    session = bench.filed(1)
    low = True
    stage = Sessions(bench.parts, {}, pauses=lambda: low)
    await stage.round(idle=True)
    assert Status.READY is status(bench, session)
    low = False
    await stage.round(idle=True)
    assert Status.ARCHIVED is status(bench, session)


async def test_a_transient_fault_is_tried_again_with_patience(bench, stage):
    """Said with its pause, which doubles; the session is no ERROR, and another one goes on."""
    session = bench.filed(1)
    other = bench.filed(1, study="1.2.4", patient_id="P2")
    folder = os.path.join(bench.folder(session), "SCANS", "1", "DICOM")
    os.chmod(folder, 0o555)
    pauses = []
    for _ in range(3):
        await stage.round(idle=True)
        stage._put_off[session.id] = (0.0, stage._put_off[session.id][1])
        pauses.append(bench.events("session.status")[-1]["seconds"])
    assert ([1.0, 2.0, 4.0], Status.RECEIVING) == (pauses, status(bench, session))
    assert Status.ARCHIVED is status(bench, other)
    os.chmod(folder, 0o755)
    await stage.round(idle=True)
    assert Status.ARCHIVED is status(bench, session)


async def test_one_that_is_put_off_is_left_until_then(bench, stage):
    """Before its pause is over a session is not touched."""
    session = bench.filed(1)
    stage._put_off[session.id] = (bench.parts.clock.monotonic() + 100, 1.0)
    await stage.round(idle=True)
    assert Status.RECEIVING is status(bench, session)
    assert stage._pause(bench.parts.clock.monotonic()) <= 60


async def test_a_stop_is_no_fault(bench, stage):
    """Asked to end, the stage begins nothing, and says nothing."""
    session = bench.filed(1)
    bench.parts.stopping.set()
    bench.said.clear()
    await stage.round(idle=True)
    assert (Status.RECEIVING, []) == (status(bench, session), bench.said)


async def test_whatever_happens_is_one_session_s(bench, stage):
    """A fault nobody foresaw: that session is an ERROR and said, the other one is archived."""
    session = bench.filed(1)
    other = bench.filed(1, study="1.2.4", patient_id="P2")
    (row,) = bench.parts.ledger.instances(session.id)
    bench.parts.ledger.move(session.id, Event.IDLE)
    promise = bench.parts.storage.beside(session, "delete.json")
    with open(promise, "wb") as file:
        file.write(b"{")
    await stage.round(idle=True)
    assert (Status.ERROR, Status.ARCHIVED) == (status(bench, session), status(bench, other))
    assert [session.id] == [each["session"] for each in bench.events("session.error")]
    assert os.path.exists(os.path.join(bench.folder(session), row.place.path))


async def test_a_missing_store_is_waited_for(bench, stage):
    """Without the archive a READY session stays READY, and no fault is said of it."""
    session = bench.built(1)
    marker = bench.parts.storage.marker("archive")
    os.rename(marker, f"{marker}.away")
    await stage.round(idle=True)
    assert Status.READY is status(bench, session)
    os.rename(f"{marker}.away", marker)
    stage._put_off.clear()
    await stage.round(idle=True)
    assert Status.ARCHIVED is status(bench, session)


async def test_sessions_that_wait_for_a_person_are_left(bench, stage):
    """No project, or a project that archives by hand: never archived by the stage."""
    manual = bench.filed(1, project="MANUAL")
    nobody = bench.filed(1, project=None, study="1.2.4")
    await stage.round(idle=True)
    await stage.round(idle=True)
    assert (Status.READY, Status.CONFLICT) == (status(bench, manual), status(bench, nobody))


async def test_the_part_that_can_go_in_goes_by_itself(bench, stage):
    """A session in CONFLICT whose other scan can go in: once, and then it is left."""
    session = await to_thread.run_sync(bench.in_two_scans)
    await stage.round(idle=True)
    assert 1 == len(bench.parts.ledger.instances(session.id)) - 1
    found = bench.parts.ledger.session(session.id)
    assert (Status.CONFLICT, False) == (found.status, found.partly)
    bench.said.clear()
    await stage.round(idle=True)
    assert [] == bench.events("session.merged")


async def test_no_part_of_what_a_person_archives_goes_by_itself(bench, stage):
    """A project that archives by hand: the part waits with the rest."""
    bench.filed(1, project="MANUAL")
    bench.again(1, project="MANUAL")
    session = bench.filed(2, series="2", SeriesNumber=2, project="MANUAL")
    await stage.round(idle=True)
    assert bench.parts.ledger.session(session.id).partly
    assert [] == bench.tree()


async def test_a_store_that_hangs_has_a_thread_to_hang(bench, stage, monkeypatch):
    """The event loop asks none: signals and the watchdog go on."""
    bench.filed(1)
    asked, there, ours = [], bench.parts.storage.is_there, threading.get_ident()
    monkeypatch.setattr(
        bench.parts.storage,
        "is_there",
        lambda kind: asked.append(threading.get_ident()) or there(kind),
    )
    await stage.round()
    assert asked
    assert ours not in asked
