"""What a person decides: archive by force, move, relabel, delete; each recorded for good."""

import json
import os
from dataclasses import replace

import pytest
from filed import session as made

from watcher.core.errors import DocumentError, RefusedError, StorageError
from watcher.core.life import Event
from watcher.core.session import Finding, Severity, Status
from watcher.io import files
from watcher.stages import decide, history
from watcher.stages.deleting import carry_scans
from watcher.stages.rebuild import build
from watcher.stages.recover import carry_on

PERSON = {"who": "anna", "reason": "as the study says"}


def decisions(bench):
    path = bench.parts.storage.decisions
    return [json.loads(line) for line in (files.read_if_there(path) or b"").splitlines()]


def in_hand(bench, number=9):
    """A file of the session that is being filed at this moment."""
    bench.put("hand", number)
    bench.parts.receiving.reserve([bench.incoming("hand")], 0.0, bench.parts.clock.stamp)


def relocate(bench, session, **changes):
    to = {"project": "P1", "label": session.label, "subject": session.subject, **changes}
    return decide.relocate(bench.parts, session.id, command="move", **PERSON, **to)


class TestRebuilding:
    """By hand."""

    def test_it_never_archives(self, bench):
        """A rebuilt session stays READY although its project archives by itself."""
        session = decide.rebuild(bench.parts, bench.filed(1).id)
        assert Status.READY is session.status
        assert not bench.parts.auto_archive(session)

    def test_files_in_hand_refuse_it(self, bench):
        """Nothing changes while files of it are being filed; it says to try again."""
        session = bench.filed(1)
        in_hand(bench)
        with pytest.raises(RefusedError, match="being filed"):
            decide.rebuild(bench.parts, session.id)
        assert Status.RECEIVING is bench.parts.ledger.session(session.id).status


