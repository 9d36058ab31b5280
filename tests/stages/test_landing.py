"""A unit lands whole or not at all, with real readers, files and ledger (spec 7)."""

import json
import os
import shutil
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from mortal import mode
from pydicom.data import get_testdata_file

from watcher.core.errors import DocumentError, FullError, StorageError, WorkerError
from watcher.core.file import RefusalCode
from watcher.core.life import Event, idle
from watcher.core.policy import Identify, Limits
from watcher.core.session import Status
from watcher.core.settle import Quiet
from watcher.core.unit import Kind, Unit
from watcher.io import agenda, files, room, tables
from watcher.io.lease import session_key
from watcher.io.listing import reply_to as listed
from watcher.io.lists import Lists
from watcher.io.reader import examine
from watcher.stages import unit_promise
from watcher.stages.filing import Filer
from watcher.stages.hop import Hop
from watcher.stages.landing import Lander
from watcher.stages.lists import note_list
from watcher.stages.mustering import Mustering
from watcher.stages.recover import recover
from watcher.stages.sessions import Sessions
from watcher.stages.unit_carrying import let_go


class Readers:
    """The real reader, in this process: what a process of its own adds is for other tests."""

    async def examine(self, requests):
        return [listed(each["list"]) if "list" in each else examine(each) for each in requests]

    async def unpack(self, request):
        return examine(request)


class WrittenTo(Readers):
    """The same, while somebody writes to a file that was just read."""

    def __init__(self, path):
        self.path = path

    async def examine(self, requests):
        replies = await super().examine(requests)
        with open(self.path, "ab") as file:
            file.write(b"more")
        return replies


class Ending(Readers):
    """The same, while the program is told to end."""

    def __init__(self, parts):
        self.parts = parts

    async def examine(self, requests):
        self.parts.stopping.set()
        return await super().examine(requests)


class Unread(Readers):
    """Readers that count what they are asked."""

    asked = 0

    async def examine(self, requests):
        self.asked += len(requests)
        return await super().examine(requests)


class Unstartable(Readers):
    """No reader can be had."""

    async def examine(self, requests):
        raise WorkerError("a reader can't be started: Cannot allocate memory")


@pytest.fixture
def workers():
    return Readers()


class Field:
    """A transactional drop, and what lands there."""

    def __init__(self, bench, workers, **drop):
        self.bench = bench
        self.parts = bench.parts
        self.drop = replace(bench.drop, **{"mode": "transactional", **drop})
        self.lander = Lander(self.parts, Identify(), Limits(), workers, Filer(self.parts))

    def unit(self, name, *markers):
        """A directory, file or archive of the drop, as the eyes see it when it is complete."""
        top = self.bench.path(name)
        here = [f"{name}/{path}" for path in files.walk(top)] if os.path.isdir(top) else [name]
        kind = Kind.FOLDER if os.path.isdir(top) else Kind.FILE
        if name.endswith((".zip", ".tar")):
            kind = Kind.ARCHIVE
        seen = {path: self.bench.candidate(path).print for path in (*here, *markers)}
        pairs = [(os.fsencode(path), print_) for path, print_ in seen.items()]
        given = {os.fsencode(path) for path in markers}
        return Unit(
            self.drop.name,
            os.fsencode(name),
            kind,
            tuple(pair for pair in pairs if pair[0] not in given),
            tuple(pair for pair in pairs if pair[0] in given),
        )

    async def land(self, name, *markers, quiet=Quiet.FULL):
        return await self.lander.land(self.drop, self.unit(name, *markers), quiet)

    def sessions(self):
        return self.parts.ledger.sessions(tuple(Status))

    def files(self):
        """How many files each session has, by label and study."""
        return {
            (each.label, each.study): len(self.parts.ledger.instances(each.id))
            for each in self.sessions()
        }

    def staged(self):
        return sorted(files.names_in(self.parts.storage.incoming))

    def left(self):
        return sorted(files.walk(self.drop.path))

    def says_nothing_of_it(self):
        """Nothing of a unit is anywhere but in the drop."""
        return [] == self.sessions() == self.staged() and {} == self.bench.kept_aside("quarantine")


@pytest.fixture
def field(bench, workers):
    return lambda **drop: Field(bench, workers, **drop)


def packed(bench, name, *, top="", **more):
    """A zip in the drop, of everything in a directory of it, which goes."""
    folder = bench.path("to pack")
    with zipfile.ZipFile(bench.path(name), "w") as out:
        for path in files.walk(folder):
            out.write(f"{folder}/{path}", f"{top}{path}")
        for path, data in more.items():
            out.writestr(path, data)
    shutil.rmtree(folder)


def aside(bench):
    """What was dropped of all that lies in the quarantine."""
    kept = bench.kept_aside("quarantine").items()
    return {path: data for path, data in kept if "/." not in path}


