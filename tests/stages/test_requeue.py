"""The quarantine emptied by a person: given back to the drop, or purged; and its index rebuilt."""

import json
import os
import threading
from dataclasses import replace

import pytest
from mortal import mode

from watcher.core.errors import RefusedError, StorageError, UnknownSessionError
from watcher.core.file import Refusal, RefusalCode
from watcher.io import files
from watcher.io.lease import Leases
from watcher.io.registry import SetAside
from watcher.stages import requeue as acts
from watcher.stages.quarantine import put_aside
from watcher.stages.reindex import index

MISSING = Refusal(RefusalCode.MISSING_UID, "It has no study.", "mend it", sop="1.2.9")
TEXT = Refusal(RefusalCode.NOT_DICOM, "It is no DICOM file.")


@pytest.fixture(autouse=True)
def noon(bench):
    """No test meets a midnight: files of another day are set aside elsewhere."""
    bench.parts.clock.ahead = 43200 - bench.parts.clock.now() % 86400


def aside(bench, name, refusal=MISSING, content=b"x"):
    """A file of the drop set aside; gives its entry."""
    path = bench.path(name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content)
    before = {each.id for each in bench.parts.registry.aside(only_open=False)}
    put_aside(bench.parts, bench.drop, bench.candidate(name), refusal)
    every = bench.parts.registry.aside(only_open=False)
    return next((each for each in every if each.id not in before), every[-1])


def by_archiving(bench, code="other-class", drop="mri"):
    """An entry as archiving makes one."""
    place = f"{drop}/2026-06-19/20260619_091425123-{code}"
    folder = os.path.join(bench.parts.storage.path("quarantine"), place)
    files.make_folder(folder)
    files.swap(os.path.join(folder, "x.dcm"), b"x")
    entry = SetAside(
        *(os.path.basename(place), drop, code, place, b"SCANS/1/DICOM/x.dcm"),
        *("why", "hint", "", 1, 0.0),
    )
    bench.parts.registry.set_aside(entry)
    return entry


def dropped(bench):
    """What lies in the drop, by path."""
    return {path: files.read(bench.path(path)) for path in files.walk(bench.drop.path)}


def requeue(bench, entry, **changes):
    drop = replace(bench.drop, **changes)
    return acts.requeue(bench.parts, {drop.name: drop}, entry, who="anna", reason="mended")


def settled(bench):
    return [each["outcome"] for each in bench.events("quarantine.settled")]


def lose(bench, entry):
    """The ledger no longer knows an entry."""
    bench.parts.registry.close(entry.id)
    with bench.parts.ledger.write() as tx:
        tx.exec_driver_sql("DELETE FROM quarantine")


