"""A plan carried out: each step can be repeated, and taken back before the first swap."""

import hashlib
import os
import shutil
import tempfile
import threading
from dataclasses import replace

import pytest
from makers import MR
from planned import beside, plan

from watcher.core.errors import StorageError
from watcher.core.policy import Project
from watcher.core.session import Status
from watcher.dicom import catalog
from watcher.io import files
from watcher.stages import carrying, withdrawing
from watcher.stages import promise as promises
from watcher.stages.archive import archive
from watcher.stages.parts import Stopped
from watcher.stages.promise import OutdatedError


@pytest.fixture
def planned(bench):
    """The plan of a new session of two files, written down."""
    return plan(bench, bench.built(1, 2))


@pytest.fixture
def far_history(bench):
    """The history on another file system, where nothing can be linked to."""
    if os.stat("/dev/shm").st_dev == os.stat(bench.drop.path).st_dev:
        pytest.skip("/dev/shm is not another file system here")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        old = bench.parts.storage.path("history")
        shutil.copytree(old, folder, dirs_exist_ok=True)
        shutil.rmtree(old)
        stores = replace(bench.parts.storage.stores, history=folder)
        bench.parts.storage.stores = stores
        yield


def everything(bench):
    """Every file and folder of the stores, but ours in the state."""
    stores = ("prearchive", "archive", "quarantine", "history")
    return {
        (store, os.path.relpath(base, bench.parts.storage.path(store)), *sorted(names))
        for store in stores
        for base, _, names in os.walk(bench.parts.storage.path(store))
    }


def target(bench, promise, number=0):
    return os.path.join(bench.shelf(), promise.carries[number].target)


def source(bench, promise, number=0):
    return os.path.join(bench.folder(promise.session), promise.carries[number].source)


class TestCarryingOut:
    """Forward."""

    def test_every_step_can_be_repeated(self, bench, planned):
        """Carried out twice it ends as carried out once."""
        carrying.carry_out(bench.parts, planned)
        before = bench.tree()
        carrying.carry_out(bench.parts, planned)
        assert before == bench.tree()
        assert 4 == len([path for path in before if "arc001" in path])

    def test_every_step_of_a_part_can_be_repeated(self, bench):
        """With files that replace, stay and are set aside: the second time changes nothing."""
        bench.parts.projects.known["P1"] = Project("P1", overwrite=True)
        session = bench.in_two_scans()
        bench.filed(6, sop="1.2.3.9.3", sop_class=MR, modality="MR", series="2", SeriesNumber=2)
        stray = f"{bench.folder(session)}/SCANS/2/notes.txt"
        files.swap(stray, b"x")
        session = bench.filed(7, series="3", SeriesNumber=3)
        (lost,) = [r for r in bench.parts.ledger.instances(session.id) if r.place.scan == "3"]
        os.remove(os.path.join(bench.folder(session), lost.place.path))  # held
        promise = plan(bench, bench.rebuilt(session))
        assert (True, 1) == (promise.remains is not None, promise.replaced)
        ends = []
        for _ in range(2):
            carrying.carry_out(bench.parts, promise)
            carrying.clear_away(bench.parts, promise)
            ends.append(everything(bench))
        assert ends[0] == ends[1]
        assert not os.path.exists(stray)

    def test_files_come_before_documents(self, bench, planned):
        """Stopped between two files no document lists any of them yet."""
        os.remove(source(bench, planned, 1))
        with pytest.raises(OutdatedError):
            carrying.carry_out(bench.parts, planned)
        assert os.path.exists(target(bench, planned))
        assert [] == [path for path in bench.tree() if path.endswith(".xml")]
        assert not carrying.is_begun(bench.parts, planned)

    def test_a_copy_that_is_there_needs_no_source(self, bench, planned):
        """A file that was carried and cleared away already is done."""
        carrying.carry_out(bench.parts, planned)
        carrying.clear_away(bench.parts, planned)
        carrying.carry_out(bench.parts, planned)
        assert carrying.is_begun(bench.parts, planned)

    def test_the_same_bytes_under_the_name_are_the_file(self, bench, planned):
        """A name taken by a copy of the file itself is as good as a link."""
        path = target(bench, planned)
        os.makedirs(os.path.dirname(path))
        with open(path, "wb") as file:
            file.write(files.read(source(bench, planned)))
        carrying.carry_out(bench.parts, planned)
        assert carrying.is_begun(bench.parts, planned)

    def test_other_bytes_under_the_name_outdate_the_plan(self, bench, planned):
        """A name taken by other content: a new plan, and nothing is overwritten."""
        path = target(bench, planned)
        os.makedirs(os.path.dirname(path))
        with open(path, "wb") as file:
            file.write(b"other")
        with pytest.raises(OutdatedError):
            carrying.carry_out(bench.parts, planned)
        assert b"other" == files.read(path)

    def test_a_document_that_changed_outdates_the_plan(self, bench, planned):
        """The archived session's XML is another than when the plan was made: nothing is done."""
        os.makedirs(os.path.dirname(bench.shelf()))
        with open(f"{bench.shelf()}.xml", "wb") as file:
            file.write(b"<another/>")
        with pytest.raises(OutdatedError):
            carrying.carry_out(bench.parts, planned)
        assert ["P1/arc001/P1.xml"] == bench.tree()

    def test_it_stops_between_two_steps(self, bench, planned):
        """When the program is ending the plan stands still, to be carried on."""
        bench.parts.stopping.set()
        with pytest.raises(Stopped):
            carrying.carry_out(bench.parts, planned)
        assert os.path.exists(beside(bench, planned))

    def test_a_document_that_vanishes_is_not_written_from_nothing(self, bench):
        """The catalog that a file is added to is gone when its turn comes: no empty one is made."""
        bench.archived(1)
        promise = plan(bench, bench.built(2))
        promise = promises.read(beside(bench, promise))
        swap = promise.swaps[0]
        path = os.path.join(bench.shelf(), swap.path)
        os.remove(path)
        with pytest.raises(OutdatedError):
            carrying.carry_out(bench.parts, replace(promise, swaps=(replace(swap, before=""),)))
        assert not os.path.exists(path)

    def test_readers_find_every_listed_file_at_all_times(self, bench):
        """Merges with additions and replacements under a reader that checks without a pause.

        It has checked before the first and after each.
        """
        bench.parts.projects.known["P1"] = Project("P1", overwrite=True)
        bench.archived(1, 2)
        path = os.path.join(bench.shelf(), "SCANS/1/DICOM/scan_1_catalog.xml")
        with Reader(path) as reader:
            for number in range(3, 9):
                bench.again(1, ImageComments=f"{number}")
                session = bench.filed(number)
                assert archive(bench.parts, bench.rebuilt(session).id).status == Status.ARCHIVED
                reader.await_look()
        assert [] == reader.wrong
        assert (8, []) == (len(catalog.read(files.read(path))[1]), bench.untrue())


