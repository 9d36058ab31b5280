"""The history emptied by a person: staged again without losing a byte, or purged for good."""

import json
import os
from dataclasses import replace
from functools import partial

import pytest
from still import standing_still

from watcher.core import names
from watcher.core.errors import ClashError, HeldError, RefusedError
from watcher.core.life import Event
from watcher.core.session import Status
from watcher.io import files, reader
from watcher.io.lease import session_key
from watcher.stages import adopt, decide, history
from watcher.stages.archive import archive
from watcher.stages.hop import Hop
from watcher.stages.restore import purge, restore

PERSON = {"who": "anna", "reason": "as the study says"}
AGAIN = {"who": "anna", "reason": "deleted by mistake"}


def the_entry(bench):
    (found,) = history.entries(bench.parts)
    return found


def deleted(bench, *numbers, **values):
    """A built session, deleted; gives it, and its entry."""
    session = bench.built(*numbers, **values)
    decide.delete(bench.parts, session.id, **PERSON)
    return session, the_entry(bench)


def digests(bench, kind):
    root = bench.parts.storage.path(kind)
    return {files.digest(os.path.join(root, p)) for p in bench.tree(kind) if ".dcm" in p}


def commands(bench):
    data = files.read_if_there(bench.parts.storage.decisions) or b""
    return [json.loads(line)["command"] for line in data.splitlines()]


def aside(bench, path, kind="replaced", source="new", **values):
    """An entry with one file of the archive's, as a replacement leaves it; gives its folder."""
    shelf = bench.parts.registry.shelf("P1", "P1")
    session = replace(bench.parts.ledger.session(shelf.session), subject=shelf.subject)
    stamp = history.new_stamp(bench.parts, "P1", "P1")
    folder = bench.parts.storage.history("P1", "P1", stamp)
    target = os.path.join(folder, path)
    files.make_folder(os.path.dirname(target))
    os.rename(bench.put(source, **values), target)
    words = {"command": "archive", "when": "2026-06-19T09:14:25", **PERSON}
    history.describe(bench.parts, folder, kind=kind, session=session, **words)
    return folder