class TestRequeueing:
    """Back into the drop."""

    @pytest.mark.parametrize("refusal", [MISSING, TEXT])
    def test_a_file_is_back_under_its_name(self, bench, refusal):
        """Its bytes and its path are its own; the entry is closed, said, and its folder gone."""
        entry = aside(bench, "d/a", refusal, b"bytes")
        done = requeue(bench, entry)
        assert {"d/a": b"bytes"} == dropped(bench)
        assert (False, False) == (done.open, bench.parts.registry.entry(entry.id).open)
        assert (["requeued"], []) == (settled(bench), bench.tree("quarantine"))
        assert {} == bench.parts.conditions.open()

    def test_all_files_of_a_folder_go_back(self, bench):
        """Also one that was called as our reason is."""
        for name in ("d/a.txt", "d/e/b.txt"):
            aside(bench, name, TEXT)
        requeue(bench, acts.entry(bench.parts, "aside"))
        assert {"d/a.txt", "d/e/b.txt"} == set(dropped(bench))
        requeue(bench, aside(bench, "reason.json", TEXT))
        assert {"d/a.txt", "d/e/b.txt", "reason.json"} == set(dropped(bench))

    def test_a_taken_name_is_left(self, bench):
        """Another file came under the name: ours goes below a folder named after the entry."""
        entry = aside(bench, "d/a", MISSING, b"first")
        again = aside(bench, "d/a", MISSING, b"second")
        requeue(bench, again)
        requeue(bench, entry)
        expected = {"d/a": b"second", f"requeued-{entry.id}/a": b"first"}
        assert expected == dropped(bench)

    def test_where_every_name_is_taken_it_stays(self, bench):
        """Refused: the file stays in the quarantine, and nothing is overwritten."""
        entry = aside(bench, "a", MISSING, b"first")
        for name in ("a", f"requeued-{entry.id}/a"):
            os.makedirs(bench.path(name))
        with pytest.raises(RefusedError, match="taken"):
            requeue(bench, entry)
        assert entry == bench.parts.registry.entry(entry.id)
        assert 2 == len(bench.tree("quarantine"))

    def test_what_archiving_set_aside_has_no_name_in_the_drop(self, bench):
        """Its path is one of a session: it goes below a folder named after the entry."""
        entry = by_archiving(bench)
        requeue(bench, entry)
        assert [f"requeued-{entry.id}/x.dcm"] == list(dropped(bench))

    def test_a_try_that_was_cut_off_is_finished(self, bench):
        """The file is in the drop already: it is not given twice, and the entry is closed."""
        entry = aside(bench, "a", MISSING, b"bytes")
        with open(bench.path("a"), "wb") as file:
            file.write(b"bytes")
        assert not requeue(bench, entry).open
        assert {"a": b"bytes"} == dropped(bench)

    def test_a_settled_one_whose_files_are_there_goes_back_too(self, bench):
        """Superseded by another file: a person may want it all the same; once gone, refused."""
        entry = aside(bench, "a")
        bench.parts.registry.close(entry.id)
        requeue(bench, entry)
        with pytest.raises(RefusedError, match="are gone"):
            requeue(bench, entry)


class TestRefusing:
    """Nothing is changed, and why is said."""

    @pytest.mark.parametrize(
        ("changes", "why"),
        [
            ({"name": "other"}, "no drop 'mri'"),
            ({"after": "keep"}, "only read"),
            ({"path": "/nowhere/at/all"}, "is missing"),
            ({"mount": True}, "its mount is not there"),
        ],
    )
    def test_a_drop_that_takes_nothing(self, bench, changes, why):
        """Not configured, only read, or not there: refused."""
        entry = aside(bench, "a")
        with pytest.raises(RefusedError, match=why):
            requeue(bench, entry, **changes)
        assert entry == bench.parts.registry.entry(entry.id)
        assert [] == settled(bench)

    def test_a_drop_that_may_not_be_written(self, bench):
        """Nor one, or a folder of it, that its modes keep us from."""
        entry = aside(bench, "d/a")
        for folder in ("", "d"):
            with mode(bench.path(folder), 0o555), pytest.raises(RefusedError, match="be written"):
                requeue(bench, entry)
        assert ([], 2) == (settled(bench), len(bench.tree("quarantine")))

    def test_what_the_machine_could_not_is_no_refusal(self, bench):
        """A path the drop's file system has no room for: the error itself, the file stays."""
        entry = replace(aside(bench, "a"), path=b"d" * 300 + b"/a")
        bench.parts.registry.set_aside(entry)
        with pytest.raises(StorageError, match="making a folder"):
            requeue(bench, entry)
        assert 2 == len(bench.tree("quarantine"))


