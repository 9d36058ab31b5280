"""Receipts go on after the ledger was lost; what lies in the drop may be anybody's word."""

import base64
import json
import os
from dataclasses import replace

import pytest
from receipted import at_noon, lost, names, receipt, told, waits

from watcher.core.life import Event
from watcher.core.receipt import Pending
from watcher.io.receipt_index import RECALLED, ReceiptIndex
from watcher.stages.archive import archive
from watcher.stages.rebuild import build
from watcher.stages.receipts import CHECK, Receipts


@pytest.fixture
def bench(bench):
    return at_noon(bench)


def test_a_lost_ledger_is_told_by_what_lies_there(bench):
    """Receipts go on from what they said, where the tree says that this drop fed the session."""
    bench.put("done/1", 1)
    (done,) = bench.file("done/1")
    build(bench.parts, done.session, Event.IDLE)
    archive(bench.parts, done.session)
    bench.put("open/1", 9, study="1.2.9", patient_id="OTHER")
    (open_,) = bench.file("open/1")
    Receipts(bench.parts, bench.drop).write(Pending(), None)
    for name in ("done", "open"):  # as they were before the ledger was lost
        with open(bench.path(f"RECEIPTS/{name}.json"), "r+") as file:
            text = file.read().replace("ARCHIVED", "CONFLICT").replace("all here", "old")
            file.seek(0)
            file.write(text)
            file.truncate()
    again = lost(bench)
    Receipts(again.parts, again.drop).write(Pending(), None)
    found = {name: receipt(again, name) for name in ("done", "open")}
    assert ["all here, nothing left to do", "ARCHIVED", done.session] == [
        found["done"]["status"],
        found["done"]["sessions"][0]["status"],
        found["done"]["sessions"][0]["session"],
    ]
    assert [1, open_.session] == [found["open"]["files"], found["open"]["sessions"][0]["session"]]
    again.parts.ledger.close()


def test_a_forged_receipt_tells_nothing_of_others(bench):
    """A sender who writes another drop's session into a receipt is not told how it stands."""
    bench.put("study/1", 1)
    (outcome,) = bench.file("study/1", drop=replace(bench.drop, name="ct"))
    os.mkdir(bench.path("RECEIPTS"))
    forged = {
        "name_base64": "Zm9yZ2Vk",
        "sessions": [
            {
                "session": outcome.session,
                **dict.fromkeys(("files", "duplicates", "bytes"), 1),
                **dict.fromkeys(("first", "last"), "2026-06-19T09:14:25.123Z"),
                "project": "P1",
                "label": "P1",
            },
            *({"session": "x"}, None, {"session": "\ud800", "files": 1e400}),
        ],
    }
    for name, text in {"forged": json.dumps(forged), "cut": "{", "deep": "[" * 99999}.items():
        with open(bench.path(f"RECEIPTS/{name}.json"), "w") as file:
            file.write(text)
    Receipts(bench.parts, bench.drop).write(Pending(), None)
    assert {} == ReceiptIndex(bench.parts.ledger).of("mri")
    with open(bench.path("RECEIPTS/deep.json")) as file:
        assert "[" == file.read(1)


def forge(bench, name, **said):
    """A document as ours, but for what is said here."""
    os.makedirs(bench.path("RECEIPTS"), exist_ok=True)
    given = {"name_base64": base64.b64encode(name.encode()).decode(), "sessions": [said]}
    with open(bench.path(f"RECEIPTS/{name}.json"), "w") as file:
        json.dump(given, file)


SAID = {
    **dict.fromkeys(("files", "duplicates", "bytes"), 1),
    **dict.fromkeys(("first", "last"), "2020-06-19T09:14:25.123Z"),
}


WRONG = [
    {"bytes": 10**30},
    {"files": 1 << 62},
    {"duplicates": -1},
    {"last": "9999-12-31T23:59:59-23:59"},
    {"first": "0001-01-01T00:00:00Z"},
    {"first": 5},
]


