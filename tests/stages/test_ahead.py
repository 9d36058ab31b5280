"""Gradual import into the archive: files lie there ahead of the catalogs, or are taken back."""

import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
from mortal import MortalHop
from quick import installation

from watcher.core.errors import MissingPlaceError
from watcher.core.life import Event
from watcher.core.session import Status
from watcher.io import files
from watcher.stages import ahead, sent
from watcher.stages.archive import archive
from watcher.stages.decide import archive_now, delete, delete_scans, rebuild, relocate, split
from watcher.stages.hop import Hop
from watcher.stages.rebuild import build
from watcher.stages.refresh import refresh
from watcher.stages.sessions import Sessions
from watcher.stages.verify import verify


class TimedHop(Hop):
    """Threads that tell how long the last call took."""

    async def __call__(self, function, *args):
        began = time.monotonic()
        try:
            return await super().__call__(function, *args)
        finally:
            self.last = time.monotonic() - began


@pytest.fixture
def bench(tmp_path):
    """A bench whose drop is for the archive, with two files of scan 1 archived."""
    with installation(tmp_path) as bench:
        bench.archived(1, 2)
        bench.drop = replace(bench.drop, dest="archive")
        bench.before = set(bench.tree())
        yield bench


def sent_files(bench):
    """What lies in the archive and did not before."""
    return sorted(set(bench.tree()) - bench.before)


def come(bench, *numbers, **values):
    """New files of a drop for the archive, filed as the intake does; gives their session."""
    names = [f"late{number}" for number in numbers]
    for name, number in zip(names, numbers, strict=True):
        bench.put(name, number, **values)
    batch = [replace(bench.incoming(name), dest="archive") for name in names]
    (owner,) = {outcome.session for outcome in bench.file_all(batch)}
    return owner


def now(bench, owner):
    return bench.parts.ledger.session(owner)


def go(bench, owner):
    ahead.send(bench.parts, owner)
    return now(bench, owner)


def beside(bench, session):
    return bench.parts.storage.beside(session, "ahead.json")


def finish(bench, owner):
    build(bench.parts, owner, Event.IDLE)
    return archive(bench.parts, owner)


def found(bench):
    """What `verify` finds: codes and the paths they are of."""
    return verify(bench.parts, "P1", "P1").flaws


def test_a_file_goes_ahead_of_the_catalogs(bench):
    """It lies in the archive at once, listed nowhere; the session is RECEIVING, its place told.

    The file is the very one the prearchive has, and `verify` says pending of it.
    """
    owner = come(bench, 3)
    catalog = files.read(os.path.join(bench.shelf(), "SCANS/1/DICOM/scan_1_catalog.xml"))
    session = go(bench, owner)
    (path,) = sent_files(bench)
    (row,) = bench.parts.ledger.instances(owner)
    store = bench.parts.storage.path("archive")
    source = os.path.join(bench.folder(session), row.place.path)
    assert files.same_inode(source, os.path.join(store, path))
    assert (Status.RECEIVING, "archive", "archive") == (
        *(session.status, session.dest, session.place),
    )
    after = files.read(os.path.join(bench.shelf(), "SCANS/1/DICOM/scan_1_catalog.xml"))
    assert (catalog, []) == (after, bench.untrue())
    checked = verify(bench.parts, "P1", "P1")
    assert [("pending", row.place.path)] == [(flaw.code, flaw.path) for flaw in checked.flaws]
    assert ("pending", True) == (checked.verdict, checked.is_sound)


def test_the_one_step_lists_what_lies_there(bench):
    """After inactivity catalogs and XML are swapped, and the prearchive is empty."""
    owner = come(bench, 3, 4)
    go(bench, owner)
    there = sent_files(bench)
    assert Status.ARCHIVED is finish(bench, owner).status
    assert there == sent_files(bench)
    assert ([], [], ()) == (bench.tree("prearchive"), bench.untrue(), found(bench))
    (merged,) = bench.events("session.merged")
    assert 2 == merged["added"]


