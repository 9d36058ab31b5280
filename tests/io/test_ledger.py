"""Sessions and their files in the ledger: compare-and-set, nothing half, paths of any bytes."""

import threading
from dataclasses import replace

import pytest
from filed import made, session
from sqlalchemy import update

from watcher.core.errors import RefusedError, UnknownSessionError
from watcher.core.life import Event
from watcher.core.session import Decision, Finding, Place, Severity, Status
from watcher.io import agenda, tables
from watcher.io.ledger import Ledger

ODD = b"caf\xe9/\xff\xfe.dcm"  # no UTF-8
ID = "20240619_091425123"


@pytest.fixture
def ledger(tmp_path):
    opened = Ledger.open(str(tmp_path))
    yield opened
    opened.close()


def in_hand(ledger, owner=ID):
    with ledger.write() as tx:
        row = tables.instance.c
        tx.execute(update(tables.instance).where(row.session == owner), {"in_hand": True})


def test_session_there_and_back(ledger):
    """A session comes back as it was put in, every field of it."""
    finding = Finding("x", (1, 2), Severity.WARN, "text", "session", {"a": 1}, resolve=("r",))
    decision = Decision(1.5, "who", "move", "why", ("x",), "1.2", (None, "A"), ("P", "B"), "S")
    row = session(
        project=None,
        drops=("mri", "ct"),
        origins={"project": "layout"},
        scan_ids={"1.2.3": "4-MR1"},
        target=(None, "A", "S"),
        auto_archive=False,
        hold_auto=True,
        error="Ünïcode",
        findings=(finding,),
        decisions=(decision,),
    )
    ledger.add(row)
    assert row == ledger.session(ID)


def test_unknown(ledger):
    """A session nobody knows is said so, with the command that lists them."""
    asks = (
        ledger.session,
        ledger.kept_sizes,
        lambda each: ledger.edit(each, error="x"),
        lambda each: ledger.move(each, Event.IDLE),
    )
    for ask in asks:
        with pytest.raises(UnknownSessionError) as caught:
            ask("20240101_000000000")
        assert caught.value.hint == "watcher sessions"
    assert not ledger.has("20240101_000000000")


def test_instances(ledger):
    """Files come back as they were, sorted; their sources are bytes of any kind."""
    files = [replace(made(f"1.{n}"), drop="mri", source=ODD) for n in (2, 1)]
    ledger.add(session(), files)
    assert sorted(files, key=lambda each: each.place.name) == ledger.instances(ID)
    assert {("mri", b"caf\xe9")} == ledger.source_folders(ID)
    assert ledger.instances(ID, in_hand=True) == []


def test_add_replaces(ledger):
    """A session found again in the tree replaces what was known of it and its files."""
    ledger.add(session(), [made("1.1"), made("1.2")])
    ledger.add(session(label="NEW"), [made("1.3")])
    assert ledger.session(ID).label == "NEW"
    assert [made("1.3")] == ledger.instances(ID)


def test_forget(ledger):
    """A forgotten session leaves neither row nor files."""
    ledger.add(session(), [made()])
    ledger.forget(ID)
    assert (False, []) == (ledger.has(ID), ledger.instances(ID))


def test_relocate_and_drop(ledger):
    """A file that has a new place is found there; one that left is gone; the others stay."""
    one, two, three = (made(f"1.{n}") for n in (1, 2, 3))
    ledger.add(session(), [one, two, three])
    there = Place("9", "secondary", "x.dcm")
    ledger.relocate(ID, {one.place: there})
    ledger.drop_instances(ID, [two.place])
    expected = {replace(one, place=there).place, three.place}
    assert expected == {each.place for each in ledger.instances(ID)}


def test_move(ledger):
    """An event of its life moves a session by the table, with what changed, and counts up."""
    ledger.add(session(status=Status.BUILDING, revision=4))
    moved = ledger.move(ID, Event.BUILT, error="x")
    assert (Status.READY, 5, "x") == (moved.status, moved.revision, moved.error)
    assert moved == ledger.session(ID)


def test_move_refused(ledger):
    """A move that is not in the table is an error and changes nothing."""
    ledger.add(session(status=Status.ARCHIVING))
    with pytest.raises(RefusedError):
        ledger.move(ID, Event.DELETE)
    assert session(status=Status.ARCHIVING) == ledger.session(ID)


def test_generation(ledger):
    """A build holds only for the files it saw: after another came nothing is changed."""
    ledger.add(session(status=Status.BUILDING, generation=7))
    assert ledger.move(ID, Event.BUILT, generation=6, error="stale") is None
    assert session(status=Status.BUILDING, generation=7) == ledger.session(ID)
    assert ledger.move(ID, Event.BUILT, generation=7).status is Status.READY


@pytest.mark.parametrize("event", [Event.IDLE, Event.REBUILD, Event.ARCHIVE, Event.DELETE])
def test_in_hand(ledger, event):
    """A session leaves RECEIVING only with no file in hand (spec 9), whoever asks."""
    ledger.add(session(status=Status.RECEIVING), [made()])
    in_hand(ledger)
    assert ledger.move(ID, event) is None
    assert ledger.session(ID).status is Status.RECEIVING
    ledger.drop_instances(ID, [made().place])
    assert ledger.move(ID, event).status is not Status.RECEIVING


