"""What archiving would find: reads, compares, and writes nothing."""

import os
import re

import pytest

from watcher.core.errors import DocumentError, MissingPlaceError, StorageError
from watcher.core.session import Status
from watcher.dicom import schema
from watcher.io import files
from watcher.stages.archive import archive
from watcher.stages.validate import judge, readable


def codes(judged):
    return {finding.code for finding in judged.findings}


def judged(bench, session):
    return judge(bench.parts, session)


def catalog_of(bench):
    return os.path.join(bench.shelf(), "SCANS", "1", "DICOM", "scan_1_catalog.xml")


def archived_file(bench):
    (path,) = (path for path in bench.tree() if path.endswith(".dcm"))
    return os.path.join(bench.parts.storage.path("archive"), path)


class TestNothingIsWritten:
    """It is pure."""

    def test_judging_changes_no_file(self, bench):
        """Neither store is touched, whatever is found."""
        bench.archived(1)
        session = bench.built(1, 2, study="1.2.4")
        before = bench.tree(), bench.tree("prearchive")
        first = judged(bench, session)
        assert before == (bench.tree(), bench.tree("prearchive"))
        assert first == judged(bench, session)

    def test_without_the_archive_nothing_is_concluded(self, bench):
        """A missing archive is no empty one."""
        session = bench.built(1)
        os.remove(bench.parts.storage.marker("archive"))
        with pytest.raises(MissingPlaceError):
            judged(bench, session)


class TestAgainstTheArchive:
    """An archived session of the same label."""

    def test_other_bytes_with_the_same_uids(self, bench):
        """Same UIDs, another data set: instance-differs, and no file is to be added."""
        bench.archived(1)
        found = judged(bench, bench.built(1, patient_name="DOE^JANE"))
        assert "instance-differs" in codes(found)
        assert () == found.merge.adds

    def test_the_same_data_set_in_other_bytes(self, bench):
        """Only preamble or group 0002 differ: it is the same instance."""
        bench.archived(1)
        path = bench.put("in1", 1)
        with open(path, "r+b") as file:
            file.write(b"another preamble")
        (outcome,) = bench.file("in1")
        found = judged(bench, bench.parts.ledger.session(outcome.session))
        assert "same-instance" in codes(found)
        assert "instance-differs" not in codes(found)

    def test_copies_within_the_session(self, bench):
        """The same data set twice in one session: one goes in, and no conflict is made of it."""
        bench.filed(1)
        path = bench.put("in1", 1)
        with open(path, "r+b") as file:
            file.write(b"another preamble")
        (outcome,) = bench.file("in1")
        session = bench.rebuilt(bench.parts.ledger.session(outcome.session))
        found = judged(bench, session)
        assert {"same-instance"} == codes(found)
        assert (1, [False]) == (len(found.merge.adds), [each.listed for each in found.merge.same])

    def test_twins_within_the_session(self, bench):
        """The same UIDs twice in one session, with other data: duplicate-in-session."""
        bench.filed(1)
        found = judged(bench, bench.built(1, patient_name="DOE^JANE"))
        assert "duplicate-in-session" in codes(found)

    def test_an_archived_file_that_is_gone_is_not_relied_on(self, bench):
        """The catalog lists a file that is not there: the newcomer is added, not dropped."""
        bench.archived(1)
        os.remove(archived_file(bench))
        found = judged(bench, bench.built(1))
        assert ((), 1) == (found.merge.same, len(found.merge.adds))

    def test_an_archived_file_of_another_size_stops_it(self, bench):
        """The archived file is not what its catalog says: neither copy may be dropped."""
        bench.archived(1)
        os.truncate(archived_file(bench), 99)
        session = bench.filed(1)
        with pytest.raises(DocumentError, match="not what its catalog says"):
            judged(bench, session)

    def test_resources_that_are_no_catalogs_are_let_be(self, bench):
        """What somebody else put beside our resources has no bearing on the merge."""
        bench.archived(1)
        xml = files.read(f"{bench.shelf()}.xml").decode()
        extra = re.sub(
            r"(<xnat:file [^>]*?/>)",
            r'\1<xnat:file xsi:type="xnat:resource" label="NIFTI" URI="SCANS/1/NIFTI/a.nii"/>',
            xml,
            count=1,
        )
        assert extra != xml
        files.swap(f"{bench.shelf()}.xml", extra.encode())
        found = judged(bench, bench.built(2))
        assert 1 == len(found.merge.adds)

    def test_a_name_on_disk_is_not_taken_again(self, bench):
        """An uncatalogued file under a newcomer's name: the newcomer's is made longer."""
        bench.archived(1)
        session = bench.built(2)
        (row,) = bench.parts.ledger.instances(session.id)
        stray = os.path.join(os.path.dirname(catalog_of(bench)), row.place.name)
        with open(stray, "wb") as file:
            file.write(b"stray")
        (add,) = judged(bench, session).merge.adds
        assert row.digest[:8] in add.target
        archive(bench.parts, session.id)
        assert b"stray" == files.read(stray)

    def test_our_own_half_done_link_is_no_stray(self, bench):
        """A link that an earlier try left is the newcomer itself: it keeps its name."""
        bench.archived(1)
        session = bench.built(2)
        (row,) = bench.parts.ledger.instances(session.id)
        place = os.path.join(os.path.dirname(catalog_of(bench)), row.place.name)
        os.link(os.path.join(bench.folder(session), row.place.path), place)
        (add,) = judged(bench, session).merge.adds
        assert row.place.name == os.path.basename(add.target)


