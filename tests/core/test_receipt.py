"""How a dropped thing stands, in one line; and what its receipt is called."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.core.case import Awaited
from watcher.core.file import Fingerprint
from watcher.core.receipt import (
    NAMES,
    NOBODY,
    Dropped,
    Lying,
    Pending,
    Refused,
    Went,
    first_line,
    lying,
)
from watcher.core.receipt_names import file_name, folded, is_key, is_name_of, key_of, title
from watcher.core.session import Status
from watcher.core.settle import Waiting

PRINT = Fingerprint(1, 2, 3, 4, 5)
NUMBERS = [f"2026061{number}_091425123" for number in range(3)]
WENT = Went("20260619_091425123", 3, 0, 30, 1.0, 2.0, Status.ARCHIVED, inactivity=300.0)
BAD = Refused("e1", "missing-uid", b"a/x", "It has no UID.", 2)


def dropped(*statuses, left=None, refused=(), contact="the desk", missing=0, **more):
    went = [
        replace(WENT, session=f"2026061{number}_091425123", status=status, **more)
        for number, status in enumerate(statuses)
    ]
    return Dropped(b"a", "mri", contact, left or Lying(), went, refused, Awaited(missing))


@pytest.mark.parametrize(
    ("given", "line", "settled"),
    [
        (dropped(left=Lying(files=1)), "still arriving", False),
        (dropped(Status.ARCHIVED, left=Lying(files=1)), "still arriving", False),
        (dropped(Status.RECEIVING), "all here, waiting 5 min for more", False),
        (
            dropped(Status.RECEIVING, inactivity=0.0),
            "all here, on its way into the archive",
            False,
        ),
        (dropped(Status.READY), "all here, on its way into the archive", False),
        (
            dropped(Status.READY, automatic=False),
            "all here, waiting until somebody archives it",
            False,
        ),
        (dropped(Status.ARCHIVED, Status.DELETED, None), "all here, nothing left to do", True),
        (
            dropped(left=Lying(files=9, incomplete=3)),
            "3 files incomplete: copy them again",
            False,
        ),
        (dropped(left=Lying(files=1, incomplete=1)), "1 file incomplete: copy it again", False),
        (
            dropped(Status.CONFLICT, Status.RECEIVING),
            "waiting for a decision: tell the desk the number 20260610_091425123",
            False,
        ),
        (
            dropped(*[Status.CONFLICT] * 5, contact=""),
            f"waiting for a decision: tell {NOBODY} the numbers {', '.join(NUMBERS)} and 2 more",
            False,
        ),
        (
            dropped(Status.ERROR, Status.CONFLICT),
            f"waiting for a decision: tell the desk the numbers {', '.join(NUMBERS[:2])}",
            False,
        ),
        (dropped(Status.ARCHIVED, refused=[BAD]), "2 files refused: tell the desk", False),
        (
            dropped(Status.ARCHIVED, refused=[replace(BAD, code="not-dicom")]),
            "all here, nothing left to do",
            True,
        ),
        (dropped(left=Lying(files=1, barred=1)), "1 file can't be taken: tell the desk", False),
        (dropped(left=Lying(closed=2)), "2 folders can't be read: tell the desk", False),
        (dropped(Status.ARCHIVED, left=Lying(more=True)), "still arriving", False),
        (
            dropped(Status.ARCHIVED, missing=2),
            "2 files listed in DICOMDIR have not come: copy them",
            True,
        ),
        (
            dropped(Status.RECEIVING, missing=1),
            "still arriving: 1 file listed in DICOMDIR has not come",
            False,
        ),
        (dropped(Status.ARCHIVED, left=Lying(files=1), missing=1), "still arriving", False),
        (
            dropped(Status.CONFLICT, missing=1),
            "waiting for a decision: tell the desk the number 20260610_091425123",
            False,
        ),
    ],
)
def test_first_line(given, line, settled):
    """What a person has to do stands first, then what happens; in the contract's words."""
    assert (line, settled) == (first_line(given), given.settled)


def test_nothing():
    """Of what was taken away again nothing is told; of anything else there is."""
    assert (True, False, False) == (
        dropped().nothing,
        dropped(refused=[BAD]).nothing,
        dropped(left=Lying(files=1)).nothing,
    )


def waits(path, reason="", *, stuck=False, text=""):
    return Waiting(path, PRINT, 0.0, reason, text, stuck=stuck)


