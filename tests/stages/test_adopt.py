"""The ledger filled from the tree, where it is lost or older."""

import os
import shutil
from dataclasses import replace

import pytest
from anyio import to_thread

from watcher.core.errors import UnknownSessionError
from watcher.core.life import Event
from watcher.core.session import Status
from watcher.io import files, reader
from watcher.io.lease import session_key
from watcher.io.stores import read_record
from watcher.stages import adopt, carrying
from watcher.stages import promise as promises
from watcher.stages.deleting import delete
from watcher.stages.hop import Hop
from watcher.stages.planning import plan
from watcher.stages.validate import judge


async def examine(requests):
    """The real reader, in this process."""
    return [reader.examine(each) for each in requests]


async def adopted(bench):
    return await adopt.sessions(bench.parts, examine, Hop(1))


def forget(bench):
    """What a lost ledger knows of the prearchive."""
    for session in bench.parts.ledger.sessions(tuple(Status)):
        bench.parts.ledger.forget(session.id)


def beside(bench, session, ending):
    return bench.parts.storage.beside(session, ending)


def rows(bench, session):
    return [
        replace(each, drop="", source=b"", arrived=0.0)
        for each in bench.parts.ledger.instances(session.id)
    ]


class TestLostLedger:
    """Nothing is known; the tree tells."""

    @pytest.mark.parametrize("status", [Status.RECEIVING, Status.READY, Status.CONFLICT])
    async def test_a_session_is_as_its_record_says(self, bench, status):
        """Row and files come back as they were, whatever the status."""
        session = (
            bench.filed(1, 2)
            if status is Status.RECEIVING
            else bench.built(1, 2, project=None if status is Status.CONFLICT else "P1")
        )
        before = rows(bench, session)
        forget(bench)
        assert 1 == await adopted(bench)
        found = bench.parts.ledger.session(session.id)
        recorded = read_record(beside(bench, session, "json"))
        assert (status, recorded) == (found.status, found)
        assert before == rows(bench, session)

    async def test_without_its_record_the_files_tell(self, bench):
        """A crash before the record was written: path and headers give the session."""
        session = bench.filed(1, 2)
        os.remove(beside(bench, session, "json"))
        forget(bench)
        assert 1 == await adopted(bench)
        found = bench.parts.ledger.session(session.id)
        assert ("P1", "P1", "1.2.3", "DOE_JOHN", Status.RECEIVING, 2) == (
            found.project,
            found.label,
            found.study,
            found.subject,
            found.status,
            found.generation,
        )
        assert os.path.isfile(beside(bench, session, "json"))

    async def test_without_a_name_the_subject_is_unknown(self, bench):
        """No PatientName, no record: the subject is `unknown`, as when it was filed."""
        session = bench.filed(1, patient_name=None)
        os.remove(beside(bench, session, "json"))
        forget(bench)
        await adopted(bench)
        assert "unknown" == bench.parts.ledger.session(session.id).subject

    async def test_a_damaged_record_is_none(self, bench):
        """A record that can't be read counts as not there."""
        session = bench.filed(1)
        with open(beside(bench, session, "json"), "wb") as file:
            file.write(b"{")
        forget(bench)
        assert 1 == await adopted(bench)
        assert Status.RECEIVING is bench.parts.ledger.session(session.id).status

    async def test_an_unassigned_session_has_no_project_level(self, bench):
        """A timestamp right in the prearchive is an Unassigned session."""
        session = bench.filed(1, project=None)
        os.remove(beside(bench, session, "json"))
        forget(bench)
        assert 1 == await adopted(bench)
        assert bench.parts.ledger.session(session.id).project is None

    async def test_a_plan_stands_in_for_the_record(self, bench):
        """Cleared away all but the plan: the session is the plan's."""
        session = bench.built(1)
        moved = bench.parts.ledger.move(session.id, Event.ARCHIVE)
        promises.write(bench.parts, plan(bench.parts, judge(bench.parts, moved)))
        os.remove(beside(bench, session, "json"))
        forget(bench)
        assert 1 == await adopted(bench)
        assert Status.ARCHIVING is bench.parts.ledger.session(session.id).status

    async def test_an_empty_folder_is_no_session(self, bench):
        """Folders that a crash left without files or record are removed."""
        base = bench.parts.storage.path("prearchive")
        os.makedirs(f"{base}/P1/20260619_091425123/L/SCANS/1")
        os.makedirs(f"{base}/P1/20260619_091425124")
        os.makedirs(f"{base}/20260619_091425125")
        assert 0 == await adopted(bench)
        assert [] == [name for name in os.listdir(base) if name[0] != "."]

    async def test_what_is_not_the_daemon_s_is_left(self, bench):
        """Folders that are no timestamp, and projects nobody configured, are not touched."""
        base = bench.parts.storage.path("prearchive")
        os.makedirs(f"{base}/STRANGE/folder")
        os.makedirs(f"{base}/EMPTY")
        with open(f"{base}/file", "wb"):
            pass
        assert 0 == await adopted(bench)
        assert {"STRANGE", "EMPTY", "file"} <= set(os.listdir(base))

    async def test_two_names_of_one_build_become_one(self, bench):
        """A build that was cut off left a file under two names: one is kept, and recorded."""
        session = bench.filed(1)
        (row,) = bench.parts.ledger.instances(session.id)
        base = bench.folder(session)
        os.makedirs(f"{base}/SCANS/1-CT1/DICOM")
        os.link(f"{base}/{row.place.path}", f"{base}/SCANS/1-CT1/DICOM/{row.place.name}")
        forget(bench)
        assert 1 == await adopted(bench)
        (found,) = bench.parts.ledger.instances(session.id)
        assert [found.place.path] == [p for p in files.walk(base) if p.endswith(".dcm")]

    async def test_catalogs_strays_and_hidden_files_are_no_instances(self, bench):
        """Only whole DICOM files in scan folders become rows; a stray stops nobody."""
        session = bench.built(1)
        base = f"{bench.folder(session)}/SCANS/1/DICOM"
        for name in ("stray.txt", ".hidden"):
            with open(f"{base}/{name}", "wb") as file:
                file.write(b"no DICOM at all")
        forget(bench)
        assert 1 == await adopted(bench)
        assert 1 == len(bench.parts.ledger.instances(session.id))

    async def test_a_file_that_cannot_be_read_leaves_the_session(self, bench):
        """Nothing goes on of a session with a torn file; an administrator is told."""
        session = bench.filed(1, 2)
        path = os.path.join(
            bench.folder(session), bench.parts.ledger.instances(session.id)[0].place.path
        )
        os.truncate(path, os.path.getsize(path) - 5)
        forget(bench)
        assert 0 == await adopted(bench)
        assert not bench.parts.ledger.has(session.id)
        (said,) = bench.events("session.error")
        assert session.id == said["session"]
        assert "1 of its files" in said["error"]
        assert 3 == len(bench.tree("prearchive"))