class TestElsewhere:
    """Other sessions."""

    def test_a_study_under_another_label(self, bench):
        """The study is archived under another label: study-elsewhere."""
        bench.archived(1)
        found = judged(bench, bench.built(2, patient_id="OTHER"))
        assert "study-elsewhere" in codes(found)

    def test_evidence_of_the_other_session(self, bench):
        """Both sides are read: same person, other label; of a damaged XML nothing is concluded."""
        bench.archived(1)
        session = bench.built(2, patient_id="OTHER")
        (finding,) = [f for f in session.findings if f.code == "study-elsewhere"]
        assert {"PatientID": "differs", "PatientName": "same"}.items() <= finding.evidence.items()
        files.swap(f"{bench.shelf()}.xml", b"<half")
        (finding,) = [f for f in judged(bench, session).findings if f.code == "study-elsewhere"]
        assert "missing" == finding.evidence["PatientName"]

    def test_a_label_that_two_waiting_sessions_share(self, bench):
        """Another waiting session has the label and another study: label-shared."""
        first = bench.built(1)
        second = bench.built(1, study="1.2.4")
        assert {"label-shared"} <= codes(judged(bench, first)) & codes(judged(bench, second))


class TestWords:
    """For people."""

    def test_a_machine_s_fault_has_its_number(self):
        """A StorageError names its errno, so that an administrator can look it up."""
        assert "no room (errno 28)" == readable(StorageError("no room", number=28))
        assert "half" == readable(DocumentError("half"))


class TestParts:
    """What goes and what stays."""

    def test_a_finding_of_the_session_holds_all_of_it(self, bench):
        """Another study: nothing goes in, whatever the scans are like."""
        bench.archived(1)
        found = judged(bench, bench.built(1, study="1.2.4"))
        assert ((), (), None, False) == (
            found.going,
            found.merge.adds,
            found.documents,
            found.partly,
        )
        assert found.scans == found.staying

    def test_without_blocking_findings_all_of_it_goes(self, bench):
        """Nothing stays."""
        found = judged(bench, bench.built(1))
        assert (found.scans, (), False) == (found.going, found.staying, False)

    def test_a_held_scan_alone(self, bench):
        """Its only scan is held: nothing goes."""
        bench.archived(1)
        found = judged(bench, bench.again(1))
        assert ((), False) == (found.going, found.partly)

    def test_a_session_without_a_project_goes_nowhere(self, bench):
        """It has findings and no documents."""
        found = judged(bench, bench.built(1, project=None))
        assert ({"no-project"}, None) == (codes(found), found.documents)

    def test_what_would_be_invalid_is_not_written(self, bench):
        """Sizes that no xs:long holds: schema-invalid, which no force passes."""
        bench.archived(1)
        path = os.path.join(bench.shelf(), "SCANS/1/DICOM/scan_1_catalog.xml")
        more = (
            b'<cat:entry URI="%d" UID="1"><cat:metaFields><cat:metaField name="SIZE">' + b"9" * 18
        )
        more = b"".join(
            more % n + b"</cat:metaField></cat:metaFields></cat:entry>" for n in range(10)
        )
        files.swap(path, files.read(path).replace(b"</cat:entries>", more + b"</cat:entries>"))
        session = bench.built(2)
        assert {"schema-invalid"} == {each.code for each in session.findings if each.blocks}

    def test_what_was_invalid_before_holds_nothing(self, bench):
        """That is `verify`'s: a resend leaves the XML as it is, and what is new goes in."""
        bench.archived(1)
        path = f"{bench.shelf()}.xml"
        text = files.read(path).replace(b"<xnat:scans>", b"<xnat:own/><xnat:scans>")
        files.swap(path, text)
        assert (Status.ARCHIVED, text) == (bench.archived(1).status, files.read(path))
        done = bench.archived(2)
        assert (Status.ARCHIVED, 1) == (done.status, len(schema.session_faults(files.read(path))))
