"""What a start asks of all sessions at once."""

import pytest
from filed import made, session

from watcher.core.errors import LedgerError
from watcher.core.find import Bound
from watcher.core.session import Decision, SessionKey, Status
from watcher.io import known
from watcher.io.ledger import Ledger
from watcher.io.receiving import Receiving
from watcher.io.said import Conditions


@pytest.fixture
def ledger(tmp_path):
    made = Ledger.open(str(tmp_path))
    yield made
    made.close()


def add(ledger, number, status, instances=(), **changes):
    """One session; its id."""
    one = session(id=f"20260619_09142512{number}", status=status, **changes)
    ledger.add(one, instances)
    return one.id


def test_revisions_are_of_every_session(ledger):
    """Those that have ended too: their places may still be in the tree."""
    first = add(ledger, 1, Status.READY, revision=7)
    second = add(ledger, 2, Status.ARCHIVED)
    found = {first: (Status.READY, 7), second: (Status.ARCHIVED, 0)}
    assert found == known.revisions(ledger)


def test_a_status_that_is_none_is_damage(ledger):
    """A row that can't be one of ours is no session that is gone."""
    add(ledger, 1, Status.READY)
    with ledger.write() as tx:
        tx.exec_driver_sql("UPDATE session SET status = 'REXDY'")
    with pytest.raises(LedgerError):
        known.revisions(ledger)


def test_places_are_those_of_one_session(ledger):
    """As paths below its folder."""
    one = made()
    owner = add(ledger, 1, Status.RECEIVING, [one])
    add(ledger, 2, Status.RECEIVING, [made("1.2.3.4.1.2")])
    assert {one.place.path} == known.places(ledger, owner)


def test_bindings_are_all_there_are(ledger):
    """Unassigned ones too."""
    to = Bound("P2", "L", "S")
    keys = [SessionKey("P1", "1.2", "A"), SessionKey(None, "1.3", "A")]
    for key in keys:
        Receiving(ledger).bind(key, to)
    assert dict.fromkeys(keys, to) == known.bindings(ledger)


@pytest.mark.parametrize("status", [Status.CONFLICT, Status.ERROR])
def test_untold_are_those_for_which_nothing_stands(ledger, status):
    """Nothing, or what was said of another status it had."""
    events = {Status.CONFLICT: "session.conflict", Status.ERROR: "session.error"}
    conditions = Conditions(ledger, lambda *_, **__: None)
    silent, told, otherwise = (add(ledger, number, status) for number in (1, 2, 3))
    add(ledger, 4, Status.READY)
    conditions.raise_(events.pop(status), f"session/{told}", 0.0)
    conditions.raise_(*events.values(), f"session/{otherwise}", 0.0)
    assert [silent, otherwise] == [each.id for each in known.untold(ledger)]


def test_untold_are_those_that_were_decided_on(ledger):
    """Whatever their status, as long as nobody works on them; the rest have been told."""
    decided = Decision(when=0.0, who="me", command="move", reason="why")
    wanted = [
        add(ledger, number, status, decisions=(decided,))
        for number, status in enumerate((Status.RECEIVING, Status.READY), 1)
    ]
    add(ledger, 3, Status.ARCHIVED, decisions=(decided,))
    add(ledger, 4, Status.MOVING, decisions=(decided,))
    assert wanted == [each.id for each in known.untold(ledger)]


def test_unassigned_are_those_at_rest(ledger):
    """One that still receives is identified by its files; one with a project has one."""
    wanted = [
        add(ledger, number, status, project=None)
        for number, status in enumerate((Status.READY, Status.CONFLICT, Status.ERROR), 1)
    ]
    add(ledger, 4, Status.RECEIVING, project=None)
    add(ledger, 5, Status.READY)
    assert wanted == [each.id for each in known.unassigned(ledger)]
