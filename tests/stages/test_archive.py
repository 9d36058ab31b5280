"""A READY session goes into the archive, whole or not at all."""

import hashlib
import json
import os
import re
from collections import Counter

import pytest
from makers import MR
from mortal import mode

from watcher.core.errors import RefusedError, StorageError
from watcher.core.life import Event
from watcher.core.policy import Project
from watcher.core.session import Status
from watcher.dicom import catalog, document
from watcher.io import files
from watcher.io.stores import read_record
from watcher.stages import carrying, decide, withdrawing
from watcher.stages import promise as promises
from watcher.stages.archive import archive, take_up
from watcher.stages.parts import Stopped
from watcher.stages.planning import plan
from watcher.stages.promise import OutdatedError
from watcher.stages.recover import carry_on
from watcher.stages.validate import judge

PERSON = {"who": "anna", "reason": "as the study says"}
CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


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
        """Files of an archived session whose XML was lost: ERROR, and what mends it."""
        bench.archived(1)
        os.remove(f"{bench.shelf()}.xml")
        before = bench.tree()
        done = archive(bench.parts, bench.built(2).id)
        assert (Status.ERROR, before) == (done.status, bench.tree())
        assert "watcher refresh" in done.error

    def test_what_was_not_begun_is_ready_without_a_plan(self, bench):
        """Killed before the plan was written: READY; and a finished one is left alone."""
        session = bench.built(1)
        bench.parts.ledger.move(session.id, Event.ARCHIVE)
        assert Status.READY is take_up(bench.parts, session).status
        assert take_up(bench.parts, session) is None


def places(bench, session):
    """The scans of a waiting session and how many files the ledger knows in each."""
    found = Counter(each.place.scan for each in bench.parts.ledger.instances(session.id))
    return dict(found)


