"""The plan of an archiving: each step can be repeated, taken back before the first swap."""

import os
from dataclasses import replace

import pytest

from watcher.core.errors import DocumentError, StorageError
from watcher.core.life import Event
from watcher.core.model import Status
from watcher.io import files
from watcher.stages import archive as archiving
from watcher.stages import promise as promises
from watcher.stages.parts import Stopped
from watcher.stages.promise import OutdatedError
from watcher.stages.validate import judge


@pytest.fixture
def planned(bench):
    """The plan of a new session of two files, written down."""
    return plan(bench, bench.built(1, 2))


def plan(bench, session):
    session = bench.parts.ledger.move(session.id, Event.ARCHIVE)
    promise = archiving._plan(bench.parts, judge(bench.parts, session))
    promises.write(bench.parts, promise)
    return promise


def beside(bench, promise):
    return bench.parts.storage.beside(promise.session, "plan.json")


def target(bench, promise, number=0):
    return os.path.join(bench.shelf(), promise.carries[number].target)


def source(bench, promise, number=0):
    return os.path.join(bench.folder(promise.session), promise.carries[number].source)


class TestWriting:
    """The plan as a file."""

    def test_it_is_read_as_it_was_written(self, bench, planned):
        """What a restart reads is the plan that was made, whole."""
        assert planned == promises.read(beside(bench, planned))

    @pytest.mark.parametrize("text", [b"", b"{}", b"[]", b'{"session": 3}', b"\xff"])
    def test_a_plan_that_is_none_is_refused(self, bench, planned, text):
        """A file that holds no plan is a DocumentError, never an empty plan."""
        files.swap(beside(bench, planned), text)
        with pytest.raises(DocumentError):
            promises.read(beside(bench, planned))


class TestCarryingOut:
    """Forward."""

    def test_every_step_can_be_repeated(self, bench, planned):
        """Carried out twice it ends as carried out once."""
        promises.carry_out(bench.parts, planned)
        before = bench.tree()
        promises.carry_out(bench.parts, planned)
        assert before == bench.tree()
        assert 4 == len([path for path in before if "arc001" in path])

    def test_files_come_before_documents(self, bench, planned):
        """Stopped between two files no document lists any of them yet."""
        os.remove(source(bench, planned, 1))
        with pytest.raises(StorageError):
            promises.carry_out(bench.parts, planned)
        assert os.path.exists(target(bench, planned))
        assert [] == [path for path in bench.tree() if path.endswith(".xml")]
        assert not promises.is_begun(bench.parts, planned)

    def test_a_copy_that_is_there_needs_no_source(self, bench, planned):
        """A file that was carried and cleared away already is done."""
        promises.carry_out(bench.parts, planned)
        promises.clear_away(bench.parts, planned)
        promises.carry_out(bench.parts, planned)
        assert promises.is_begun(bench.parts, planned)

    def test_the_same_bytes_under_the_name_are_the_file(self, bench, planned):
        """A name taken by a copy of the file itself is as good as a link."""
        path = target(bench, planned)
        os.makedirs(os.path.dirname(path))
        with open(path, "wb") as file:
            file.write(files.read(source(bench, planned)))
        promises.carry_out(bench.parts, planned)
        assert promises.is_begun(bench.parts, planned)

    def test_other_bytes_under_the_name_outdate_the_plan(self, bench, planned):
        """A name taken by other content: a new plan, and nothing is overwritten."""
        path = target(bench, planned)
        os.makedirs(os.path.dirname(path))
        with open(path, "wb") as file:
            file.write(b"other")
        with pytest.raises(OutdatedError):
            promises.carry_out(bench.parts, planned)
        assert b"other" == files.read(path)

    def test_a_document_that_changed_outdates_the_plan(self, bench, planned):
        """The archived session's XML is another than when the plan was made: nothing is done."""
        os.makedirs(os.path.dirname(bench.shelf()))
        with open(f"{bench.shelf()}.xml", "wb") as file:
            file.write(b"<another/>")
        with pytest.raises(OutdatedError):
            promises.carry_out(bench.parts, planned)
        assert ["P1/arc001/P1.xml"] == bench.tree()

    def test_it_stops_between_two_steps(self, bench, planned):
        """When the program is ending the plan stands still, to be carried on."""
        bench.parts.stopping.set()
        with pytest.raises(Stopped):
            promises.carry_out(bench.parts, planned)
        assert os.path.exists(beside(bench, planned))


