"""Refused files: moved aside whole, with the reason beside them, once."""

import contextlib
import itertools
import json
import os
from dataclasses import replace

import pytest
from makers import CT, MR
from sqlalchemy import event

from watcher.core.errors import MissingPlaceError, StorageError
from watcher.core.file import Refusal, RefusalCode
from watcher.io import files, tables
from watcher.stages.archive import archive
from watcher.stages.hop import Hop
from watcher.stages.quarantine import put_aside, supersede
from watcher.stages.recover import recover
from watcher.stages.reindex import index

MISSING = Refusal(RefusalCode.MISSING_UID, "It has no study.", "mend it", sop="1.2.9")
TEXT = Refusal(RefusalCode.NOT_DICOM, "It is no DICOM file.")


@pytest.fixture(autouse=True)
def noon(bench):
    """No test meets a midnight: files of another day are set aside elsewhere."""
    bench.parts.clock.ahead = 43200 - bench.parts.clock.now() % 86400


def drop(bench, name, content=b"x"):
    path = bench.path(name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content)
    return bench.candidate(name)


def aside(bench, name, refusal, content=b"x", **changes):
    candidate = drop(bench, name, content)
    return put_aside(bench.parts, replace(bench.drop, **changes), candidate, refusal)


@contextlib.contextmanager
def dying_at(ledger, number):
    """The work is cut off before the `number`-th commit of the ledger, where it comes to that."""
    left = itertools.count(number, -1)

    def die(_connection):
        if next(left) == 1:
            raise KeyboardInterrupt

    event.listen(ledger.engine, "commit", die)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            yield
    finally:
        event.remove(ledger.engine, "commit", die)


def entries(bench):
    return bench.parts.registry.aside(only_open=False)


def held(bench, entry):
    """An entry's files and their bytes, without its reason."""
    folder = os.path.join(bench.parts.storage.path("quarantine"), entry.place)
    found = {path: files.read(os.path.join(folder, path)) for path in files.walk(folder)}
    reason = json.loads(found.pop("reason.json"))
    return found, reason


class TestPuttingAside:
    """One refused file."""

    def test_one_that_a_start_found_half_made_waits_for_nobody(self, bench):
        """Killed before its reason was written: once it is a shared entry, nothing is open."""
        aside(bench, "d/a", TEXT)
        (entry,) = entries(bench)
        os.remove(os.path.join(bench.parts.storage.path("quarantine"), entry.place, "reason.json"))
        with bench.parts.ledger.write() as tx:
            tx.execute(tables.quarantine.delete())
        index(bench.parts)
        assert [f"quarantine/{entry.id}"] == list(bench.parts.conditions.open())
        aside(bench, "d/a", TEXT)
        assert ({}, 1) == (bench.parts.conditions.open(), len(entries(bench)))

    def test_it_is_moved_with_its_reason(self, bench):
        """The file leaves the drop unchanged; reason.json says why and where it came from."""
        assert aside(bench, "d/a", MISSING, b"bytes") is None
        (entry,) = entries(bench)
        found, reason = held(bench, entry)
        assert {"a": b"bytes"} == found
        assert ("missing-uid", "It has no study.", "mend it", "d/a", 1) == tuple(
            reason[word] for word in ("code", "text", "hint", "path", "files")
        )
        assert [] == os.listdir(bench.path("d"))
        assert {} == bench.parts.receiving.taken("mri")
        assert ["missing-uid"] == [each["code"] for each in bench.events("file.quarantined")]
        assert f"quarantine/{entry.id}" in bench.parts.conditions.open()

    def test_a_kept_source_stays(self, bench):
        """With `after = "keep"` the source stays, and is known as taken."""
        stays = aside(bench, "a", MISSING, after="keep")
        assert bench.candidate("a").print == stays
        assert {b"a": stays} == bench.parts.receiving.taken("mri")

    def test_files_that_are_no_dicom_share_an_entry(self, bench):
        """One entry for each dropped folder, said once, as information; it waits for nobody."""
        for name in ("d/a.txt", "d/e/b.txt", "other/c.txt", "loose.txt"):
            aside(bench, name, TEXT)
        assert [1, 1, 2] == sorted(entry.files for entry in entries(bench))
        both = next(entry for entry in entries(bench) if entry.files == 2)
        assert {"d/a.txt", "d/e/b.txt"} == set(held(bench, both)[0])
        said = bench.events("file.quarantined")
        assert ["info"] * 3 == [each["level"] for each in said]
        assert not bench.parts.conditions.open()

    def test_a_name_that_is_the_reason_s_is_changed(self, bench):
        """A dropped file called reason.json does not pass for ours."""
        aside(bench, "reason.json", TEXT, b"theirs")
        (entry,) = entries(bench)
        assert {"reason.json.dropped": b"theirs"} == held(bench, entry)[0]

    def test_a_name_that_is_not_utf8_is_kept(self, bench):
        """The original name stands in full, also where text can't say it."""
        name = os.fsdecode(b"\xff\xe9")
        aside(bench, name, MISSING)
        (entry,) = entries(bench)
        found, reason = held(bench, entry)
        assert ([name], "/+k=") == (list(found), reason["path_base64"])


