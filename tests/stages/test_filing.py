"""Filing a batch: reserve, place, sync, record, and only then remove the sources."""

import os
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice

import pytest
from mortal import mode, mortal
from sqlalchemy import text

from watcher.core import names
from watcher.core.errors import MissingPlaceError, StorageError
from watcher.core.life import Event
from watcher.core.session import Status
from watcher.io import files
from watcher.stages.filing import Filer
from watcher.stages.outcomes import Result
from watcher.stages.parting import remove_source
from watcher.stages.rebuild import build


def results(outcomes):
    return [outcome.result for outcome in outcomes]


def place_of(bench, session, incoming):
    """Where a newcomer's file would lie in a session."""
    header = incoming.examined.header
    return os.path.join(
        bench.folder(session), "SCANS", names.scan_folder(header), "DICOM", names.file_name(header)
    )


def paths_of(bench, session):
    base = bench.folder(session)
    rows = bench.parts.ledger.instances(session.id)
    return [os.path.join(base, each.place.path) for each in rows]


class TestTaking:
    """What is taken, and what becomes of the source."""

    def test_a_file_is_linked_and_its_source_removed(self, bench):
        """A file of our own is linked into place: the same inode, and the drop is empty."""
        inode = os.stat(bench.put("a")).st_ino
        (outcome,) = bench.file("a")
        session = bench.parts.ledger.session(outcome.session)
        (path,) = paths_of(bench, session)
        assert (Result.FILED, None) == (outcome.result, outcome.remains)
        assert inode == os.stat(path).st_ino
        assert [] == os.listdir(bench.drop.path)
        assert {} == bench.parts.receiving.taken("mri")
        assert [session.id] == [each["session"] for each in bench.events("session.opened")]
        assert os.path.isfile(bench.parts.storage.beside(session, "json"))

    def test_a_copy_is_an_inode_of_its_own(self, bench):
        """A file that others may write to is copied: another inode, and no copy is left over."""
        path = bench.put("a")
        os.link(path, bench.path("b"))
        (outcome,) = bench.file("a")
        (filed,) = paths_of(bench, bench.parts.ledger.session(outcome.session))
        assert os.stat(filed).st_ino != os.stat(bench.path("b")).st_ino
        assert ["b"] == os.listdir(bench.drop.path)
        assert [] == os.listdir(bench.parts.storage.incoming)

    def test_kept_sources_are_remembered(self, bench):
        """With `after = "keep"` the source stays and is known as taken."""
        drop = replace(bench.drop, after="keep")
        bench.put("a")
        (outcome,) = bench.file("a", drop=drop)
        assert bench.candidate("a").print == outcome.remains
        assert {b"a": outcome.remains} == bench.parts.receiving.taken("mri")

    def test_a_duplicate_is_dropped(self, bench):
        """The same bytes again: one file in the session, the second source removed."""
        session = bench.filed(1)
        bench.put("again", 1)
        (outcome,) = bench.file("again")
        assert (Result.DUPLICATE, session.id) == (outcome.result, outcome.session)
        assert 1 == len(bench.parts.ledger.instances(session.id))
        assert [] == os.listdir(bench.drop.path)
        assert 1 == len(bench.events("file.duplicate"))

    def test_a_twin_in_hand_is_looked_at_later(self, bench):
        """Nothing relies on a file that is not durable yet: its twin in the batch waits."""
        bench.put("a")
        bench.put("b")
        assert [Result.FILED, Result.LATER] == results(bench.file("a", "b"))
        assert ["b"] == os.listdir(bench.drop.path)
        assert [Result.DUPLICATE] == results(bench.file("b"))

    def test_a_duplicate_of_a_lost_file_takes_its_place(self, bench):
        """A filed file that is gone is nothing to rely on: at the next look the newcomer is filed.

        Its source stays until then.
        """
        session = bench.filed(1)
        os.remove(paths_of(bench, session)[0])
        bench.put("again", 1)
        assert [Result.LATER] == results(bench.file("again"))
        assert ["again"] == os.listdir(bench.drop.path)
        assert [Result.FILED] == results(bench.file("again"))
        assert [True] == [os.path.exists(path) for path in paths_of(bench, session)]

    def test_a_duplicate_of_a_damaged_file_is_filed(self, bench):
        """A filed file that was cut short is no twin: the newcomer is filed beside it."""
        session = bench.filed(1)
        (damaged,) = paths_of(bench, session)
        os.truncate(damaged, 9)
        bench.put("again", 1)
        assert [Result.LATER] == results(bench.file("again"))
        assert ["again"] == os.listdir(bench.drop.path)
        assert [Result.FILED] == results(bench.file("again"))
        (path,) = paths_of(bench, session)
        assert (9, True) == (os.path.getsize(damaged), os.path.exists(path))

    def test_a_decision_is_said(self, bench):
        """A file that went where a person's decision sends its study says so."""
        from watcher.core.find import Bound

        session = bench.filed(1)
        bench.parts.receiving.bind(session.key, Bound("P1", "L2", "S2"))
        bench.put("b", 2)
        (outcome,) = bench.file("b")
        assert "L2" == bench.parts.ledger.session(outcome.session).label
        assert "decision" == bench.events("file.filed")[-1]["by"]


