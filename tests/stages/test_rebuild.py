"""A quiet session becomes catalogs, an XML and findings."""

import os
import time

import pytest
from mortal import mode

from watcher.core.errors import StorageError
from watcher.core.life import Event
from watcher.core.session import Status
from watcher.dicom import catalog, document
from watcher.io import files
from watcher.stages import decide
from watcher.stages.parts import Stopped
from watcher.stages.rebuild import build, finish


def on_disk(bench, session):
    return sorted(files.walk(bench.folder(session)))


def entries(bench, session, scan, folder="DICOM"):
    base = os.path.join(bench.folder(session), "SCANS", scan, folder)
    name = next(name for name in os.listdir(base) if name.endswith("_catalog.xml"))
    return [each.uri for each in catalog.read(files.read(os.path.join(base, name)))[1]]


class TestBuilding:
    """What a build leaves."""

    def test_documents_say_what_is_there(self, bench):
        """One catalog for each scan, an XML beside the folder, READY, and that is said."""
        session = bench.built(1, 2)
        assert Status.READY is session.status
        assert 2 == len(entries(bench, session, "1"))
        assert "1.2.3" == document.read(files.read(f"{bench.folder(session)}.xml")).study
        (said,) = bench.events("session.rebuilt")
        assert (1, 2, "READY") == (said["scans"], said["files"], said["status"])

    def test_series_that_share_a_number_are_kept_apart(self, bench):
        """Two series number 1: `1-CT1` and `1-CT2`, files moved, the old folder gone."""
        bench.filed(1, 2)
        session = bench.filed(3, 4, series="2")
        session = build(bench.parts, session.id, Event.IDLE)
        assert {"1-CT1", "1-CT2"} == set(session.scan_ids.values())
        assert {"1-CT1", "1-CT2"} == set(os.listdir(f"{bench.folder(session)}/SCANS"))
        rows = {each.place.path for each in bench.parts.ledger.instances(session.id)}
        assert rows == {path for path in on_disk(bench, session) if path.endswith(".dcm")}

    def test_a_scan_keeps_its_name(self, bench):
        """A scan named at the first build keeps its ID when another with its number comes."""
        bench.built(1)
        session = bench.built(2, series="2")
        assert {"1.2.3.1": "1"}.items() <= session.scan_ids.items()
        assert {"1", "1-CT1"} == set(os.listdir(f"{bench.folder(session)}/SCANS"))

    def test_an_old_catalog_does_not_keep_an_emptied_folder(self, bench):
        """A scan folder that all files left goes, its catalog with it."""
        session = bench.built(1, sop_class="1.2.840.10008.5.1.4.1.1.7", modality="OT")
        again = bench.built(2)
        assert session.id == again.id
        rows = {
            os.path.dirname(each.place.path) for each in bench.parts.ledger.instances(session.id)
        }
        found = {os.path.dirname(path) for path in on_disk(bench, session)}
        assert rows == found

    def test_a_second_name_that_a_crash_left_is_removed(self, bench):
        """Two names for one inode, one recorded: the other goes; strays of other bytes stay."""
        session = bench.filed(1)
        (row,) = bench.parts.ledger.instances(session.id)
        base = bench.folder(session)
        os.link(os.path.join(base, row.place.path), os.path.join(base, "SCANS/1/DICOM/twin"))
        with open(os.path.join(base, "SCANS/1/DICOM/stray"), "wb") as file:
            file.write(b"stray")
        build(bench.parts, session.id, Event.IDLE)
        names = set(os.listdir(os.path.join(base, "SCANS/1/DICOM")))
        assert {"stray", row.place.name, "scan_1_catalog.xml"} == names

    def test_a_stray_under_the_name_a_file_is_given(self, bench):
        """A file that is moved to its scan finds its name taken: both are kept."""
        bench.filed(1, 2)
        session = bench.filed(3, series="2")
        names = [each.place.name for each in bench.parts.ledger.instances(session.id)]
        folder = f"{bench.folder(session)}/SCANS/1-CT2/DICOM"
        files.make_folder(folder)
        for name in names:
            files.swap(f"{folder}/{name}", b"stray")
        session = build(bench.parts, session.id, Event.IDLE)
        (row,) = [r for r in bench.parts.ledger.instances(session.id) if r.place.scan == "1-CT2"]
        assert row.digest == files.digest(f"{bench.folder(session)}/{row.place.path}")
        assert (3, "stray-file" in {each.code for each in session.findings}) == (
            sum(files.read(f"{folder}/{name}") == b"stray" for name in names),
            True,
        )

    def test_a_lost_file_is_not_moved(self, bench):
        """One that is gone when its scan gets its name: told as unreadable, the others move."""
        bench.filed(1)
        session = bench.filed(2, 3, series="2")
        (row, _) = [
            r for r in bench.parts.ledger.instances(session.id) if r.header.series.endswith(".2")
        ]
        os.remove(f"{bench.folder(session)}/{row.place.path}")
        session = build(bench.parts, session.id, Event.IDLE)
        (finding,) = [each for each in session.findings if each.code == "unreadable-file"]
        assert ("scan 1-CT2", [row.place.path]) == (finding.scope, finding.incoming["files"])

    def test_a_link_of_an_earlier_try_is_the_file(self, bench):
        """Cut off between linking and recording: the name is kept."""
        bench.filed(1)
        session = bench.filed(3, series="2")
        (row,) = [
            r for r in bench.parts.ledger.instances(session.id) if r.header.series.endswith(".2")
        ]
        base = bench.folder(session)
        files.make_folder(f"{base}/SCANS/1-CT2/DICOM")
        os.link(f"{base}/{row.place.path}", f"{base}/SCANS/1-CT2/DICOM/{row.place.name}")
        build(bench.parts, session.id, Event.IDLE)
        names = {each.place.name for each in bench.parts.ledger.instances(session.id)}
        assert row.place.name in names

    def test_an_unchanged_catalog_is_not_written_again(self, bench):
        """A second build of the same files leaves the catalog's inode alone."""
        session = bench.built(1)
        path = f"{bench.folder(session)}/SCANS/1/DICOM/scan_1_catalog.xml"
        before = os.stat(path).st_ino
        build(bench.parts, session.id, Event.REBUILD)
        assert before == os.stat(path).st_ino


