"""What was filed is parted from its source: nobody who knows the one can change the other."""

import os

import pytest
from mortal import mode

from watcher.core import names
from watcher.core.errors import StorageError
from watcher.core.find import Fate
from watcher.io import files, sources
from watcher.stages.filing import Filer
from watcher.stages.outcomes import Result
from watcher.stages.parting import Parted, part
from watcher.stages.placing import ChangedError, put


@pytest.fixture
def linked(bench):
    """A file of the drop, its reservation, and where it was linked to."""
    bench.put("a/in")
    incoming = bench.incoming("a/in")
    (each,), _, _ = bench.parts.receiving.reserve([incoming], 1.0, bench.parts.clock.stamp)
    assert Fate.FILE is each.fate
    target = os.path.join(bench.folder(each.session), each.instance.place.path)
    files.make_folder(os.path.dirname(target))
    assert put(bench.parts, bench.drop, incoming, target)
    return each, target


def filed(bench):
    """The digests of what lies in the prearchive's scans."""
    base = bench.parts.storage.path("prearchive")
    here = [path for path in bench.tree("prearchive") if path.endswith(".dcm")]
    return [files.digest(os.path.join(base, path)) for path in here]


def write(path, data=b"more"):
    with open(path, "ab") as file:
        file.write(data)


class TestGone:
    """The source's name is gone."""

    def test_nobody_came(self, bench, linked):
        """A file that is as it was read, and that nobody has open, is ours alone."""
        each, target = linked
        os.remove(bench.path("a/in"))
        assert (Parted.OWN, None) == part(bench.drop, each, target, None)
        assert 1 == os.stat(target).st_nlink

    @pytest.mark.parametrize("how", ["open", "written"])
    def test_somebody_came_before(self, bench, linked, how):
        """Who opened it in the last instant goes on writing to a file of the drop, not to ours."""
        each, target = linked
        with open(bench.path("a/in"), "ab") as writer:
            os.remove(bench.path("a/in"))
            if how == "written":
                writer.write(b"more")
                writer.close()
            assert (Parted.BACK, None) == part(bench.drop, each, target, None)
        assert (True, False) == (os.path.exists(bench.path("a/in")), os.path.exists(target))

    def test_it_never_went(self, bench, linked):
        """One that changed before its removal was not removed: nothing of it is ours."""
        each, target = linked
        write(bench.path("a/in"))
        assert (Parted.BACK, None) == part(bench.drop, each, target, None)
        assert (True, False) == (os.path.exists(bench.path("a/in")), os.path.exists(target))

    def test_its_name_is_there_all_the_same(self, bench, linked):
        """A share told another ctime of it: it was not removed, and reaches nothing of ours."""
        each, target = linked
        assert (Parted.OWN, None) == part(bench.drop, each, target, None)
        write(bench.path("a/in"))
        assert each.incoming.examined.digest == files.digest(target)

    @pytest.mark.parametrize("taken", [True, False], ids=["another file", "no folder"])
    def test_its_name_can_not_be_given_back(self, bench, linked, taken):
        """Where the drop has no place for it any more it stays here: it is all there is of it."""
        each, target = linked
        write(bench.path("a/in"))
        os.remove(bench.path("a/in"))
        if taken:
            bench.put("a/in", 2)
        else:
            os.rmdir(bench.path("a"))
        assert (Parted.IN_HAND, None) == part(bench.drop, each, target, None)
        assert os.path.exists(target)

    def test_a_drop_that_takes_nothing(self, bench, linked):
        """A fault is no answer: the file stays in hand."""
        each, target = linked
        write(bench.path("a/in"))
        os.remove(bench.path("a/in"))
        with mode(bench.path("a"), 0o555), pytest.raises(StorageError):
            part(bench.drop, each, target, None)
        assert os.path.exists(target)