class TestChanging:
    """Files that somebody still writes."""

    @pytest.mark.parametrize("copy", [False, True])
    def test_only_what_was_read_is_removed(self, bench, copy):
        """A source that changed after it was read stays where it is, and is looked at as new."""
        path = bench.put("a")
        incoming = bench.incoming("a", copy=copy)
        with open(path, "ab") as file:
            file.write(b"more")
        (outcome,) = Filer(bench.parts).file(bench.drop, [incoming])
        assert (Result.FILED if copy else Result.LATER) == outcome.result
        assert os.path.exists(path)

    def test_a_changed_file_leaves_nothing_behind(self, bench):
        """The session that only it would have opened is gone again, folders and all."""
        path = bench.put("a")
        incoming = bench.incoming("a")
        os.utime(path, (1, 1))
        Filer(bench.parts).file(bench.drop, [incoming])
        assert [] == bench.parts.ledger.sessions()
        assert [] == bench.tree("prearchive")
        assert ["a"] == os.listdir(bench.drop.path)

    def test_an_open_writer_is_waited_for(self, bench):
        """A linked file that somebody has open for writing is taken back."""
        path = bench.put("a")
        incoming = bench.incoming("a")
        with open(path, "r+b"):
            assert [Result.LATER] == results(Filer(bench.parts).file(bench.drop, [incoming]))
        assert [] == bench.tree("prearchive")
        assert [Result.FILED] == results(bench.file("a"))

    def test_a_source_that_is_gone_fails_alone(self, bench):
        """One file that vanished does not stop the others of its batch."""
        bench.put("a", 1)
        bench.put("b", 2)
        batch = [bench.incoming("a"), bench.incoming("b")]
        os.remove(bench.path("a"))
        outcomes = Filer(bench.parts).file(bench.drop, batch)
        assert [Result.FAILED, Result.FILED] == results(outcomes)
        assert 1 == len(bench.parts.ledger.instances(outcomes[1].session))