class TestWhatLands:
    """Units without a fault."""

    async def test_a_directory_of_two_studies_and_a_stray(self, bench, field):
        """Several studies in one unit become several sessions; what is no DICOM is set aside."""
        here = field()
        bench.put("u/a", 1)
        bench.put("u/deep/b", 2)
        bench.put("u/c", 3, study="1.2.4")
        with open(bench.path("u/notes.txt"), "w") as file:
            file.write("as is")
        landed = await here.land("u")
        assert ("landed", 3, 0, 1) == (
            landed.result,
            landed.filed,
            landed.duplicates,
            landed.quarantined,
        )
        assert {("P1", "1.2.3"): 2, ("P1", "1.2.4"): 1} == here.files()
        assert dict.fromkeys([b"u/a", b"u/deep/b", b"u/c", b"u/notes.txt"]) == landed.remains
        assert ["as is"] == [t.decode() for t in bench.kept_aside("quarantine").values()]
        assert [] == here.left() == here.staged()
        assert {} == here.parts.receiving.taken("mri")
        assert {b"u/a", b"u/deep/b", b"u/c"} == {e["path"] for e in bench.events("file.filed")}

    async def test_its_sessions_are_complete(self, bench, field):
        """They are built at once: no rest, no look at the drop that has to confirm them."""
        here = field()
        bench.put("u/a", 1)
        await here.land("u")
        (session,) = here.sessions()
        assert ("", True, 0.0) == (session.landing, session.whole, session.inactivity)
        now = here.parts.clock.now()
        there = {"looked": {"mri": None}, "available": {"mri": True}}
        assert idle(session, now=now, **there, holding=False, max_open=9.0).ready
        assert not idle(session, now=now, **there, holding=True, max_open=9.0).ready
        await Sessions(here.parts, {}).round()
        assert [Status.ARCHIVED] == [each.status for each in here.sessions()]

    async def test_one_loose_file(self, bench, field):
        """A loose DICOM file is a unit of one."""
        here = field()
        bench.put("a", 1)
        landed = await here.land("a")
        assert ("landed", {b"a": None}) == (landed.result, landed.remains)
        assert {("P1", "1.2.3"): 1} == here.files()

    async def test_an_archive_file(self, bench, field):
        """Its members land as files do; they are told by the archive's path and their own."""
        here = field(mode="gradual")
        bench.put("to pack/d/a", 1)
        bench.put("to pack/b", 2)
        packed(bench, "x.zip", **{"notes.txt": "as is"})
        landed = await here.land("x.zip")
        assert ("landed", 2, 1, {b"x.zip": None}) == (
            landed.result,
            landed.filed,
            landed.quarantined,
            landed.remains,
        )
        assert {("P1", "1.2.3"): 2} == here.files()
        assert {b"x.zip/d/a", b"x.zip/b"} == {e["path"] for e in bench.events("file.filed")}
        assert [b"as is"] == list(bench.kept_aside("quarantine").values())
        assert [] == here.left() == here.staged()

    async def test_members_of_an_archive_lie_where_it_lies(self, bench, field):
        """For the layout the members are where the archive is, as if it were unpacked beside it."""
        layout = ("{project}", "{subject}", "{session}")
        here = field(mode="gradual", project=None, layout=layout)
        bench.put("to pack/S7/V1/a", 1)
        packed(bench, "x.zip")
        os.mkdir(bench.path("MANUAL"))
        os.rename(bench.path("x.zip"), bench.path("MANUAL/x.zip"))
        await here.land("MANUAL/x.zip")
        (session,) = here.sessions()
        assert ("MANUAL", "S7", "V1") == (session.project, session.subject, session.label)

    async def test_the_same_file_twice_is_one(self, bench, field):
        """Duplicates inside one unit are one file; a differing one is filed beside it."""
        here = field()
        bench.put("u/a", 1)
        bench.put("u/b", 1)
        bench.put("u/c", 1)
        bench.put("u/d", 1, ImageComments="another")
        landed = await here.land("u")
        assert (2, 2) == (landed.filed, landed.duplicates)
        assert [] == here.left()

    async def test_it_merges_into_the_session_that_is_there(self, bench, field):
        """What the session has is a duplicate, and landed; the rest is added (spec 6)."""
        session = bench.built(1, project="MANUAL")
        assert Status.READY is session.status
        here = field(project="MANUAL")
        bench.put("u/a", 1)
        bench.put("u/b", 2)
        landed = await here.land("u")
        assert (1, 1) == (landed.filed, landed.duplicates)
        (again,) = here.sessions()
        assert (session.id, Status.RECEIVING, True) == (again.id, again.status, again.whole)

    async def test_only_duplicates_change_no_session(self, bench, field):
        """A unit that brings nothing new leaves the session as it is."""
        session = bench.built(1, project="MANUAL")
        here = field(project="MANUAL")
        bench.put("u/a", 1)
        landed = await here.land("u")
        assert ("landed", 1) == (landed.result, landed.duplicates)
        assert [session] == here.sessions()

    async def test_a_duplicate_leaves_the_rest_of_a_session_that_is_fed_otherwise(
        self, bench, field
    ):
        """The timer of a session that others feed is renewed, not cut short."""
        session = bench.filed(1)
        here = field()
        bench.put("u/a", 1)
        await here.land("u")
        (again,) = here.sessions()
        assert (session.inactivity, False) == (again.inactivity, again.whole)

    async def test_kept_sources_stay(self, bench, field):
        """With after = keep nothing in the drop is touched, and all of it is known as taken."""
        here = field(after="keep")
        bench.put("u/a", 1)
        with open(bench.path("u/notes.txt"), "w") as file:
            file.write("as is")
        before = dict(here.unit("u").sources)
        landed = await here.land("u")
        assert before == landed.remains == here.parts.receiving.taken("mri")
        assert ["u/a", "u/notes.txt"] == here.left()

    async def test_markers_go_with_the_sources(self, bench, field):
        """What called the unit complete is no input, and goes when it has landed."""
        here = field()
        bench.put("u/a", 1)
        for name in ("u/.complete", "u.complete"):
            with open(bench.path(name), "w"):
                pass
        landed = await here.land("u", "u/.complete", "u.complete")
        assert dict.fromkeys([b"u/a", b"u/.complete", b"u.complete"]) == landed.remains
        assert [] == here.left()

    async def test_strays_only(self, bench, field):
        """A unit without any DICOM file: all of it is set aside, and nothing lands."""
        here = field()
        os.mkdir(bench.path("u"))
        with open(bench.path("u/notes.txt"), "w") as file:
            file.write("as is")
        landed = await here.land("u")
        assert ("landed", 0, 1) == (landed.result, landed.filed, landed.quarantined)
        assert [] == here.left() == here.sessions()

    async def test_a_list_is_not_filed_and_not_lost(self, bench, field):
        """A DICOMDIR is never filed and never a fault; when its unit goes it is set aside."""
        sample = a_dicomdir()
        here = field(strict=True)
        bench.put("u/a", 1)
        shutil.copy(sample, bench.path("u/DICOMDIR"))
        landed = await here.land("u")
        assert ("landed", 1) == (landed.result, landed.filed)
        assert [] == here.left()
        assert [files.read(str(sample))] == list(bench.kept_aside("quarantine").values())

    async def test_dest_archive_holds_while_every_drop_says_so(self, bench, field):
        """A session goes to the archive by itself, past the project's word; not for other drops."""
        here = field(dest="archive", project="MANUAL")
        bench.put("u/a", 1)
        await here.land("u")
        (session,) = here.sessions()
        assert "archive" == session.dest
        assert here.parts.auto_archive(session)
        bench.filed(2, project="MANUAL")
        (session,) = here.sessions()
        assert "prearchive" == session.dest
        assert not here.parts.auto_archive(session)
        record = json.loads(files.read(here.parts.storage.beside(session, "json")))
        assert "prearchive" == record["dest"]

    async def test_unassigned_sessions_are_archived_for_no_drop(self, bench, field):
        """Nothing goes into the archive that has no project, whatever the drop says."""
        here = field(dest="archive", project=None)
        bench.put("u/a", 1)
        await here.land("u")
        (session,) = here.sessions()
        assert (None, "archive") == (session.project, session.dest)
        assert not here.parts.auto_archive(session)

    async def test_more_members_than_are_read_at_once(self, bench, field):
        """Members of several batches land, each once."""
        here = field()
        number = unit_promise.BATCH + 9
        for each in range(number):
            bench.put(f"u/{each}", each, rows=1, columns=1)
        landed = await here.land("u")
        assert ("landed", number, {("P1", "1.2.3"): number}) == (
            landed.result,
            landed.filed,
            here.files(),
        )