class TestPart:
    """Findings hold some scans: the rest goes in."""

    def test_what_can_go_in_goes_in(self, bench):
        """A scan in conflict is held with all its files; the other one is archived."""
        session = bench.in_two_scans()
        assert (Status.CONFLICT, True) == (session.status, session.partly)
        done = archive(bench.parts, session.id)
        assert (Status.CONFLICT, False) == (done.status, done.partly)
        assert (1, 1) == (len(listed(bench)), len(listed(bench, "2")))
        (said,) = bench.events("session.merged")
        assert (1, 2) == (said["added"], said["held"])
        assert ["instance-differs"] == [each.code for each in done.findings if each.blocks]
        assert [] == bench.untrue()

    def test_the_prearchive_tells_only_of_what_stays(self, bench):
        """Ledger, XML, catalogs and folders have the held scan; there is no plan any more."""
        session = bench.in_two_scans()
        done = archive(bench.parts, session.id)
        assert {"1": 2} == places(bench, done)
        found = document.read(files.read(f"{bench.folder(done)}.xml"))
        assert ["1"] == [scan.id for scan in found.scans]
        assert ["1"] == os.listdir(f"{bench.folder(done)}/SCANS")
        assert not os.path.exists(bench.parts.storage.beside(done, "plan.json"))
        assert done == read_record(bench.parts.storage.beside(done, "json"))

    def test_a_new_label_too(self, bench):
        """Two files of one identity in scan 1, a sound scan 2: a new archived session of scan 2."""
        bench.filed(1)
        bench.again(1)
        session = bench.rebuilt(bench.filed(3, series="2", SeriesNumber=2))
        done = archive(bench.parts, session.id)
        assert (Status.CONFLICT, {"1": 2}) == (done.status, places(bench, done))
        assert ["2"] == [scan.id for scan in document.read(xml(bench)).scans]
        assert 1 == len(bench.events("session.archived"))
        assert [] == bench.untrue()

    def test_a_late_file_goes_into_the_same_session(self, bench):
        """It opens no other one, and its part goes in: what is held stays held."""
        session = archive(bench.parts, bench.in_two_scans().id)
        late = bench.rebuilt(bench.filed(4, series="3", SeriesNumber=3))
        assert (session.id, True) == (late.id, late.partly)
        done = archive(bench.parts, late.id)
        assert ({"1": 2}, 1) == (places(bench, done), len(listed(bench, "3")))
        bench.filed(5, series="2", SeriesNumber=2)  # of a scan that went in before
        done = archive(bench.parts, bench.rebuilt(session).id)
        assert ({"1": 2}, 2) == (places(bench, done), len(listed(bench, "2")))
        assert [] == bench.untrue()

    def test_once_settled_the_rest_goes_in_too(self, bench):
        """A person's `--keep` lets in what was held: nothing is left in the prearchive."""
        session = archive(bench.parts, bench.in_two_scans().id)
        done = decide.archive_now(bench.parts, session.id, keep=True, **PERSON)
        assert (Status.ARCHIVED, []) == (done.status, bench.tree("prearchive"))
        assert (2, 1) == (len(listed(bench)), len(listed(bench, "2")))
        assert [session.id] == [each["session"] for each in bench.events("session.settled")]
        assert [] == bench.untrue()

    def test_findings_about_what_went_in_are_done_with(self, bench):
        """A duplicate in the part that goes is no finding of what stays."""
        bench.archived(1)
        bench.archived(3, series="2", SeriesNumber=2)
        bench.again(1)
        bench.filed(3, series="2", SeriesNumber=2)
        session = bench.rebuilt(bench.filed(4, series="2", SeriesNumber=2))
        assert "same-instance" in {each.code for each in session.findings}
        done = archive(bench.parts, session.id)
        assert {"session-exists", "instance-differs"} == {each.code for each in done.findings}

    def test_a_name_that_what_stays_has_is_given_to_nobody(self, bench):
        """Scan 1 goes in renamed, and not to the ID of a scan that is held."""
        bench.archived(1, series="7")
        session = bench.filed(2)
        bench.filed(3, series="2", SeriesNumber=2)
        bench.again(3, series="2", SeriesNumber=2)
        edited = {f"1.2.3.{series}": name for series, name in (("1", "1"), ("2", "1-CT1"))}
        bench.parts.ledger.edit(session.id, scan_ids=edited)
        session = bench.rebuilt(session)
        archive(bench.parts, session.id)
        assert {"1", "1-CT2"} == {scan.id for scan in document.read(xml(bench)).scans}

    def test_files_that_only_met_what_is_held_are_not_left_behind(self, bench):
        """Two differing files were both ignored for a third, whose scan is held: they stay."""
        bench.archived(9)
        bench.again(9)  # scan 1 is held
        bench.filed(1)
        other = {"sop": "1.2.3.9.1", "sop_class": MR, "modality": "MR"}
        bench.filed(1, series="2", SeriesNumber=2, **other)
        bench.filed(2, series="4", SeriesNumber=4)
        session = bench.again(1, series="3", SeriesNumber=3, **other)
        before = len(bench.parts.ledger.instances(session.id))
        done = archive(bench.parts, bench.rebuilt(session).id)
        assert {"1": 2, "2": 1, "3": 1} == places(bench, done)
        here = [path for path in bench.tree("prearchive") if path.endswith(".dcm")]
        assert (5, 4) == (before, len(here))
        assert [] == bench.untrue()

    def test_interrupted_it_is_a_conflict_again(self, bench):
        """Stopped before the first swap: CONFLICT with its part still to go in."""
        session = bench.in_two_scans()
        bench.parts.stopping.set()
        with pytest.raises(Stopped):
            archive(bench.parts, session.id)
        now = bench.parts.ledger.session(session.id)
        assert (Status.CONFLICT, True) == (now.status, now.partly)
        bench.parts.stopping.clear()
        assert {"1": 2} == places(bench, archive(bench.parts, session.id))


