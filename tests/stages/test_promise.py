"""The plan of an archiving as a file beside the session."""

import gzip
import json
import os
from dataclasses import replace

import pytest
from planned import beside, plan

from watcher.core.archived import Entry
from watcher.core.errors import DocumentError
from watcher.core.session import Finding, Severity
from watcher.dicom import catalog
from watcher.io import files
from watcher.stages import promise as promises
from watcher.stages.documents import Next
from watcher.stages.promise import Drop, Remains, Retire, Swap

INFO = Finding("x", (), Severity.INFO, "", "session")


def read(bench, promise):
    return promises.read(beside(bench, promise))


class TestWriting:
    """What a restart reads is what was planned."""

    def test_a_new_label(self, bench):
        """Files, documents, sizes: the plan is read as it was written."""
        promise = plan(bench, bench.built(1, 2))
        assert promise == read(bench, promise)

    def test_a_part(self, bench):
        """What stays, with its findings and its XML."""
        promise = plan(bench, bench.in_two_scans())
        found = read(bench, promise)
        assert (promise.remains, 2) == (found.remains, found.remains.files)
        assert promise.carries == found.carries

    def test_what_leaves(self, bench):
        """Strays, files kept out and replaced ones, with where they go and why."""
        bench.archived(1)
        session = bench.built(2)
        files.swap(f"{bench.folder(session)}/SCANS/{os.fsdecode(bytes([255]))}.txt", b"x")
        promise = plan(bench, session)
        retires = (Retire("SCANS/1/DICOM/a", "P1/P1/20260101_000000000/a"),)
        promise = replace(promise, retires=retires, replaced=1)
        promises.write(bench.parts, promise)
        found = read(bench, promise)
        assert (promise.asides, retires, 1) == (found.asides, found.retires, found.replaced)
        assert ["stray-file"] == [aside.because for aside in found.asides]

    def test_a_plan_of_a_later_version(self, bench):
        """What a newer version wrote down besides is passed over, at every level."""
        bench.archived(1)
        session = bench.built(2)
        files.swap(f"{bench.folder(session)}/SCANS/1/stray.txt", b"x")
        promise = replace(
            plan(bench, session),
            drops=(Drop("a", "b", "c"),),
            retires=(Retire("SCANS/1/DICOM/a", "P1/P1/20260101_000000000/a"),),
            remains=Remains(1, "<x/>", (INFO,)),
        )
        promises.write(bench.parts, promise)
        path, expected = beside(bench, promise), read(bench, promise)
        values = json.loads(files.read(path))
        lists = (values[name] for name in ("carries", "drops", "asides", "retires", "swaps"))
        below = [each for several in lists for each in several]
        below += [each for swap in values["swaps"] for each in swap["adds"]]
        for each in (values, values["session"], values["remains"], *below):
            each["later"] = {"more": [1]}
        files.swap(path, json.dumps(values).encode())
        assert expected == read(bench, promise)
        assert expected.asides
        assert any(swap.adds for swap in expected.swaps)

    @pytest.mark.parametrize("text", [b"", b"{}", b"[]", b'{"session": 3}', b"\xff"])
    def test_a_plan_that_is_none_is_refused(self, bench, text):
        """A file that holds no plan is a DocumentError, never an empty plan."""
        promise = plan(bench, bench.built(1))
        files.swap(beside(bench, promise), text)
        with pytest.raises(DocumentError):
            read(bench, promise)


class TestDocuments:
    """The next contents of a document."""

    def test_a_catalog_that_grows_is_not_written_down_again(self, bench):
        """Its plan names the entries that come, and gives the very text that was planned."""
        bench.archived(1)
        promise = plan(bench, bench.built(2))
        (told,) = [each for each in json.loads(_text(bench, promise))["swaps"] if each["path"]]
        (swap,) = [each for each in read(bench, promise).swaps if each.path]
        assert ("", 1) == (told["text"], len(swap.adds))
        old = files.read(os.path.join(bench.shelf(), swap.path))
        assert swap.after == promises.digest_of(swap.data(old))
        assert 2 == len(catalog.read(swap.data(old))[1])

    def test_replaced_entries_too(self, bench):
        """By the URI that they replace."""
        entry = Entry("new.dcm", "1.2", "a" * 32, 5)
        grown = {"c.xml": Next(b"new", replaces={"old.dcm": entry})}
        (swap, _) = promises.swaps_of({"c.xml": b"old"}, {}, grown, (None, b"x"))
        promise = replace(plan(bench, bench.built(1)), swaps=(swap,))
        promises.write(bench.parts, promise)
        assert replace(swap, text=b"") == read(bench, promise).swaps[0]

    def test_a_new_one_is_there_whole(self):
        """Nothing is merged into what is not there."""
        entry = Entry("new.dcm", "1.2", "a" * 32, 5)
        new = {"c.xml": Next(b"new", (entry,))}
        (swap, xml) = promises.swaps_of({}, {}, new, (None, b"x"))
        assert (b"new", (), "") == (swap.data(None), swap.adds, swap.before)
        assert ("", b"x") == (xml.path, xml.data(None))

    def test_a_zipped_name_is_zipped(self):
        """The same bytes each time, so that a restart knows them again."""
        swap = Swap("c.xml.gz", "", "", b"text")
        assert b"text" == gzip.decompress(swap.data(None))
        assert swap.data(None) == swap.data(b"whatever was there")


def _text(bench, promise):
    return files.read(beside(bench, promise))