def a_dicomdir():
    return get_testdata_file("DICOMDIR", download=False)


class TestWhatWaits:
    """Units that are not whole: nothing of them is anywhere."""

    async def test_a_torn_member(self, bench, field):
        """One torn member lets the whole unit wait, and is named; nothing else is there."""
        here = field()
        bench.put("u/a", 1)
        path = bench.put("u/b", 2)
        os.truncate(path, os.path.getsize(path) - 9)
        landed = await here.land("u")
        assert ("waits", [b"u/b"]) == (landed.result, list(landed.held))
        assert RefusalCode.TORN is landed.held[b"u/b"].code
        assert here.says_nothing_of_it()

    async def test_a_torn_member_of_an_archive(self, bench, field):
        """The archive waits, and the text names the member."""
        here = field()
        path = bench.put("to pack/b", 2)
        os.truncate(path, os.path.getsize(path) - 9)
        packed(bench, "x.zip")
        landed = await here.land("x.zip")
        assert ("waits", [b"x.zip"]) == (landed.result, list(landed.held))
        assert '"x.zip/b"' in landed.held[b"x.zip"].text
        assert here.says_nothing_of_it()

    async def test_a_torn_archive(self, bench, field):
        """One that is still being copied waits."""
        here = field()
        bench.put("to pack/b", 2)
        packed(bench, "x.zip")
        os.truncate(bench.path("x.zip"), os.path.getsize(bench.path("x.zip")) - 9)
        landed = await here.land("x.zip")
        assert ("waits", RefusalCode.TORN) == (landed.result, landed.held[b"x.zip"].code)
        assert here.says_nothing_of_it()

    async def test_a_source_that_changed_since(self, bench, field):
        """A member that is another than the eyes saw: the unit was not complete."""
        here = field()
        bench.put("u/a", 1)
        unit = here.unit("u")
        bench.put("u/a", 1, ImageComments="another")
        landed = await here.lander.land(here.drop, unit)
        assert ("waits", RefusalCode.CHANGED) == (landed.result, landed.held[b"u/a"].code)
        assert here.says_nothing_of_it()

    async def test_a_source_that_changes_after_it_was_read(self, bench):
        """Every source is looked at once more before anything is promised."""
        here = Field(bench, WrittenTo(bench.put("u/a", 1)))
        landed = await here.land("u")
        assert ("waits", RefusalCode.CHANGED) == (landed.result, landed.held[b"u/a"].code)
        assert here.says_nothing_of_it()

    async def test_a_program_that_ends(self, bench):
        """What is not promised yet waits, and nothing of it is anywhere after the next start."""
        here = Field(bench, Ending(bench.parts))
        for number in range(unit_promise.BATCH + 1):
            bench.put(f"u/{number}", number, rows=1, columns=1)
        landed = await here.land("u")
        assert ("waits", {}, {}) == (landed.result, landed.held, landed.errors)
        await started(bench)
        assert here.says_nothing_of_it()

    async def test_no_reader(self, bench):
        """That no reader can be started is said once for all units, and no fault of theirs."""
        here = Field(bench, Unstartable())
        bench.put("u/a", 1)
        assert [b"u/a"] == list((await here.land("u")).errors)
        assert [b"u/a"] == list((await here.land("u")).errors)
        assert ["readers"] == [each["key"] for each in bench.events("reader.unavailable")]
        assert here.says_nothing_of_it()

    async def test_a_member_that_can_not_be_read_now(self, bench, field):
        """What the machine says no to is tried again; nothing of the unit is there meanwhile."""
        here = field()
        bench.put("u/a", 1)
        with mode(bench.put("u/b", 2), 0):
            landed = await here.land("u")
        assert ("waits", RefusalCode.DENIED) == (landed.result, landed.held[b"u/b"].code)
        assert here.says_nothing_of_it()

    async def test_a_machine_that_fails(self, bench, field):
        """What the machine refuses is no fault of the unit's: it is given back with the error."""
        here = field()
        bench.put("u/a", 1)
        os.rename(here.parts.storage.marker("prearchive"), bench.path("marker"))
        unit = here.unit("u")
        landed = await here.lander.land(here.drop, unit)
        assert ("waits", [b"u/a"]) == (landed.result, list(landed.errors))
        os.rename(bench.path("marker"), here.parts.storage.marker("prearchive"))
        assert "landed" == (await here.land("u")).result

    async def test_a_unit_without_room(self, bench, field, monkeypatch):
        """One that can't fit takes nobody's room: none of it is staged."""
        here = field()
        bench.put("u/a", 1)
        bench.put("u/b", 2)
        size = sum(seen.size for _, seen in here.unit("u").sources)
        little = replace(room.free(bench.path()), bytes_free=size - 1)
        monkeypatch.setattr("watcher.stages.mustering.free", lambda _: little)
        unread = Unread()
        landed = await Field(bench, unread).land("u")
        (error,) = landed.errors.values()
        assert ("waits", FullError, 0) == (landed.result, type(error), unread.asked)
        assert error.place.startswith(here.parts.storage.path("prearchive"))
        assert here.says_nothing_of_it()


