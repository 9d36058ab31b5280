"""A READY session goes into the archive, whole or not at all."""

import json
import os

import pytest
from makers import MR
from mortal import mode

from watcher.core.errors import RefusedError, StorageError
from watcher.core.life import Event
from watcher.core.model import Status
from watcher.dicom import catalog, document
from watcher.io import files
from watcher.stages.archive import archive, take_up
from watcher.stages.parts import Stopped
from watcher.stages.recover import carry_on


def listed(bench, scan="1", label="P1"):
    """What an archived catalog lists, by URI, each checked against its file."""
    folder = os.path.join(bench.shelf(label), "SCANS", scan, "DICOM")
    entries = catalog.read(files.read(os.path.join(folder, f"scan_{scan}_catalog.xml")))[1]
    for entry in entries:
        assert entry.digest == files.digest(os.path.join(folder, entry.uri))
    return [entry.uri for entry in entries]


def xml(bench, label="P1"):
    return files.read(f"{bench.shelf(label)}.xml")


class TestNew:
    """A label that was not archived before."""

    def test_everything_of_it_is_in_the_archive(self, bench):
        """Files, catalogs, XML and its log are there; nothing is left in the prearchive."""
        done = bench.archived(1, 2)
        assert Status.ARCHIVED is done.status
        assert 2 == len(listed(bench))
        found = document.read(xml(bench))
        assert ("1.2.3", "DOE_JOHN") == (found.study, found.subject)
        assert [] == bench.tree("prearchive")
        (line,) = files.read(f"{bench.shelf()}/logs/events.jsonl").splitlines()
        assert ("session.archived", done.id, 2) == tuple(
            json.loads(line)[word] for word in ("event", "session", "added")
        )
        (said,) = bench.events("session.archived")
        assert (done.id, 2) == (said["session"], said["files"])
        shelf = bench.parts.registry.shelf("P1", "P1")
        assert (2, 1, done.id) == (shelf.files, shelf.scans, shelf.session)

    def test_files_during_the_archiving_open_a_session_of_their_own(self, bench):
        """An ARCHIVING session takes no file: the newcomer is merged later."""
        session = bench.built(1)
        bench.parts.ledger.move(session.id, Event.ARCHIVE)
        later = bench.filed(2)
        assert later.id != session.id

    def test_a_session_that_is_not_ready_is_refused(self, bench):
        """Only what was built and validated may be archived by the machine."""
        bench.archived(1)
        (gone,) = bench.parts.ledger.sessions((Status.ARCHIVED,))
        with pytest.raises(RefusedError):
            archive(bench.parts, gone.id)

    def test_files_in_hand_come_first(self, bench):
        """A session with a file in hand does not leave RECEIVING."""
        session = bench.filed(1)
        bench.put("b", 2)
        bench.parts.receiving.reserve([bench.incoming("b")], 0.0, bench.parts.clock.stamp)
        assert archive(bench.parts, session.id) is None
        assert Status.RECEIVING is bench.parts.ledger.session(session.id).status


class TestMerge:
    """A label that is archived already."""

    def test_late_files_are_added(self, bench):
        """New files of an archived scan, and a new scan: the catalogs have them all."""
        bench.archived(1)
        bench.archived(2)
        bench.archived(3, series="2", SeriesNumber=2)
        assert (2, 1) == (len(listed(bench)), len(listed(bench, "2")))
        said = bench.events("session.merged")
        assert [(1, 0), (1, 0)] == [(each["added"], each["same"]) for each in said]
        shelf = bench.parts.registry.shelf("P1", "P1")
        assert (3, 2) == (shelf.files, shelf.scans)

    def test_a_new_modality_changes_the_type(self, bench):
        """A scan of another kind: the session's type is worked out over all its scans."""
        bench.archived(1)
        before = document.read(xml(bench)).type
        bench.archived(2, series="2", SeriesNumber=2, sop_class=MR, modality="MR")
        assert ("CTSession", 2) == (before, len(document.read(xml(bench)).scans))

    def test_a_new_resource_of_an_archived_scan(self, bench):
        """Objects that are no primary images get a resource and a catalog of their own."""
        bench.archived(1)
        capture = "1.2.840.10008.5.1.4.1.1.7"
        bench.archived(2, 3, sop_class=capture, modality="OT")
        folders = os.listdir(os.path.join(bench.shelf(), "SCANS", "1"))
        assert {"DICOM"} <= set(folders)
        assert 3 == sum(path.endswith(".dcm") for path in bench.tree())
        assert 3 == bench.parts.registry.shelf("P1", "P1").files

    def test_an_identical_resend_changes_no_document(self, bench):
        """The same files again: nothing is added, and not one byte of a document changes."""
        bench.archived(1)
        before = {
            path: files.read(os.path.join(bench.parts.storage.path("archive"), path))
            for path in bench.tree()
            if path.endswith(".xml")
        }
        bench.archived(1)
        after = {
            path: files.read(os.path.join(bench.parts.storage.path("archive"), path))
            for path in before
        }
        assert before == after
        (said,) = bench.events("session.merged")
        assert (0, 1) == (said["added"], said["same"])

    def test_another_study_under_the_label_is_not_merged(self, bench):
        """Validated again: what came into the archive since the build counts."""
        first = bench.built(1)
        second = bench.built(1, study="1.2.4")
        archive(bench.parts, first.id)
        done = archive(bench.parts, second.id)
        assert Status.CONFLICT is done.status
        assert "study-uid-mismatch" in {finding.code for finding in done.findings}
        assert second.id in {each["session"] for each in bench.events("session.conflict")}
        assert 1 == len(listed(bench))


