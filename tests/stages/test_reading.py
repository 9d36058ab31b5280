"""Questions to the readers, their answers, and what each refusal means to a drop's stage."""

import errno
import os
from dataclasses import replace

import pytest

from watcher.core.errors import StorageError
from watcher.core.file import Fingerprint, Refusal, RefusalCode
from watcher.stages import reading
from watcher.stages.outcomes import Outcome, Result


@pytest.fixture
async def intake(bench):
    """The stage of a drop with one file, seen and taken for reading."""
    made = bench.intake(None)
    bench.put("a")
    seen = bench.candidate("a").print
    made.settler.see(b"a", seen, 0.0)
    made.settler.see(b"a", seen, 1.0)
    return made


def waiting(intake):
    return {each.path: each.reason for each in intake.waiting()}


class TestAnswers:
    """Replies as values."""

    def test_a_machine_s_no_is_a_storage_error(self, bench):
        """An errno of the reader is a StorageError with it, and what it was doing."""
        bench.put("a")
        reply = {"errno": errno.EIO, "doing": "reading a file"}
        found = reading.answer(bench.candidate("a"), reply)
        assert isinstance(found, StorageError)
        assert (errno.EIO, True) == (found.number, "reading a file" in str(found))

    def test_another_file_than_was_looked_at_has_changed(self, bench):
        """What was read is not what had settled: CHANGED, and nothing is filed of it."""
        bench.put("a")
        candidate = bench.candidate("a")
        other = replace(candidate, print=Fingerprint(1, 2, 3, 4, 5))
        whole = bench.incoming("a")
        seen = whole.examined.print
        reply = {
            "print": [seen.device, seen.inode, seen.size, seen.mtime_ns, seen.ctime_ns],
            "digest": "",
            "values": {},
            "temp": "",
        }
        assert RefusalCode.CHANGED is reading.answer(other, reply).code
        assert isinstance(reading.answer(candidate, reply), reading.Whole)

    def test_a_kept_or_shared_file_is_never_linked(self, bench):
        """A link is asked for only where the source is removed and a link would do."""
        bench.put("a")
        ask = {"tags": (), "quiet": True}
        candidate = bench.candidate("a")
        kept = replace(bench.drop, after="keep")
        links = [
            reading.request("in", drop, candidate, copy=copy, **ask)["link"]
            for drop, copy in ((bench.drop, False), (bench.drop, True), (kept, False))
        ]
        assert [True, False, False] == links


class TestRefusals:
    """What becomes of a file that was not taken."""

    @pytest.mark.parametrize("code", [RefusalCode.BUSY, RefusalCode.UNLEASED, RefusalCode.CHANGED])
    async def test_one_that_may_come_right_is_looked_at_again(self, bench, intake, code):
        """Busy, without a lease, changed: still pending, nothing said, nothing moved."""
        await intake.files.refused(bench.candidate("a"), Refusal(code, "why"))
        assert {b"a"} == set(waiting(intake))
        assert ([], ["a"]) == (bench.events("file.waiting"), os.listdir(bench.drop.path))

    @pytest.mark.parametrize("code", [RefusalCode.TORN, RefusalCode.EMPTY, RefusalCode.DENIED])
    async def test_one_that_is_not_whole_waits_with_its_reason(self, bench, intake, code):
        """It stays where it lies, and the reason is said."""
        await intake.files.refused(bench.candidate("a"), Refusal(code, "why"))
        assert {b"a": code.value} == waiting(intake)
        assert [code.value] == [each["code"] for each in bench.events("file.waiting")]

    async def test_one_that_is_nothing_to_us_is_left(self, bench, intake):
        """A pipe is pending no more, and lies there still."""
        await intake.files.refused(bench.candidate("a"), Refusal(RefusalCode.NOT_REGULAR, "why"))
        await intake.looker.look_fully()
        assert ({}, ["a"]) == (waiting(intake), os.listdir(bench.drop.path))

    async def test_one_the_machine_failed_on_is_tried_again(self, bench, intake):
        """A StorageError is no word on the file."""
        await intake.files.refused(bench.candidate("a"), StorageError("a disk", number=errno.EIO))
        assert {b"a": "machine"} == waiting(intake)

    async def test_without_a_quarantine_it_waits(self, bench, intake):
        """A file for the quarantine stays in the drop while that store is missing."""
        os.remove(bench.parts.storage.marker("quarantine"))
        await intake.files.refused(bench.candidate("a"), Refusal(RefusalCode.MISSING_UID, "why"))
        assert ({b"a": "machine"}, 0) == (waiting(intake), intake.tally.quarantined)

    async def test_with_one_it_goes_there(self, bench, intake):
        """It is counted, gone from the drop, and pending no more."""
        await intake.files.refused(bench.candidate("a"), Refusal(RefusalCode.MISSING_UID, "why"))
        assert ({}, 1) == (waiting(intake), intake.tally.quarantined)
        assert [] == os.listdir(bench.drop.path)


class TestOutcomes:
    """What becomes of a file after its batch."""

    async def test_a_copy_is_tried_at_once_and_then_with_patience(self, bench, intake):
        """A link would not do: read again, copying; where that fails too it waits as a fault."""
        incoming = bench.incoming("a")
        fault = StorageError("a link", number=errno.EXDEV)
        intake.files.settle(Outcome(incoming, Result.COPY, error=fault))
        assert ("", {b"a"}) == (waiting(intake)[b"a"], intake.files.copy)
        intake.files.settle(Outcome(incoming, Result.COPY, error=fault))
        assert {b"a": "machine"} == waiting(intake)

    async def test_later_is_soon_and_failed_is_a_fault(self, bench, intake):
        """LATER says nothing; FAILED says why."""
        incoming = bench.incoming("a")
        intake.files.settle(Outcome(incoming, Result.LATER))
        assert [] == bench.events("file.waiting")
        intake.files.settle(Outcome(incoming, Result.FAILED, error=StorageError("full", number=28)))
        assert ["full"] == [each["text"] for each in bench.events("file.waiting")]

    async def test_filed_and_duplicate_are_counted(self, bench, intake):
        """Both need nothing more."""
        incoming = bench.incoming("a")
        intake.files.settle(Outcome(incoming, Result.DUPLICATE))
        intake.files.settle(Outcome(incoming, Result.FILED))
        assert (1, 1, {}) == (intake.tally.filed, intake.tally.duplicates, waiting(intake))
