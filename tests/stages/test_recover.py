"""What a start owes the last run."""

import json
import os
from dataclasses import replace

import pytest

from watcher.core.errors import StorageError
from watcher.core.life import Event
from watcher.core.policy import Identify, Project, Projects
from watcher.core.session import Decision, Status
from watcher.io import files, journal, reader, tables
from watcher.stages.decide import archive_now
from watcher.stages.filing import Filer
from watcher.stages.hands import settle_hands
from watcher.stages.hop import Hop
from watcher.stages.recover import carry_on, recover, reidentify
from watcher.stages.sessions import fail

DECISION = Decision(1.0, "anna", "delete", "phantom")


async def examine(requests):
    """The real reader, in this process."""
    return [reader.examine(each) for each in requests]


async def started(bench):
    await recover(bench.parts, examine, Hop(1))


def lose(ledger):
    """All that the ledger knew."""
    with ledger.write() as tx:
        for table in reversed(tables.metadata.sorted_tables):
            tx.execute(table.delete())


def status(bench, session):
    return bench.parts.ledger.session(session.id).status


class TestCarryingOn:
    """Sessions that were being worked on."""

    async def test_a_build_is_begun_anew(self, bench):
        """BUILDING: RECEIVING again, in the ledger and in its record."""
        session = bench.filed(1)
        bench.parts.ledger.move(session.id, Event.IDLE)
        await started(bench)
        assert Status.RECEIVING is status(bench, session)
        record = json.loads(files.read(bench.parts.storage.beside(session, "json")))
        assert "RECEIVING" == record["status"]
        assert ["carried on"] == [each["outcome"] for each in bench.events("daemon.recovered")]

    async def test_an_archiving_that_was_not_begun_is_ready(self, bench):
        """ARCHIVING before the first swap: READY."""
        session = bench.built(1)
        bench.parts.ledger.move(session.id, Event.ARCHIVE)
        await started(bench)
        assert Status.READY is status(bench, session)

    async def test_a_move_is_finished(self, bench):
        """MOVING: at its target, and built."""
        session = bench.built(1)
        bench.parts.ledger.move(session.id, Event.MOVE, target=("MANUAL", "L2", "S2"))
        await started(bench)
        done = bench.parts.ledger.session(session.id)
        assert ("MANUAL", "L2", "S2", Status.READY) == (
            done.project,
            done.label,
            done.subject,
            done.status,
        )

    async def test_a_deletion_is_finished(self, bench):
        """DELETING: everything is in the history."""
        session = bench.built(1)
        bench.parts.ledger.move(session.id, Event.DELETE, decisions=(DECISION,))
        await started(bench)
        assert Status.DELETED is status(bench, session)
        assert [] == bench.tree("prearchive")
        kept = bench.tree("history")
        assert 1 == sum(path.endswith(".dcm") for path in kept)
        assert {"decisions.jsonl"} < set(kept)

    async def test_a_held_session_is_left_to_its_holder(self, bench):
        """A command is at work on it: it is not touched."""
        session = bench.filed(1)
        bench.parts.ledger.move(session.id, Event.IDLE)
        with bench.parts.leases.hold(bench.parts.keys(session), 0.0):
            await started(bench)
        assert Status.BUILDING is status(bench, session)

    async def test_a_fault_is_said_and_the_others_go_on(self, bench):
        """One session that can't be carried on for now stops neither the start nor another."""
        first = bench.built(1)
        second = bench.filed(2, study="1.2.4", patient_id="P2")
        bench.parts.ledger.move(first.id, Event.MOVE, target=("MANUAL", "L2", "S2"))
        bench.parts.ledger.move(second.id, Event.IDLE)
        with open(os.path.join(bench.parts.storage.path("prearchive"), "MANUAL"), "wb"):
            pass
        await started(bench)
        assert (Status.MOVING, Status.RECEIVING) == (status(bench, first), status(bench, second))

    async def test_a_stop_ends_it(self, bench):
        """Asked to end while it carries on, the start leaves the rest to the next one."""
        session = bench.built(1)
        bench.parts.ledger.move(session.id, Event.DELETE, decisions=(DECISION,))
        bench.parts.stopping.set()
        await started(bench)
        assert Status.DELETING is status(bench, session)

    async def test_without_stores_nothing_is_concluded(self, bench):
        """A prearchive or archive that is missing takes nothing out of the ledger."""
        session = bench.filed(1)
        for kind in ("prearchive", "archive"):
            os.remove(bench.parts.storage.marker(kind))
        await started(bench)
        assert Status.RECEIVING is status(bench, session)

    async def test_what_waits_for_somebody_is_said(self, bench):
        """A conflict that a crash left unsaid is said at the start; once."""
        session = bench.built(1, project=None)
        bench.parts.conditions.clear("session.settled", f"session/{session.id}")
        bench.said.clear()
        await started(bench)
        await started(bench)
        assert [session.id] == [each["session"] for each in bench.events("session.conflict")]

    def test_an_archiving_whose_plan_is_damaged_is_an_error(self, bench):
        """A plan nobody can read: ERROR with the reason, nothing removed."""
        session = bench.built(1)
        bench.parts.ledger.move(session.id, Event.ARCHIVE)
        files.swap(bench.parts.storage.beside(session, "plan.json"), b"{")
        before = bench.tree("prearchive")
        carry_on(bench.parts, session.id)
        assert Status.ERROR is status(bench, session)
        assert before == bench.tree("prearchive")