def test_every_new_file_follows(bench):
    """Each look sends what has come since; between file and look its place is the prearchive."""
    owner = come(bench, 3)
    assert "archive" == go(bench, owner).place
    come(bench, 4)
    assert "prearchive" == now(bench, owner).place
    assert "archive" == go(bench, owner).place
    assert 2 == len(sent_files(bench))
    assert not ahead.send(bench.parts, owner)


def test_a_study_not_archived_yet_goes_by_the_prearchive(bench):
    """Nothing goes ahead of a session that is not there; it is archived after inactivity."""
    owner = come(bench, 1, study="1.2.4", patient_id="P2")
    assert "prearchive" == go(bench, owner).place
    assert [] == sent_files(bench)
    assert Status.ARCHIVED is finish(bench, owner).status


def test_the_prearchive_s_drops_send_nothing(bench):
    """A session that another drop feeds too is the prearchive's: what went ahead is taken back."""
    owner = come(bench, 3)
    go(bench, owner)
    bench.put("other", 4)
    bench.file_all([replace(bench.incoming("other"), dest="prearchive")])
    assert "prearchive" == go(bench, owner).dest
    assert ([], "prearchive") == (sent_files(bench), now(bench, owner).place)


def test_a_file_that_differs_holds_its_scan(bench):
    """A conflict keeps the files of its scan out, also those an earlier look let in; others go."""
    owner = come(bench, 3)
    go(bench, owner)
    come(bench, 1, ImageComments="another")
    come(bench, 5, series="2", SeriesNumber=2)
    session = go(bench, owner)
    (path,) = sent_files(bench)
    assert ("2", "prearchive") == (path.split("/SCANS/")[1][0], session.place)
    assert [path.split("/P1/")[-1]] == list(sent.read(bench.parts, session))


def test_a_session_that_is_held_sends_nothing(bench):
    """Another study under the label: nothing goes ahead, and it ends in CONFLICT."""
    owner = come(bench, 1, study="1.2.4", patient_id="P1")
    go(bench, owner)
    assert [] == sent_files(bench)
    assert Status.CONFLICT is build(bench.parts, owner, Event.IDLE).status


def test_a_build_takes_back_what_is_held(bench):
    """A file that came after the last look holds the scan: nothing of it is left ahead."""
    owner = come(bench, 3)
    go(bench, owner)
    come(bench, 1, ImageComments="another")
    assert Status.CONFLICT is build(bench.parts, owner, Event.IDLE).status
    session = now(bench, owner)
    assert ([], "prearchive", False) == (
        *(sent_files(bench), session.place),
        os.path.exists(beside(bench, session)),
    )
    assert () == found(bench)


def test_an_identical_resend_is_there_already(bench):
    """The archive has it: nothing is placed, and all of the session lies there."""
    owner = come(bench, 1)
    assert "archive" == go(bench, owner).place
    assert [] == sent_files(bench)
    assert Status.ARCHIVED is finish(bench, owner).status


def test_a_whole_new_scan_has_no_catalog_yet(bench):
    """A series nobody knew: `verify` says pending, and its scan is listed in the one step."""
    owner = come(bench, 7, series="9", SeriesNumber=9)
    go(bench, owner)
    assert ["pending"] == [flaw.code for flaw in found(bench)]
    assert Status.ARCHIVED is finish(bench, owner).status
    assert ([], ()) == (bench.untrue(), found(bench))


def test_a_name_that_is_taken_is_not_overwritten(bench):
    """Another file has the name in the archive: the newcomer gets the suffixed one."""
    owner = come(bench, 3)
    (row,) = bench.parts.ledger.instances(owner)
    stray = Path(bench.shelf(), row.place.path)
    stray.write_bytes(b"somebody's")
    go(bench, owner)
    assert (b"somebody's", 2) == (stray.read_bytes(), len(sent_files(bench)))
    assert Status.ARCHIVED is finish(bench, owner).status
    assert (b"somebody's", []) == (stray.read_bytes(), bench.untrue())