class TestPolicies:
    """Files that differ under the same UIDs, decided."""

    @pytest.mark.parametrize("by", ["project", "person"])
    def test_overwrite_puts_the_newcomer_in_the_place_of_the_old(self, bench, by):
        """A suffixed name, the old file in the history with its reason; the XML counts it once."""
        bench.archived(1, 2)
        (old,) = [name for name in listed(bench) if "-1-1-" in name]
        before = files.read(os.path.join(bench.shelf(), "SCANS/1/DICOM", old))
        if by == "project":
            bench.parts.projects.known["P1"] = Project("P1", overwrite=True)
        session = bench.rebuilt(bench.again(1))
        if by == "project":
            archive(bench.parts, session.id)
        else:
            decide.archive_now(bench.parts, session.id, overwrite=True, **PERSON)
        names = listed(bench)
        assert (2, False) == (len(names), old in names)
        assert not os.path.exists(os.path.join(bench.shelf(), "SCANS/1/DICOM", old))
        ((path, data),) = bench.kept_aside().items()
        assert (f"SCANS/1/DICOM/{old}", before) == (path.split("/", 3)[3], data)
        (reason,) = bench.reasons()
        told = ("watcher", "") if by == "project" else ("anna", PERSON["reason"])
        assert ("replaced", *told) == (reason["kind"], reason["who"], reason["reason"])
        assert {"added": 0, "replaced": 1}.items() <= bench.events("session.merged")[-1].items()
        shelf = bench.parts.registry.shelf("P1", "P1")
        assert (2, document.totals(xml(bench))) == (shelf.files, (shelf.files, shelf.bytes))
        assert [] == bench.untrue()

    def test_keep_sends_the_newcomer_to_the_history(self, bench):
        """The archived file stays, not one byte of a document changes."""
        bench.archived(1)
        before = (xml(bench), listed(bench))
        session = bench.rebuilt(bench.again(1))
        (row,) = bench.parts.ledger.instances(session.id)
        done = decide.archive_now(bench.parts, session.id, keep=True, **PERSON)
        assert (Status.ARCHIVED, before) == (done.status, (xml(bench), listed(bench)))
        ((path, data),) = bench.kept_aside().items()
        assert row.digest == hashlib.md5(data).hexdigest()
        assert row.place.path == path.split("/", 3)[3]
        assert ["kept"] == [each["kind"] for each in bench.reasons()]

    @pytest.mark.parametrize(("policy", "stays"), [("overwrite", "c"), ("keep", "a")])
    @pytest.mark.parametrize("scans", [1, 2])
    def test_three_of_one_identity_in_one_session(self, bench, policy, stays, scans):
        """Undecided they are held together; decided, one goes in, two go to the history."""
        digests = {}
        for mark in "abc":
            more = {"series": "2", "SeriesNumber": 2} if scans == 2 and mark == "b" else {}
            session = bench.again(1, ImageComments=mark, **more)
            bench.parts.clock.ahead += 1
            digests[mark] = files.digest(os.path.join(bench.folder(session), _newest(bench)))
        session = bench.rebuilt(session)
        assert (Status.CONFLICT, False) == (session.status, session.partly)
        done = decide.archive_now(bench.parts, session.id, **{policy: True}, **PERSON)
        assert (Status.ARCHIVED, []) == (done.status, bench.tree("prearchive"))
        (path,) = [path for path in bench.tree() if path.endswith(".dcm")]
        found = files.digest(os.path.join(bench.parts.storage.path("archive"), path))
        kept = {hashlib.md5(data).hexdigest() for data in bench.kept_aside().values()}
        assert (digests.pop(stays), set(digests.values())) == (found, kept)
        assert [] == bench.untrue()

    def test_a_copy_of_what_is_replaced_does_not_stay_behind(self, bench):
        """The archived file again, then another for it: the first is dropped, nothing is left."""
        bench.archived(1)
        bench.filed(1)
        bench.parts.clock.ahead += 1
        session = bench.again(1)
        done = decide.archive_now(bench.parts, session.id, overwrite=True, **PERSON)
        assert (Status.ARCHIVED, []) == (done.status, bench.tree("prearchive"))
        assert (1, 1) == (len(listed(bench)), len(bench.kept_aside()))
        assert [] == bench.untrue()


def _newest(bench):
    (session,) = bench.parts.ledger.sessions()
    rows = bench.parts.ledger.instances(session.id)
    return max(rows, key=lambda row: row.arrived).place.path