class TestWhatIsRefused:
    """Units with a member that can't be filed: whole to the quarantine."""

    async def test_a_member_without_a_uid(self, bench, field):
        """DICOM that lacks a UID refuses the unit: all of it goes to quarantine, nothing lands."""
        here = field()
        bench.put("u/a", 1)
        bench.put("u/b", 2, StudyInstanceUID=None)
        landed = await here.land("u")
        assert ("refused", dict.fromkeys([b"u/a", b"u/b"])) == (landed.result, landed.remains)
        assert ["a", "b"] == sorted(map(os.path.basename, aside(bench)))
        assert ["missing-uid"] == [each["code"] for each in bench.reasons("quarantine")]
        assert [] == here.sessions() == here.staged() == here.left()

    async def test_strict(self, bench, field):
        """With strict = true a member that is not DICOM refuses the unit."""
        here = field(strict=True)
        bench.put("u/a", 1)
        with open(bench.path("u/notes.txt"), "w") as file:
            file.write("as is")
        assert "refused" == (await here.land("u")).result
        assert [] == here.sessions() == here.left()

    async def test_an_archive_in_a_directory(self, bench, field):
        """An archive file within a unit refuses it: nothing is unpacked twice."""
        here = field()
        bench.put("to pack/a", 1)
        packed(bench, "x.zip")
        bench.put("u/b", 2)
        os.rename(bench.path("x.zip"), bench.path("u/x.zip"))
        assert "refused" == (await here.land("u")).result
        assert ["archive-file"] == [each["code"] for each in bench.reasons("quarantine")]

    @pytest.mark.parametrize("members", [{}, {"../../evil": "x"}])
    async def test_a_hostile_or_empty_archive(self, bench, field, members):
        """It goes to quarantine as it is."""
        here = field()
        with zipfile.ZipFile(bench.path("x.zip"), "w") as out:
            for path, text in members.items():
                out.writestr(path, text)
        before = files.read(bench.path("x.zip"))
        assert "refused" == (await here.land("x.zip")).result
        assert [before] == list(aside(bench).values())
        assert [] == here.sessions() == here.left() == here.staged()