class TestRestoring:
    """A deleted session, and files that left one."""

    def test_a_deleted_session_is_back_under_its_id(self, bench):
        """Its files have their bytes, it waits for a person, and the history is empty."""
        session, entry = deleted(bench, 1, 2)
        before = digests(bench, "history")
        done = restore(bench.parts, entry, **AGAIN)
        assert (session.id, Status.READY, True) == (done.id, done.status, done.hold_auto)
        assert (before, set()) == (digests(bench, "prearchive"), digests(bench, "history"))
        assert ["decisions.jsonl"] == bench.tree("history")
        assert ["delete", f"history restore {entry.id}"] == commands(bench)
        assert 2 == len(bench.events("session.opened"))
        assert not bench.parts.auto_archive(done)

    def test_it_can_be_archived_and_deleted_again(self, bench):
        """Restored is as good as new: built, deleted again, restored again, archived."""
        _, entry = deleted(bench, 1)
        session = restore(bench.parts, entry, **AGAIN)
        decide.delete(bench.parts, session.id, **PERSON)
        session = restore(bench.parts, the_entry(bench), **AGAIN)
        assert Status.ARCHIVED is archive(bench.parts, session.id).status
        assert [] == bench.tree("prearchive")
        assert 1 == len(digests(bench, "archive"))

    def test_where_its_id_is_in_use_it_gets_another(self, bench):
        """Scans that were deleted come back as a session of their own."""
        bench.filed(1, series="1")
        session = bench.built(2, series="2", SeriesNumber=2)
        decide.delete_scans(bench.parts, session.id, ["2"], **PERSON)
        entry = the_entry(bench)
        assert ("scans", session.id) == (entry.kind, entry.session)
        done = restore(bench.parts, entry, **AGAIN)
        assert done.id != session.id
        assert (session.key, session.subject) == (done.key, done.subject)
        assert ["2"] == os.listdir(os.path.join(bench.folder(done), "SCANS"))

    def test_a_session_that_took_its_id_keeps_it(self, bench):
        """What stands in the prearchive under the deleted one's id is not joined."""
        session, entry = deleted(bench, 1)
        bench.parts.ledger.add(session)
        assert session.id != restore(bench.parts, entry, **AGAIN).id
        assert session == bench.parts.ledger.session(session.id)

    def test_without_its_record_it_gets_another_id(self, bench):
        """The record tells the session; without it the reason and the files do."""
        session, entry = deleted(bench, 1)
        folder = history.folder_of(bench.parts, entry)
        files.remove(f"{folder}.json")
        done = restore(bench.parts, entry, **AGAIN)
        assert done.id != session.id
        assert (session.key, session.subject) == (done.key, done.subject)

    def test_an_entry_without_a_reason_is_told_by_its_files(self, bench):
        """Study and subject are read from the files where nothing else knows them."""
        _, entry = deleted(bench, 1)
        folder = history.folder_of(bench.parts, entry)
        for path in (f"{folder}.json", os.path.join(folder, history.REASON)):
            files.remove(path)
        done = restore(bench.parts, the_entry(bench), **AGAIN)
        assert ("1.2.3", "DOE_JOHN") == (done.study, done.subject)

    def test_a_replaced_file_is_in_conflict_with_the_new_one(self, bench):
        """It is staged for the archived session, as any file is, with the archive's subject."""
        bench.archived(1)
        folder = aside(bench, "SCANS/1/DICOM/x.dcm", PatientAge="042Y")
        digest = files.digest(os.path.join(folder, "SCANS/1/DICOM/x.dcm"))
        done = restore(bench.parts, the_entry(bench), **AGAIN)
        assert (Status.CONFLICT, ["instance-differs"]) == (
            done.status,
            [each.code for each in done.findings if each.blocks],
        )
        assert {digest} == digests(bench, "prearchive")

    def test_a_name_of_other_content_is_made_longer(self, bench):
        """Twins of the history, and files that would share a name, stand side by side."""
        bench.archived(1)
        folder = aside(bench, "SCANS/1/DICOM/x.dcm", rows=8)
        for number, path in ((2, "SCANS/1/DICOM/sub/x.dcm"), (3, "top.dcm")):
            target = os.path.join(folder, path)
            files.make_folder(os.path.dirname(target))
            os.rename(bench.put("other", number, rows=number), target)
        twin = os.path.join(folder, "SCANS/1/DICOM/x.dcm")
        os.rename(bench.put("twin", 4), f"{twin}.new")
        os.rename(f"{twin}.new", history.twin(twin, files.digest(f"{twin}.new")))
        before = digests(bench, "history")
        restore(bench.parts, the_entry(bench), **AGAIN)
        assert (before, 4) == (digests(bench, "prearchive"), len(before))

    def test_what_is_no_instance_stays(self, bench):
        """A stray file and its reason stay in the history; the documents of the session go."""
        _, entry = deleted(bench, 1)
        folder = history.folder_of(bench.parts, entry)
        files.swap(os.path.join(folder, "SCANS/1/DICOM/notes.txt"), b"notes")
        done = restore(bench.parts, entry, **AGAIN)
        assert Status.READY is done.status
        inside = [path.split("/", 3)[3] for path in bench.tree("history") if path[0] == "P"]
        assert ["SCANS/1/DICOM/notes.txt", "reason.json"] == sorted(inside)
        with pytest.raises(RefusedError, match="no instance"):
            restore(bench.parts, the_entry(bench), **AGAIN)
        purge(bench.parts, the_entry(bench), **PERSON)
        assert ["decisions.jsonl"] == bench.tree("history")

    def test_a_catalog_is_not_staged(self, bench):
        """A catalog that could not be used is to be looked at, or purged: restoring is refused."""
        bench.archived(1)
        aside(bench, "SCANS/1/DICOM/scan_1_catalog.xml", kind="catalog")
        before = bench.tree("history")
        with pytest.raises(RefusedError):
            restore(bench.parts, the_entry(bench), **AGAIN)
        assert before == bench.tree("history")

    def test_files_that_come_meanwhile_put_the_build_off(self, bench):
        """With a file in hand the restored session stays RECEIVING, to be built when it rests."""
        session, entry = deleted(bench, 1)
        bench.parts.ledger.add(replace(session, status=Status.RECEIVING))
        bench.put("hand", 9)
        bench.parts.receiving.reserve([bench.incoming("hand")], 0.0, bench.parts.clock.stamp)
        entry = history.promise(bench.parts, entry, session.id)
        done = restore(bench.parts, entry, **AGAIN)
        assert (session.id, Status.RECEIVING, True) == (done.id, done.status, done.hold_auto)
        assert 1 == len(bench.parts.ledger.instances(session.id))


