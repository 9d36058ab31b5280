"""The store a device's files lie in: away while its marker is not the one it had."""

import os

import pytest

from watcher.core.errors import StorageError
from watcher.io.home import Home
from watcher.io.ledger import Ledger
from watcher.io.reaching import MARKER


def test_away_and_back(tmp_path):
    """Gone, or another installation's: away. The same marker again: there."""
    marker = tmp_path / MARKER
    marker.write_text("one")
    home = Home.now(str(tmp_path))
    home.require()
    marker.write_text("other")
    assert home.is_away()
    marker.unlink()
    with pytest.raises(StorageError, match="the state store is not there"):
        home.require()
    marker.write_text("one")
    home.require()


def test_without_a_marker_nothing_is_known(tmp_path):
    """A folder that had no marker when it was opened is never away."""
    home = Home.now(str(tmp_path))
    (tmp_path / MARKER).touch()
    assert not home.is_away()


def test_the_ledger_makes_none_beneath_its_mount(tmp_path):
    """While the store is away nothing is read, written or made; back, it goes on as it was."""
    state, away = str(tmp_path / "state"), str(tmp_path / "away")
    os.mkdir(state)
    (tmp_path / "state" / MARKER).write_text("id")
    ledger = Ledger.open(state)
    ledger.remember("key", "value")
    os.rename(state, away)
    os.mkdir(state)
    for use in (lambda: ledger.remember("key", "lost"), lambda: ledger.recall("key")):
        with pytest.raises(StorageError):
            use()
    ledger.check()  # it has not failed: it may come back with its store
    assert [] == os.listdir(state)
    os.rmdir(state)
    os.rename(away, state)
    assert "value" == ledger.recall("key")
    ledger.close()