def waited_for(leases):
    """Whether somebody waits for a lock of these leases."""
    inode = f":{os.stat(leases._path).st_ino}"
    with open("/proc/locks", encoding="ascii") as locks:
        return any(" -> " in line and inode in line for line in locks)


class TestHeldWhole:
    """What fed a session as a unit goes in as a unit."""

    async def test_a_conflict_in_one_scan_holds_all(self, bench, field):
        """A finding about one scan holds the whole session, where a unit fed it (spec 10)."""
        bench.archived(1)
        here = field()
        bench.put("u/a", 1, ImageComments="another")
        bench.put("u/b", 2, series="2", SeriesNumber=2)
        await here.land("u")
        await Sessions(here.parts, {}).round()
        (session,) = here.parts.ledger.sessions()
        assert (Status.CONFLICT, False) == (session.status, session.partly)
        assert 2 == len(here.parts.ledger.instances(session.id))


class TestWhileItLands:
    """Between the promise and the end."""

    async def test_a_session_leaves_receiving_by_nothing(self, bench, field):
        """Nobody builds, archives, moves or deletes what a unit is landing in."""
        session = bench.filed(1)
        bench.put("b", 2)
        batch = [replace(bench.incoming("b", copy=True), unit="U1")]
        Filer(bench.parts).file(bench.drop, batch)
        ledger = bench.parts.ledger
        held = ledger.session(session.id)
        assert ("U1", {"U1"}) == (held.landing, bench.parts.receiving.landing())
        assert [] == agenda.resting(ledger, None, 1.0)
        assert agenda.next_rest(ledger, 0.0) is None
        for event in (Event.IDLE, Event.REBUILD, Event.ARCHIVE, Event.MOVE, Event.DELETE):
            assert ledger.move(session.id, event) is None
        record = json.loads(files.read(bench.parts.storage.beside(held, "json")))
        assert "U1" == record["landing"]
        assert held.revision == record["revision"] > session.revision
        staged = os.path.join(bench.parts.storage.incoming, batch[0].examined.temp)
        assert os.path.exists(staged)  # until all of the unit has landed
        assert not idle(held, now=1e12, looked={}, available={}, holding=False, max_open=0.0).ready

    async def test_two_units_in_one_session(self, bench):
        """It is let go when the last of them has landed."""
        session = bench.filed(1)
        for number, unit in ((2, "U1"), (3, "U2"), (4, "U1")):
            bench.put(unit, number)
            batch = [replace(bench.incoming(unit, copy=True), unit=unit)]
            Filer(bench.parts).file(bench.drop, batch)
        receiving, ledger = bench.parts.receiving, bench.parts.ledger
        assert "U1 U2" == ledger.session(session.id).landing
        receiving.landed("U1", 5.0)
        assert "U2" == ledger.session(session.id).landing
        assert session.inactivity == ledger.session(session.id).inactivity
        receiving.landed("U2", 6.0)
        left = ledger.session(session.id)
        assert ("", 0.0, 6.0) == (left.landing, left.inactivity, left.last_arrival)

    def test_two_units_let_one_session_go(self, bench):
        """Units of two drops that end at the same moment wait for each other."""
        session = bench.filed(1)
        for number, unit in ((2, "U1"), (3, "U2")):
            bench.put(unit, number)
            batch = [replace(bench.incoming(unit, copy=True), unit=unit)]
            Filer(bench.parts).file(bench.drop, batch)
        leases = bench.parts.leases
        with ThreadPoolExecutor(1) as other:
            with leases.exclusive("landing"), leases.hold([session_key(session.id)], 1.0):
                ends = other.submit(let_go, bench.parts, "U2")
                while not ends.done() and not waited_for(leases):
                    os.sched_yield()
            assert 1 == ends.result()
        assert "U1" == bench.parts.ledger.session(session.id).landing

    async def test_what_could_not_be_done_is_carried_on(self, bench, field):
        """A promised unit lands at the next try, even if the drop has nothing of it any more."""
        here = field()
        bench.put("u/a", 1)
        with open(bench.path("u/notes.txt"), "w") as file:
            file.write("as is")
        marker = here.parts.storage.marker("quarantine")
        os.rename(marker, bench.path("marker"))  # strays can't be set aside
        landed = await here.land("u")
        assert ("waits", 1) == (landed.result, len(landed.errors))
        assert {("P1", "1.2.3"): 1} == here.files()
        assert here.lander.owes
        await here.lander.settle("mri")
        assert here.lander.owes
        os.rename(bench.path("marker"), marker)
        await here.lander.settle("mri")
        assert not here.lander.owes
        assert [] == here.staged() == here.left()
        assert {("P1", "1.2.3"): 1} == here.files()

    async def test_it_is_carried_on_before_another_of_its_name(self, bench, field):
        """What comes under the name of a promised unit is a unit of its own, later."""
        here = field()
        bench.put("u/a", 1)
        with open(bench.path("u/notes.txt"), "w") as file:
            file.write("as is")
        marker = here.parts.storage.marker("quarantine")
        os.rename(marker, bench.path("u.marker"))
        await here.land("u")
        os.rename(bench.path("u.marker"), marker)
        bench.put("u/b", 2)
        landed = await here.land("u")
        assert ("waits", {}, {}) == (landed.result, landed.held, landed.errors)
        assert ["u/b"] == here.left()
        landed = await here.land("u")
        assert ("landed", {b"u/b": None}) == (landed.result, landed.remains)
        assert {("P1", "1.2.3"): 2} == here.files()

    async def test_a_session_that_somebody_holds(self, bench, field):
        """Its sources are not touched before its sessions could be let go."""
        here = field()
        session = bench.filed(2)
        bench.put("u/a", 1)
        parts = here.parts
        with parts.leases.hold([session_key(session.id)], parts.clock.now()):
            landed = await here.land("u")
        assert ("waits", [b"u/a"]) == (landed.result, list(landed.errors))
        assert "" != parts.ledger.session(session.id).landing
        await here.lander.settle("mri")
        assert ("", []) == (parts.ledger.session(session.id).landing, here.left())

    async def test_what_a_store_refuses_is_told(self, bench, field):
        """A promise that can't be done because of a store is the caller's to say, and is owed."""
        here = field()
        await self.promised(here, "u")
        (name,) = here.staged()
        folder = os.path.join(here.parts.storage.incoming, name)
        (staged,) = (each for each in os.listdir(folder) if each.endswith(".part"))
        os.rename(f"{folder}/{staged}", bench.path("away"))
        (fared,) = await here.lander.settle("mri")
        (error,) = fared.errors.values()
        assert ("waits", True) == (fared.result, isinstance(error, StorageError))
        assert here.lander.owes
        os.rename(bench.path("away"), f"{folder}/{staged}")
        await here.lander.settle("mri")
        assert (False, {("P1", "1.2.3"): 1}) == (here.lander.owes, here.files())

    async def test_each_drop_has_hands_of_its_own(self, bench, field):
        """None touches another's drop, which may hang; whose drop is no more, its unit lands."""
        here = field()
        here.lander.serve("mri")
        await self.promised(here, "u")
        await here.lander.settle("other")
        assert ({}, True) == (here.files(), here.lander.owes)
        here = field()
        await here.lander.settle("other")
        assert ({("P1", "1.2.3"): 1}, False) == (here.files(), here.lander.owes)
        assert ["u/a"] == here.left()  # for the eyes of the drop, if there is one again
        assert {b"u/a"} == here.parts.receiving.taken("mri").keys()

    async def test_what_is_promised_meanwhile_is_owed(self, bench, field):
        """While one unit is carried on, another drop's is promised and can't be done."""
        other = replace(bench.drop, name="other", mode="transactional")
        bench.put("v/b", 2)
        with open(bench.path("v/notes.txt"), "w") as file:
            file.write("as is")
        marker = bench.parts.storage.marker("quarantine")

        class Busy(Readers):
            async def examine(self, requests):
                if "list" in requests[0]:
                    os.rename(marker, bench.path("marker"))
                    await here.lander.land(other, replace(here.unit("v"), drop="other"))
                    os.rename(bench.path("marker"), marker)
                return await super().examine(requests)

        bench.put("u/a", 1)
        shutil.copy(a_dicomdir(), bench.path("u/DICOMDIR"))
        here = Field(bench, Busy())
        await self.promised(here, "u")
        await here.lander.settle("mri")
        assert (1, True) == (len(here.staged()), here.lander.owes)
        await here.lander.settle("other")
        assert ([], False) == (here.staged(), here.lander.owes)

    async def test_a_drop_that_goes_away(self, bench, field):
        """A promised unit needs no drop, and nothing is concluded of what lay there."""
        here = field()
        bench.put("u/a", 1)
        shutil.copy(a_dicomdir(), bench.path("u/DICOMDIR"))
        there = (here.drop, b"u/DICOMDIR", bench.path("u/DICOMDIR"))
        await note_list(here.parts, Readers().examine, Hop(1), *there)
        await self.promised(here, "u")
        shutil.move(bench.drop.path, f"{bench.drop.path}.away")
        await here.lander.settle("mri")
        (session,) = here.sessions()
        assert ("", True, []) == (session.landing, session.whole, here.staged())
        assert {} == bench.kept_aside("quarantine")
        assert [b"u/DICOMDIR"] == Lists(here.parts.ledger).paths("mri")
        shutil.move(f"{bench.drop.path}.away", bench.drop.path)
        assert ["u/DICOMDIR", "u/a"] == here.left()
        assert {b"u/a"} == here.parts.receiving.taken("mri").keys()

    async def promised(self, here, name):
        """A unit of the drop (a file, if it is not there yet) that is promised, and no more."""
        if not os.path.isdir(here.bench.path(name)):
            here.bench.put(f"{name}/a", 1)
        return await promise_it(here, name)

    async def test_what_an_earlier_try_left_is_discarded(self, bench, field):
        """A staging folder without a promise is nothing."""
        here = field()
        bench.put("u/a", 1)
        unit = here.unit("u")
        left = unit_promise.begin(here.parts, unit)
        folder = unit_promise.folder_of(here.parts, left)
        files.swap(os.path.join(folder, "m0"), b"half")
        landed = await here.lander.land(here.drop, unit)
        assert "landed" == landed.result
        assert [] == here.staged()