class TestInTheWay:
    """The prearchive is not as it should be: nothing is overwritten, the source stays."""

    def test_a_stray_file_with_these_bytes_is_taken_over(self, bench):
        """A crash left the file in place without its record: it is the file, and is recorded."""
        session = bench.filed(1)
        path = bench.put("b", 2)
        incoming = bench.incoming("b")
        os.link(path, place_of(bench, session, incoming))
        assert [Result.FILED] == results(bench.file("b"))
        assert 2 == len(bench.parts.ledger.instances(session.id))
        assert [] == os.listdir(bench.drop.path)

    @pytest.mark.parametrize("copy", [False, True])
    @pytest.mark.parametrize("make", ["file", "folder", "link", "unreadable"])
    def test_a_stray_with_other_bytes_is_left_alone(self, bench, make, copy):
        """Anything else under the name stays as it is; the newcomer gets the suffixed name."""
        session = bench.filed(1)
        bench.put("b", 2)
        incoming = bench.incoming("b", copy=copy)
        place = place_of(bench, session, incoming)
        if make == "folder":
            os.mkdir(place)
        elif make == "link":
            os.symlink("nowhere", place)
        else:
            with open(place, "wb") as file:
                file.write(b"stray")
            os.chmod(place, 0o600 if make == "file" else 0)
        with mortal():
            (outcome,) = bench.file_all([incoming])
        assert (Result.FILED, True) == (outcome.result, os.path.lexists(place))
        assert [] == os.listdir(bench.drop.path)
        digest = incoming.examined.digest
        filed = [path for path in paths_of(bench, session) if files.digest(path) == digest]
        assert [f"{place.removesuffix('.dcm')}-{digest[:8]}.dcm"] == filed

    def test_a_stray_under_the_suffixed_name_too(self, bench):
        """Names are made until one is free, in the ledger as on the disk."""
        session = bench.filed(1)
        bench.put("b", 2)
        incoming = bench.incoming("b")
        place = place_of(bench, session, incoming)
        chain = names.spare(os.path.basename(place), incoming.examined.digest)
        third = os.path.join(os.path.dirname(place), list(islice(chain, 3))[2])
        for taken in islice(names.spare(os.path.basename(place), incoming.examined.digest), 2):
            with open(os.path.join(os.path.dirname(place), taken), "wb") as file:
                file.write(b"stray")
        assert [Result.FILED] == results(Filer(bench.parts).file(bench.drop, [incoming]))
        assert third in paths_of(bench, session)

    def test_a_folder_that_cannot_be_made_fails_its_files_only(self, bench):
        """A file where a scan's folder should be: its files wait, the others are filed."""
        session = bench.filed(1)
        with open(os.path.join(bench.folder(session), "SCANS", "2"), "wb"):
            pass
        bench.put("a", 2)
        bench.put("b", 3, series="2", SeriesNumber=2)
        outcomes = bench.file("a", "b")
        assert [Result.FILED, Result.FAILED] == results(outcomes)
        assert ["b"] == os.listdir(bench.drop.path)

    def test_a_record_that_cannot_be_written_fails_its_files(self, bench):
        """A session that can't be written down takes no file back into RECEIVING unseen."""
        session = bench.filed(1)
        build(bench.parts, session.id, Event.IDLE)
        in_the_way = f"{os.path.dirname(bench.folder(session))}/.{session.label}.json.new"
        os.mkdir(in_the_way)
        bench.put("b", 2)
        (outcome,) = bench.file("b")
        assert (Result.FAILED, ["b"]) == (outcome.result, os.listdir(bench.drop.path))
        os.rmdir(in_the_way)
        assert [Result.FILED] == results(bench.file("b"))
        assert Status.RECEIVING is bench.parts.ledger.session(session.id).status

    def test_a_folder_that_takes_no_link_asks_for_a_copy(self, bench):
        """Where a link is not permitted the file is read again, copying."""
        session = bench.filed(1)
        folder = os.path.dirname(paths_of(bench, session)[0])
        bench.put("b", 2)
        incoming = bench.incoming("b")
        with mode(folder, 0o555):
            (outcome,) = Filer(bench.parts).file(bench.drop, [incoming])
        assert (Result.COPY, ["b"]) == (outcome.result, os.listdir(bench.drop.path))
        assert [Result.FILED] == results(bench.file("b", copy=True))

    @pytest.mark.skipif(os.geteuid() == 0, reason="files are synced by threads that root owns")
    def test_what_cannot_be_made_durable_is_not_filed(self, bench):
        """A folder that can't be synced: the name is taken back, the source stays."""
        session = bench.filed(1)
        folder = os.path.dirname(paths_of(bench, session)[0])
        bench.put("b", 2)
        incoming = bench.incoming("b")
        with mode(folder, 0o333):
            (outcome,) = Filer(bench.parts).file(bench.drop, [incoming])
        assert (Result.COPY, ["b"]) == (outcome.result, os.listdir(bench.drop.path))
        assert 1 == len(os.listdir(folder))
        assert 1 == len(bench.parts.ledger.instances(session.id))

    def test_a_missing_prearchive_takes_nothing(self, bench):
        """Without the store's marker nothing is written."""
        bench.put("a")
        incoming = bench.incoming("a")
        os.remove(bench.parts.storage.marker("prearchive"))
        with pytest.raises(MissingPlaceError):
            Filer(bench.parts).file(bench.drop, [incoming])
        assert ["a"] == os.listdir(bench.drop.path)


