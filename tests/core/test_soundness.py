"""`core.soundness`: what is wrong with files and entries, told from values alone."""

import pytest

from watcher.core.archived import Entry
from watcher.core.file import Fingerprint
from watcher.core.soundness import (
    Checked,
    Flaw,
    Item,
    bytes_flaw,
    count_flaws,
    listing_flaws,
    still,
    totals,
)


def item(path="a", *, digest="d", size=10, on_disk=10, uid="1.2", class_uid="1.3"):
    entry = Entry(path, uid, digest, size, class_uid)
    return Item(entry, path, None if on_disk is None else Fingerprint(1, 1, on_disk, 1, 1))


@pytest.mark.parametrize(
    ("items", "code"),
    [
        ([item()], None),
        ([item(digest="x")], "changed"),
        ([item(digest="x", on_disk=9)], "torn"),
        ([item(digest="x", on_disk=11)], "changed"),
        ([item(size=None)], None),
        ([item(digest="x", size=None)], "changed"),
        ([item(digest="")], None),
        ([item(digest="", on_disk=9)], "torn"),
        ([item(digest="", on_disk=11)], "changed"),
        ([item(digest="", size=None)], None),
        ([item(on_disk=9)], "count"),
        ([item(digest="x"), item()], None),
        ([item(digest="x"), item(digest="y")], "changed"),
    ],
)
def test_a_file_and_what_lists_it(items, code):
    """The digest decides, else the size; one of several entries that fits is enough."""
    flaw = bytes_flaw(items, "d")
    assert code == (flaw and flaw.code)


def test_entries_among_themselves():
    """A file that is gone, a file listed twice, an instance listed twice; no UID is never one."""
    items = [
        item("a"),
        item("a", uid=""),
        item("b", uid="1.2"),
        item("c", uid="1.2", class_uid="1.4"),
        item("d", uid="", on_disk=None),
        item("e", uid=""),
    ]
    assert [("twice-listed", "a"), ("missing", "d"), ("twice-listed", "b")] == [
        (flaw.code, flaw.path) for flaw in listing_flaws(items)
    ]


def test_counts():
    """Files and bytes, each on its own; what is not claimed is not wrong."""
    items = [item(), item("b", size=None, on_disk=5), item("c", size=None, on_disk=None)]
    assert (3, 15) == totals(items)
    assert (1, 7) == totals([item(size=None), item(size=7), item(size=8)])  # one file, once
    assert [] == list(count_flaws("x.xml", "scan 1", (None, None), items))
    assert [] == list(count_flaws("x.xml", "scan 1", (3, 15), items))
    assert [
        "scan 1: 2 files by the session XML, 3 by the catalog",
        "scan 1: 0 bytes by the session XML, 15 by the catalog",
    ] == [flaw.text for flaw in count_flaws("x.xml", "scan 1", (2, 0), items)]


def test_only_what_two_looks_find():
    """What a merge had half done at one look is no finding; the later text counts."""
    first = [Flaw("a", "missing", ""), Flaw("b", "changed", "then")]
    second = [Flaw("b", "changed", "now"), Flaw("c", "missing", "")]
    assert (Flaw("b", "changed", "now"),) == still(first, second)


def test_the_verdict():
    """Lost bytes are damage, what will be listed is pending, anything else is untidy."""
    extra, torn, ahead = Flaw("a", "extra", ""), Flaw("b", "torn", ""), Flaw("c", "pending", "")
    every = ((), (ahead,), (extra, ahead), (extra, torn))
    sessions = [Checked("P", "L", 1, 1, flaws) for flaws in every]
    assert ["ok", "pending", "untidy", "damaged"] == [each.verdict for each in sessions]
    assert [True, True, False, False] == [each.is_sound for each in sessions]
    assert (torn,) == sessions[3].damage
