"""DICOMDIRs read, kept, matched with what came, and forgotten; on a real ledger and drop."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import anyio
import media
import pytest

from watcher.core.errors import StorageError
from watcher.core.file import RefusalCode
from watcher.core.life import Event
from watcher.core.settle import Waiting
from watcher.io.ledger import Ledger
from watcher.io.listing import reply_to
from watcher.io.lists import Lists
from watcher.stages import lists
from watcher.stages.archive import archive
from watcher.stages.hop import Hop
from watcher.stages.rebuild import build

STUDY = "1.2.3"
FILES = {f"{STUDY}.9.{n}": f"DICOM\\IM{n}" for n in (1, 2, 3)}


async def examine(requests):
    """As the readers do it, in this process."""
    return [reply_to(each["list"]) for each in requests]


def write(bench, name="cd/DICOMDIR", studies=None):
    """A DICOMDIR in the drop: three files of one study, if nothing else is said."""
    path = Path(bench.path(name))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(media.medium(studies or {STUDY: {f"{STUDY}.1": FILES}}))
    return path


def note(bench, name="cd/DICOMDIR", ask=examine, file=""):
    """Whether the DICOMDIR could be read."""
    file = file or bench.path(name)

    async def run():
        return await lists.note_list(
            bench.parts, ask, Hop(1), bench.drop, os.fsencode(name), str(file)
        )

    return anyio.run(run)


def missing(bench, session, **finding):
    """What `incomplete` says of a session that is built now: number and files."""
    done = build(bench.parts, session.id, Event.IDLE)
    told = [each for each in done.findings if each.code == "incomplete"]
    return [(each.evidence["count"], each.incoming["files"]) for each in told]


def held(bench, session, pending):
    """Whether what is pending holds the timer of a session."""
    return session.id in lists.awaited(bench.parts, [session], pending)


def dropped(bench, *numbers, folder="cd/DICOM/IM", study=STUDY, **values):
    """Files of a study filed from the drop; gives their session."""
    names = [f"{folder}{number}" for number in numbers]
    for name, number in zip(names, numbers, strict=True):
        bench.put(name, number, study=study, **values)
    (found,) = {outcome.session for outcome in bench.file(*names)}
    return bench.parts.ledger.session(found)


class TestIncomplete:
    """What a session lacks."""

    def test_listed_and_never_come(self, bench):
        """Listed files of the session's study that are nowhere are told, by their file IDs."""
        write(bench)
        assert note(bench)
        assert [(2, ["cd/DICOM/IM2", "cd/DICOM/IM3"])] == missing(bench, dropped(bench, 1))

    def test_all_have_come(self, bench):
        """SOP UIDs decide: names, case and versions of a copied medium miss nothing."""
        write(bench)
        note(bench)
        session = dropped(bench, 1, 2, folder="elsewhere/im00000")
        bench.put("cd/dicom/im3;1", 3)
        bench.file("cd/dicom/im3;1")
        assert [] == missing(bench, session)

    def test_other_studies(self, bench):
        """A list says nothing of a study it does not list."""
        write(bench, studies={"9.9": {"9.9.1": FILES}})
        note(bench)
        assert [] == missing(bench, dropped(bench, 1))

    def test_other_drops(self, bench):
        """Nor of sessions that no file of its drop came to."""
        write(bench)
        note(bench)
        session = dropped(bench, 1)
        bench.parts.ledger.edit(session.id, drops=("other",))
        assert [] == missing(bench, session)

    def test_archived_before(self, bench):
        """What the archived session has already is not missing; what neither has is."""
        archive(bench.parts, build(bench.parts, dropped(bench, 1).id, Event.IDLE).id)
        write(bench)
        note(bench)
        assert [(1, ["cd/DICOM/IM3"])] == missing(bench, dropped(bench, 2))

    @pytest.mark.parametrize("fault", ["bare", "torn", "gone"])
    def test_archived_with_a_poor_catalog(self, bench, fault):
        """Where a catalog says no UIDs, or can't be used, the archived files are asked."""
        archive(bench.parts, build(bench.parts, dropped(bench, 1).id, Event.IDLE).id)
        catalog = Path(bench.shelf(), "SCANS/1/DICOM/scan_1_catalog.xml")
        text = catalog.read_text()
        catalog.write_text("<torn" if fault == "torn" else text.replace(f' UID="{STUDY}.9.1"', ""))
        if fault == "gone":
            catalog.unlink()
        write(bench)
        note(bench)
        session = dropped(bench, 2, series="2", SeriesNumber=2)
        assert [(1, ["cd/DICOM/IM3"])] == missing(bench, session)

    def test_filed_elsewhere(self, bench):
        """A file that came to another session of the study has come."""
        write(bench)
        note(bench)
        session = dropped(bench, 1)
        dropped(bench, 2, folder="other/IM", PatientID="other")
        assert [(1, ["cd/DICOM/IM3"])] == missing(bench, session)

    def test_unassigned(self, bench):
        """A session without a project misses what its study lacks, whatever else it lacks."""
        bench.drop = replace(bench.drop, project=None)
        write(bench)
        note(bench)
        assert [(2, ["cd/DICOM/IM2", "cd/DICOM/IM3"])] == missing(bench, dropped(bench, 1))

    def test_no_archive(self, bench):
        """Nothing follows from the absence of the archive."""
        bench.drop = replace(bench.drop, project=None)
        write(bench)
        note(bench)
        session = dropped(bench, 1)
        shutil.rmtree(bench.parts.storage.path("archive"))
        assert [] == missing(bench, session)

    def test_pending_files_are_not_missing(self, bench):
        """A listed file that lies in the drop and is not filed yet is no missing file."""
        write(bench)
        note(bench)
        session = dropped(bench, 1)
        lists.review(bench.parts, bench.drop, {b"cd/dicom/IM2;1"})
        assert [(1, ["cd/DICOM/IM3"])] == missing(bench, session)

    def test_pending_no_more(self, bench):
        """One that was pending and has gone without being filed is missing again."""
        write(bench)
        note(bench)
        session = dropped(bench, 1)
        lists.review(bench.parts, bench.drop, {b"cd/DICOM/IM2", b"cd/DICOM/IM3", b"other"})
        lists.review(bench.parts, bench.drop, {b"cd/DICOM/IM3"})
        assert [(1, ["cd/DICOM/IM2"])] == missing(bench, session)

    def test_what_a_build_is_told(self, bench):
        """Before a build what is pending is noted anew, older than any look as it may be."""
        write(bench)
        note(bench)
        session = dropped(bench, 1)
        lists.review(bench.parts, bench.drop, {b"cd/DICOM/IM2", b"cd/DICOM/IM3"})
        assert not held(bench, session, {})
        assert [(2, ["cd/DICOM/IM2", "cd/DICOM/IM3"])] == missing(bench, session)

    def test_few_are_named(self, bench):
        """All are counted, five are named."""
        many = {f"{STUDY}.9.{n}": f"IM{n}" for n in range(10, 1300)}
        write(bench, studies={STUDY: {f"{STUDY}.1": many}})
        note(bench)
        ((count, files),) = missing(bench, dropped(bench, 11))
        assert (1289, [f"cd/IM{n}" for n in (10, 100, 1000, 1001, 1002)]) == (count, files)