class TestCutOff:
    """What an earlier try left."""

    def test_it_goes_on_in_the_session_it_began(self, bench):
        """Half of the files staged, and taken for a session since: the rest joins it."""
        session, entry = deleted(bench, 1, 2)
        history.promise(bench.parts, entry, "20260101_000000000")
        begun = replace(session, id="20260101_000000000", status=Status.READY)
        bench.parts.ledger.add(begun)
        files.make_folder(bench.folder(begun))
        done = restore(bench.parts, the_entry(bench), **AGAIN)
        assert (begun.id, Status.READY, True) == (done.id, done.status, done.hold_auto)
        assert 2 == len(bench.parts.ledger.instances(begun.id))

    @pytest.mark.parametrize("changes", [{"status": Status.ARCHIVED}, {"project": "MANUAL"}])
    def test_one_that_went_on_is_left_alone(self, bench, changes):
        """Where the begun session has been archived or moved, the rest gets one of its own."""
        session, entry = deleted(bench, 1)
        files.remove(f"{history.folder_of(bench.parts, entry)}.json")
        history.promise(bench.parts, entry, "20260101_000000000")
        bench.parts.ledger.add(replace(session, id="20260101_000000000", **changes))
        assert "20260101_000000000" != restore(bench.parts, the_entry(bench), **AGAIN).id

    def test_one_whose_files_are_all_there_is_finished(self, bench):
        """Only the entry's reason was left: it is struck, and nothing is staged twice."""
        session, entry = deleted(bench, 1)
        done = restore(bench.parts, entry, **AGAIN)
        before = bench.tree("prearchive")
        folder = history.folder_of(bench.parts, entry)
        files.make_folder(folder)
        files.swap(
            os.path.join(folder, history.REASON),
            json.dumps({"kind": "deleted", "restoring": session.id, "when": "now"}).encode(),
        )
        assert done == restore(bench.parts, the_entry(bench), **AGAIN)
        assert (before, ["decisions.jsonl"]) == (bench.tree("prearchive"), bench.tree("history"))

    def test_a_folder_in_the_way_makes_the_next_id(self, bench):
        """An id whose folder is in the tree is nobody's to take."""
        session, entry = deleted(bench, 1)
        files.remove(f"{history.folder_of(bench.parts, entry)}.json")
        parts = standing_still(bench.parts)
        stamp = parts.clock.stamp()
        files.make_folder(bench.folder(replace(session, id=stamp)))
        assert names.next_timestamp(stamp) == restore(parts, entry, **AGAIN).id

    async def test_no_start_takes_half_of_it_in(self, bench):
        """Stopped between two files: the session is none until the next try has them all."""
        session, entry = deleted(bench, 1, 2)
        files.remove(f"{history.folder_of(bench.parts, entry)}.json")
        history.promise(bench.parts, entry, "20260101_000000000")
        begun = replace(session, id="20260101_000000000")
        paths = [path for path in history.paths(bench.parts, entry) if path.endswith(".dcm")]
        source = os.path.join(history.folder_of(bench.parts, entry), paths[-1])
        target = os.path.join(bench.folder(begun), paths[-1])
        twins = (target, f"{target.removesuffix('.dcm')}-{files.digest(source)[:8]}.dcm")
        files.make_folder(os.path.dirname(target))
        for path in twins:
            files.swap(path, b"theirs")
        with pytest.raises(ClashError):
            await Hop(1)(partial(restore, bench.parts, the_entry(bench), **AGAIN))
        for path in twins:
            files.remove(path)
        assert [paths[0]] == [p for p in files.walk(bench.folder(begun)) if p.endswith(".dcm")]

        async def examine(requests):
            return [reader.examine(each) for each in requests]

        await adopt.sessions(bench.parts, examine, Hop(1))
        assert not bench.parts.ledger.has(begun.id)
        done = await Hop(1)(partial(restore, bench.parts, the_entry(bench), **AGAIN))
        assert (begun.id, Status.READY) == (done.id, done.status)
        assert 2 == len(bench.parts.ledger.instances(begun.id))

    def test_names_that_are_all_taken_stop_it(self, bench):
        """Other content under both names: nothing is overwritten, the history has its file."""
        session, entry = deleted(bench, 1)
        (path,) = history.paths(bench.parts, entry)[:1]
        digest = files.digest(os.path.join(history.folder_of(bench.parts, entry), path))
        target = os.path.join(bench.folder(session), path)
        files.make_folder(os.path.dirname(target))
        for name in (target, f"{target.removesuffix('.dcm')}-{digest[:8]}.dcm"):
            files.swap(name, b"other")
        with pytest.raises(ClashError, match="taken by other content"):
            restore(bench.parts, entry, **AGAIN)
        assert {digest} == digests(bench, "history")
        with pytest.raises(RefusedError, match="cut off"):
            purge(bench.parts, the_entry(bench), **PERSON)