def test_what_nobody_can_have_counted_is_not_taken(bench):
    """Numbers and moments that no ledger, or no date, can hold: the other receipts are written."""
    bench.put("study/1", 1)
    (outcome,) = bench.file("study/1")
    for number, wrong in enumerate(WRONG):
        forge(bench, f"{number}", **{**SAID, "session": outcome.session, **wrong})
    keeper = Receipts(bench.parts, bench.drop)
    assert 1 == keeper.write(Pending(), None)
    forged = [f"{number}.json" for number in range(len(WRONG))]
    assert [*forged, "study.json", "study.txt"] == names(bench)
    assert [b"study"] == list(ReceiptIndex(bench.parts.ledger).of("mri"))


def test_of_what_nothing_is_known_any_more_lies_there_until_it_is_old(bench):
    """Another installation's, or a session that is gone: nobody takes a sender's receipt away."""
    forge(bench, "study", **{**SAID, "session": "20200619_091425123"})
    keeper = Receipts(bench.parts, bench.drop, keep=10.0)
    assert (0, ["study.json"]) == (keeper.write(Pending(), None), names(bench))
    assert "still arriving" == told(bench, waits(bench, "study/1"), keeper=keeper)
    again = at_noon(replace(bench, drop=replace(bench.drop, name="ct")))
    forge(again, "old", **{**SAID, "session": "20200619_091425123"})
    keeper = Receipts(again.parts, again.drop, keep=10.0)
    keeper.write(Pending(), None)
    again.parts.clock.ahead += CHECK + 11
    keeper.write(Pending(), None)
    assert "old.json" not in names(again)


def test_what_came_before_it_was_read_counts_besides(bench):
    """A file that comes with the first look after the ledger was lost; reading it twice is as
    once.
    """
    bench.put("open/1", 1)
    (outcome,) = bench.file("open/1")
    Receipts(bench.parts, bench.drop).write(Pending(), None)
    again = lost(bench)
    again.parts.clock.ahead += 1.0
    again.put("open/2", 2)
    (second,) = again.file("open/2")
    assert outcome.session == second.session
    told(again, name="open")
    assert 2 == receipt(again, "open")["files"]
    again.parts.ledger.remember(f"{RECALLED}mri", "1")
    with again.parts.ledger.write() as tx:
        tx.exec_driver_sql(f"DELETE FROM meta WHERE key = '{RECALLED}mri'")
    told(again, name="open")
    assert 2 == receipt(again, "open")["files"]
    again.parts.ledger.close()


def test_where_a_merged_session_lies_is_known_after_the_ledger_was_lost(bench):
    """The archive's log names every session that came there, not the first one alone."""
    bench.archived(1)
    bench.put("study/2", 2)
    (outcome,) = bench.file("study/2")
    build(bench.parts, outcome.session, Event.IDLE)
    archive(bench.parts, outcome.session)
    told(bench)
    before = receipt(bench)["sessions"]
    again = lost(bench)
    told(again)
    (after,) = receipt(again)["sessions"]
    assert [("ARCHIVED", outcome.session, each["place"]) for each in before] == [
        (after["status"], after["session"], after["place"])
    ]
    again.parts.ledger.close()


@pytest.mark.parametrize("kind", ["link", "folder"])
def test_a_log_that_can_never_be_read_is_waited_for_by_nobody(bench, kind):
    """An archived session whose own log is none: its receipt is as one of which nothing is known;
    the others are written.
    """
    bench.archived(1)
    bench.put("study/2", 2)
    (outcome,) = bench.file("study/2")
    build(bench.parts, outcome.session, Event.IDLE)
    archive(bench.parts, outcome.session)
    told(bench)
    again = lost(bench)
    (shelf,) = again.parts.registry.shelved()
    log = os.path.join(again.shelf(shelf.label), "logs/events.jsonl")
    os.remove(log)
    os.symlink("/etc/passwd", log) if kind == "link" else os.mkdir(log)
    assert "still arriving" == told(again, waits(again, "other/1"), name="other")
    again.parts.ledger.close()