class TestArchiving:
    """At once."""

    def test_a_receiving_session_is_built_first(self, bench):
        """It need not wait for its rest."""
        done = decide.archive_now(bench.parts, bench.filed(1, project="MANUAL").id)
        assert Status.ARCHIVED is done.status

    def test_force_passes_what_gives_way_and_is_recorded(self, bench):
        """Another study under the label: CONFLICT, then merged by force, with who and why."""
        bench.archived(1)
        session = bench.built(1, study="1.2.4")
        assert Status.CONFLICT is decide.archive_now(bench.parts, session.id).status
        done = decide.archive_now(bench.parts, session.id, force=True, **PERSON)
        assert Status.ARCHIVED is done.status
        (decision,) = decisions(bench)
        assert ("anna", "archive --force", ["study-uid-mismatch"]) == tuple(
            decision[word] for word in ("who", "command", "passed")
        )
        (said,) = bench.events("session.decided")
        assert "as the study says" == said["reason"]

    def test_a_forced_merge_binds_its_studies(self, bench):
        """Kept with every study it held; a late file of it goes there by decision."""
        bench.archived(1, project="MANUAL")
        session = bench.built(2, study="1.2.4", project="MANUAL")
        decide.archive_now(bench.parts, session.id, force=True, **PERSON)
        (kept,) = decisions(bench)
        assert (["MANUAL", "P1"], ["MANUAL", "P1"], ["1.2.4"], "DOE_JOHN") == tuple(
            kept[word] for word in ("from", "to", "studies", "subject")
        )
        later = bench.filed(3, study="1.2.4", project="MANUAL")
        assert (["decision"], "P1") == (
            [each.get("by") for each in bench.events("file.filed")[-1:]],
            later.label,
        )

    @pytest.mark.parametrize("policy", ["overwrite", "keep"])
    def test_a_policy_is_recorded_with_what_it_settles(self, bench, policy):
        """Two files with one identity: the decision says which stays, and binds nothing."""
        session = bench.built(1, project="MANUAL")
        bench.put("in1", 1, PatientComments="otherwise")
        bench.file("in1", drop=replace(bench.drop, project="MANUAL"))
        told = []
        decide.archive_now(
            bench.parts,
            session.id,
            **{policy: True},
            **PERSON,
            tell=lambda _, codes: told.append(codes),
        )
        (kept,) = decisions(bench)
        assert (policy, ["duplicate-in-session"], None) == (
            kept["policy"],
            kept["passed"],
            kept["from"],
        )
        assert [("duplicate-in-session",)] == told
        assert [policy] == [
            each.policy for each in bench.parts.ledger.session(session.id).decisions
        ]

    def test_both_policies_at_once_are_refused(self, bench):
        """One or the other stays: nothing is built or recorded."""
        session = bench.filed(1)
        with pytest.raises(RefusedError, match="exclude each other"):
            decide.archive_now(bench.parts, session.id, overwrite=True, keep=True)
        assert session == bench.parts.ledger.session(session.id)

    @pytest.mark.parametrize(
        ("found", "options", "passed"),
        [
            ("Si", {}, ("study-uid-mismatch",)),
            ("Si", {"policy": "keep"}, ("study-uid-mismatch", "instance-differs")),
            ("i", {"force": False, "policy": "overwrite"}, ("instance-differs",)),
            ("Si", {"force": False, "policy": "overwrite"}, ()),
            ("i", {}, ()),
            ("u", {"policy": "keep"}, ()),
            ("Su", {}, ("study-uid-mismatch",)),
            ("Pi", {"policy": "keep"}, ()),
            ("w", {}, ()),
        ],
    )
    def test_what_is_overridden(self, found, options, passed):
        """Force is for the session, a policy for files; nothing where the session stays held."""
        kinds = {
            "S": ("study-uid-mismatch", Severity.CONFLICT, "session"),
            "P": ("no-project", Severity.FAIL, "session"),
            "i": ("instance-differs", Severity.CONFLICT, "scan 1"),
            "u": ("unreadable-file", Severity.FAIL, "scan 2"),
            "w": ("label-shared", Severity.WARN, "session"),
        }
        findings = [
            Finding(code, (), severity, "", scope)
            for code, severity, scope in (kinds[each] for each in found)
        ]
        assert passed == decide.overridden(made(findings=tuple(findings)), **options)

    def test_what_can_go_in_goes_in(self, bench):
        """One scan is held: without any option the other is archived, and CONFLICT stays."""
        session = bench.built(1, project="MANUAL")
        bench.put("in1", 1, PatientComments="otherwise")
        bench.put("in2", 2, series="2", SeriesNumber=2)
        bench.file("in1", "in2", drop=replace(bench.drop, project="MANUAL"))
        done = decide.archive_now(bench.parts, session.id)
        assert (Status.CONFLICT, 1) == (
            done.status,
            bench.parts.registry.shelf("MANUAL", "P1").scans,
        )
        assert Status.CONFLICT is decide.archive_now(bench.parts, session.id).status

    def test_no_force_passes_a_fail(self, bench):
        """An Unassigned session stays in CONFLICT, and no decision is recorded."""
        session = bench.built(1, project=None)
        assert () == decide.overridden(session)
        done = decide.archive_now(bench.parts, session.id, force=True, **PERSON)
        assert (Status.CONFLICT, []) == (done.status, decisions(bench))


