"""Conditions are said once at raise and once at clear, across restarts (spec 12)."""

import json
import threading

import pytest
from sqlalchemy import select, text
from sqlalchemy.event import listen

from watcher.core.errors import FullError
from watcher.io import tables
from watcher.io.ledger import Ledger
from watcher.io.said import Conditions, Outbox

KEY = "file/mri/1"


@pytest.fixture
def ledger(tmp_path):
    opened = Ledger.open(str(tmp_path))
    yield opened
    opened.close()


@pytest.fixture
def said():
    return []


@pytest.fixture
def conditions(ledger, said):
    """Makes the conditions as a start does; what they say is in `said`."""

    def made():
        return Conditions(ledger, lambda event, **fields: said.append((event, fields)))

    return made


def test_once(conditions, said):
    """A condition is said at its first raise and at its first clear, and not between or after."""
    found = conditions()
    raised = [found.raise_("file.stuck", KEY, 1.0, path=b"a") for _ in range(3)]
    cleared = [found.clear("file.released", KEY) for _ in range(3)]
    assert ([True, False, False], [True, False, False]) == (raised, cleared)
    assert said == [("file.stuck", {"key": KEY, "path": b"a"}), ("file.released", {"key": KEY})]


def test_again(conditions, said):
    """What was cleared may be raised anew."""
    found = conditions()
    for _ in range(2):
        found.raise_("file.stuck", KEY, 1.0)
        found.clear("file.released", KEY)
    assert len(said) == 4


def test_across_restarts(conditions, said):
    """A restart repeats nothing, and clears what an earlier run raised."""
    conditions().raise_("file.stuck", KEY, 1.0)
    again = conditions()
    assert not again.raise_("file.stuck", KEY, 2.0)
    assert (True, {KEY: "file.stuck"}) == (KEY in again.open(), again.open())
    assert again.clear("file.released", KEY)
    assert (False, {}) == (KEY in conditions().open(), conditions().open())
    assert [event for event, _ in said] == ["file.stuck", "file.released"]


def test_changed(conditions, said):
    """Another condition with the same key is news: a CONFLICT that became an ERROR."""
    found = conditions()
    assert found.raise_("session.conflict", KEY, 1.0)
    assert found.raise_("session.error", KEY, 2.0)
    assert {KEY: "session.error"} == conditions().open()


def test_refresh(conditions):
    """What another process raised or cleared is known after a look."""
    daemon, command = conditions(), conditions()
    command.raise_("file.stuck", KEY, 1.0)
    assert KEY not in daemon.open()
    daemon.refresh()
    assert KEY in daemon.open()


def test_a_look_meanwhile(conditions, ledger):
    """A look at the ledger that began before a raise does not forget it: it can be cleared."""
    found, raising = conditions(), []

    def meanwhile(_tx, _cursor, statement, *_):
        if statement.startswith("SELECT condition") and not raising:
            raising.append(threading.Thread(target=found.raise_, args=("file.stuck", KEY, 1.0)))
            raising[0].start()
            raising[0].join(0.5)  # it may wait for the look

    Outbox(ledger).put("somebody wrote")  # else there is nothing to look at
    listen(ledger.engine, "after_cursor_execute", meanwhile)
    found.refresh()
    raising[0].join()
    assert {KEY: "file.stuck"} == found.open()


def test_two_that_clear(conditions, said):
    """A command and the daemon may both find that it is over: the first of them says so."""
    daemon = conditions()
    daemon.raise_("file.stuck", KEY, 1.0)
    command = conditions()
    assert (True, True) == (
        command.clear("file.released", KEY),
        daemon.clear("file.released", KEY),
    )
    assert ["file.stuck", "file.released"] == [event for event, _ in said]


