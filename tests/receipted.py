"""Receipts in the drop of a bench: written, and what they say."""

import json
import os
from dataclasses import replace
from datetime import UTC, datetime

from watcher.core.file import Fingerprint
from watcher.core.receipt import Pending
from watcher.core.session import Status
from watcher.core.settle import Waiting
from watcher.io.ledger import Ledger
from watcher.io.receiving import Receiving
from watcher.io.registry import Registry
from watcher.stages.receipts import Receipts


def at_noon(bench):
    """Its drop goes to a project and has a contact; it is noon, far from another day."""
    today = datetime.fromtimestamp(bench.parts.clock.now(), UTC).astimezone()
    bench.parts.clock.ahead += (12 - today.hour) * 3600.0
    return replace(bench, drop=replace(bench.drop, project="P1", contact="the desk"))


def waits(bench, name, reason="", *, stuck=False):
    """A pending file, as the drop's eyes tell of it."""
    now = bench.parts.clock.monotonic()
    return Waiting(os.fsencode(name), Fingerprint(1, 2, 3, 4, 5), now, reason, "", stuck=stuck)


def receipt(bench, name="study"):
    """What a receipt's JSON says."""
    with open(bench.path(f"RECEIPTS/{name}.json")) as file:
        return json.load(file)


def names(bench):
    """The receipts in the drop."""
    folder = bench.path("RECEIPTS")
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


def told(bench, *waiting, keeper=None, name="study"):
    """How a dropped thing stands, once receipts were written."""
    (keeper or Receipts(bench.parts, bench.drop)).write(Pending(waiting), None)
    return receipt(bench, name)["status"]


def lost(bench):
    """The same installation with a ledger made anew: sessions as the tree tells of them."""
    known = bench.parts.ledger.sessions(tuple(Status))
    shelves = bench.parts.registry.shelved()
    state = bench.parts.storage.path("state")
    for name in os.listdir(state):
        if name.startswith("ledger"):
            os.unlink(os.path.join(state, name))
    ledger = Ledger.open(state)
    for session in known:
        if session.status not in {Status.ARCHIVED, Status.DELETED}:
            ledger.add(session)
    registry = Registry(ledger)
    for shelf in shelves:
        registry.shelve(shelf)
    parts = replace(bench.parts, ledger=ledger, registry=registry, receiving=Receiving(ledger))
    return replace(bench, parts=parts)
