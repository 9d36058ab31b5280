"""Where catalog entries contradict each other, the archived file itself is asked."""

import os
import re

import pytest
from makers import make_dicom

from watcher.core.archived import Archived, ArchivedResource, ArchivedScan, Entry
from watcher.dicom import catalog
from watcher.io import files
from watcher.stages.doubt import settled
from watcher.stages.validate import judge
from watcher.stages.verify import verify

NAME = "SCANS/1/DICOM/scan_1_catalog.xml"
SECOND = '<cat:entry URI="{uri}" UID="{uid}" digest="{digest}" xsi:type="cat:dcmEntry"/>'


@pytest.fixture
def contradict(bench):
    """Three archived files, and a way to list the second once more."""
    bench.archived(1, 2, 3)
    path = os.path.join(bench.shelf(), NAME)
    (entry,) = (e for e in catalog.read(files.read(path))[1] if e.uid == "1.2.3.9.2")

    def second(digest, *, uri="{uri}", uid="1.2.3.9.2"):
        text = SECOND.format(uri=uri.format(uri=entry.uri), uid=uid, digest=digest)
        before = files.read(path)
        after = re.sub(b"(<cat:entries>)", rb"\1" + text.encode(), before)
        assert after != before
        files.swap(path, after)
        return entry

    return second


def newcomer(bench, session):
    (instance,) = bench.parts.ledger.instances(session.id)
    return instance


def codes(judged):
    return {each.code for each in judged.findings} - {"session-exists"}


@pytest.mark.parametrize("uri", ["{uri}", "./{uri}"])
@pytest.mark.parametrize("uid", ["1.2.3.9.2", "1.2.3.9.77"])
def test_no_newcomer_is_dropped_on_the_word_of_an_entry_that_the_file_belies(
    bench, contradict, uri, uid
):
    """An entry has the newcomer's digest, another the file's: the file says they differ."""
    session = bench.again(2, sop=uid)
    entry = contradict(newcomer(bench, session).digest, uri=uri, uid=uid)
    judged = judge(bench.parts, session)
    assert ({"instance-differs"}, ()) == (codes(judged), judged.merge.same)
    assert ("twice-listed", f"SCANS/1/DICOM/{entry.uri}") in {
        (each.code, each.path) for each in verify(bench.parts, session.project, session.label).flaws
    }


def test_what_the_file_bears_out_is_the_same(bench, contradict):
    """The other entry is wrong: a resend of what lies there is dropped, as ever."""
    contradict("0" * 32)
    session = bench.filed(2)
    judged = judge(bench.parts, session)
    assert ({"same-instance"}, 1) == (codes(judged), len(judged.merge.same))


def test_a_file_that_no_entry_tells_of_is_compared(bench, contradict):
    """Neither entry is right: what lies there differs from the newcomer, which waits."""
    session = bench.filed(2)
    entry = contradict("0" * 32)
    path = os.path.join(bench.shelf(), "SCANS/1/DICOM", entry.uri)
    os.remove(path)
    make_dicom(path, sop="1.2.3.9.2", study="1.2.3", series="1.2.3.1", patient_name="OTHER")
    judged = judge(bench.parts, session)
    assert ({"instance-differs"}, ()) == (codes(judged), judged.merge.same)


def shelf_of(*resources):
    scan = ArchivedScan(id="1", uid="", type="", modality="", resources=resources)
    return Archived("P1", "S1", "", id="", study="", accepted=(), type="", scans=(scan,))


def test_catalogs_may_contradict_each_other(tmp_path):
    """Two resources list one file with two digests: each entry gets that of the file."""
    (tmp_path / "a").write_bytes(b"bytes")
    one = ArchivedResource("DICOM", "one.xml", (Entry("a", "1.2", "0" * 32, 9),), 1)
    two = ArchivedResource(
        "secondary", "two.xml", (Entry("a", "1.2", "2" * 32, None, path="a"),), 1
    )
    lost = ArchivedResource("X", "x.xml", (Entry("b", "1.3", "1" * 32, 9),), 1)
    found = settled(str(tmp_path), shelf_of(one, two, lost), {})
    digest = files.digest(str(tmp_path / "a"))
    assert [(digest, 5), (digest, 5), ("1" * 32, 9)] == [
        (entry.digest, entry.size)
        for resource in found.scans[0].resources
        for entry in resource.entries
    ]


def test_where_nothing_is_doubtful_nothing_is_read(tmp_path):
    """Every file listed once: the entries are believed, the files not looked at."""
    one = ArchivedResource("DICOM", "one.xml", (Entry("a", "1.2", "0" * 32, 9),), 1)
    archived = shelf_of(one)
    assert settled(str(tmp_path), archived, {"one.xml": (1, 9)}) is archived


def test_a_file_that_is_gone_tells_nothing(tmp_path):
    """Listed twice and not there: the entries stay as they are."""
    one = ArchivedResource("DICOM", "one.xml", (Entry("a", "1.2", "0" * 32, 9),), 1)
    archived = shelf_of(one)
    assert settled(str(tmp_path), archived, {"one.xml": (2, 9)}) == archived
