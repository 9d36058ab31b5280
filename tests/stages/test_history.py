"""Entries of the history: described, listed from the tree, found by any part of their name."""

import os

import pytest
from filed import session as made
from still import standing_still

from watcher.core import names
from watcher.core.errors import MissingPlaceError, RefusedError, UnknownSessionError
from watcher.io import files, journal
from watcher.stages import history

WORDS = {"command": "archive", "who": "anna", "reason": "rescanned", "when": "2026-06-19T09:14:25"}


def put(bench, project, label, stamp, path="SCANS/1/DICOM/x.dcm", data=b"bytes"):
    """A file of an entry; gives the entry's folder."""
    folder = bench.parts.storage.history(project, label, stamp)
    files.make_folder(os.path.dirname(os.path.join(folder, path)))
    files.swap(os.path.join(folder, path), data)
    return folder


def described(bench, folder, kind="replaced", **changes):
    session = made(project="P1", label="L1", **changes)
    history.describe(bench.parts, folder, kind=kind, session=session, **WORDS)


class TestDescribing:
    """The reason beside the files."""

    def test_it_tells_who_when_and_why(self, bench):
        """What was described is listed, with the files and bytes that are there."""
        folder = put(bench, "P1", "L1", "20260619_091425123")
        described(bench, folder, subject="S7", study="1.2.9")
        (found,) = history.entries(bench.parts)
        assert ("P1/L1/20260619_091425123", "replaced", 1, 5) == (
            *(found.id, found.kind, found.files, found.bytes),
        )
        told = {word: getattr(found, word) for word in WORDS}
        assert (WORDS, "S7", "1.2.9") == (told, found.subject, found.study)

    def test_it_can_be_repeated(self, bench):
        """Described again, as after a crash: one reason, and what a crash left half is no file."""
        folder = put(bench, "P1", "L1", "1")
        described(bench, folder)
        put(bench, "P1", "L1", "1", ".reason.json.new")
        described(bench, folder, kind="kept")
        (found,) = history.entries(bench.parts)
        assert ("kept", 1) == (found.kind, found.files)

    def test_without_the_store_nothing_is_made(self, bench):
        """A history that is missing is not written beneath its mount."""
        os.remove(bench.parts.storage.marker("history"))
        with pytest.raises(MissingPlaceError):
            described(bench, bench.parts.storage.history("P1", "L1", "1"))
        assert [] == bench.tree("history")

    def test_a_new_stamp_is_free(self, bench):
        """No entry's, no document's, and no session's: each makes the next one later."""
        parts = standing_still(bench.parts)
        first = history.new_stamp(parts, "P1", "L1")
        assert parts.clock.stamp() == first
        put(bench, "P1", "L1", first)
        second = history.new_stamp(parts, "P1", "L1")
        bench.parts.ledger.add(made(id=second))
        third = history.new_stamp(parts, "P1", "L1")
        files.swap(f"{bench.parts.storage.history('P1', 'L1', third)}.json", b"{}")
        fourth = history.new_stamp(parts, "P1", "L1")
        following = names.next_timestamp
        assert [following(first), following(second), following(third)] == [second, third, fourth]


class TestListing:
    """The tree is the truth."""

    @pytest.mark.parametrize("reason", [None, b"{half", b"[]"])
    def test_an_entry_without_a_reason_is_listed_too(self, bench, reason):
        """What nothing describes is unknown; a record beside it makes it a deleted session."""
        folder = put(bench, None, "L2", "2")
        if reason is not None:
            files.swap(os.path.join(folder, history.REASON), reason)
        (found,) = history.entries(bench.parts)
        assert ("Unassigned/L2/2", None, "unknown") == (found.id, found.project, found.kind)
        files.swap(f"{folder}.json", b"{}")
        assert ["deleted"] == [each.kind for each in history.entries(bench.parts)]
        assert history.record(bench.parts, found) is None

    def test_folders_that_a_crash_left_are_no_entries(self, bench):
        """Empty ones, hidden ones and plain files on the way are none."""
        files.make_folder(bench.parts.storage.history("P1", "L1", "1"))
        put(bench, ".hidden", "L1", "1")
        journal.append_line(bench.parts.storage.decisions, "{}")
        assert [] == history.entries(bench.parts)

    def test_any_unambiguous_part_means_it(self, bench):
        """Of several that fit none is meant; of none, none."""
        for stamp in ("1", "2"):
            put(bench, "P1", "L1", stamp)
        assert "P1/L1/2" == history.entry(bench.parts, "L1/2").id
        for text, why in (("L1", "2 entries fit"), ("L9", "no entry")):
            with pytest.raises(UnknownSessionError, match=why):
                history.entry(bench.parts, text)

    def test_one_that_is_gone_is_refused(self, bench):
        """Between two looks another command may have emptied it."""
        put(bench, "P1", "L1", "1")
        found = history.entry(bench.parts, "1")
        history.clear(bench.parts, found)
        assert "P1/L1/1" == history.again(bench.parts, found).id  # its file is there still
        files.remove(os.path.join(history.folder_of(bench.parts, found), "SCANS/1/DICOM/x.dcm"))
        history.clear(bench.parts, found)
        assert [] == bench.tree("history")
        assert not os.path.exists(os.path.join(bench.parts.storage.path("history"), "P1"))
        with pytest.raises(RefusedError, match="no longer"):
            history.again(bench.parts, found)