class TestPurging:
    """For good."""

    def test_its_files_are_gone_and_the_decision_is_kept(self, bench):
        """Who did it and why stands in the history's record and in the log."""
        entry = aside(bench, "d/a", TEXT)
        acts.purge(bench.parts, entry, who="anna", reason="holiday pictures")
        assert (["purged"], []) == (settled(bench), bench.tree("quarantine"))
        line = json.loads(files.read(bench.parts.storage.decisions))
        assert ("anna", "holiday pictures", entry.id, "d/a", 1) == (
            *(line["who"], line["reason"], line["entry"], line["path"], line["files"]),
        )
        (said,) = bench.events("session.decided")
        assert f"quarantine purge {entry.id}" == said["command"]

    def test_what_comes_meanwhile_stays(self, bench):
        """An entry that takes another file while it is emptied is open with that."""
        entry = aside(bench, "d/a", TEXT)

        class Late(Leases):
            def exclusive(self, key):
                aside(bench, "d/b", TEXT)
                return super().exclusive(key)

        state = bench.parts.storage.path("state")
        parts = replace(bench.parts, leases=Late(state, bench.parts.ledger))
        acts.purge(parts, entry, who="anna", reason="x")
        assert ["d/b"] == acts.paths(bench.parts, entry)
        assert bench.parts.registry.entry(entry.id).open
        assert [] == settled(bench)

    def test_what_comes_at_the_last_moment_stays_too(self, bench):
        """While the folder is being removed it waits: then it is open again, with its reason."""
        entry = aside(bench, "d/a", TEXT)
        coming = threading.Thread(target=aside, args=(bench, "d/b", TEXT))

        def emit(event, /, **fields):
            if event == "quarantine.settled":
                coming.start()
                coming.join(0.3)  # it can't come now; without the lease it would

        acts.purge(replace(bench.parts, emit=emit), entry, who="anna", reason="x")
        coming.join()
        assert ["d/b"] == acts.paths(bench.parts, entry)
        assert bench.parts.registry.entry(entry.id).open
        assert os.path.exists(os.path.join(acts.folder_of(bench.parts, entry), "reason.json"))


class TestFinding:
    """By id, or any part of its place."""

    def test_any_unambiguous_part_means_it(self, bench):
        """Several or none: not known."""
        one, two = aside(bench, "a"), aside(bench, "b")
        assert [one, two] == [acts.entry(bench.parts, each.id[:9]) for each in (one, two)]
        for text, why in (("mri", "2 entries"), ("none", "no entry")):
            with pytest.raises(UnknownSessionError, match=why):
                acts.entry(bench.parts, text)


class TestIndexing:
    """A ledger that was lost."""

    @pytest.mark.parametrize("refusal", [MISSING, TEXT])
    def test_entries_are_known_again(self, bench, refusal):
        """As their reasons have them; those that wait for somebody are said."""
        entry = aside(bench, "d/\udcff", refusal)
        lose(bench, entry)
        key = f"quarantine/{entry.id}"
        bench.parts.conditions.clear("quarantine.settled", key)
        assert 1 == index(bench.parts)
        found = bench.parts.registry.entry(entry.id)
        assert entry == replace(found, set_aside=entry.set_aside)
        assert abs(entry.set_aside - found.set_aside) < 0.001
        assert (refusal is MISSING) == (key in bench.parts.conditions.open())

    def test_what_is_known_stays_as_it_is(self, bench):
        """A superseded entry is not opened again."""
        entry = aside(bench, "a")
        bench.parts.registry.close(entry.id)
        assert 0 == index(bench.parts)
        assert not bench.parts.registry.entry(entry.id).open

    @pytest.mark.parametrize("reason", [None, b"{half", b"{}", b"[]", b'{"path_base64": "?"}'])
    def test_one_without_a_reason_is_listed(self, bench, reason):
        """Nothing in the store is out of sight."""
        entry = aside(bench, "a")
        path = os.path.join(acts.folder_of(bench.parts, entry), "reason.json")
        files.remove(path)
        if reason is not None:
            files.swap(path, reason)
        lose(bench, entry)
        assert 1 == index(bench.parts)
        found = bench.parts.registry.entry(entry.id)
        assert ("unknown", "mri", 1, True) == (found.code, found.drop, found.files, found.open)

    def test_one_whose_folder_is_gone_is_closed(self, bench):
        """Emptied by hand, or by a command that was cut off: it waits for nobody any more."""
        entry = aside(bench, "a")
        folder = acts.folder_of(bench.parts, entry)
        files.remove(os.path.join(folder, "a"))
        assert 1 == index(bench.parts)
        assert (["gone"], []) == (settled(bench), bench.tree("quarantine"))
        assert not bench.parts.registry.entry(entry.id).open
