"""`import = "gradual"`, `dest = "archive"`: files go into the archive as they come (spec 7)."""

import re
import signal
from dataclasses import replace

import pytest
from daemon.test_readers import Reader, Steps, put
from makers import make_dicom
from quick import installation
from world import World

from watcher.core.life import Event
from watcher.core.session import Status
from watcher.stages import ahead
from watcher.stages.archive import archive
from watcher.stages.rebuild import build

TO_ARCHIVE = ('dest = "archive"',)
BY_HAND = "[projects.P1]\nauto_archive = false"
LONG = "1000s"

pytestmark = pytest.mark.timeout(900)


def instance(path, number, *, study="1.2.3", **values):
    """The `number`-th instance of one series."""
    given = {"series": f"{study}.1", "sop": f"{study}.1.{number}", "instance": number}
    return make_dicom(path, study=study, **{**given, **values})


@pytest.fixture
def world(tmp_path):
    """The project archives by hand, and its drop to the archive; two files are archived."""
    made = World(tmp_path, drop_lines=TO_ARCHIVE, extra=BY_HAND, rescan="200ms")
    instance(made.drop / "1", 1)
    instance(made.drop / "2", 2)
    assert 0 == made.once()[0]
    return made


def patient(world, inactivity):
    """The drop rests for so long."""
    text = re.sub(r'inactivity = "\w+"', f'inactivity = "{inactivity}"', world.config.read_text())
    world.config.write_text(text)


def shown(world, *words):
    """What a command prints."""
    return world.watcher(*words)[1]


def test_files_are_added_gradually_and_then_the_catalogs_refreshed(world):
    """For imports where the destination is set to 'archive', the files are added gradually and then
    DCM Refresh is run: first they lie there, listed nowhere, and every command says so; after
    inactivity catalogs and XML list them. `dest` wins over `auto_archive = false`.
    """
    patient(world, LONG)
    before = world.archived()
    assert 2 == len(before)
    with world.daemon() as daemon:
        for number in (3, 4):
            instance(world.drop / f"{number}", number)
            daemon.wait_for("session.status", number - 2, after="ahead")
        daemon.wait_until(lambda: "archive" == next(iter(world.sessions.values()))["place"])
        assert (2, before) == (len(world.uncatalogued()), world.archived())
        (session,) = world.sessions.values()
        assert ("RECEIVING", 2) == (session["status"], session["files"])
        assert " archive " in shown(world, "sessions")
        assert "place    archive: its files lie there" in shown(world, "show", session["id"])
        assert "1 RECEIVING" in (told := shown(world, "status"))
        assert "1 of them in the archive already" in told
        (found,), code = world.json("verify")
        assert (0, "pending", 2) == (code, found["verdict"], len(found["findings"]))
        assert {"pending"} == {each["code"] for each in found["findings"]}
        world.let_go(session["id"])
        assert 0 == world.watcher("refresh", "P1/P1")[0]
        assert 2 == len(world.uncatalogued())
    patient(world, "100ms")
    with world.daemon() as daemon:
        instance(world.drop / "5", 5)
        daemon.wait_for("session.merged", added=3)
        daemon.wait_until(lambda: not world.sessions and not world.prearchive())
    assert ([], 5) == (world.uncatalogued(), len(world.archived()))
    (found,), code = world.json("verify")
    assert (0, "ok") == (code, found["verdict"])


@pytest.mark.campaign
def test_a_file_that_may_not_goes_by_the_prearchive(world):
    """One that differs from an archived one ends as CONFLICT in the prearchive, its scan held; a
    study not archived yet is archived after inactivity.
    """
    with world.daemon() as daemon:
        instance(world.drop / "other", 1, ImageComments="another")
        instance(world.drop / "new", 1, study="1.2.4", patient_id="P2")
        daemon.wait_for("session.conflict")
        daemon.wait_for("session.archived", label="P2")
        daemon.wait_until(lambda: ["P1"] == list(world.sessions))
    (session,) = world.sessions.values()
    assert ("CONFLICT", "prearchive", ["instance-differs"]) == (
        *(session["status"], session["place"]),
        [code for code in session["findings"] if code != "session-exists"],
    )
    assert ([], 3) == (world.uncatalogued(), len(world.archived()))