async def promise_it(here, name):
    """A unit of the drop that is staged, examined and promised, and no more; its id."""
    unit = here.unit(name)
    unit_id = unit_promise.begin(here.parts, unit)
    rules = (Identify(), Limits(), Readers(), Hop(1), here.drop, unit, unit_id, Quiet.FULL)
    await Mustering(here.parts, *rules).run()
    unit_promise.promise(here.parts, unit_id, here.drop, unit)
    return unit_id


async def started(bench):
    await recover(bench.parts, Readers().examine, Hop(1))


class TestAStart:
    """What a start does with units."""

    @pytest.fixture
    async def promised(self, bench, field):
        """A unit of a file and a stray that is promised, and no more."""
        here = field()
        bench.put("u/a", 1)
        with open(bench.path("u/notes.txt"), "w") as file:
            file.write("as is")
        await promise_it(here, "u")
        return here

    async def test_a_promised_unit_lands(self, bench, promised):
        """A start carries it on without the drop; the eyes of that find its sources taken."""
        shutil.move(bench.drop.path, f"{bench.drop.path}.away")
        await started(bench)
        assert {("P1", "1.2.3"): 1} == promised.files()
        (session,) = promised.sessions()
        assert ("", True) == (session.landing, session.whole)
        assert {b"u/a"} == promised.parts.receiving.taken("mri").keys()
        assert [] == promised.staged()
        assert [{"count": 1, "text": "units that were landing", "outcome": "carried on"}] == [
            each for each in bench.events("daemon.recovered") if "units" in each["text"]
        ]

    async def test_what_is_filed_is_not_filed_again(self, bench, promised):
        """A session may be archived and gone when a start finds the promise: it has been filed."""
        (unit_id,) = unit_promise.promised(promised.parts)
        made = unit_promise.read(promised.parts, unit_id)
        unit_promise.mark_filed(promised.parts, made)
        await started(bench)
        assert [] == promised.staged() == promised.sessions()
        assert {b"u/a"} == promised.parts.receiving.taken("mri").keys()

    async def test_a_promise_waits_for_a_store(self, bench, promised):
        """What a start can't do now is said, and done by the run."""
        shutil.move(bench.path("u/notes.txt"), bench.path("u/away"))
        (unit_id,) = unit_promise.promised(promised.parts)
        folder = unit_promise.folder_of(promised.parts, unit_id)
        (staged,) = (name for name in os.listdir(folder) if name.endswith(".part"))
        os.rename(f"{folder}/{staged}", f"{folder}/away")
        bench.put("b", 2)
        Filer(bench.parts).file(bench.drop, [replace(bench.incoming("b", copy=True), unit=unit_id)])
        await started(bench)
        (held,) = promised.sessions()
        assert unit_id == held.landing  # nobody builds it half
        assert ["postponed"] == [each["outcome"] for each in bench.events("daemon.recovered")]
        os.rename(f"{folder}/away", f"{folder}/{staged}")
        await promised.lander.settle("mri")
        assert {("P1", "1.2.3"): 2} == promised.files()
        assert [] == promised.staged()

    async def test_a_unit_without_a_promise_is_swept(self, bench, promised):
        """Before the promise a crash leaves nothing: the unit is in the drop."""
        (name,) = promised.staged()
        files.remove(os.path.join(promised.parts.storage.incoming, name, "unit.json"))
        files.swap(os.path.join(promised.parts.storage.incoming, "half.part"), b"half")
        await started(bench)
        assert [] == promised.staged() == promised.sessions()
        assert ["u/a", "u/notes.txt"] == promised.left()

    async def test_a_promise_that_can_not_be_read_is_left(self, bench, promised):
        """It is said, and nothing of it is removed."""
        (name,) = promised.staged()
        path = os.path.join(promised.parts.storage.incoming, name, "unit.json")
        files.swap(path, b"{}")
        await started(bench)
        assert [name] == promised.staged()
        assert ["postponed"] == [each["outcome"] for each in bench.events("daemon.recovered")]
        await promised.lander.settle("mri")

    @pytest.mark.parametrize("cause", ["it ends", "a fault"])
    async def test_what_a_start_does_not_come_to_holds_its_sessions(self, bench, field, cause):
        """A start that is stopped, or can't read a promise now, lets nobody build half a unit."""
        here = field()
        for name, study in (("u", "1.2"), ("v", "1.3")):
            bench.put(f"{name}/a", 1, study=study)
            unit_id = await promise_it(here, name)
            bench.put(name + "2", 2, study=study)
            some = replace(bench.incoming(name + "2", copy=True), unit=unit_id)
            Filer(bench.parts).file(bench.drop, [some])
            path = os.path.join(unit_promise.folder_of(here.parts, unit_id), "unit.json")
            if cause == "a fault":
                os.rename(path, f"{path}.away")
                os.mkdir(path)
        if cause == "it ends":
            bench.parts.stopping.set()
        landing = {each.study: each.landing for each in here.sessions()}
        assert all(landing.values())
        await started(bench)
        assert landing == {each.study: each.landing for each in here.sessions()}

    async def test_a_session_of_a_unit_that_is_nowhere_is_freed(self, bench):
        """A session is not held for a unit whose staging folder somebody removed; that is said."""
        session = bench.filed(1)
        bench.put("b", 2)
        Filer(bench.parts).file(bench.drop, [replace(bench.incoming("b", copy=True), unit="U1")])
        await started(bench)
        assert "" == bench.parts.ledger.session(session.id).landing
        assert "freed" in [each["outcome"] for each in bench.events("daemon.recovered")]

    async def test_a_lost_ledger_forgets_no_landing(self, bench, promised):
        """The record tells what lands in a session, so that nobody builds it half."""
        bench.put("b", 2)
        (name,) = promised.staged()
        unit = name.removeprefix("unit-")
        Filer(bench.parts).file(bench.drop, [replace(bench.incoming("b", copy=True), unit=unit)])
        with bench.parts.ledger.write() as tx:
            for table in reversed(tables.metadata.sorted_tables):
                tx.execute(table.delete())
        await started(bench)
        assert {("P1", "1.2.3"): 2} == promised.files()
        (session,) = promised.sessions()
        assert ("", True, ("mri",)) == (session.landing, session.whole, session.drops)


async def test_a_journal_of_other_bytes_is_an_error(bench):
    """What was noted is believed only as it was written."""
    unit = Unit("mri", b"u", Kind.FOLDER, ())
    unit_id = unit_promise.begin(bench.parts, unit)
    folder = unit_promise.folder_of(bench.parts, unit_id)
    files.swap(os.path.join(folder, "members.jsonl"), b"{}\n")
    made = unit_promise.promise(bench.parts, unit_id, bench.drop, unit)
    assert made == unit_promise.read(bench.parts, unit_id)
    with pytest.raises(DocumentError):
        next(unit_promise.members(bench.parts, made))