class TestFaults:
    """What can go wrong on the way."""

    def test_before_the_first_swap_it_is_ready_again(self, bench):
        """An archive that can't be written: READY, no plan, nothing in the archive."""
        session = bench.built(1)
        with mode(bench.parts.storage.path("archive"), 0o555), pytest.raises(StorageError):
            archive(bench.parts, session.id)
        assert Status.READY is bench.parts.ledger.session(session.id).status
        assert not os.path.exists(bench.parts.storage.beside(session, "plan.json"))
        assert [] == bench.tree()
        assert Status.ARCHIVED is archive(bench.parts, session.id).status

    def test_after_the_first_swap_it_is_carried_forward(self, bench):
        """The catalogs are swapped, the XML can't be: it stays ARCHIVING, and is carried on."""
        session = bench.built(1)
        in_the_way = files.temporary(f"{bench.shelf()}.xml")
        os.makedirs(in_the_way)
        with pytest.raises(StorageError):
            archive(bench.parts, session.id)
        assert Status.ARCHIVING is bench.parts.ledger.session(session.id).status
        assert 1 == len(listed(bench))
        os.rmdir(in_the_way)
        carry_on(bench.parts, session.id)
        assert Status.ARCHIVED is bench.parts.ledger.session(session.id).status
        assert [] == bench.tree("prearchive")
        assert "1.2.3" == document.read(xml(bench)).study

    def test_a_stop_before_the_first_swap_takes_it_back(self, bench):
        """Stopped at the first step: READY again, for the next start."""
        session = bench.built(1)
        bench.parts.stopping.set()
        with pytest.raises(Stopped):
            archive(bench.parts, session.id)
        assert Status.READY is bench.parts.ledger.session(session.id).status

    def test_an_archived_document_that_cannot_be_read_is_an_error(self, bench):
        """The archived XML is damaged: ERROR, said, and the damaged bytes stay as they are."""
        bench.archived(1)
        late = bench.built(2)
        with open(f"{bench.shelf()}.xml", "wb") as file:
            file.write(b"<half")
        done = archive(bench.parts, late.id)
        assert Status.ERROR is done.status
        assert [late.id] == [each["session"] for each in bench.events("session.error")]
        assert done.error
        assert b"<half" == xml(bench)

    def test_a_catalog_without_its_session_is_never_overwritten(self, bench):
        """Files of an archived session whose XML was lost: three plans, then ERROR."""
        bench.archived(1)
        os.remove(f"{bench.shelf()}.xml")
        before = bench.tree()
        done = archive(bench.parts, bench.built(2).id)
        assert (Status.ERROR, before) == (done.status, bench.tree())
        assert "changed" in done.error

    def test_what_was_not_begun_is_ready_without_a_plan(self, bench):
        """Killed before the plan was written: READY; and a finished one is left alone."""
        session = bench.built(1)
        bench.parts.ledger.move(session.id, Event.ARCHIVE)
        assert Status.READY is take_up(bench.parts, session).status
        assert take_up(bench.parts, session) is None
