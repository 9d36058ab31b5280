"""A session of several studies becomes one for each; late files know their own."""

import json
import os
from dataclasses import replace

import pytest
from incoming import SC

from watcher.core.errors import DocumentError, RefusedError, StorageError
from watcher.core.life import Event
from watcher.core.session import Status
from watcher.io import files, reader
from watcher.stages import split as splitting
from watcher.stages.hop import Hop
from watcher.stages.rebuild import build
from watcher.stages.recover import carry_on, recover
from watcher.stages.resettle import split_up
from watcher.stages.split import split

A, B, C = "1.2.3", "1.2.4", "1.2.5"
EXPECTED = {A: [(A, 1)], B: [(B, 2), (B, 3), (B, 4)], C: [(C, 5), (C, 6)]}
PERSON = {"who": "anna", "reason": "two patients in one folder"}


async def examine(requests):
    """The real reader, in this process."""
    return [reader.examine(each) for each in requests]


def drop_of(bench, project):
    return replace(bench.drop, project=project, layout=("{session}",))


def file_into(bench, *which, project="MANUAL", **values):
    """Files of these studies and numbers in the folder L of a drop whose layout names sessions."""
    names = []
    for study, number in which:
        names.append(f"L/{study}-{number}")
        bench.put(names[-1], number, study=study, **values)
    outcomes = bench.file(*names, drop=drop_of(bench, project))
    return [outcome.session for outcome in outcomes]


def mixed(bench, **values):
    """A built session of three studies: three files of B, two of C, one of A, whose it is."""
    which = [(A, 1), (B, 2), (B, 3), (B, 4), (C, 5), (C, 6)]
    (owner,) = set(file_into(bench, *which, **values))
    return build(bench.parts, owner, Event.IDLE)


def held(bench, session):
    """Studies and numbers of a session's files, in the ledger; each is in the tree."""
    rows = bench.parts.ledger.instances(session.id)
    here = [path for path in files.walk(bench.folder(session)) if path.endswith(".dcm")]
    assert sorted(here) == sorted(each.place.path for each in rows)
    return sorted((each.header.study, int(each.header["InstanceNumber"])) for each in rows)


def moving(bench, session):
    """The session as it is once the split is decided on, and nothing more."""
    decision = replace(
        splitting.decision_on(bench.parts, replace(session, study=B), "split", **PERSON),
        key_from=(session.project, session.label),
        key_to=(session.project, session.label),
        subject=session.subject,
    )
    bench.parts.ledger.move(
        session.id, Event.MOVE, study=B, decisions=(decision,), scan_ids={}, hold_auto=False
    )
    return bench.parts.publish(session.id)