def test_a_scan_that_is_renamed_takes_its_files_along(bench):
    """The build gives a scan another ID: nothing is left under the first."""
    owner = come(bench, 7, series="9", SeriesNumber=5)
    go(bench, owner)
    come(bench, 8, series="8", SeriesNumber=5)
    go(bench, owner)
    assert Status.ARCHIVED is finish(bench, owner).status
    assert ([], ()) == (bench.untrue(), found(bench))


# -- a copy, where the stores are two file systems -------------------------------------------------


@pytest.fixture
def apart(bench, tmp_path):
    """The archive on another file system than the prearchive."""
    place, other = bench.parts.storage.path("archive"), tmp_path / "archive"
    if os.stat(place).st_dev == os.stat(tmp_path).st_dev:
        pytest.skip("no second file system to write to")
    shutil.copytree(place, other)
    shutil.rmtree(place)
    os.symlink(other, place)
    return bench


def test_a_copy_goes_ahead_once(apart):
    """Each file is copied once, however many looks follow, and kept by the one step."""
    owner = come(apart, 3)
    assert "archive" == go(apart, owner).place
    (path,) = sent_files(apart)
    inode = os.stat(os.path.join(apart.parts.storage.path("archive"), path)).st_ino
    come(apart, 4)
    go(apart, owner)
    assert (2, True) == (len(sent_files(apart)), path in sent_files(apart))
    assert Status.ARCHIVED is finish(apart, owner).status
    assert inode == os.stat(os.path.join(apart.parts.storage.path("archive"), path)).st_ino
    assert ([], ()) == (apart.untrue(), found(apart))


def test_a_copy_is_taken_back_with_its_half(apart):
    """What a cut-off copy left, and what was copied, go; a name others took since stays."""
    owner = come(apart, 3, 4)
    session = go(apart, owner)
    one, two = (Path(apart.shelf(), path) for path in sorted(sent.read(apart.parts, session)))
    Path(files.temporary(str(one))).write_bytes(b"half")
    two.unlink()
    two.write_bytes(b"somebody's")
    ahead.withdraw(apart.parts, session)
    assert (b"somebody's", False) == (two.read_bytes(), one.exists())
    assert 1 == len(sent_files(apart))


# -- what people and other work do meanwhile -------------------------------------------------------


def test_refresh_leaves_it_alone(bench):
    """`refresh` lists nothing that a session still brings, nor makes a catalog for it."""
    owner = come(bench, 3)
    come(bench, 7, series="9", SeriesNumber=9)
    go(bench, owner)
    before = bench.untrue(), sorted(bench.tree())
    done = refresh(bench.parts, "P1", "P1", who="x")
    assert ((), True) == (done.changed, done.checked.is_sound)
    assert before == (bench.untrue(), sorted(bench.tree()))
    assert Status.ARCHIVED is finish(bench, owner).status


def test_a_lost_catalog_is_not_made_of_it(bench):
    """A catalog made anew from its files lists what was archived; what is ahead is added to it."""
    owner = come(bench, 3)
    go(bench, owner)
    os.remove(os.path.join(bench.shelf(), "SCANS/1/DICOM/scan_1_catalog.xml"))
    come(bench, 4)
    assert "archive" == go(bench, owner).place
    assert Status.ARCHIVED is finish(bench, owner).status
    (merged,) = bench.events("session.merged")
    assert (2, [], ()) == (merged["added"], bench.untrue(), found(bench))


def test_without_its_list_it_is_a_stray(bench):
    """A lost `LABEL.ahead.json`: `verify` says so; the next look knows its own links again."""
    owner = come(bench, 3)
    session = go(bench, owner)
    os.remove(beside(bench, session))
    assert ["unlisted"] == [flaw.code for flaw in found(bench)]
    come(bench, 4)
    go(bench, owner)
    assert ["pending"] * 2 == [flaw.code for flaw in found(bench)]