def test_a_crash_leaves_a_session_that_the_next_start_refreshes(world):
    """Killed while files lie there unlisted: the next start archives the session whole."""
    patient(world, LONG)
    with world.daemon() as daemon:
        instance(world.drop / "3", 3)
        daemon.wait_for("session.status", after="ahead")
        daemon.stop(signal.SIGKILL)
    assert 1 == len(world.uncatalogued())
    assert 0 == world.once()[0]
    assert ([], 3, []) == (world.uncatalogued(), len(world.archived()), world.prearchive())


@pytest.mark.campaign
def test_an_archive_that_goes_stops_only_what_goes_there(world):
    """Its store is missing: the prearchive takes everything; back, it goes on by itself."""
    patient(world, LONG)
    marker = world.root / "archive" / ".watcher-store"
    with world.daemon() as daemon:
        marker.rename(world.base / "away")
        instance(world.drop / "3", 3)
        daemon.wait_for("file.filed")
        daemon.wait_until(lambda: not world.left())
        assert [] == world.uncatalogued()
        (world.base / "away").rename(marker)
        daemon.wait_for("session.status", after="ahead")
        daemon.wait_until(lambda: 1 == len(world.uncatalogued()))


# -- beside a reader -------------------------------------------------------------------------------


@pytest.fixture
def bench(tmp_path):
    """An archive of a few files whose project lets newcomers replace what is held."""
    with installation(tmp_path, extra="[projects.P1]\noverwrite = true") as made:
        made.put("first", 1000)
        (outcome,) = made.file("first")
        build(made.parts, outcome.session, Event.IDLE)
        archive(made.parts, outcome.session)
        yield made


def filed(bench, name):
    """A file of a drop for the archive, filed; gives its session."""
    (outcome,) = bench.file_all([replace(bench.incoming(name), dest="archive")])
    return outcome.session


def lists(bench):
    """The sessions whose files lie ahead."""
    return [path for path in bench.tree("prearchive") if path.endswith(".ahead.json")]


def test_a_reader_finds_every_listed_file_between_any_two_steps(bench):
    """Files go ahead one by one, one is taken back, and all are listed in the one step: whatever
    was just done, what is listed is there with its digest.
    """
    reader = Reader(bench.parts.storage.path("archive"))
    names = [put(bench, turn) for turn in range(4)]
    with Steps().before_each(reader.look) as steps:
        for name in names:
            owner = filed(bench, name)
            ahead.send(bench.parts, owner)
        assert lists(bench)
        ahead.withdraw(bench.parts, bench.parts.ledger.session(owner))
        ahead.send(bench.parts, owner)
        build(bench.parts, owner, Event.IDLE)
        assert Status.ARCHIVED is archive(bench.parts, owner).status
    assert ([], []) == (reader.wrong, lists(bench))
    assert steps.done == reader.passes > 4 * 6
    assert [] == bench.untrue()


@pytest.mark.campaign
def test_never_wrong_beside_a_reader_that_loops(bench):
    """A reader loops over catalogs and files while others go ahead and are listed."""
    reader = Reader(bench.parts.storage.path("archive"))
    reader.start()
    try:
        for turn in range(12):
            owner = filed(bench, put(bench, turn))
            ahead.send(bench.parts, owner)
            if turn % 4 == 3:
                build(bench.parts, owner, Event.IDLE)
                assert Status.ARCHIVED is archive(bench.parts, owner).status
            assert reader.passed.acquire(timeout=180)  # one for each file: never starved
    finally:
        reader.stop()
    assert ([], []) == (reader.wrong, lists(bench))
    assert reader.passes >= 12