class TestHolding:
    """A pending file that is listed holds the timer."""

    def test_wherever_it_lies(self, bench):
        """Also outside the folders the session took files from; one that is not listed does not."""
        write(bench)
        note(bench)
        session = dropped(bench, 1, folder="here/IM")
        assert held(bench, session, {"mri": {b"cd/DICOM/IM2"}})
        assert not held(bench, session, {"mri": {b"cd/DICOM/IM4", b"here/IM2"}})
        assert not held(bench, session, {"ct": {b"cd/DICOM/IM2"}})
        assert not held(bench, session, {})

    def test_another_study(self, bench):
        """A listed file of another study holds nothing."""
        write(bench, studies={"9.9": {"9.9.1": FILES}})
        note(bench)
        assert not held(bench, dropped(bench, 1), {"mri": {b"cd/DICOM/IM2"}})

    def test_several_at_once(self, bench):
        """Each by its own study, in drops with many pending files, asked about once."""
        write(bench)
        note(bench)
        one, other = dropped(bench, 1), dropped(bench, 1, folder="x/IM", study="1.2.8")
        many = {b"heap/%d" % n for n in range(2000)}
        found = lists.awaited(bench.parts, [one, other], {"mri": many | {b"cd/DICOM/IM2"}})
        assert {one.id} == found
        assert set() == lists.awaited(bench.parts, [one, other], {"mri": many})

    def test_what_is_pending(self):
        """Stuck files wait for their sender; a drain waits only for those that may come right."""

        def waiting(path, reason="", *, stuck=False):
            return Waiting(path, None, 0.0, reason, "", stuck)

        several = [
            waiting(b"new"),
            waiting(b"busy", RefusalCode.BUSY.value),
            waiting(b"torn", RefusalCode.TORN.value),
            waiting(b"stuck", RefusalCode.TORN.value, stuck=True),
        ]
        assert {b"new", b"busy", b"torn"} == lists.pending_of(several)
        assert {b"new", b"busy"} == lists.pending_of(several, hopeful=True)