class Reader(threading.Thread):
    """Reads a catalog and every file it lists, again and again."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path, self.wrong = path, []
        self.ended, self.looked = threading.Event(), threading.Event()

    def __enter__(self):
        self.start()
        self.await_look()
        return self

    def await_look(self):
        """Wait until a look that began from now on is over."""
        for _ in range(2):  # the first may have begun before
            self.looked.clear()
            assert self.looked.wait(120)

    def __exit__(self, *_):
        self.ended.set()
        self.join()

    def run(self):
        while not self.ended.is_set():
            self.wrong += filter(None, map(self.look, catalog.read(files.read(self.path))[1]))
            self.looked.set()

    def look(self, entry):
        """A file that is missing or other bytes, unless the catalog has dropped it meanwhile."""
        data = files.read_if_there(os.path.join(os.path.dirname(self.path), entry.uri))
        right = data is not None and hashlib.md5(data).hexdigest() == entry.digest
        again = catalog.read(files.read(self.path))[1] if not right else ()
        return entry.uri if entry.uri in {each.uri for each in again} else None


class TestTakingBack:
    """Back, before the first swap."""

    @pytest.mark.parametrize("far", [False, True], ids=["links", "copies"])
    def test_no_trace_is_left_in_quarantine_and_history(self, bench, request, far):
        """Names, folders and copies made there go; archive and prearchive are as they were."""
        if far:
            request.getfixturevalue("far_history")
        bench.parts.projects.known["P1"] = Project("P1", overwrite=True)
        bench.archived(1, 2)
        bench.again(1)
        session = bench.filed(2, sop_class=MR, modality="MR")
        files.swap(f"{bench.folder(session)}/SCANS/1/notes.txt", b"x")
        torn = os.path.join(bench.shelf(), "SCANS/1/DICOM/scan_1_catalog.xml")
        files.swap(torn, files.read(torn)[:-9])
        session = bench.rebuilt(session)
        before = everything(bench)
        promise = plan(bench, session)
        assert (2, 2) == (len(promise.asides), len(promise.retires))
        path = os.path.join(bench.shelf(), promise.swaps[0].path)
        os.makedirs(files.temporary(path))
        with pytest.raises(StorageError):
            carrying.carry_out(bench.parts, promise)
        assert 4 == len([p for s in ("quarantine", "history") for p in bench.tree(s)])
        os.rmdir(files.temporary(path))
        withdrawing.take_back(bench.parts, promise)
        assert before == everything(bench)

    def test_nothing_of_it_is_left(self, bench, planned):
        """Links, the folders made for them and the plan are gone; the session is as it was."""
        before = set(bench.tree("prearchive"))
        os.remove(source(bench, planned, 1))
        with pytest.raises(OutdatedError):
            carrying.carry_out(bench.parts, planned)
        withdrawing.take_back(bench.parts, planned)
        assert [] == bench.tree()
        assert not os.path.lexists(os.path.dirname(bench.shelf()))
        assert before - set(bench.tree("prearchive")) == {
            os.path.relpath(path, bench.parts.storage.path("prearchive"))
            for path in (source(bench, planned, 1), beside(bench, planned))
        }

    def test_a_copy_is_taken_back_too(self, bench, planned):
        """A copy made where no link was possible has the plan's bytes, and goes."""
        path = target(bench, planned)
        os.makedirs(os.path.dirname(path))
        with open(path, "wb") as file:
            file.write(files.read(source(bench, planned)))
        withdrawing.take_back(bench.parts, planned)
        assert [] == bench.tree()

    def test_what_it_did_not_put_there_stays(self, bench, planned):
        """Other content under a planned name, and other files beside, are not ours to remove."""
        path = target(bench, planned)
        os.makedirs(os.path.dirname(path))
        for name in (path, f"{path}.other"):
            with open(name, "wb") as file:
                file.write(b"other")
        withdrawing.take_back(bench.parts, planned)
        assert 2 == len(bench.tree())

    def test_the_only_copy_is_never_removed(self, bench, planned):
        """A file whose source is gone is not taken out of the archive."""
        path = target(bench, planned)
        os.makedirs(os.path.dirname(path))
        os.rename(source(bench, planned), path)
        withdrawing.take_back(bench.parts, planned)
        assert os.path.exists(path)


