"""`stages.entries`: what archived files say now, and the entries that follow."""

import os

import pytest
from archives import Archive, instance

from watcher.core.file import RefusalCode
from watcher.stages.entries import entries_of, instance_paths, reread
from watcher.stages.parts import Stopped

FOLDER = "SCANS/1/DICOM"


@pytest.fixture
def kept(bench):
    return Archive(bench.parts)


def test_entries_are_those_of_the_catalog(kept):
    """Made from the files alone: the same UIDs, numbers, digests and sizes."""
    found = entries_of(kept.parts, str(kept.base), FOLDER, "1.2.3.001")
    strip = [(one.uri, one.uid, one.class_uid, one.digest, one.size) for one in found]
    listed = kept.entries().values()
    assert [(one.uri, one.uid, one.class_uid, one.digest, one.size) for one in listed] == strip


def test_only_the_series_and_only_instances(kept):
    """Another series is left out where the scan's is known; what is no DICOM file always."""
    data, _ = instance(7, 2)
    (kept.base / FOLDER / "other.dcm").write_bytes(data)
    (kept.base / FOLDER / "notes.txt").write_text("x")
    known = entries_of(kept.parts, str(kept.base), FOLDER, "1.2.3.001")
    every = entries_of(kept.parts, str(kept.base), FOLDER, "")
    assert (3, 4) == (len(known), len(every))


def test_the_same_file_makes_the_same_entry(kept):
    """Its time is the file's own, not that of the reading."""
    twice = [entries_of(kept.parts, str(kept.base), FOLDER, "") for _ in range(2)]
    assert twice[0] == twice[1]


def test_folders_below_and_names(kept):
    """URIs reach into folders; catalogs, hidden names and names XML can't carry are left out."""
    data, _ = instance(7)
    below = kept.base / FOLDER / "below"
    below.mkdir()
    for name in (b"seven.dcm", b".seven.dcm.new", b"x_catalog.xml.gz", b"\xff.dcm"):
        with open(os.path.join(os.fsencode(below), name), "wb") as file:
            file.write(data)
    found = entries_of(kept.parts, str(kept.base), FOLDER, "")
    assert ["below/seven.dcm"] == [one.uri for one in found if "/" in one.uri]
    assert 4 == len(instance_paths(str(kept.base), FOLDER))


def test_files_outside_of_scans_are_read_too(kept):
    """In archives of others an instance may lie anywhere."""
    data, one = instance(7)
    (kept.base / "loose.dcm").write_bytes(data)
    found = reread(kept.parts, str(kept.base), ["loose.dcm", "gone.dcm"])
    assert {"loose.dcm": one.digest} == {path: each.digest for path, each in found.whole.items()}


def test_a_torn_file_is_refused(kept):
    """It is no instance any more, and says why."""
    os.truncate(kept.files()[0], 300)
    path = kept.relative(kept.files()[0])
    found = reread(kept.parts, str(kept.base), [path])
    assert ({}, RefusalCode.TORN) == (found.whole, found.refused[path].code)


def test_a_stop_is_noticed(kept):
    """Between two batches."""
    kept.parts.stopping.set()
    with pytest.raises(Stopped):
        entries_of(kept.parts, str(kept.base), FOLDER, "")