class TestSplitting:
    """At once."""

    def test_each_study_has_a_session_of_its_own(self, bench):
        """That of most files keeps id and folder; project, label, subject, drops stay; built."""
        session = mixed(bench)
        main, second, third = split(bench.parts, session.id, **PERSON)
        assert [(B, 2), (B, 3), (B, 4)] == held(bench, main)
        assert [[(A, 1)], [(C, 5), (C, 6)]] == [held(bench, second), held(bench, third)]
        assert (session.id, session.folder) == (main.id, main.folder)
        for each in (main, second, third):
            assert (Status.READY, "MANUAL", "L") == (each.status, each.project, each.label)
            assert (session.subject, session.drops) == (each.subject, each.drops)
            assert session.last_arrival == each.last_arrival
            assert ["split"] == [decision.command for decision in each.decisions]
            assert each == bench.parts.ledger.session(each.id)
        assert [B, A, C] == [main.study, second.study, third.study]

    def test_siblings_are_told_of(self, bench):
        """Each has the finding `label-shared`, and none is of mixed studies any more."""
        done = split(bench.parts, mixed(bench).id, **PERSON)
        codes = [{finding.code for finding in each.findings} for each in done]
        assert [True] * 3 == ["label-shared" in each for each in codes]
        assert not set.union(*codes) & {"mixed-studies"}

    def test_it_is_as_if_they_had_come_apart(self, bench):
        """Names of scans and files are those of sessions that came one by one."""
        done = split(bench.parts, mixed(bench).id, **PERSON)
        for session, numbers in zip(done, [(2, 3, 4), (1,), (5, 6)], strict=True):
            alone = bench.built(*numbers, study=session.study, project="P1")
            folders = [list(files.walk(bench.folder(each))) for each in (alone, session)]
            assert folders[0] == folders[1]

    def test_nothing_is_left_but_the_sessions(self, bench):
        """Every file under one name; no plan, no emptied folder, no second link."""
        session = mixed(bench)
        split(bench.parts, session.id, **PERSON)
        tree = bench.tree("prearchive")
        assert 6 == sum(path.endswith(".dcm") for path in tree)
        assert not [path for path in tree if path.endswith("split.json")]
        assert ["1"] == os.listdir(f"{bench.folder(session)}/SCANS")

    def test_it_is_recorded_and_settles_the_conflict(self, bench):
        """Who, when and why are in each record, in the history, and said; the conflict is over."""
        session = mixed(bench)
        assert Status.CONFLICT is session.status
        split(bench.parts, session.id, **PERSON)
        lines = files.read(bench.parts.storage.decisions).splitlines()
        kept = [json.loads(line) for line in lines]
        assert 3 == len({each["session"] for each in kept})
        assert {("anna", "split", PERSON["reason"])} == {
            (each["who"], each["command"], each["reason"]) for each in kept
        }
        assert {A, B, C} == set(kept[0]["studies"])
        assert 3 == len(bench.events("session.decided"))
        assert ["split"] == [each["outcome"] for each in bench.events("session.settled")]

    def test_later_files_know_their_own(self, bench):
        """A layout names one session for all: the study counts all the same, and it is said."""
        main, second, third = split(bench.parts, mixed(bench).id, **PERSON)
        owners = file_into(bench, (A, 11), (B, 12), (C, 13))
        assert [second.id, main.id, third.id] == owners
        said = [each.get("by") for each in bench.events("file.filed")[-3:]]
        assert ["decision"] * 3 == said

    def test_they_know_it_when_their_session_has_left(self, bench):
        """A study whose session is deleted opens a new one; another study is named as ever."""
        main, second, _ = split(bench.parts, mixed(bench).id, **PERSON)
        bench.parts.ledger.forget(second.id)
        (owner,) = file_into(bench, (A, 21))
        assert owner not in {main.id, second.id}
        assert A == bench.parts.ledger.session(owner).study
        (other,) = file_into(bench, ("1.2.9", 22))
        assert other in {each.id for each in bench.parts.ledger.labelled("MANUAL", "L")}

    def test_an_unassigned_one_is_split_too(self, bench):
        """Without a project as well; each stays without."""
        main, *others = split(bench.parts, mixed(bench, project=None).id, **PERSON)
        assert {None} == {each.project for each in (main, *others)}
        assert [main.id] == file_into(bench, (B, 31), project=None)

    def test_it_can_be_split_again(self, bench):
        """A new study that came by the layout is split off by a second decision."""
        main, *_ = split(bench.parts, mixed(bench).id, **PERSON)
        for each in bench.parts.ledger.labelled("MANUAL", "L"):
            if each.id != main.id:
                bench.parts.ledger.forget(each.id)
        (owner,) = file_into(bench, ("1.2.9", 22))
        assert main.id == owner
        again, new = split(bench.parts, main.id, **PERSON)
        assert (main.id, [("1.2.9", 22)]) == (again.id, held(bench, new))


class TestRefusing:
    """What the state forbids."""

    def test_one_study(self, bench):
        """There is nothing to split: refused, and nothing is recorded."""
        session = bench.built(1)
        with pytest.raises(RefusedError, match="one study only"):
            split(bench.parts, session.id, **PERSON)
        assert session == bench.parts.ledger.session(session.id)

    def test_a_status_that_has_no_such_move(self, bench):
        """One that is being archived is refused, and stays."""
        session = mixed(bench)
        bench.parts.ledger.move(session.id, Event.ARCHIVE)
        with pytest.raises(RefusedError, match="ARCHIVING"):
            split(bench.parts, session.id, **PERSON)

    def test_files_in_hand(self, bench):
        """While files of it are being filed it stays whole."""
        session = mixed(bench)
        bench.put("L/hand", 9, study=B)
        incoming = bench.incoming("L/hand", drop=drop_of(bench, "MANUAL"))
        bench.parts.receiving.reserve([incoming], 0.0, bench.parts.clock.stamp)
        with pytest.raises(RefusedError, match="being filed"):
            split(bench.parts, session.id, **PERSON)
        assert Status.RECEIVING is bench.parts.ledger.session(session.id).status

    def test_a_move_that_nobody_decided_on(self, bench):
        """MOVING with neither a target nor a split: not guessed at."""
        session = mixed(bench)
        bench.parts.ledger.move(session.id, Event.MOVE)
        with pytest.raises(RefusedError, match="nowhere"):
            carry_on(bench.parts, session.id)