class TestClearingAway:
    """The prearchive folder afterwards."""

    def test_a_file_that_the_archive_lost_meanwhile_is_not_dropped(self, bench):
        """It was to be dropped for an archived one that is gone now: it stays."""
        bench.archived(1)
        promise = plan(bench, bench.built(1))
        (drop,) = promise.drops
        carrying.carry_out(bench.parts, promise)
        os.remove(os.path.join(bench.shelf(), drop.target))
        carrying.clear_away(bench.parts, promise)
        assert os.path.exists(os.path.join(bench.folder(promise.session), drop.source))

    def test_folders_of_what_went_in_are_gone(self, bench):
        """Of a session that stays in part, also those that only a stray lay in."""
        session = bench.in_two_scans()
        stray = f"{bench.folder(session)}/SCANS/2/deep/er/notes.txt"
        files.make_folder(os.path.dirname(stray))
        files.swap(stray, b"x")
        promise = plan(bench, session)
        carrying.carry_out(bench.parts, promise)
        carrying.clear_away(bench.parts, promise)
        assert ["1"] == os.listdir(f"{bench.folder(session)}/SCANS")

    def test_what_the_plan_does_not_name_stays(self, bench, planned):
        """A file nobody planned for is not removed with the session."""
        extra = os.path.join(bench.folder(planned.session), "SCANS", "1", "note.txt")
        with open(extra, "wb"):
            pass
        carrying.carry_out(bench.parts, planned)
        carrying.clear_away(bench.parts, planned)
        carrying.strike(bench.parts, planned.session)
        assert os.path.exists(extra)
        assert [os.path.relpath(extra, bench.parts.storage.path("prearchive"))] == bench.tree(
            "prearchive"
        )

    def test_a_source_goes_only_when_its_target_is_there(self, bench, planned):
        """A file that did not arrive is not removed from where it came."""
        carrying.carry_out(bench.parts, planned)
        os.remove(target(bench, planned))
        carrying.clear_away(bench.parts, planned)
        assert [True, False] == [os.path.exists(source(bench, planned, n)) for n in (0, 1)]

    def test_the_folders_that_only_it_held_go(self, bench, planned):
        """Timestamp and project folders are removed with the last session in them."""
        carrying.carry_out(bench.parts, planned)
        carrying.clear_away(bench.parts, planned)
        carrying.strike(bench.parts, planned.session)
        prearchive = bench.parts.storage.path("prearchive")
        assert not os.path.exists(os.path.join(prearchive, "P1"))


class TestBegun:
    """Whether a plan is carried forward."""

    def test_a_plan_that_changes_no_document_is_begun(self, bench, planned):
        """An identical resend swaps nothing, and is carried forward, never back."""
        nothing = replace(
            planned, swaps=tuple(replace(each, before=each.after) for each in planned.swaps)
        )
        assert carrying.is_begun(bench.parts, nothing)

    def test_one_swapped_document_is_enough(self, bench, planned):
        """With the first catalog in place the archiving is carried forward."""
        first = planned.swaps[0]
        assert not carrying.is_begun(bench.parts, planned)
        path = os.path.join(bench.shelf(), first.path)
        os.makedirs(os.path.dirname(path))
        files.swap(path, first.data(None))
        assert carrying.is_begun(bench.parts, planned)
        assert Status.ARCHIVING is bench.parts.ledger.session(planned.session.id).status
