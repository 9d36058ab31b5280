"""A receipt as people and programs read it: every line ours, whatever the names in it."""

import base64
import json
from dataclasses import replace

from watcher.core.case import Awaited
from watcher.core.receipt import NAMES, Dropped, Lying, Refused, Went
from watcher.core.session import Status
from watcher.report import receipt

WENT = Went(
    *("20260619_091425123", 3, 1, 30, 1.0, 2.0, Status.ARCHIVED, "P1", "S", "L"),
    ended=3.0,
    place="P1/arc001/L",
)


def dropped(**more):
    given = {
        "key": b"study",
        "drop": "mri",
        "contact": "the desk",
        "lying": Lying(),
        "went": [WENT],
        "refused": [],
    }
    return Dropped(**{**given, **more})


def text(given):
    return receipt.as_text(receipt.values(given), 10.0).decode()


def test_json_is_what_the_text_says():
    """One document; where a session is archived it says where and when, in UTC."""
    told = json.loads(receipt.as_json(receipt.values(dropped()), 10.0))
    (session,) = told["sessions"]
    assert ("1970-01-01T00:00:03.000Z", "P1/arc001/L") == (session["archived"], session["place"])
    assert "1970-01-01T00:00:10.000Z" == told["made"]
    assert (3, 1, 30, True) == tuple(
        told[name] for name in ("files", "duplicates", "bytes", "settled")
    )
    assert b"study" == base64.b64decode(told["name_base64"])
    assert "P1/arc001/L" in text(dropped())


def test_a_conflict_says_what_whom_and_which():
    """Reason, whom to tell, and the number; the first line is the JSON's `status`."""
    went = replace(WENT, status=Status.CONFLICT, findings=("UID conflict",), ended=None)
    given = dropped(went=[went])
    lines = text(given).splitlines()
    assert receipt.values(given)["status"] == lines[0]
    assert "  - UID conflict" in lines
    assert "  To do: tell the desk the number 20260619_091425123." in lines


def test_hostile_names_make_no_lines():
    """A name with line breaks, colours or no UTF-8 is one printable piece of its line."""
    bad = b"a\nall here\x1b[31m\xff"
    given = dropped(
        key=bad,
        contact="the\ndesk",
        lying=Lying(1, 1, named=1, names=[(bad, "It is\ncut.")]),
        refused=[Refused("e", "missing-uid", bad, "No\nUID.", 1)],
        went=[replace(WENT, label="L\nx", findings=("a\nb",), status=Status.CONFLICT)],
    )
    plain = dropped(
        key=b"a",
        lying=Lying(1, 1, named=1, names=[(b"a", "It is cut.")]),
        refused=[Refused("e", "missing-uid", b"a", "No UID.", 1)],
        went=[replace(WENT, findings=("ab",), status=Status.CONFLICT)],
    )
    lines = text(given).splitlines()
    assert len(text(plain).splitlines()) == len(lines)
    assert all(line.isprintable() for line in lines)
    first = receipt.values(replace(given, lying=Lying()))["status"]
    assert (True, True) == ("desk" in first, first.isprintable())


def test_much_is_counted_and_little_is_shown():
    """A folder with a thousand sessions and refusals has one short receipt; the open ones first."""
    went = [replace(WENT, session=str(n), last=float(n)) for n in range(1000)]
    went[0] = replace(went[0], status=Status.CONFLICT)
    refused = [Refused(str(n), "bad-uid", b"x", "Bad.", 1) for n in range(1000)]
    told = receipt.values(dropped(went=went, refused=refused))
    assert (NAMES, 950, NAMES, 950) == (
        len(told["sessions"]),
        told["more_sessions"],
        len(told["refused"]),
        told["more_refused"],
    )
    assert ["0", "999"] == [each["session"] for each in told["sessions"][:2]]
    assert 2 == text(dropped(went=went, refused=refused)).count("and 950 more")


def test_what_is_no_dicom_is_counted_only():
    """Files that wait for nobody are no reason to do anything."""
    told = receipt.values(dropped(refused=[Refused("e", "not-dicom", b"a/n.txt", "No.", 7)]))
    assert (7, [], True) == (told["set_aside"], told["refused"], told["settled"])


def test_an_unassigned_and_an_unknown_session_are_told():
    """A session without a project is named so; one nobody knows any more says that."""
    went = [
        replace(WENT, status=Status.READY, project="", automatic=False, ended=None),
        Went("2", 1, 0, 1, 1.0, 1.0),
    ]
    lines = text(dropped(went=went, lying=Lying(4))).splitlines()
    assert "  project Unassigned, subject S, session L" in lines
    assert "Session 2: not known any more" in lines
    assert "Lying in the drop, not taken yet: 4 files" in lines


def test_what_a_list_names_and_has_not_come():
    """It is counted, and the first few are named."""
    lines = text(dropped(missing=Awaited(7, ["a/IM1", "a/IM2"]))).splitlines()
    at = lines.index("Listed in DICOMDIR, and not come:")
    assert ["  a/IM1", "  a/IM2", "  and 5 more"] == lines[at + 1 : at + 4]