def test_file_with_hands(ledger):
    """A file may come to RECEIVING while others are in hand: nothing leaves."""
    ledger.add(session(status=Status.RECEIVING), [made()])
    in_hand(ledger)
    assert ledger.move(ID, Event.FILE).status is Status.RECEIVING


def test_edit(ledger):
    """Fields change, the status does not."""
    ledger.add(session(status=Status.READY))
    edited = ledger.edit(ID, scan_ids={"1.2": "3"})
    assert session(status=Status.READY, revision=1, scan_ids={"1.2": "3"}) == edited
    assert edited == ledger.session(ID)


def test_end(ledger):
    """A session that left the prearchive keeps its numbers, not its files."""
    ledger.add(session(status=Status.ARCHIVING), [made("1.1"), made("1.2")])
    assert ledger.end(ID, Event.ARCHIVED, (1, 2, 2000)).status is Status.ARCHIVED
    assert (1, 2, 2000) == ledger.kept_sizes(ID)
    assert ([], {}) == (ledger.instances(ID), ledger.sizes())


def test_end_refused(ledger):
    """An end that is not in the table changes nothing."""
    ledger.add(session(status=Status.READY), [made()])
    with pytest.raises(RefusedError):
        ledger.end(ID, Event.ARCHIVED, (1, 1, 1))
    assert [made()] == ledger.instances(ID)


def test_sizes(ledger):
    """Scans, files and bytes count what is filed; what is in hand is not there yet."""
    ledger.add(session(), [made("1.1"), made("1.2"), made("1.3", series="1.9")])
    ledger.add(session(id="20240619_091425124"), [made("1.1")])
    in_hand(ledger, "20240619_091425124")
    assert {ID: (2, 3, 3000)} == ledger.sizes() == ledger.sizes(ID)
    assert {} == ledger.sizes("another")


def test_listings(ledger):
    """Sessions are listed oldest first, by status, by project and label, and counted."""
    rows = [
        session(id=f"20240619_09142500{n}", status=status, project=project, label=label)
        for n, (status, project, label) in enumerate(
            [
                (Status.READY, "P", "A"),
                (Status.ARCHIVED, "P", "A"),
                (Status.CONFLICT, None, "A"),
                (Status.RECEIVING, "P", "A"),
                (Status.READY, "P", "B"),
            ]
        )
    ]
    for row in reversed(rows):
        ledger.add(row)
    assert [rows[0], rows[2], rows[3], rows[4]] == ledger.sessions()
    assert [rows[1]] == ledger.sessions((Status.ARCHIVED,))
    assert [rows[0], rows[3]] == ledger.labelled("P", "A")
    assert [rows[2]] == ledger.labelled(None, "A")
    counts = {Status.READY: 2, Status.ARCHIVED: 1, Status.CONFLICT: 1, Status.RECEIVING: 1}
    assert counts == ledger.counts()


def test_resting(ledger):
    """A session rests after inactivity, or after max_open whatever still comes; only RECEIVING."""
    base = {"status": Status.RECEIVING, "inactivity": 10.0}
    quiet = session(id="20240619_091425001", last_arrival=100.0, receiving_since=90.0, **base)
    busy = session(id="20240619_091425002", last_arrival=109.0, receiving_since=90.0, **base)
    long = session(id="20240619_091425003", last_arrival=109.0, receiving_since=10.0, **base)
    ready = session(id="20240619_091425004", status=Status.READY)
    for row in (quiet, busy, long, ready):
        ledger.add(row)
    assert [quiet, long] == agenda.resting(ledger, 110.0, 100.0)
    assert [] == agenda.resting(ledger, 109.9, 200.0)
    assert [quiet, busy, long] == agenda.resting(ledger, None, 100.0)
    nexts = [agenda.next_rest(ledger, at) for at in (0.0, 110.0, 119.0)]
    assert nexts == [110.0, 119.0, None]


def test_remember(ledger):
    """A small fact is kept and replaced."""
    ledger.remember("a", "1")
    ledger.remember("a", "2")
    assert ("2", None) == (ledger.recall("a"), ledger.recall("b"))


def test_threads(ledger):
    """Threads of one process take turns: every change is counted once."""
    ledger.add(session())

    def change():
        for _ in range(20):
            ledger.edit(ID, error="x")

    threads = [threading.Thread(target=change) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert ledger.session(ID).revision == 80


def test_one_look(ledger):
    """A reader sees one state, whatever is written meanwhile."""
    ledger.add(session(), [made()])
    with ledger.read() as tx:
        before = tx.execute(tables.session.select()).all()
        thread = threading.Thread(target=ledger.forget, args=(ID,))
        thread.start()
        thread.join()
        assert (before, 1) == (
            tx.execute(tables.session.select()).all(),
            len(tx.execute(tables.instance.select()).all()),
        )
    assert not ledger.has(ID)


def test_version(ledger, tmp_path):
    """It is another after a commit of this process or of any other, and the same else."""
    first = ledger.version()
    ledger.recall("a")
    assert first == ledger.version()
    ledger.remember("a", "1")
    second = ledger.version()
    other = Ledger.open(str(tmp_path))
    other.remember("a", "2")
    other.close()
    assert 3 == len({first, second, ledger.version()})