class TestRelocating:
    """Move and relabel."""

    def test_everything_of_it_moves(self, bench):
        """Folder, XML and record are at the new place, nothing at the old; later files follow."""
        session = bench.built(1, project=None)
        done = relocate(bench, session, label="L2", subject="S2")
        assert ("P1", "L2", "S2", Status.READY) == (
            done.project,
            done.label,
            done.subject,
            done.status,
        )
        tops = {path.split("/")[0] for path in bench.tree("prearchive")}
        assert {"P1"} == tops
        assert done == bench.parts.ledger.session(session.id)
        later = bench.filed(2, project=None)
        assert session.id == later.id

    def test_every_study_of_a_mixed_session_follows(self, bench):
        """A session of two studies is relabelled: late files of either go with it."""
        drop = replace(bench.drop, layout=("{session}",))
        for number, study in enumerate(("1.2.3", "1.2.4")):
            bench.put(f"L/{number}", number, study=study)
        first, second = bench.file("L/0", "L/1", drop=drop)
        assert first.session == second.session
        session = build(bench.parts, first.session, Event.IDLE)
        relocate(bench, session, label="L2")
        for number, study in enumerate(("1.2.3", "1.2.4"), 2):
            bench.put(f"L/{number}", number, study=study)
        assert {session.id} == {each.session for each in bench.file("L/2", "L/3", drop=drop)}

    def test_every_record_of_a_subject_s_change_has_it(self, bench):
        """LABEL.json, decisions.jsonl and, once archived, the session's own log: who, when, why."""
        session = bench.built(1, project="MANUAL")
        to = {"project": "MANUAL", "subject": "S2"}
        decide.relocate(bench.parts, session.id, label="P1", command="relabel", **PERSON, **to)
        record = json.loads(
            files.read(bench.parts.storage.beside(bench.parts.ledger.session(session.id), "json"))
        )
        decide.archive_now(bench.parts, session.id)
        own = json.loads(files.read(f"{bench.shelf(project='MANUAL')}/logs/events.jsonl"))
        (kept,) = decisions(bench)
        for (each,) in (record["decisions"], own["decisions"], [kept]):
            assert ("anna", "relabel", PERSON["reason"], "S2") == tuple(
                each[word] for word in ("who", "command", "reason", "subject")
            )
        assert kept["timestamp"] == own["decisions"][0]["when"]

    def test_another_subject_stays_in_its_folder(self, bench):
        """Only the subject changes: the folder is the same, the documents are written anew."""
        session = bench.built(1)
        done = relocate(bench, session, subject="S2")
        assert (bench.folder(session), "S2") == (bench.folder(done), done.subject)
        assert b"S2" in files.read(bench.parts.storage.beside(done, "xml"))

    def test_files_in_hand_refuse_it(self, bench):
        """While files are being filed it stays where it is."""
        session = bench.filed(1)
        in_hand(bench)
        with pytest.raises(RefusedError):
            relocate(bench, session, label="L2")
        assert session.key == bench.parts.ledger.session(session.id).key

    def test_a_place_that_is_taken_stops_it_and_it_is_carried_on(self, bench):
        """Something else at the target: MOVING still, nothing overwritten; then it goes on."""
        session = bench.built(1)
        new = bench.folder(replace(session, label="L2"))
        os.makedirs(f"{new}/strange")
        with pytest.raises(StorageError):
            relocate(bench, session, label="L2")
        assert Status.MOVING is bench.parts.ledger.session(session.id).status
        assert ["strange"] == os.listdir(new)
        os.rmdir(f"{new}/strange")
        carry_on(bench.parts, session.id)
        assert "L2" == bench.parts.ledger.session(session.id).label

    def test_a_session_that_moves_to_nowhere_is_refused(self, bench):
        """MOVING without a target is nobody's doing, and is not guessed at."""
        session = bench.built(1)
        moving = bench.parts.ledger.move(session.id, Event.MOVE)
        with pytest.raises(RefusedError):
            decide.carry_move(bench.parts, moving)