class TestHands:
    """Files that were being filed."""

    def reserved(self, bench, *names):
        batch = [bench.incoming(name) for name in names]
        return bench.parts.receiving.reserve(batch, 0.0, bench.parts.clock.stamp)[0]

    def test_a_file_in_place_is_finished(self, bench):
        """Placed and not recorded: it is synced and recorded."""
        session = bench.filed(1)
        path = bench.put("b", 2)
        (reserved,) = self.reserved(bench, "b")
        os.link(path, os.path.join(bench.folder(session), reserved.instance.place.path))
        assert 1 == settle_hands(bench.parts)
        assert 2 == len(bench.parts.ledger.instances(session.id))

    @pytest.mark.parametrize("half", [None, b"half"])
    def test_a_file_that_is_not_whole_is_taken_back(self, bench, half):
        """Not placed, or half of it: the reservation is given back; its source is there still."""
        session = bench.filed(1)
        bench.put("b", 2)
        (reserved,) = self.reserved(bench, "b")
        path = os.path.join(bench.folder(session), reserved.instance.place.path)
        if half:
            files.swap(path, half)
        assert 1 == settle_hands(bench.parts)
        assert 1 == len(bench.parts.ledger.instances(session.id))
        assert not os.path.exists(path)
        assert ["b"] == os.listdir(bench.drop.path)

    def test_a_session_that_only_it_held_goes(self, bench):
        """A session opened for files that came to nothing leaves no trace."""
        bench.put("a")
        self.reserved(bench, "a")
        (session,) = bench.parts.ledger.sessions()
        files.make_folder(os.path.join(bench.folder(session), "SCANS", "1", "DICOM"))
        bench.parts.publish(session.id)
        settle_hands(bench.parts)
        assert [] == bench.parts.ledger.sessions()
        assert not os.path.exists(os.path.dirname(bench.folder(session)))

    async def test_a_start_settles_them(self, bench):
        """After a crash between reserve and record nothing is in hand."""
        bench.put("a")
        self.reserved(bench, "a")
        await started(bench)
        assert {} == bench.parts.receiving.reserved()
        assert ["filed"] == [
            one.result for one in Filer(bench.parts).file(bench.drop, [bench.incoming("a")])
        ]


class TestBindings:
    """Decisions that a lost ledger no longer knows."""

    async def test_they_are_read_from_the_history(self, bench):
        """Later files of a moved study follow again; a torn last line hinders nobody."""
        line = {"from": [None, "P1"], "to": ["MANUAL", "L2"], "study": "1.2.3", "subject": "S2"}
        line["studies"] = ["1.2.3", "1.2.5"]
        other = {"from": None, "to": None, "study": "1.2.4", "subject": ""}
        for each in (json.dumps(line), json.dumps(other), '{"from": [nu'):
            journal.append_line(bench.parts.storage.decisions, each)
        await started(bench)
        for study in ("1.2.3", "1.2.5"):
            session = bench.filed(1, project=None, study=study)
            assert ("MANUAL", "L2", "S2") == (session.project, session.label, session.subject)

    async def test_a_forced_merge_needs_no_second_decision(self, bench):
        """The whole ledger is lost: late files of the forced study are archived without a word."""
        bench.archived(1)
        session = bench.built(2, study="1.2.4")
        archive_now(bench.parts, session.id, force=True, who="anna", reason="one examination")
        lose(bench.parts.ledger)
        await started(bench)
        assert Status.ARCHIVED is bench.archived(3, study="1.2.4").status
        assert "decision" == bench.events("file.filed")[-1]["by"]