class TestHolding:
    """Nobody else at work."""

    def test_one_that_is_held_is_refused(self, bench):
        """While somebody works on the session or its destination nothing is touched."""
        _, entry = deleted(bench, 1)
        with (
            bench.parts.leases.hold([session_key(entry.stamp)], 0.0),
            pytest.raises(HeldError),
        ):
            restore(bench.parts, entry, **AGAIN)

    @pytest.mark.parametrize("act", [restore, purge])
    def test_one_that_is_being_deleted_is_refused(self, bench, act):
        """A deletion that was cut off is carried on first."""
        session = bench.built(1)
        bench.parts.ledger.move(session.id, Event.DELETE)
        folder = bench.parts.storage.history("P1", "P1", session.id)
        files.make_folder(folder)
        files.swap(os.path.join(folder, "x"), b"x")
        with pytest.raises(HeldError, match="DELETING"):
            act(bench.parts, the_entry(bench), **PERSON)


class TestPurging:
    """For good."""

    def test_everything_of_it_is_gone_but_the_decision(self, bench):
        """Files, documents and folders; who did it and why is kept, and said."""
        _, entry = deleted(bench, 1, 2)
        assert entry == purge(bench.parts, entry, who="anna", reason="consent withdrawn")
        assert ["decisions.jsonl"] == bench.tree("history")
        said = bench.events("session.decided")[-1]
        assert (f"history purge {entry.id}", "consent withdrawn") == (
            said["command"],
            said["reason"],
        )
        assert ["delete", f"history purge {entry.id}"] == commands(bench)

    def test_others_are_left(self, bench):
        """Another entry of the same label stays."""
        bench.archived(1)
        first, second = (aside(bench, "SCANS/1/DICOM/x.dcm", source=name) for name in "ab")
        purge(bench.parts, history.entry(bench.parts, os.path.basename(first)), **PERSON)
        assert [os.path.basename(second)] == [each.stamp for each in history.entries(bench.parts)]