class TestAside:
    """What is no instance of the session."""

    def test_strays_go_to_the_quarantine(self, bench):
        """Each with its path, one entry for all, said once; nothing is left of the session."""
        session = bench.built(1)
        names = ["SCANS/1/DICOM/notes.txt", "SCANS/1/deep/er/b.txt", os.fsdecode(b"SCANS/\xff.txt")]
        for name in names:
            path = os.path.join(bench.folder(session), name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(name.encode("utf-8", "surrogateescape"))
        done = archive(bench.parts, session.id)
        assert (Status.ARCHIVED, []) == (done.status, bench.tree("prearchive"))
        found = bench.kept_aside("quarantine")
        assert set(names) == {path.split("/", 3)[3] for path in found}
        (entry,) = bench.parts.registry.aside()
        assert ("stray-file", 3, "mri") == (entry.code, entry.files, entry.drop)
        assert [entry.id] == [each["entry"] for each in bench.events("file.quarantined")]

    def test_strays_beside_what_is_held_stay(self, bench):
        """They go when their scan does."""
        session = bench.in_two_scans()
        stray = os.path.join(bench.folder(session), "SCANS/1/DICOM/notes.txt")
        files.swap(stray, b"notes")
        done = archive(bench.parts, session.id)
        assert ({}, b"notes") == (bench.kept_aside("quarantine"), files.read(stray))
        decide.archive_now(bench.parts, done.id, keep=True, **PERSON)
        assert [b"notes"] == list(bench.kept_aside("quarantine").values())

    def test_a_link_is_no_file_to_be_moved(self, bench):
        """A symbolic link in a scan folder stops nothing, and is left where it is."""
        session = bench.built(1)
        link = os.path.join(bench.folder(session), "SCANS/1/DICOM/link")
        os.symlink("/etc/passwd", link)
        assert Status.ARCHIVED is archive(bench.parts, session.id).status
        assert os.path.islink(link)

    def test_others_of_one_name_are_both_kept(self, bench):
        """Two of another class with one name, one after the other: neither replaces the other."""
        bench.archived(1)
        bench.archived(9, series="2", SeriesNumber=2)
        bench.again(9, series="2", SeriesNumber=2)  # held, so that the session stays
        for text in ("one", "other"):
            session = bench.filed(1, sop_class=MR, modality="MR", ImageComments=text)
            done = archive(bench.parts, bench.rebuilt(session).id)
            assert (session.id, {"2": 1}) == (done.id, places(bench, done))
        (entry,) = bench.parts.registry.aside()
        assert (2, 2) == (entry.files, len(set(bench.kept_aside("quarantine").values())))

    def test_a_scan_without_a_file_of_its_own_makes_none(self, bench):
        """All of it is another class of what comes in another scan: the XML has no such scan."""
        bench.archived(9)
        bench.filed(1)
        other = {"sop_class": MR, "modality": "MR"}
        session = bench.filed(1, series="2", SeriesNumber=2, **other)
        done = archive(bench.parts, bench.rebuilt(session).id)
        assert (Status.ARCHIVED, 2) == (done.status, len(listed(bench)))
        assert ["1"] == [scan.id for scan in document.read(xml(bench)).scans]
        assert 1 == len(bench.kept_aside("quarantine"))
        assert [] == bench.untrue()

    def test_an_entry_grows_with_every_part(self, bench):
        """Of a session archived in two parts the entry counts both."""
        session = bench.in_two_scans()
        for number in (3, 4):
            files.swap(f"{bench.folder(session)}/SCANS/{number}.txt", b"x")
            bench.filed(number + 10, series=f"{number}", SeriesNumber=number)
            archive(bench.parts, bench.rebuilt(session).id)
        (entry,) = bench.parts.registry.aside()
        assert 2 == entry.files


class TestUnreadable:
    """Filed files that can't be read any more."""

    @pytest.mark.parametrize("how", ["gone", "cut short"])
    @pytest.mark.parametrize("known", [False, True], ids=["new", "differs from an archived one"])
    def test_they_hold_their_scan_only(self, bench, how, known):
        """The other scan goes in; what is left of this one stays."""
        if known:
            bench.archived(1)
        bench.again(1)
        session = bench.rebuilt(bench.filed(2, series="2", SeriesNumber=2))
        path = _file_in(bench, session, "1")
        os.remove(path) if how == "gone" else os.truncate(path, 200)
        session = decide.rebuild(bench.parts, session.id)
        assert "unreadable-file" in {each.code for each in session.findings if each.blocks}
        done = archive(bench.parts, session.id)
        assert ({"1": 1}, 1) == (places(bench, done), len(listed(bench, "2")))
        assert how == "gone" or os.path.exists(path)

    @pytest.mark.parametrize("known", [False, True], ids=["new", "differs from an archived one"])
    def test_without_permission(self, bench, known):
        """One that may not be opened is as good as gone: no patience, no ERROR."""
        if known:
            bench.archived(1)
        bench.again(1)
        session = bench.rebuilt(bench.filed(2, series="2", SeriesNumber=2))
        path = _file_in(bench, session, "1")
        with mode(path, 0o000):
            session = decide.rebuild(bench.parts, session.id)
            done = archive(bench.parts, session.id)
        assert ({"1": 1}, 1) == (places(bench, done), len(listed(bench, "2")))


def _file_in(bench, session, scan):
    (row,) = [r for r in bench.parts.ledger.instances(session.id) if r.place.scan == scan]
    return os.path.join(bench.folder(session), row.place.path)


class TestMatching:
    """Which scan and resource newcomers go into."""

    def test_a_taken_number_is_renamed_and_stays_so(self, bench):
        """N-MODi, also with secondary objects, and later files of the series join it."""
        capture = {"sop_class": CAPTURE, "modality": "CT", "series": "2"}
        bench.archived(1)
        bench.filed(2, series="2")
        bench.archived(3, **capture)
        bench.filed(4, series="2")
        bench.archived(5, **capture)
        found = {scan.id: scan for scan in document.read(xml(bench)).scans}
        assert {"1", "1-CT1"} == found.keys()
        assert {"DICOM", "secondary"} == {each.label for each in found["1-CT1"].resources}
        secondary = [path for path in bench.tree() if "1-CT1/secondary/1" in path]
        assert (2, 2) == (len(listed(bench, "1-CT1")), len(secondary))
        assert [] == bench.untrue()

    def test_a_series_under_another_number_joins_its_scan(self, bench):
        """The same series sent as number 9: it goes into the scan it has."""
        bench.archived(1)
        bench.archived(2, SeriesNumber=9)
        assert 2 == len(listed(bench))
        assert ["1"] == [scan.id for scan in document.read(xml(bench)).scans]

    def test_without_series_uids_scans_match_by_id(self, bench):
        """An old archive that says no series UIDs: the ID is what there is."""
        bench.archived(1)
        text = re.sub(rb'(<xnat:scan ID="1" )UID="[^"]*" ', rb"\1", xml(bench))
        assert text != xml(bench)
        files.swap(f"{bench.shelf()}.xml", text)
        bench.archived(2)
        assert 2 == len(listed(bench))

    def test_what_the_xml_says_is_kept(self, bench):
        """Experiment ID, notes and values of a person stay; only the counts follow."""
        bench.archived(1)
        text = re.sub(rb' ID="W_E[0-9a-f]{12}"', b' ID="XNAT_E00042"', xml(bench))
        text = re.sub(rb"(<xnat:scan [^>]*>)", rb"\1<xnat:note>seen</xnat:note>", text, count=1)
        files.swap(f"{bench.shelf()}.xml", text)
        bench.archived(2)
        found = document.read(xml(bench))
        assert ("XNAT_E00042", True) == (found.id, b">seen<" in xml(bench))
        assert "XNAT_E00042" == bench.parts.registry.shelf("P1", "P1").experiment
        assert [] == bench.untrue()

    def test_a_study_let_in_by_force_stands_in_the_xml(self, bench):
        """The archived session keeps its own; the other one is accepted, and comes in after."""
        bench.archived(1)
        session = bench.filed(2, study="1.2.4", sop="1.2.4.9.2")
        done = decide.archive_now(bench.parts, session.id, force=True, **PERSON)
        found = document.read(xml(bench))
        assert (Status.ARCHIVED, "1.2.3", ("1.2.4",)) == (done.status, found.study, found.accepted)
        late = bench.archived(3, study="1.2.4")
        assert Status.ARCHIVED is late.status
        assert [] == bench.untrue()


class TestOutdated:
    """The archive changes between plan and deed."""

    def test_a_new_plan_is_made(self, bench):
        """A name is taken when it comes to linking: the next plan gives another one."""
        bench.archived(2)
        session = bench.built(1)
        (row,) = bench.parts.ledger.instances(session.id)
        in_the_way = os.path.join(bench.shelf(), row.place.path)
        files.make_folder(os.path.dirname(in_the_way))
        promise = _planned(bench, session)
        files.swap(in_the_way, b"stray")
        with pytest.raises(OutdatedError):
            carrying.carry_out(bench.parts, promise)
        withdrawing.take_back(bench.parts, promise)
        take_up(bench.parts, bench.parts.ledger.session(session.id))
        assert Status.ARCHIVED is archive(bench.parts, session.id).status
        assert (b"stray", 2) == (files.read(in_the_way), len(listed(bench)))


def _planned(bench, session):
    moved = bench.parts.ledger.move(session.id, Event.ARCHIVE)
    promise = plan(bench.parts, judge(bench.parts, moved))
    promises.write(bench.parts, promise)
    return promise