class TestDeleting:
    """To the history."""

    def test_every_file_is_in_the_history(self, bench):
        """Nothing is thrown away: files, XML and record are kept, and the decision with them."""
        session = bench.built(1, 2)
        before = len(bench.tree("prearchive"))
        done = decide.delete(bench.parts, session.id, **PERSON)
        assert Status.DELETED is done.status
        assert [] == bench.tree("prearchive")
        assert before + 2 == len(bench.tree("history"))  # decisions.jsonl and reason.json
        assert ["delete"] == [each["command"] for each in decisions(bench)]

    def test_files_in_hand_refuse_it(self, bench):
        """While files are being filed nothing is deleted."""
        session = bench.filed(1)
        in_hand(bench)
        with pytest.raises(RefusedError):
            decide.delete(bench.parts, session.id, **PERSON)

    @pytest.mark.parametrize("there", ["same", "other"])
    def test_what_is_in_the_history_already_is_not_overwritten(self, bench, there):
        """The same bytes are there once; other bytes under the name stay beside the new ones."""
        session = bench.filed(1)
        (path,) = (p for p in bench.tree("prearchive") if p.endswith(".dcm"))
        inside = path.split("/", 3)[3]
        data = files.read(os.path.join(bench.folder(session), inside))
        taken = os.path.join(bench.parts.storage.history("P1", "P1", session.id), inside)
        files.make_folder(os.path.dirname(taken))
        files.swap(taken, data if there == "same" else b"other")
        decide.delete(bench.parts, session.id, **PERSON)
        kept = [
            files.read(os.path.join(bench.parts.storage.path("history"), p))
            for p in bench.tree("history")
            if ".dcm" in p
        ]
        assert sorted([data] if there == "same" else [data, b"other"]) == sorted(kept)

    def test_some_scans(self, bench):
        """Those named go to the history, the rest is built again and stays for a person."""
        bench.filed(1)
        session = build_two(bench)
        done = decide.delete_scans(bench.parts, session.id, ["2"], **PERSON)
        assert (Status.READY, True) == (done.status, done.hold_auto)
        assert ["1"] == os.listdir(f"{bench.folder(session)}/SCANS")
        assert 1 == sum(path.endswith(".dcm") for path in bench.tree("history"))
        assert ["delete --scan 2"] == [each["command"] for each in decisions(bench)]
        assert not os.path.exists(bench.parts.storage.beside(session, "delete.json"))
        decide.archive_now(bench.parts, session.id)
        assert [] == bench.tree("prearchive")

    def test_a_scan_that_is_not_there_is_refused(self, bench):
        """Nothing changes."""
        bench.filed(1)
        session = build_two(bench)
        with pytest.raises(RefusedError, match="no scan 7"):
            decide.delete_scans(bench.parts, session.id, ["7"], **PERSON)
        assert session == bench.parts.ledger.session(session.id)

    def test_all_scans_are_the_whole_session(self, bench):
        """As after a merge in part, whose finding names the one scan that is left."""
        bench.filed(1)
        session = build_two(bench)
        done = decide.delete_scans(bench.parts, session.id, ["1", "2"], **PERSON)
        assert (Status.DELETED, []) == (done.status, bench.tree("prearchive"))
        (entry,) = history.entries(bench.parts)
        assert ("deleted", session.id) == (entry.kind, entry.stamp)

    def test_files_in_hand_refuse_some_scans_too(self, bench):
        """The promise is taken back with the refusal."""
        bench.filed(1)
        session = build_two(bench)
        in_hand(bench)
        with pytest.raises(RefusedError):
            decide.delete_scans(bench.parts, session.id, ["2"], **PERSON)
        assert not os.path.exists(bench.parts.storage.beside(session, "delete.json"))

    def test_a_deletion_that_was_cut_off_is_carried_on(self, bench):
        """The promise stands beside a BUILDING session: the next start carries it out."""
        bench.filed(1)
        session = build_two(bench)
        in_the_way = os.path.join(
            bench.parts.storage.history("P1", "P1", session.id), "SCANS", "2", "DICOM"
        )
        files.make_folder(os.path.dirname(in_the_way))
        with open(in_the_way, "wb"):
            pass
        with pytest.raises(StorageError):
            decide.delete_scans(bench.parts, session.id, ["2"], **PERSON)
        assert Status.BUILDING is bench.parts.ledger.session(session.id).status
        os.remove(in_the_way)
        carry_on(bench.parts, session.id)
        assert Status.RECEIVING is bench.parts.ledger.session(session.id).status
        assert ["1"] == [each.place.scan for each in bench.parts.ledger.instances(session.id)]
        assert ["delete --scan 2"] == [each["command"] for each in decisions(bench)]

    def test_a_promise_whose_decision_is_unknown_is_taken_back(self, bench):
        """Killed before the decision was recorded: nothing is deleted."""
        session = bench.filed(1)
        promise = bench.parts.storage.beside(session, "delete.json")
        files.swap(promise, json.dumps({"when": 1.0, "places": []}).encode())
        carry_scans(bench.parts, session)
        assert (False, 1) == (
            os.path.exists(promise),
            len(bench.parts.ledger.instances(session.id)),
        )

    @pytest.mark.parametrize("text", [b"{", b"{}", b'{"places": [{}], "when": 1}', b"[]"])
    def test_a_promise_nobody_can_read_deletes_nothing(self, bench, text):
        """It is a DocumentError, and stays where it is."""
        session = bench.filed(1)
        promise = bench.parts.storage.beside(session, "delete.json")
        files.swap(promise, text)
        with pytest.raises(DocumentError):
            carry_scans(bench.parts, session)
        assert os.path.exists(promise)


def build_two(bench):
    """A second series, number 2, beside what was filed; and the session built."""
    return bench.built(2, series="2", SeriesNumber=2)