@pytest.mark.parametrize("text", ["", "[]", '{"files": 3}', '{"files": {"../x": "y"}}'])
def test_a_list_that_can_t_be_read_says_nothing(bench, text):
    """Nothing is removed on its word, nothing outside the session least of all."""
    owner = come(bench, 3)
    session = go(bench, owner)
    Path(beside(bench, session)).write_text(text)
    assert {} == sent.read(bench.parts, session)
    ahead.withdraw(bench.parts, session)
    assert (1, False) == (len(sent_files(bench)), os.path.exists(beside(bench, session)))


def test_what_a_catalog_lists_is_never_taken_back(bench):
    """Though the list names it, and the prearchive holds the same bytes."""
    session = go(bench, come(bench, 1))
    (row,) = bench.parts.ledger.instances(session.id)
    sent.write(bench.parts, session, {row.place.path: row.digest})
    before = bench.tree()
    ahead.withdraw(bench.parts, session)
    assert (before, []) == (bench.tree(), bench.untrue())


def test_what_a_torn_catalog_lists_is_never_taken_back(bench):
    """As far as its entries can still be read: whoever mends it finds the file."""
    session = go(bench, come(bench, 3))
    (path,) = sent.read(bench.parts, session)
    document = Path(bench.shelf(), "SCANS/1/DICOM/scan_1_catalog.xml")
    (first, *_) = bench.parts.ledger.instances(session.id)
    entry = f'<cat:entry URI="{first.place.name}" ID="x" digest="{first.digest}"/>'
    text = document.read_text()
    document.write_text(text.replace("<cat:entry ", f"{entry}<cat:entry ", 1)[:-30])
    ahead.withdraw(bench.parts, session)
    assert os.path.exists(os.path.join(bench.shelf(), path))


def test_the_last_of_its_bytes_is_never_taken_back(bench):
    """What the prearchive does not hold any more stays where it lies, as a stray."""
    owner = come(bench, 3)
    session = go(bench, owner)
    (row,) = bench.parts.ledger.instances(owner)
    os.remove(os.path.join(bench.folder(session), row.place.path))
    ahead.withdraw(bench.parts, session)
    assert (1, ["unlisted"]) == (len(sent_files(bench)), [flaw.code for flaw in found(bench)])


def leaves(bench, owner, what):
    who = {"who": "x", "reason": "y"}
    match what:
        case "relabel":
            here = {"project": "P1", "label": "NEW", "subject": "S", "command": "relabel"}
            return relocate(bench.parts, owner, **here, **who)
        case "delete":
            return delete(bench.parts, owner, **who)
        case "scan":
            return delete_scans(bench.parts, owner, ["2"], **who)
        case _:
            return split(bench.parts, owner, **who)


@pytest.mark.parametrize("what", ["relabel", "delete", "scan"])
def test_what_leaves_is_taken_back_first(bench, what):
    """Moved, deleted or split: nothing of it lies in the archive it goes not to."""
    owner = come(bench, 3)
    come(bench, 4, series="2", SeriesNumber=2)
    go(bench, owner)
    assert 2 == len(sent_files(bench))
    leaves(bench, owner, what)
    assert ([], ()) == (sent_files(bench), found(bench))
    assert "prearchive" == now(bench, owner).place


def test_a_split_takes_back_what_was_let_in(bench):
    """A file of another study came after the last look: each session goes its own way."""
    drop = replace(bench.drop, layout=("{session}",))
    os.makedirs(bench.path("P1"))
    for name, study in (("P1/a", "1.2.3"), ("P1/b", "1.2.4")):
        bench.put(name, 3, study=study)
        one = replace(bench.incoming(name, drop=drop), dest="archive")
        (owner,) = {outcome.session for outcome in bench.file_all([one], drop)}
        if study == "1.2.3":
            go(bench, owner)
    assert 1 == len(sent_files(bench))
    leaves(bench, owner, "split")
    assert [] == sent_files(bench)
    assert ["prearchive"] * 2 == [each.place for each in bench.parts.ledger.sessions()]


