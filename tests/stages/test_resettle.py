"""A session given another place, and then the project's way with it."""

import pytest

from watcher.core.errors import HeldError, RefusedError
from watcher.core.session import Status
from watcher.io.lease import destination_key
from watcher.stages.resettle import resettle


def settled(bench, session, **changes):
    to = {"project": session.project, "label": session.label, "subject": session.subject}
    with bench.parts.leases.hold(bench.parts.keys(session), 0.0):
        return resettle(
            bench.parts, session, command="move", who="anna", reason="so", **{**to, **changes}
        )


def test_a_project_that_archives_by_itself_archives_it(bench):
    """Moved where sessions are archived by themselves, it ends in the archive."""
    session = bench.built(1, project=None)
    assert Status.ARCHIVED is settled(bench, session, project="P1").status
    assert 1 == bench.parts.registry.shelf("P1", "P1").files


def test_a_project_that_waits_for_a_person_keeps_it(bench):
    """Moved where a person archives, it stays READY."""
    session = bench.built(1, project=None)
    done = settled(bench, session, project="MANUAL")
    assert (Status.READY, "MANUAL") == (done.status, done.project)


def test_nothing_to_change_is_refused(bench):
    """The place it has already: refused, and no decision recorded."""
    session = bench.built(1)
    with pytest.raises(RefusedError, match="already"):
        settled(bench, session)
    assert session == bench.parts.ledger.session(session.id)


def test_a_destination_that_is_held_refuses_it(bench):
    """Somebody archives to that label at this moment: nothing moves."""
    session = bench.built(1)
    with (
        bench.parts.leases.hold([destination_key("P1", "L2")], 0.0),
        pytest.raises(HeldError),
    ):
        settled(bench, session, label="L2")
    assert session == bench.parts.ledger.session(session.id)


def test_another_subject_needs_no_second_lease(bench):
    """The destination stays the same, and the caller holds it already."""
    session = bench.built(1, project="MANUAL")
    assert "S2" == settled(bench, session, subject="S2").subject