class TestReidentify:
    """Unassigned sessions at each start."""

    def again(self, bench, *, project="P1", drops=None):
        drop = replace(bench.drop, project=project)
        return reidentify(bench.parts, {"mri": drop} if drops is None else drops, Identify())

    def test_a_project_that_exists_now_takes_its_session(self, bench):
        """The drop names a project now: the session is moved there and built."""
        session = bench.built(1, project=None)
        assert 1 == self.again(bench)
        done = bench.parts.ledger.session(session.id)
        assert ("P1", Status.READY) == (done.project, done.status)
        (decided,) = bench.events("session.decided")
        assert ("watcher", "move") == (decided["user"], decided["command"])

    def test_a_known_project_in_the_header_is_enough(self, bench):
        """A project that was configured since is found by the built-in chain."""
        session = bench.built(1, project=None, description="LATER")
        parts = replace(bench.parts, projects=Projects({"LATER": Project("LATER")}))
        drops = {"mri": replace(bench.drop, project=None)}
        assert 1 == reidentify(parts, drops, Identify())
        assert "LATER" == parts.ledger.session(session.id).project

    def test_others_stay_as_they_are(self, bench):
        """No project still, a drop that is gone, or a session with a project: nothing moves."""
        bench.built(1, project=None)
        bench.built(1, study="1.2.4")
        assert 0 == self.again(bench, project=None)
        assert 0 == self.again(bench, drops={})

    @pytest.mark.parametrize(
        ("description", "changes", "project"),
        [
            ("", {"project": "P1"}, "P1"),
            ("LATER", {}, "LATER"),
            ("LATER", {"layout": ("{project}",)}, None),
        ],
    )
    async def test_after_a_lost_ledger_the_record_names_the_drop(
        self, bench, description, changes, project
    ):
        """What only the ledger knew of the files is gone: the drop is one the session's record
        names, but not where a folder, which nobody knows any more, would name the project.
        """
        session = bench.built(1, project=None, description=description)
        lose(bench.parts.ledger)
        await started(bench)
        parts = replace(bench.parts, projects=Projects({"LATER": Project("LATER")}))
        drops = {"mri": replace(bench.drop, **{"project": None, **changes})}
        assert int(project is not None) == reidentify(parts, drops, Identify())
        assert project == parts.ledger.session(session.id).project

    def test_a_held_session_waits_for_the_next_start(self, bench):
        """Somebody is at work on it: it is left as it is."""
        session = bench.built(1, project=None)
        with bench.parts.leases.hold(bench.parts.keys(session), 0.0):
            assert 0 == self.again(bench)
        assert bench.parts.ledger.session(session.id).project is None


class TestFailing:
    """Whatever nobody foresaw."""

    def test_a_session_nobody_can_work_on_is_an_error(self, bench):
        """ERROR with the reason, said; a fault of ours is named, another by its kind only."""
        for study, error, text in (
            ("1.2.3", StorageError("a disk", number=5), "a disk"),
            ("1.2.4", ZeroDivisionError("secret"), "ZeroDivisionError"),
        ):
            session = bench.filed(1, study=study)
            bench.parts.ledger.move(session.id, Event.IDLE)
            fail(bench.parts, session.id, error)
            done = bench.parts.ledger.session(session.id)
            assert (Status.ERROR, text) == (done.status, done.error)
        assert 2 == len(bench.events("session.error"))

    def test_what_can_not_fail_stays(self, bench):
        """A status from which the table knows no failing is kept."""
        session = bench.filed(1)
        fail(bench.parts, session.id, ZeroDivisionError())
        assert Status.RECEIVING is status(bench, session)
