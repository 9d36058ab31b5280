"""The stages' devices, real, in a directory of their own."""

from dataclasses import dataclass

import pytest

from watcher.core.policy import Drop, Identify, Project, Projects, SessionRules, Stores
from watcher.io.clock import Clock
from watcher.io.lease import Leases
from watcher.io.ledger import Ledger
from watcher.io.receiving import Receiving
from watcher.io.registry import Registry
from watcher.io.said import Conditions
from watcher.io.stores import Storage
from watcher.stages.filing import Filer
from watcher.stages.hop import Hop
from watcher.stages.intake import Intake
from watcher.stages.looking import Speed
from watcher.stages.parts import Parts


class SetClock(Clock):
    """A clock that a test can put forward."""

    def __init__(self):
        super().__init__()
        self.ahead = 0.0

    def now(self):
        return super().now() + self.ahead


@dataclass
class Bench:
    """Parts, a drop, and what was said."""

    parts: Parts
    drop: Drop
    said: list

    def events(self, name):
        return [fields for event, fields in self.said if event == name]

    def intake(self, workers, **changes):
        given = {
            "parts": self.parts,
            "drop": self.drop,
            "rules": Identify(),
            "workers": workers,
            "filer": Filer(self.parts),
            "thread": Hop(2),
            "speed": Speed(0.05, 0.1),
            "filed": lambda: None,
        }
        return Intake(**{**given, **changes})


@pytest.fixture
def bench(tmp_path):
    root = tmp_path / "store"
    kinds = ("prearchive", "archive", "quarantine", "history", "state", "status")
    stores = Stores(root=str(root), **{kind: str(root / kind) for kind in kinds})
    storage = Storage(stores)
    storage.prepare()
    (tmp_path / "drop").mkdir()
    ledger = Ledger.open(stores.state)
    said = []

    def emit(event, /, **fields):
        said.append((event, fields))

    parts = Parts(
        storage=storage,
        ledger=ledger,
        receiving=Receiving(ledger),
        registry=Registry(ledger),
        leases=Leases(stores.state, ledger),
        conditions=Conditions(ledger, emit),
        projects=Projects({"P1": Project("P1"), "MANUAL": Project("MANUAL", auto_archive=False)}),
        rules=SessionRules(inactivity=0.2, max_open=3600.0),
        emit=emit,
        clock=SetClock(),
    )
    yield Bench(parts, Drop(name="mri", path=str(tmp_path / "drop"), project="P1"), said)
    ledger.close()