def test_lying():
    """Pending files are counted by what was dropped; those that want attention are named."""
    files = [
        waits(b"a/1"),
        waits(b"a/2", "torn", text="It is cut."),
        waits(b"a/b/3", "torn", stuck=True),
        waits(b"a/4", "denied", stuck=True, text="It may not be read."),
        waits(b"a/5", stuck=True),
        waits(b"loose"),
    ]
    found = lying(Pending(files), lambda _: "2026-06-19", "")
    named = [(b"a/2", "It is cut."), (b"a/b/3", "It is not whole.")]
    named += [(b"a/4", "It may not be read."), (b"a/5", "It is not whole.")]
    assert {b"a": Lying(5, 2, 1, named=4, names=named), b"/2026-06-19": Lying(1)} == found


def test_what_was_not_seen_is_not_all_here():
    """Folders left for a later look, or that can't be read, stand in the receipts of what they
    are part of; those at the top, in the day's.
    """
    pending = Pending(later={b"a", b"b/c", b""}, closed=[b"b/d"])
    found = lying(pending, lambda _: "", "2026-06-19")
    named = [(b"b/d", "This folder can't be read.")]
    assert {
        b"a": Lying(more=True),
        b"b": Lying(more=True, closed=1, named=1, names=named),
        b"/2026-06-19": Lying(more=True),
    } == found


def test_at_the_end_of_a_run_what_is_torn_is_incomplete():
    """Nobody looks again: what is only slow may still come."""
    found = lying(Pending([waits(b"a/1", "torn"), waits(b"a/2")], last=True), lambda _: "", "")
    assert (2, 1, 0) == (found[b"a"].files, found[b"a"].incomplete, found[b"a"].barred)


def test_a_great_many_files_are_counted_and_few_are_named():
    """Forty thousand torn files in one folder take the room of fifty names."""
    found = lying(Pending([waits(b"a/%d" % n, "torn") for n in range(40_000)]), lambda _: "", "")
    assert (40_000, 40_000, NAMES) == (found[b"a"].files, found[b"a"].named, len(found[b"a"].names))


@pytest.mark.parametrize(
    ("path", "whole", "key"),
    [
        (b"a/b/c", False, b"a"),
        (b"sent.ZIP", False, b"sent.ZIP"),
        (b"sent.zip/a/b", False, b"sent.zip"),
        (b"loose.dcm", False, b"/2026-06-19"),
        (b"unit", True, b"unit"),
    ],
)
def test_key(path, whole, key):
    """A receipt is of a top-level folder, an archive file, or a day's loose files."""
    assert key == key_of(path, "2026-06-19", whole=whole)
    assert is_key(key)


def test_what_no_name_is_is_no_key():
    """A name in a drop is not empty and holds no slash; a day is a day."""
    assert [False] * 4 == [is_key(each) for each in (b"", b"a/b", b"/\xff", b"a\0")]


def test_title():
    """People read what was dropped; bytes that are no text are escaped."""
    assert ["loose files of 2026-06-19", "a\\xff"] == [title(b"/2026-06-19"), title(b"a\xff")]


@pytest.mark.parametrize("name", [b"study 1", b"2026-06-19", "Büro".encode(), b"a" * 180])
def test_a_plain_name_is_the_receipts(name):
    """A receipt is called as what was dropped, where any share can have that name."""
    assert name.decode() == file_name(name)


HOSTILE = [
    *(b"..", b".hidden", b"a\xff", b"a" * 181, b"a\nb", b"a:b", b"con", b"NUL.txt", b"a ", b"a."),
    *("a\u202eb".encode(), "\ufffd".encode(), ("é" * 120).encode()),
]


@pytest.mark.parametrize("name", HOSTILE)
def test_another_name_is_told_apart(name):
    """What can't be a name everywhere is made one, with a mark of its bytes."""
    made = file_name(name)
    assert (True, "-") == (made.isprintable(), made[-9])
    assert made != file_name(name + b"x")


@given(st.binary(min_size=1, max_size=255), st.booleans())
def test_every_name_fits(key, taken):
    """No name of a receipt is a path, hidden, too long, or none."""
    own = file_name(key)
    name = file_name(key, {folded(own)} if taken else ())
    assert 1 <= len(f".{name}.json.tmp".encode()) <= 255
    assert [] == [bad for bad in ("/", "\0") if bad in name]
    assert (False, True) == (name.startswith("."), name.isprintable())
    assert is_name_of(name, key)


def test_names_that_differ_in_case_alone_are_told_apart():
    """On a share that ignores case, or composes letters, each receipt is a file of its own."""
    first = file_name("Büro".encode())
    taken = {folded(first)}
    others = ["BÜRO", "Bu\u0308ro", "büro"]
    names = {file_name(each.encode(), taken) for each in others}
    assert 3 == len(names) == len({folded(name) for name in names} - taken)
    assert is_name_of("MRI-1a2b3c4d", b"MRI") is False