@contextmanager
def full(bench, where):
    """This write of the ledger fails, as on a full disk."""
    with bench.parts.ledger.write() as tx:
        fail = "SELECT RAISE(FAIL, 'database or disk is full')"
        tx.execute(text(f"CREATE TRIGGER full BEFORE {where} BEGIN {fail}; END"))
    yield
    with bench.parts.ledger.write() as tx:
        tx.execute(text("DROP TRIGGER full"))


class TestLedger:
    """The ledger can't be written."""

    def test_what_cannot_be_given_back_holds_up_no_other(self, bench):
        """A file that changed stays in hand for now; the one beside it is filed and taken."""
        bench.put("a", 1)
        bench.put("b", 2)
        batch = [bench.incoming("a"), bench.incoming("b")]
        os.utime(bench.path("a"), (1, 1))
        filer = Filer(bench.parts)
        with full(bench, "DELETE ON instance"):
            assert [Result.LATER, Result.FILED] == results(filer.file(bench.drop, batch))
        assert (["a"], True) == (os.listdir(bench.drop.path), filer.left_in_hand)
        filer.settle()
        assert ({}, False) == (bench.parts.receiving.reserved(), filer.left_in_hand)

    def test_a_full_ledger_loses_nothing_and_the_batch_comes_again(self, bench):
        """What was placed and not recorded is finished before the next batch."""
        bench.put("a", 1)
        filer = Filer(bench.parts)
        incoming = bench.incoming("a")
        with full(bench, "INSERT ON taken"), pytest.raises(StorageError):
            filer.file(bench.drop, [incoming])
        assert ["a"] == os.listdir(bench.drop.path)
        (session,) = bench.parts.ledger.sessions()
        assert [] == bench.parts.ledger.instances(session.id)
        bench.put("b", 2)
        outcomes = filer.file(bench.drop, [bench.incoming("b"), bench.incoming("a")])
        assert [Result.FILED, Result.DUPLICATE] == results(outcomes)
        assert [Result.DUPLICATE] == results(bench.file("a"))  # it lost a link since it was read
        assert [] == os.listdir(bench.drop.path)
        assert 2 == len(paths_of(bench, session))

    def test_a_source_that_is_gone_comes_out_of_hand_by_itself(self, bench):
        """The last commit of a linked file fails: it stays in hand, and needs no other file."""
        bench.put("a", 1)
        filer = Filer(bench.parts)
        incoming = bench.incoming("a")
        with full(bench, "UPDATE OF in_hand ON instance"), pytest.raises(StorageError):
            filer.file(bench.drop, [incoming])
        assert [] == os.listdir(bench.drop.path)
        (session,) = bench.parts.ledger.sessions()
        assert [] == bench.parts.ledger.instances(session.id)
        filer.settle()
        assert (False, 1) == (filer.left_in_hand, len(paths_of(bench, session)))


class TestRemoving:
    """Sources."""

    def test_a_source_that_cannot_be_removed_is_said_once(self, bench):
        """A read-only drop: filed all the same, remembered, and said once until it is writable."""
        for number in (1, 2):
            bench.put(f"in{number}", number)
        with mode(bench.drop.path, 0o555):
            first, second = bench.file("in1", "in2")
        assert [Result.FILED, Result.FILED] == results([first, second])
        assert {b"in1", b"in2"} == set(bench.parts.receiving.taken("mri"))
        assert 1 == len(bench.events("drop.readonly"))
        assert first.remains == bench.candidate("in1").print
        assert remove_source(bench.parts, bench.drop, b"in1", first.remains)
        assert 1 == len(bench.events("drop.writable"))

    def test_another_file_is_never_removed(self, bench):
        """A source that is not the one that was read stays; it counts as gone."""
        bench.put("a")
        seen = bench.candidate("a").print
        os.rename(bench.put("b", 2), bench.path("a"))  # removed before, it might have its inode
        assert remove_source(bench.parts, bench.drop, b"a", seen)
        assert ["a"] == os.listdir(bench.drop.path)

    def test_a_fault_of_the_drop_leaves_the_source(self, bench):
        """Whatever hinders the removal, the content is safe: said once, and the source stays."""
        bench.put("a")
        seen = bench.candidate("a").print
        assert not remove_source(bench.parts, bench.drop, b"../a", seen)
        assert ["a"] == os.listdir(bench.drop.path)
        assert 1 == len(bench.events("drop.readonly"))