def test_fields(conditions, ledger):
    """What was said stands in the ledger with its fields, for the listings; bytes as text."""
    fields = {"path": b"caf\xe9", "codes": ["a"], "bytes": 3, "status": {1}}
    conditions().raise_("file.stuck", KEY, 1.5, **fields)
    with ledger.read() as tx:
        row = tx.execute(select(tables.condition)).one()
    kept = {"path": "caf\udce9", "codes": ["a"], "bytes": 3, "status": "{1}"}
    assert (KEY, "file.stuck", 1.5, kept) == (
        row.key,
        row.event,
        row.raised,
        json.loads(row.fields),
    )


def test_full(conditions, ledger, said):
    """What can't be kept is not said, raised or cleared: the next try says it."""
    found = conditions()
    found.raise_("file.stuck", KEY, 1.0)
    with ledger.write() as tx:
        size = tx.execute(text("PRAGMA page_count")).scalar()
        tx.execute(text(f"PRAGMA max_page_count = {size}"))
    with pytest.raises(FullError):
        found.raise_("storage.low", "low/state", 2.0, text="x" * 100_000)
    assert "low/state" not in found.open()
    with ledger.write() as tx:
        tx.execute(text("PRAGMA max_page_count = 100000"))
    assert found.raise_("storage.low", "low/state", 2.0, text="x" * 100_000)
    assert [event for event, _ in said] == ["file.stuck", "storage.low"]


def test_clear_fails(conditions, ledger, said):
    """A clear that the ledger refuses leaves the condition raised: it can be cleared later."""
    found = conditions()
    found.raise_("file.stuck", KEY, 1.0)
    with ledger.write() as tx:
        refuse = "BEGIN SELECT RAISE(ABORT, 'no'); END"
        tx.execute(text(f"CREATE TRIGGER no BEFORE DELETE ON condition {refuse}"))
    with pytest.raises(Exception, match="the ledger: no"):
        found.clear("file.released", KEY)
    assert KEY in found.open()
    with ledger.write() as tx:
        tx.execute(text("DROP TRIGGER no"))
    assert found.clear("file.released", KEY)
    assert [event for event, _ in said] == ["file.stuck", "file.released"]


def test_told_before_it_is_kept(conditions, ledger, said):
    """What is told of a store is said at once, and kept, or cleared, as soon as that can be."""
    found = conditions()
    found.tell("storage.low", "low/state", 1.0)
    found.tell("storage.low", "low/state", 2.0)
    found.refresh()
    assert ({"low/state": "storage.low"}, {}) == (found.open(), conditions().open())
    assert (True, False) == (found.keep(), found.keep())
    assert {"low/state": "storage.low"} == conditions().open()
    found.end("storage.recovered", "low/state")
    found.end("storage.recovered", "low/state")
    found.refresh()
    assert {} == found.open()
    assert found.keep()
    assert {} == conditions().open()
    assert ["storage.low", "storage.recovered"] == [event for event, _ in said]


def test_assumed(conditions, said):
    """What was said before there was a ledger is kept and not repeated."""
    found = conditions()
    found.assume("storage.low", "low/state", 1.0, store="state")
    found.tell("storage.low", "low/state", 2.0)
    found.keep()
    assert ({"low/state": "storage.low"}, []) == (conditions().open(), said)


def test_outbox(ledger):
    """Lines wait in order until they are said; those that came meanwhile still wait."""
    outbox = Outbox(ledger)
    for line in ("one", "two"):
        outbox.put(line)
    waiting = outbox.waiting()
    outbox.put("three")
    outbox.said([number for number, _ in waiting])
    assert ["one", "two"] == [line for _, line in waiting]
    assert ["three"] == [line for _, line in outbox.waiting()]


def test_outbox_many(ledger):
    """However many lines a command left, they can be said: SQLite's lists have an end."""
    outbox = Outbox(ledger)
    rows = [{"line": str(number)} for number in range(40_000)]
    with ledger.write() as tx:
        tx.execute(tables.outbox.insert(), rows)
    outbox.said([number for number, _ in outbox.waiting()])
    assert outbox.waiting() == []