class TestAgain:
    """A crash between the steps, and what lies there already."""

    def test_the_same_bytes_are_there_once(self, bench):
        """Set aside again after a crash: no second copy, and the count is that of the files."""
        for _ in range(2):
            aside(bench, "d/a.txt", TEXT, b"same")
        (entry,) = entries(bench)
        assert ({"d/a.txt": b"same"}, 1) == (held(bench, entry)[0], entry.files)

    def test_a_name_in_use_is_made_longer(self, bench):
        """Other content under the same name the same day: both are kept."""
        for content in (b"one", b"two"):
            aside(bench, "d/a.txt", TEXT, content)
        (entry,) = entries(bench)
        found = held(bench, entry)[0]
        assert ([b"one", b"two"], 2) == (sorted(found.values()), entry.files)

    def test_two_taken_names_leave_the_source(self, bench):
        """Where both names are taken by other content nothing is overwritten or removed."""
        aside(bench, "d/a.txt", TEXT, b"one")
        candidate = drop(bench, "d/a.txt", b"two")
        put_aside(bench.parts, replace(bench.drop, after="keep"), candidate, TEXT)
        (entry,) = entries(bench)
        folder = os.path.join(bench.parts.storage.path("quarantine"), entry.place, "d")
        (second,) = set(os.listdir(folder)) - {"a.txt"}
        with open(os.path.join(folder, second), "wb") as file:
            file.write(b"three")
        with pytest.raises(StorageError):
            put_aside(bench.parts, bench.drop, candidate, TEXT)
        assert ["a.txt"] == os.listdir(bench.path("d"))
        assert {"a.txt", second} == set(os.listdir(folder))

    def test_without_the_store_the_file_stays(self, bench):
        """A quarantine that is missing is not made: the file stays in the drop."""
        candidate = drop(bench, "a")
        os.remove(bench.parts.storage.marker("quarantine"))
        with pytest.raises(MissingPlaceError):
            put_aside(bench.parts, bench.drop, candidate, MISSING)
        assert ["a"] == os.listdir(bench.drop.path)


class TestSettling:
    """What closes an entry, and what opens one without a drop."""

    def test_filing_the_instance_supersedes_it(self, bench):
        """An entry whose SOP UID has since been filed is closed, and that is said."""
        aside(bench, "a", MISSING)
        supersede(bench.parts, ["1.2.8"])
        assert [True] == [entry.open for entry in entries(bench)]
        supersede(bench.parts, ["1.2.9"])
        assert [False] == [entry.open for entry in entries(bench)]
        assert ["superseded"] == [each["outcome"] for each in bench.events("quarantine.settled")]

    @pytest.mark.parametrize("at", [1, 2, 3])
    async def test_what_a_crash_left_of_it_is_done_at_the_next_start(self, bench, at):
        """Cut off before the first or second commit, or not at all: the entry is closed and the
        condition cleared, said once; an entry of an instance that was filed before it stays open.
        """
        bench.filed(8, study="1.2")
        aside(bench, "early", replace(MISSING, sop="1.2.9.8"))
        aside(bench, "a", replace(MISSING, sop="1.2.9.1"))
        bench.filed(1, study="1.2")
        with dying_at(bench.parts.ledger, at):
            supersede(bench.parts, ["1.2.9.1"])
        await recover(bench.parts, None, Hop(1))
        still = [entry for entry in entries(bench) if entry.open]
        assert ["1.2.9.8"] == [entry.sop for entry in still]
        assert [f"quarantine/{still[0].id}"] == list(bench.parts.conditions.open())
        assert ["superseded"] == [each["outcome"] for each in bench.events("quarantine.settled")]

    def test_another_class_of_an_archived_instance_goes_aside(self, bench):
        """A newcomer with an archived SOP UID and another class is kept in quarantine, and said."""
        bench.archived(1, sop_class=CT)
        late = bench.built(1, sop_class=MR, modality="MR")
        archive(bench.parts, late.id)
        (entry,) = entries(bench)
        found, reason = held(bench, entry)
        assert (1, "other-class", "mri") == (len(found), reason["code"], entry.drop)
        assert [entry.id] == [each["entry"] for each in bench.events("file.quarantined")]
        assert [] == [path for path in bench.tree("prearchive") if path.endswith(".dcm")]
