"""A store that another host has taken over: the stages end, and touch nothing more."""

import json
import os

import pytest

from watcher.core.errors import AlreadyRunningError
from watcher.core.session import Status
from watcher.io.files import print_of
from watcher.io.reaching import GUARDS, OWNER
from watcher.io.tenure import Owner, Tenure
from watcher.stages.parting import remove_source
from watcher.stages.sessions import Sessions

ONE = Owner("host-a", "boot-a", 7)
TAKEN = {"host": "host-b", "boot": "b", "pid": 8, "epoch": 2, "expiry_s": 30.0, "beat": 1}


@pytest.fixture
def overtaken(bench):
    """Takes a store of the bench over, which is said to lie on a network."""
    storage, now = bench.parts.storage, [1000.0]

    def overtake(kind):
        folder = storage.path(kind)
        storage.tenures._all[folder] = Tenure(folder, ONE, lambda: now[0])
        storage.tenures.take(wait=lambda _: None)
        with open(os.path.join(folder, OWNER), "w", encoding="ascii") as file:
            json.dump(TAKEN, file)
        now[0] += 1.0

    yield overtake
    storage.tenures.release()
    assert {} == GUARDS


def files_below(bench):
    root = bench.parts.storage.stores.root
    return {
        os.path.join(base, name)
        for base, _, names in os.walk(root)
        for name in names
        if "/state" not in base and not name.startswith(OWNER)
    }


@pytest.mark.parametrize("kind", ["prearchive", "archive"])
async def test_sessions_end(kind, bench, overtaken):
    """Not an error of the session, nor one to be tried again: the run is over, nothing changed."""
    session = bench.filed(1)
    stage = Sessions(bench.parts, {})
    if kind == "archive":
        stage.pauses = lambda: True
        await stage.round(idle=True)
        stage.pauses = lambda: False
    before = files_below(bench)
    overtaken(kind)
    with pytest.raises(AlreadyRunningError, match="process 8 on host-b"):
        await stage.round(idle=True)
    assert before == files_below(bench)
    assert Status.ERROR is not bench.parts.ledger.session(session.id).status
    assert [] == bench.events("session.error")


def test_sources_stay(bench, overtaken, tmp_path):
    """No source is removed any more, whatever store it was filed in."""
    path = tmp_path / "drop" / "a"
    path.write_bytes(b"bytes")
    overtaken("quarantine")
    with pytest.raises(AlreadyRunningError):
        remove_source(bench.parts, bench.drop, os.fsencode(path), print_of(str(path)))
    assert b"bytes" == path.read_bytes()