class TestStays:
    """The source can't be removed."""

    def test_it_keeps_its_inode_to_itself(self, bench, linked):
        """Whatever is written to the source then, the filed file stays as it was read."""
        each, target = linked
        seen = files.print_of(target)
        how, remains = part(bench.drop, each, target, seen)
        assert (Parted.OWN, bench.candidate("a/in").print) == (how, remains)
        write(bench.path("a/in"))
        assert each.incoming.examined.digest == files.digest(target)
        assert seen.mtime_ns == os.stat(target).st_mtime_ns

    def test_one_that_changed_is_not_ours(self, bench, linked):
        """Other bytes than were read are not filed; the source is looked at as new."""
        each, target = linked
        seen = files.print_of(target)
        write(bench.path("a/in"))
        assert (Parted.BACK, None) == part(bench.drop, each, target, seen)
        assert (True, False) == (os.path.exists(bench.path("a/in")), os.path.exists(target))

    def test_one_that_is_gone_or_another_after_all(self, bench, linked):
        """What lies under the name now is none of what was filed."""
        each, target = linked
        seen = files.print_of(target)
        os.remove(bench.path("a/in"))
        assert (Parted.OWN, None) == part(bench.drop, each, target, seen)


class TestFiled:
    """The same in a batch."""

    def test_a_directory_that_became_read_only(self, bench):
        """Read as one that may be linked, then not removable: filed as an inode of its own."""
        bench.put("in")
        incoming = bench.incoming("in")
        assert not incoming.examined.temp
        with mode(bench.drop.path, 0o555):
            (outcome,) = Filer(bench.parts).file(bench.drop, [incoming])
        assert (Result.FILED, bench.candidate("in").print) == (outcome.result, outcome.remains)
        assert {b"in": outcome.remains} == bench.parts.receiving.taken("mri")
        assert 1 == os.stat(bench.path("in")).st_nlink
        write(bench.path("in"))
        assert [incoming.examined.digest] == filed(bench)

    def test_what_can_not_be_parted_stays_in_hand(self, bench):
        """The prearchive takes no copy now: the file is in hand, and finished when it does."""
        session = bench.filed(1)
        bench.put("in", 2)
        incoming = bench.incoming("in")
        folder = os.path.join(bench.folder(session), "SCANS", "1", "DICOM")
        name = names.file_name(incoming.examined.header)
        in_the_way = files.temporary(os.path.join(folder, name))
        os.mkdir(in_the_way)
        filer = Filer(bench.parts)
        with mode(bench.drop.path, 0o555):
            (outcome,) = filer.file(bench.drop, [incoming])
        assert (Result.FAILED, True) == (outcome.result, filer.left_in_hand)
        filer.settle()
        assert (True, 1) == (filer.left_in_hand, len(bench.parts.ledger.instances(session.id)))
        os.rmdir(in_the_way)
        filer.settle()
        assert (False, 2) == (filer.left_in_hand, len(bench.parts.ledger.instances(session.id)))
        assert 1 == os.stat(bench.path("in")).st_nlink

    def test_a_source_that_changed_is_left_alone(self, bench):
        """Another inode under the name of what was read: nothing is placed."""
        bench.put("in")
        incoming = bench.incoming("in")
        os.rename(bench.put("other", 2), bench.path("in"))  # removed, it might leave its inode
        with pytest.raises(ChangedError):
            put(bench.parts, bench.drop, incoming, os.path.join(bench.drop.path, "target"))
        assert ["in"] == os.listdir(bench.drop.path)


def test_names_that_are_not_there(bench):
    """Questions about what is gone have answers; questions nobody can answer are faults."""
    nowhere = os.path.join(bench.drop.path, "nowhere")
    assert not sources.has_other_name(nowhere)
    assert sources.print_in(bench.drop.path, b"nowhere") is None
    with mode(bench.drop.path, 0o000):
        for ask in (
            lambda: sources.has_other_name(nowhere),
            lambda: sources.print_in(bench.drop.path, b"nowhere"),
        ):
            with pytest.raises(StorageError):
                ask()
    with pytest.raises(StorageError):
        sources.make_own(nowhere)
