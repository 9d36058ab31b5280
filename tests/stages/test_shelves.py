"""The ledger's index of archived sessions."""

import os
import re
import shutil

import pytest

from watcher.io import files
from watcher.stages.shelves import archive_index


def shelf(bench, label="P1"):
    return bench.parts.registry.shelf("P1", label)


def forget(bench):
    for each in bench.parts.registry.shelved():
        bench.parts.registry.unshelve(each.project, each.label)


def test_a_lost_index_is_made_again(bench):
    """From XML and log alone: the same entry, but for the moment it changed."""
    bench.archived(1, 2)
    before = shelf(bench)
    forget(bench)
    assert 1 == archive_index(bench.parts)
    after = shelf(bench)
    for name in ("session", "experiment", "subject", "study", "files", "bytes", "scans"):
        assert getattr(before, name) == getattr(after, name)


def test_what_agrees_is_not_read_again(bench):
    """An XML with the size and time the index knows costs a look."""
    bench.archived(1)
    assert 0 == archive_index(bench.parts)


def test_a_session_that_is_gone_leaves_the_index(bench):
    """What a person took out of the archive is not listed any more."""
    bench.archived(1)
    shutil.rmtree(bench.shelf())
    os.remove(f"{bench.shelf()}.xml")
    assert 0 == archive_index(bench.parts)
    assert shelf(bench) is None


def test_a_damaged_document_is_said_and_stops_nobody(bench):
    """One XML that can't be read: said once, cleared when it is whole; the others are indexed."""
    bench.archived(1)
    bench.archived(1, study="1.2.4", patient_id="P2")
    forget(bench)
    path = f"{bench.shelf()}.xml"
    whole = files.read(path)
    files.swap(path, b"<half")
    assert 1 == archive_index(bench.parts)
    assert (None, "1.2.4") == (shelf(bench), shelf(bench, "P2").study)
    assert 0 == archive_index(bench.parts)
    assert ["P1"] == [each["label"] for each in bench.events("archive.damaged")]
    files.swap(path, whole)
    assert 1 == archive_index(bench.parts)
    assert 1 == len(bench.events("archive.verified"))


def test_without_its_log_a_session_is_known_by_its_place(bench):
    """No log, or one that can't be read: PROJECT/LABEL stands for the id."""
    bench.archived(1)
    log = os.path.join(bench.shelf(), "logs", "events.jsonl")
    for text in (b"{", b"[]\n", b"{}\n", b"", None):
        if text is None:
            os.remove(log)
        else:
            files.swap(log, text)
        forget(bench)
        archive_index(bench.parts)
        assert "P1/P1" == shelf(bench).session


def test_what_is_no_archived_session_is_passed_over(bench):
    """Hidden names and folders without arc001 are nothing of ours."""
    base = bench.parts.storage.path("archive")
    os.makedirs(f"{base}/.snapshot/arc001")
    os.makedirs(f"{base}/OTHER")
    os.makedirs(f"{base}/P1/arc001")
    with open(f"{base}/P1/arc001/.half.xml", "wb"):
        pass
    assert 0 == archive_index(bench.parts)


@pytest.mark.parametrize("number", ["9" * 18, "9" * 30, "9" * 5000, "-5", "\u0663"])
def test_no_number_in_a_document_stops_an_index(bench, number):
    """Counts of any length, by the dozen, or none at all: the index is made, within its bounds."""
    bench.archived(1)
    path = f"{bench.shelf()}.xml"
    (file,) = re.findall(rb"<xnat:file [^>]*/>", files.read(path))
    wrong = file.replace(b'file_size="1064"', f'file_size="{number}"'.encode())
    files.swap(path, files.read(path).replace(file, wrong * 12))
    assert 1 == archive_index(bench.parts)
    assert 0 <= shelf(bench).bytes < 1 << 63
