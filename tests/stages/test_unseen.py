"""A decision is on the files a person could see: one that comes meanwhile refuses it."""

from dataclasses import replace

import pytest

from watcher.core.errors import RefusedError
from watcher.core.session import Status
from watcher.io.clock import Clock
from watcher.stages import decide
from watcher.stages.archive import archive

PERSON = {"who": "anna", "reason": "as the study says"}


class Late(Clock):
    """A clock: when it is first asked for the time of a decision, a file has come."""

    def __init__(self, come):
        super().__init__()
        self.come = come

    def now(self):
        come, self.come = self.come, lambda: None
        come()
        return super().now()


def two_studies(bench):
    """A built session of two studies, each a scan; gives it, and what files one more."""
    drop = replace(bench.drop, project="MANUAL", layout=("{session}",))

    def come(number=3):
        bench.put(f"L/{number}", number, study=f"1.2.{number}", SeriesNumber=number)
        bench.file(f"L/{number}", drop=drop)

    come(1)
    come(2)
    (session,) = bench.parts.ledger.sessions()
    return bench.rebuilt(session), come


def move(parts, session):
    to = {"project": "P1", "label": session.label, "subject": session.subject, "command": "move"}
    return decide.relocate(parts, session.id, **to, **PERSON)


DECISIONS = {
    "move": move,
    "split": lambda parts, session: decide.split(parts, session.id, **PERSON),
    "delete": lambda parts, session: decide.delete(parts, session.id, **PERSON),
    "scans": lambda parts, session: decide.delete_scans(parts, session.id, ["1"], **PERSON),
}


@pytest.mark.parametrize("decision", DECISIONS)
def test_a_file_that_comes_meanwhile_refuses_it(bench, decision):
    """Nothing is decided on what nobody has seen: the session is as it was, with the new file."""
    session, come = two_studies(bench)
    parts = replace(bench.parts, clock=Late(come))
    with pytest.raises(RefusedError, match="being filed"):
        DECISIONS[decision](parts, session)
    now = bench.parts.ledger.session(session.id)
    assert (Status.RECEIVING, (), session.key) == (now.status, now.decisions, now.key)
    assert 3 == len(bench.parts.ledger.instances(session.id))
    assert not [path for path in bench.tree("history") if ".dcm" in path]


def test_a_policy_covers_no_file_that_comes_while_it_is_told(bench):
    """A differing file, filed while the warning is read: refused, and nothing is overwritten."""
    bench.archived(1, 2)
    before = bench.untrue(), bench.tree()
    session = bench.rebuilt(bench.again(1))

    def tell(_session, _codes):
        bench.filed(2, ImageComments="late")

    options = {"overwrite": True, "tell": tell, **PERSON}
    with pytest.raises(RefusedError, match="being filed") as refused:
        decide.archive_now(bench.parts, session.id, **options)
    assert 4 == refused.value.exit_code
    assert before == (bench.untrue(), bench.tree())
    assert () == bench.parts.ledger.session(session.id).decisions
    done = archive(bench.parts, bench.rebuilt(session).id)
    assert (Status.CONFLICT, before) == (done.status, (bench.untrue(), bench.tree()))
