"""How the images of a catalog are numbered."""

import gzip

import pytest

from watcher.core.archived import Entry
from watcher.core.errors import DocumentError
from watcher.dicom import catalog
from watcher.dicom.excerpt import excerpt
from watcher.dicom.numbering import numbers

ENTRIES = [Entry(f"{n}.dcm", f"1.{n}", "d", 1, "1.2", n) for n in (-1, 3, 20)]


def composed(entries):
    return catalog.compose("1.2", entries, dimensions=None)


@pytest.mark.parametrize("cut", [None, excerpt(composed(ENTRIES))])
def test_our_own_catalog(cut):
    """The number of each entry, in order, with a parser and without."""
    assert [-1, 3, 20] == numbers(composed(ENTRIES), cut)


@pytest.mark.parametrize(
    "data",
    [
        gzip.compress(composed(ENTRIES)),
        composed(ENTRIES).replace(b' instanceNumber="3"', b" instanceNumber='3'"),
        composed(ENTRIES).replace(b"<cat:entries>", b'<!-- instanceNumber="9" --><cat:entries>'),
    ],
    ids=["zipped", "other quotes", "a comment"],  # gzip's bytes hold the second they are made in
)
def test_any_catalog(data):
    """Gzipped, in another hand, with such words elsewhere: the same."""
    assert [-1, 3, 20] == numbers(data, excerpt(data))


def test_entries_without_a_number():
    """None where an entry has none."""
    entries = [*ENTRIES, Entry("x.dcm", "1.5", "d", 1)]
    assert [-1, 3, 20, None] == numbers(composed(entries), excerpt(composed(entries)))


def test_no_catalog():
    """DocumentError where it is none."""
    with pytest.raises(DocumentError):
        numbers(b"", None)