def test_what_the_plan_does_not_carry_is_taken_back(bench):
    """Another name of a file, left by an earlier judgement: gone before any swap."""
    owner = come(bench, 3)
    go(bench, owner)
    session = rebuild(bench.parts, owner)
    known = sent.read(bench.parts, session)
    ((path, digest),) = known.items()
    os.link(os.path.join(bench.shelf(), path), os.path.join(bench.shelf(), "SCANS/1/DICOM/old"))
    sent.write(bench.parts, session, {**known, "SCANS/1/DICOM/old": digest})
    assert Status.ARCHIVED is archive_now(bench.parts, owner).status
    assert ([], (), 1) == (bench.untrue(), found(bench), len(sent_files(bench)))


def test_a_rebuild_by_hand_keeps_it_there(bench):
    """READY, as it is not archived then; it still lies ahead, and `archive` lists it."""
    owner = come(bench, 3)
    go(bench, owner)
    assert Status.READY is rebuild(bench.parts, owner).status
    assert (1, ["pending"]) == (len(sent_files(bench)), [flaw.code for flaw in found(bench)])
    assert Status.ARCHIVED is archive_now(bench.parts, owner).status
    assert ([], ()) == (bench.untrue(), found(bench))


def test_an_archive_that_went_takes_nothing(bench):
    """The store is missing: nothing is made beneath its mount, and it goes on when it is back."""
    owner = come(bench, 3)
    marker = bench.parts.storage.marker("archive")
    os.rename(marker, f"{marker}.away")
    with pytest.raises(MissingPlaceError):
        ahead.send(bench.parts, owner)
    os.rename(f"{marker}.away", marker)
    assert [] == sent_files(bench)
    assert "archive" == go(bench, owner).place


def test_an_archived_session_that_can_t_be_read_takes_nothing(bench):
    """Its XML is torn: the file waits in the prearchive, and the build says why."""
    owner = come(bench, 3)
    Path(f"{bench.shelf()}.xml").write_text("<torn")
    assert not ahead.send(bench.parts, owner)
    assert [] == sent_files(bench)
    assert Status.ERROR is build(bench.parts, owner, Event.IDLE).status


def test_nothing_goes_while_a_unit_lands_or_without_a_project(bench):
    """A session that a unit is landing in, one that rests no more, and an Unassigned one."""
    owner = come(bench, 3)
    bench.parts.ledger.edit(owner, landing="u1")
    assert not ahead.send(bench.parts, owner)
    bench.parts.ledger.edit(owner, landing="")
    build(bench.parts, owner, Event.IDLE)
    assert not ahead.send(bench.parts, owner)
    bench.drop = replace(bench.drop, project=None)
    nobody = come(bench, 1, study="1.2.5", patient_id="P5")
    assert not ahead.send(bench.parts, nobody)
    assert [] == sent_files(bench)


# -- the stage -------------------------------------------------------------------------------------


async def test_the_stage_sends_what_came(bench):
    """Each round sends one session's new files, and none that it has looked at since they came."""
    owner = come(bench, 3)
    bench.parts.ledger.edit(owner, last_arrival=bench.parts.clock.now() + 1000)
    stage = Sessions(bench.parts, {})
    await stage.round()
    assert "archive" == now(bench, owner).place
    assert (False, []) == (stage._unsent, [1 for at, _ in stage._put_off.values() if at])
    looked = stage._looked[owner]
    await stage.round()
    assert looked == stage._looked[owner]