class TestMeanwhile:
    """Files that come while it is built."""

    def test_a_build_holds_only_for_the_files_it_saw(self, bench):
        """A file came: None, RECEIVING, and the scan IDs that were given are kept."""
        session = bench.filed(1)
        building = bench.parts.ledger.move(session.id, Event.IDLE)
        bench.filed(2)
        assert finish(bench.parts, building, time.monotonic()) is None
        now = bench.parts.ledger.session(session.id)
        assert (Status.RECEIVING, {"1.2.3.1": "1"}) == (now.status, dict(now.scan_ids))
        assert [] == bench.events("session.rebuilt")

    def test_with_a_file_in_hand_there_is_no_build(self, bench):
        """A session does not leave RECEIVING with a file in hand."""
        session = bench.filed(1)
        bench.put("b", 2)
        bench.parts.receiving.reserve([bench.incoming("b")], 0.0, bench.parts.clock.stamp)
        assert build(bench.parts, session.id, Event.IDLE) is None


class TestFaults:
    """What the machine could not do."""

    def test_a_full_or_closed_disk_takes_it_back(self, bench):
        """A document that can't be written: RECEIVING again, and the next build succeeds."""
        session = bench.filed(1)
        folder = os.path.join(bench.folder(session), "SCANS", "1", "DICOM")
        with mode(folder, 0o555), pytest.raises(StorageError):
            build(bench.parts, session.id, Event.IDLE)
        assert Status.RECEIVING is bench.parts.ledger.session(session.id).status
        assert Status.READY is build(bench.parts, session.id, Event.IDLE).status

    def test_a_file_that_brought_it_back_is_not_undone(self, bench):
        """A fault after a file has come: RECEIVING, as the file left it."""
        session = bench.filed(1)
        building = bench.parts.ledger.move(session.id, Event.IDLE)
        bench.filed(2)
        bench.parts.stopping.set()
        with pytest.raises(Stopped):
            finish(bench.parts, building, time.monotonic())
        assert Status.RECEIVING is bench.parts.ledger.session(session.id).status

    def test_a_document_nobody_can_read_is_an_error(self, bench):
        """The archived XML of its label is damaged: ERROR, with the reason."""
        bench.archived(1)
        with open(f"{bench.shelf()}.xml", "wb") as file:
            file.write(b"<half")
        session = bench.built(2)
        assert Status.ERROR is session.status
        assert [session.error] == [each["error"] for each in bench.events("session.error")]

    @pytest.mark.parametrize(
        ("project", "word", "by", "after"),
        [
            ("P1", "archive", decide.archive_now, Status.ARCHIVED),
            ("MANUAL", "rebuild", decide.rebuild, Status.READY),
        ],
    )
    def test_an_error_names_what_brings_it_on(self, bench, project, word, by, after):
        """Tried too early it says so again; its cause removed, what it names takes it on."""
        bench.archived(1, project=project)
        path = f"{bench.shelf(project=project)}.xml"
        whole = files.read(path)
        session = bench.filed(2, project=project)
        files.swap(path, b"<half")
        bench.rebuilt(session)
        assert Status.ERROR is by(bench.parts, session.id).status
        hints = {each["hint"] for each in bench.events("session.error")}
        assert {f"watcher {word} {session.id}"} == hints
        files.swap(path, whole)
        assert after is by(bench.parts, session.id).status