class TestProjectsWay:
    """After a split."""

    def test_a_project_that_archives_by_itself_archives_them(self, bench):
        """In their order: the first takes the label, the others conflict with it."""
        session = mixed(bench, project="P1")
        with bench.parts.leases.hold(bench.parts.keys(session), 0.0):
            done = split_up(bench.parts, session, **PERSON)
        assert [Status.ARCHIVED, Status.CONFLICT, Status.CONFLICT] == [s.status for s in done]
        assert 3 == bench.parts.registry.shelf("P1", "L").files
        assert {"study-uid-mismatch"} == {f.code for s in done[1:] for f in s.findings if f.blocks}
        chronicle = json.loads(files.read(f"{bench.shelf('L')}/logs/events.jsonl"))
        assert ["split"] == [each["command"] for each in chronicle["decisions"]]

    def test_a_project_that_waits_for_a_person_keeps_them(self, bench):
        """READY, all of them."""
        session = mixed(bench)
        done = split_up(bench.parts, session, **PERSON)
        assert {Status.READY} == {each.status for each in done}


class TestCarryingOn:
    """Cut off anywhere, it ends the same."""

    def ends(self, bench):
        """All sessions, by study, and their files."""
        found = bench.parts.ledger.sessions()
        assert {"L"} == {each.label for each in found}
        return {each.study: held(bench, each) for each in found}

    def test_before_the_promise_was_written(self, bench):
        """Decided on, and no plan: it is made then."""
        session = moving(bench, mixed(bench))
        carry_on(bench.parts, session.id)
        assert EXPECTED == self.ends(bench)

    def test_with_a_new_session_opened_already(self, bench):
        """One opened before the plan was written is used, not opened again."""
        session = moving(bench, mixed(bench))
        decision = session.decisions[-1]
        opened = splitting._open(bench.parts, session, decision, A)
        carry_on(bench.parts, session.id)
        assert EXPECTED == self.ends(bench)
        assert [(A, 1)] == held(bench, bench.parts.ledger.session(opened.id))

    def half(self, bench, *, way=1):
        """Cut off by something in the way of the `way`-th new session's files."""
        session = moving(bench, mixed(bench))
        shares = splitting._promise(bench.parts, session, session.decisions[-1])
        blocked = bench.folder(shares[way].session)
        os.makedirs(os.path.dirname(blocked))
        with open(blocked, "wb"):
            pass
        with pytest.raises(StorageError):
            carry_on(bench.parts, session.id)
        os.remove(blocked)
        return session, shares

    def test_the_plan_can_be_read_by_a_person(self, bench):
        """It says which study stays, and which files go to which session."""
        session, shares = self.half(bench)
        plan = json.loads(files.read(bench.parts.storage.beside(session, "split.json")))
        assert B == plan["study"]
        assert [(share.session.id, len(share.places)) for share in shares] == [
            (each["session"]["id"], len(each["files"])) for each in plan["shares"]
        ]

    def test_half_way(self, bench):
        """One session filled, the other not: MOVING all of them; then carried on to the end."""
        session, shares = self.half(bench)
        ids = [session.id, *(share.session.id for share in shares)]
        assert {Status.MOVING} == {bench.parts.ledger.session(each).status for each in ids}
        carry_on(bench.parts, session.id)
        assert EXPECTED == self.ends(bench)

    def test_a_new_session_waits_for_the_old_one(self, bench):
        """Asked to carry on with one of the new ones first, it stays MOVING."""
        _, shares = self.half(bench)
        assert [] == splitting.carry_split(
            bench.parts, bench.parts.ledger.session(shares[0].session.id)
        )
        carry_on(bench.parts, shares[1].session.id)
        assert Status.MOVING is bench.parts.ledger.session(shares[1].session.id).status

    def test_once_the_plan_is_struck_each_goes_on_alone(self, bench):
        """All is in place and only the statuses are left: each is built, in any order."""
        session, shares = self.half(bench)
        parts = bench.parts
        for share in shares:
            splitting._fill(parts, session, share)
            splitting._take_out(parts, session, share)
        os.remove(parts.storage.beside(session, "split.json"))
        for each in (session.id, *(share.session.id for share in shares)):
            carry_on(parts, each)
        assert EXPECTED == self.ends(bench)
        assert not parts.ledger.sessions((Status.MOVING,))

    @pytest.mark.parametrize("way", [0, 1])
    async def test_the_ledger_is_lost_too(self, bench, way):
        """The tree, the records and the plan tell everything; late files follow then, too."""
        session, _ = self.half(bench, way=way)
        for each in bench.parts.ledger.sessions():
            bench.parts.ledger.forget(each.id)
        await recover(bench.parts, examine, Hop(1))
        assert EXPECTED == self.ends(bench)
        assert 3 == len(bench.parts.ledger.sessions())
        assert [session.id] == file_into(bench, (B, 41))

    def test_an_id_that_was_given_away_is_not_shared(self, bench):
        """After a lost ledger somebody else may have the id of the plan: a new one is taken."""
        session, shares = self.half(bench)
        planned = shares[1].session
        other = replace(planned, label="OTHER", status=Status.RECEIVING)
        bench.parts.ledger.forget(planned.id)
        bench.parts.ledger.add(other)
        carry_on(bench.parts, session.id)
        assert other == bench.parts.ledger.session(planned.id)
        bench.parts.ledger.forget(planned.id)
        assert EXPECTED == self.ends(bench)

    def test_nothing_is_removed_before_its_successor_is_there(self, bench):
        """Asked to take out what the new session does not have, it leaves the file."""
        session = moving(bench, mixed(bench))
        before = held(bench, session)
        for share in splitting._promise(bench.parts, session, session.decisions[-1]):
            splitting._take_out(bench.parts, session, share)
        assert before == held(bench, session)

    def test_a_plan_nobody_can_read_splits_nothing(self, bench):
        """It is a DocumentError, and everything stays where it is."""
        session = moving(bench, mixed(bench))
        before = held(bench, session)
        for text in (b"{", b"{}", b'{"shares": [{}]}', b'{"shares": [{"session": 1, "files": 1}]}'):
            files.swap(bench.parts.storage.beside(session, "split.json"), text)
            with pytest.raises(DocumentError):
                carry_on(bench.parts, session.id)
        assert before == held(bench, session)

    def test_a_file_that_is_gone_stops_nobody(self, bench):
        """A filed file that somebody removed: its own session says so, the others are READY."""
        session = mixed(bench)
        gone, _ = (p for p in files.walk(bench.folder(session)) if f"/{C}-" in p)
        os.remove(f"{bench.folder(session)}/{gone}")
        done = split(bench.parts, session.id, **PERSON)
        assert [Status.READY, Status.READY, Status.CONFLICT] == [each.status for each in done]
        assert "unreadable-file" in {finding.code for finding in done[2].findings}

    def test_a_file_that_comes_meanwhile_is_another_session_s(self, bench):
        """MOVING takes no file: a new session does, and nothing is mixed again."""
        session = moving(bench, mixed(bench))
        (later,) = file_into(bench, (C, 51))
        carry_on(bench.parts, session.id)
        assert [(C, 51)] == held(bench, bench.parts.ledger.session(later))
        assert 4 == len(bench.parts.ledger.sessions())

    def test_secondary_files_stay_secondary(self, bench):
        """What is no image in a series of images has its own resource in the new session, too."""
        file_into(bench, (A, 1), (A, 2), (B, 3))
        (owner,) = set(file_into(bench, (B, 4), sop_class=SC))
        (session, new) = split(bench.parts, build(bench.parts, owner, Event.IDLE).id, **PERSON)
        assert ["DICOM", "secondary"] == sorted(os.listdir(f"{bench.folder(new)}/SCANS/1"))
        assert (2, 2) == (len(held(bench, session)), len(held(bench, new)))