async def test_the_stage_looks_again_at_what_was_in_hand(bench):
    """Files that were being filed at a look are of a generation it knows: it does not end there."""
    bench.put("hand", 3)
    coming = [replace(bench.incoming("hand"), dest="archive")]
    now_, stamp = bench.parts.clock.now() + 1000, bench.parts.clock.stamp
    (reserved,), _, _ = bench.parts.receiving.reserve(coming, now_, stamp)
    stage = Sessions(bench.parts, {})
    await stage.round()
    assert [] == sent_files(bench)
    folder = bench.parts.storage.folder(reserved.session)
    target = os.path.join(folder, reserved.instance.place.path)
    files.make_folder(os.path.dirname(target))
    os.link(bench.path("hand"), target)
    bench.parts.receiving.record([reserved], {})
    stage._again = 0.0  # a tenth of the time is another law
    await stage.round()
    assert 1 == len(sent_files(bench))


async def test_the_stage_gives_it_a_tenth_of_its_time(bench):
    """Before nine times what a look took have passed there is no other; then there is."""
    owner = come(bench, 3)
    bench.parts.ledger.edit(owner, last_arrival=bench.parts.clock.now() + 1000)
    stage = Sessions(bench.parts, {})
    stage._again = bench.parts.clock.monotonic() + 100
    await stage.round()
    assert (True, []) == (stage._unsent, sent_files(bench))
    assert stage._pause(bench.parts.clock.monotonic()) > 50
    stage._again, stage._thread = 0.0, TimedHop(1)
    began = bench.parts.clock.monotonic()
    await stage.round()
    assert 1 == len(sent_files(bench))
    ended = stage._looked[owner][1]
    assert 9 * stage._thread.last <= stage._again - ended < 9 * (stage._again - began)


async def test_the_stage_leaves_alone_what_the_other_hand_has(bench):
    """A session that is being built is not sent ahead meanwhile; the bell brings it back."""
    owner = come(bench, 3)
    bench.parts.ledger.edit(owner, last_arrival=bench.parts.clock.now() + 1000)
    stage = Sessions(bench.parts, {})
    with stage._hands.working(now(bench, owner)):
        await stage.round()
        assert ([], {}) == (sent_files(bench), stage._put_off)
    assert stage.bell._event.is_set()
    await stage.round()
    assert 1 == len(sent_files(bench))


async def test_the_stage_waits_for_an_archive_that_is_low_or_gone(bench):
    """Low or missing: nothing goes ahead, the prearchive keeps all, and it goes on by itself."""
    owner = come(bench, 3)
    bench.parts.ledger.edit(owner, last_arrival=bench.parts.clock.now() + 1000)
    low = True
    stage = Sessions(bench.parts, {}, pauses=lambda: low)
    await stage.round()
    low = False
    marker = bench.parts.storage.marker("archive")
    os.rename(marker, f"{marker}.away")
    await stage.round()
    assert [] == sent_files(bench)
    os.rename(f"{marker}.away", marker)
    await stage.round()
    assert 1 == len(sent_files(bench))


async def test_a_refusal_is_tried_again_and_holds_no_build_back(bench):
    """A fault of the archive's disk puts off what goes ahead, and nothing else of the session."""
    owner = come(bench, 3)
    bench.parts.ledger.edit(owner, last_arrival=bench.parts.clock.now() + 1000)
    shelf = os.path.join(bench.shelf(), "SCANS", "1", "DICOM")
    stage = Sessions(bench.parts, {})
    stage._thread = MortalHop(1)
    os.chmod(shelf, 0o555)
    await stage.round()
    os.chmod(shelf, 0o755)
    assert ([f"{owner}/ahead"], []) == (list(stage._put_off), sent_files(bench))
    stage._again = 0.0
    stage._put_off[f"{owner}/ahead"] = (bench.parts.clock.monotonic() + 100, 1.0)
    await stage.round()
    assert (False, []) == (stage._unsent, sent_files(bench))
    stage._put_off.clear()
    await stage.round()
    assert "archive" == now(bench, owner).place
