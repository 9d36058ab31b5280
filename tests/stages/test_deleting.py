"""What goes to the history tells why it is there; `test_decide` has the deleting itself."""

import json
import os
from dataclasses import asdict

import pytest

from watcher.core.life import Event
from watcher.core.session import Decision
from watcher.io import files
from watcher.stages import decide, history
from watcher.stages.deleting import PLAN, carry_delete, carry_scans

PERSON = {"who": "anna", "reason": "as the study says"}


def told(bench):
    (found,) = history.entries(bench.parts)
    return tuple(getattr(found, word) for word in ("kind", "session", "command", "who", "reason"))


def test_a_deleted_session_tells_who_and_why(bench):
    """The entry carries the decision, its subject and its study."""
    session = bench.built(1)
    decide.delete(bench.parts, session.id, **PERSON)
    assert ("deleted", session.id, "delete", "anna", "as the study says") == told(bench)
    (found,) = history.entries(bench.parts)
    assert (session.subject, session.study) == (found.subject, found.study)


def test_deleted_scans_tell_which_they_were(bench):
    """The command names them."""
    bench.filed(1)
    session = bench.built(2, series="2", SeriesNumber=2)
    decide.delete_scans(bench.parts, session.id, ["2"], **PERSON)
    expected = ("scans", session.id, "delete --scan 2", "anna", "as the study says")
    assert expected == told(bench)


def test_a_promise_of_a_later_version(bench):
    """What a newer version wrote down of a file besides is passed over."""
    session = bench.built(1, 2)
    decision = Decision(when=1.0, who="anna", command="delete", reason="x")
    gone = bench.parts.ledger.instances(session.id)[0].place
    plan = {"when": 1.0, "places": [{**asdict(gone), "later": 1}], "later": 1}
    files.swap(bench.parts.storage.beside(session, PLAN), json.dumps(plan).encode())
    building = bench.parts.ledger.move(session.id, Event.REBUILD, decisions=(decision,))
    carry_scans(bench.parts, building)
    left = bench.parts.ledger.instances(session.id)
    assert (1, False) == (len(left), gone in {each.place for each in left})


@pytest.mark.parametrize("twice", [False, True])
def test_a_promise_about_scans_ends_with_the_session(bench, twice):
    """A deletion of scans that was cut off before it was decided leaves nothing behind."""
    session = bench.built(1)
    files.swap(bench.parts.storage.beside(session, PLAN), json.dumps({}).encode())
    decision = Decision(when=1.0, who="anna", command="delete", reason="x")
    deleting = bench.parts.ledger.move(session.id, Event.DELETE, decisions=(decision,))
    if twice:  # the start after a crash, when the record was already gone
        folder = bench.folder(session)
        files.remove(f"{folder}.json")
    carry_delete(bench.parts, deleting)
    assert [] == bench.tree("prearchive")
    assert not os.path.exists(os.path.dirname(bench.folder(session)))