class TestOlderLedger:
    """The ledger was put back from a copy, or the last commit is missing."""

    async def test_what_agrees_costs_nothing(self, bench):
        """A session that is known as it is is not read again."""
        bench.filed(1)
        bench.built(1, study="1.2.4")
        assert 0 == await adopted(bench)

    async def test_a_newer_record_wins(self, bench):
        """A record with a higher revision is what happened; the ledger is behind."""
        session = bench.filed(1)
        newer = replace(session, revision=9, status=Status.READY, subject="OTHER")
        bench.parts.storage.write_record(newer)
        assert 1 == await adopted(bench)
        assert newer == bench.parts.ledger.session(session.id)

    @pytest.mark.parametrize("record", ["older", "missing"])
    async def test_an_older_record_is_written_anew(self, bench, record):
        """A crash between commit and record: the ledger's state is published."""
        session = bench.built(1)
        if record == "older":
            bench.parts.storage.write_record(replace(session, revision=0))
        else:
            os.remove(beside(bench, session, "json"))
        assert 0 == await adopted(bench)
        assert bench.parts.ledger.session(session.id) == read_record(beside(bench, session, "json"))

    async def test_a_file_the_ledger_does_not_know_is_taken_in(self, bench):
        """A RECEIVING session with a file more than the ledger says is read again."""
        session = bench.filed(1, 2)
        gone = bench.parts.ledger.instances(session.id)[0]
        bench.parts.ledger.drop_instances(session.id, [gone.place])
        assert 1 == await adopted(bench)
        assert 2 == len(bench.parts.ledger.instances(session.id))

    async def test_what_only_the_ledger_knows_of_a_file_it_keeps(self, bench):
        """Read again, a file still comes from where it lay in its drop, at the time it came."""
        session = bench.filed(1, 2)
        one, other = bench.parts.ledger.instances(session.id)
        bench.parts.ledger.drop_instances(session.id, [other.place])
        assert 1 == await adopted(bench)
        again, read = bench.parts.ledger.instances(session.id)
        assert (one, ("", b"")) == (again, (read.drop, read.source))

    async def test_a_session_that_is_nowhere_is_forgotten(self, bench):
        """Rows without a folder, record or plan belong to nothing."""
        session = bench.filed(1)
        shutil.rmtree(os.path.dirname(bench.folder(session)))
        assert 0 == await adopted(bench)
        with pytest.raises(UnknownSessionError):
            bench.parts.ledger.session(session.id)

    async def test_an_ended_session_is_not_opened_again(self, bench):
        """A record that says ARCHIVED or DELETED is no session to take in."""
        session = bench.filed(1)
        bench.parts.storage.write_record(replace(session, status=Status.DELETED, revision=9))
        forget(bench)
        assert 0 == await adopted(bench)

    async def test_a_deleted_session_s_folders_go(self, bench):
        """Folders that a crash left of a DELETED session are removed once they are empty."""
        session = bench.filed(1)
        delete(bench.parts, session.id, who="anna", reason="phantom")
        os.makedirs(os.path.join(bench.folder(session), "SCANS"))
        assert 0 == await adopted(bench)
        assert not os.path.exists(os.path.dirname(bench.folder(session)))
        assert Status.DELETED is bench.parts.ledger.session(session.id).status

    async def test_an_archived_session_s_plan_is_struck(self, bench):
        """Killed between the end of an archiving and its last step: cleared away, not redone."""
        session = bench.built(1)
        moved = bench.parts.ledger.move(session.id, Event.ARCHIVE)
        promise = plan(bench.parts, judge(bench.parts, moved))
        promises.write(bench.parts, promise)
        carrying.carry_out(bench.parts, promise)
        bench.parts.ledger.end(session.id, Event.ARCHIVED, promise.sizes)
        assert 0 == await adopted(bench)
        assert [] == bench.tree("prearchive")

    @pytest.mark.parametrize("text", [b"{}", b"\xff"])
    async def test_a_garbled_plan_of_an_ended_session_stops_no_start(self, bench, text):
        """It is said, and left where it is."""
        session = bench.archived(1)
        path = beside(bench, session, "plan.json")
        files.make_folder(os.path.dirname(path))
        files.swap(path, text)
        assert 0 == await adopted(bench)
        assert (["left"], text) == (
            [each["outcome"] for each in bench.events("daemon.recovered")],
            files.read(path),
        )

    @pytest.mark.parametrize("lost", [False, True], ids=["ledger", "no ledger"])
    async def test_the_plan_of_a_try_that_was_given_up_is_taken_back(self, bench, lost):
        """ERROR, its links made: no plan stays beside it, and no link in the archive."""
        session = bench.built(1)
        moved = bench.parts.ledger.move(session.id, Event.ARCHIVE)
        promise = plan(bench.parts, judge(bench.parts, moved))
        promises.write(bench.parts, promise)
        (carry,) = promise.carries
        target = os.path.join(bench.shelf(), carry.target)
        os.makedirs(os.path.dirname(target))
        os.link(os.path.join(bench.folder(session), carry.source), target)
        bench.parts.ledger.move(session.id, Event.FAILED, error="whatever it was")
        bench.parts.publish(session.id)
        if lost:
            forget(bench)
        await adopted(bench)
        assert Status.ERROR is bench.parts.ledger.session(session.id).status
        assert ([], False) == (bench.tree(), os.path.exists(beside(bench, session, "plan.json")))

    @pytest.mark.parametrize("lost", [False, True], ids=["ledger", "no ledger"])
    async def test_the_plan_of_a_part_that_is_done_is_struck(self, bench, lost):
        """Killed after a part went in, before its plan was struck: no plan stays beside it."""
        session = await to_thread.run_sync(bench.in_two_scans)
        moved = bench.parts.ledger.move(session.id, Event.ARCHIVE)
        judged = await to_thread.run_sync(judge, bench.parts, moved)
        promises.write(bench.parts, plan(bench.parts, judged))
        bench.parts.ledger.move(session.id, Event.CONFLICTED, partly=False)
        bench.parts.publish(session.id)
        if lost:
            forget(bench)
        await adopted(bench)
        assert Status.CONFLICT is bench.parts.ledger.session(session.id).status
        assert not os.path.exists(beside(bench, session, "plan.json"))

    async def test_a_moving_session_is_found_in_both_places(self, bench):
        """Record in the old place, folder in the new one: one session, at its folder."""
        session = bench.built(1)
        moving = bench.parts.ledger.move(
            session.id, Event.MOVE, target=("MANUAL", "P1", session.subject)
        )
        bench.parts.publish(session.id)
        new = replace(session, project="MANUAL")
        os.makedirs(os.path.dirname(bench.folder(new)))
        os.rename(bench.folder(session), bench.folder(new))
        forget(bench)
        assert 1 == await adopted(bench)
        assert moving == bench.parts.ledger.session(session.id)
        assert 1 == len(bench.parts.ledger.instances(session.id))


class TestHalves:
    """Documents that a crash left half written."""

    async def test_they_are_swept(self, bench):
        """A half-written document is removed."""
        session = bench.filed(1)
        half = f"{os.path.dirname(bench.folder(session))}/.P1.json.new"
        with open(half, "wb"):
            pass
        await adopted(bench)
        assert not os.path.exists(half)

    async def test_not_while_somebody_writes(self, bench):
        """A command at work on the session is just writing it: it is left."""
        session = bench.filed(1)
        half = f"{os.path.dirname(bench.folder(session))}/.P1.json.new"
        with open(half, "wb"):
            pass
        with bench.parts.leases.hold([session_key(session.id)], 0.0):
            await adopted(bench)
        assert os.path.exists(half)