class TestTakingBack:
    """Back, before the first swap."""

    def test_nothing_of_it_is_left(self, bench, planned):
        """Links, the folders made for them and the plan are gone; the session is as it was."""
        before = set(bench.tree("prearchive"))
        os.remove(source(bench, planned, 1))
        with pytest.raises(StorageError):
            promises.carry_out(bench.parts, planned)
        promises.take_back(bench.parts, planned)
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
        promises.take_back(bench.parts, planned)
        assert [] == bench.tree()

    def test_what_it_did_not_put_there_stays(self, bench, planned):
        """Other content under a planned name, and other files beside, are not ours to remove."""
        path = target(bench, planned)
        os.makedirs(os.path.dirname(path))
        for name in (path, f"{path}.other"):
            with open(name, "wb") as file:
                file.write(b"other")
        promises.take_back(bench.parts, planned)
        assert 2 == len(bench.tree())

    def test_the_only_copy_is_never_removed(self, bench, planned):
        """A file whose source is gone is not taken out of the archive."""
        path = target(bench, planned)
        os.makedirs(os.path.dirname(path))
        os.rename(source(bench, planned), path)
        promises.take_back(bench.parts, planned)
        assert os.path.exists(path)


class TestClearingAway:
    """The prearchive folder afterwards."""

    def test_what_the_plan_does_not_name_stays(self, bench, planned):
        """A file nobody planned for is not removed with the session."""
        extra = os.path.join(bench.folder(planned.session), "SCANS", "1", "note.txt")
        with open(extra, "wb"):
            pass
        promises.carry_out(bench.parts, planned)
        promises.clear_away(bench.parts, planned)
        promises.strike(bench.parts, planned.session)
        assert os.path.exists(extra)
        assert [os.path.relpath(extra, bench.parts.storage.path("prearchive"))] == bench.tree(
            "prearchive"
        )

    def test_a_source_goes_only_when_its_target_is_there(self, bench, planned):
        """A file that did not arrive is not removed from where it came."""
        promises.carry_out(bench.parts, planned)
        os.remove(target(bench, planned))
        promises.clear_away(bench.parts, planned)
        assert [True, False] == [os.path.exists(source(bench, planned, n)) for n in (0, 1)]

    def test_the_folders_that_only_it_held_go(self, bench, planned):
        """Timestamp and project folders are removed with the last session in them."""
        promises.carry_out(bench.parts, planned)
        promises.clear_away(bench.parts, planned)
        promises.strike(bench.parts, planned.session)
        prearchive = bench.parts.storage.path("prearchive")
        assert not os.path.exists(os.path.join(prearchive, "P1"))


class TestBegun:
    """Whether a plan is carried forward."""

    def test_a_plan_that_changes_no_document_is_begun(self, bench, planned):
        """An identical resend swaps nothing, and is carried forward, never back."""
        nothing = replace(
            planned, swaps=tuple(replace(each, before=each.after) for each in planned.swaps)
        )
        assert promises.is_begun(bench.parts, nothing)

    def test_one_swapped_document_is_enough(self, bench, planned):
        """With the first catalog in place the archiving is carried forward."""
        first = planned.swaps[0]
        assert not promises.is_begun(bench.parts, planned)
        path = os.path.join(bench.shelf(), first.path)
        os.makedirs(os.path.dirname(path))
        files.swap(path, first.text.encode())
        assert promises.is_begun(bench.parts, planned)
        assert Status.ARCHIVING is bench.parts.ledger.session(planned.session.id).status