class TestKept:
    """The lists in the ledger."""

    def test_replaced_when_it_changes(self, bench):
        """What a list said before is forgotten with its new content; the same is kept as it is."""
        write(bench)
        note(bench)
        session = dropped(bench, 1)
        write(bench, studies={STUDY: {f"{STUDY}.1": {f"{STUDY}.9.7": "IM7"}}})
        note(bench)
        note(bench)
        assert [(1, ["cd/IM7"])] == missing(bench, session)

    @pytest.mark.parametrize("data", [b"", b"DICM" * 99, media.dicomdir([])[:-3]])
    def test_one_that_can_not_be_read(self, bench, data):
        """It is no list, and no fault; what it said before is not true any more."""
        path = write(bench)
        note(bench)
        path.write_bytes(data)
        assert not note(bench)
        assert ([], []) == (bench.said, Lists(bench.parts.ledger).paths("mri"))

    def test_a_link_or_nothing(self, bench):
        """What is no file of the drop is never read."""
        path = write(bench)
        path.rename(path.with_name("real"))
        assert not note(bench)
        path.symlink_to("real")
        assert not note(bench)

    def test_a_reader_that_dies_of_it(self, bench):
        """Its refusal is no list either."""

        async def dies(requests):
            return [{"refusal": "crashed-reader", "text": "it died", "hint": ""}]

        write(bench)
        assert not note(bench, ask=dies)

    def test_a_machine_that_says_no(self, bench):
        """An errno is the machine's: it is tried again, and what was known stays."""

        async def fails(requests):
            return [{"errno": 5, "doing": "reading"}]

        write(bench)
        note(bench)
        with pytest.raises(StorageError, match="reading"):
            note(bench, ask=fails)
        assert [b"cd/DICOMDIR"] == Lists(bench.parts.ledger).paths("mri")

    def test_of_a_unit(self, bench, tmp_path):
        """A list staged with its unit lists files below the unit, by its path there."""
        write(bench)
        staged = tmp_path / "m1"
        shutil.move(bench.path("cd/DICOMDIR"), staged)
        assert note(bench, "x.zip/DICOMDIR", file=staged)
        ((_, files),) = missing(bench, dropped(bench, 1))
        assert ["x.zip/DICOM/IM2", "x.zip/DICOM/IM3"] == files

    def test_a_sop_that_is_listed_twice(self, bench):
        """It is one file; the same of two lists too."""
        twice = {f"{STUDY}.1": FILES, f"{STUDY}.2": FILES}
        write(bench, studies={STUDY: twice})
        write(bench, "cd2/DICOMDIR")
        note(bench)
        note(bench, "cd2/DICOMDIR")
        ((count, _),) = missing(bench, dropped(bench, 1))
        assert 2 == count

    def test_another_opening_of_the_ledger(self, bench):
        """Lists outlive the program."""
        write(bench)
        note(bench)
        again = Ledger.open(bench.parts.storage.stores.state)
        assert [b"cd/DICOMDIR"] == Lists(again).paths("mri")
        again.close()


class TestForgotten:
    """A list that is gone is needed until its sessions are archived."""

    def review(self, bench, hours=0.0):
        bench.parts.clock.ahead += hours * 3600
        lists.review(bench.parts, bench.drop, ())
        return Lists(bench.parts.ledger).paths("mri")

    def test_while_it_lies_there(self, bench):
        """A list that lies there is kept for good."""
        write(bench)
        note(bench)
        assert [b"cd/DICOMDIR"] == self.review(bench, hours=99)

    def test_gone_and_archived(self, bench):
        """Gone, it is kept while a session of it is open, and for `max_open` (an hour here)."""
        path = write(bench)
        note(bench)
        session = dropped(bench, 1, 2, 3)
        path.unlink()
        assert [b"cd/DICOMDIR"] == self.review(bench)
        assert [b"cd/DICOMDIR"] == self.review(bench, hours=9)
        archive(bench.parts, build(bench.parts, session.id, Event.IDLE).id)
        assert [] == self.review(bench)

    def test_gone_before_anything_came(self, bench):
        """A list whose files have still to come is not forgotten at once."""
        path = write(bench)
        note(bench)
        path.unlink()
        assert [b"cd/DICOMDIR"] == self.review(bench)
        assert [] == self.review(bench, hours=2)

    def test_it_comes_back(self, bench):
        """One that lies there again counts as if it had never gone."""
        path = write(bench)
        note(bench)
        path.rename(bench.path("aside"))
        self.review(bench)
        Path(bench.path("aside")).rename(path)
        self.review(bench, hours=9)
        path.unlink()
        assert [b"cd/DICOMDIR"] == self.review(bench)

    def test_a_drop_that_is_not_there(self, bench):
        """Nothing is concluded from absence."""
        write(bench)
        note(bench)
        os.rename(bench.drop.path, f"{bench.drop.path}.away")
        for _ in range(3):
            assert [b"cd/DICOMDIR"] == self.review(bench, hours=9)

    def test_without_lists(self, bench):
        """A drop without lists is not asked for anything."""
        assert [] == self.review(bench)
