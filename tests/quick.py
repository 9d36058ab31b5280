"""Installations in memory, where there is a tmpfs: for tests of decisions, not of survival.

An fsync there costs nothing; links, leases, renames and SQLite are those of any file system.
"""

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

from stages.conftest import Bench
from world import World

from watcher.assembly import parts_of, prepare_storage
from watcher.io.ledger import Ledger
from watcher.settings import load

MEMORY = "/dev/shm"


@contextmanager
def memory(otherwise):
    """A new directory of a tmpfs, removed afterwards; `otherwise` where there is none."""
    if not os.access(MEMORY, os.W_OK):
        yield Path(tempfile.mkdtemp(dir=otherwise))
        return
    made = tempfile.mkdtemp(prefix="watcher-test-", dir=MEMORY)
    try:
        yield Path(made)
    finally:
        shutil.rmtree(made)


@contextmanager
def installed(base, **given):
    """A drop, stores and the stages' parts, built as the program builds them from a `World`."""
    found = load(str(World(base, **given).config))
    storage = prepare_storage(found)
    ledger = Ledger.open(found.stores.state)
    said = []

    def emit(event, /, **fields):
        said.append((event, fields))

    yield Bench(parts_of(found, storage, ledger, emit), found.drops[0], said)
    ledger.close()


@contextmanager
def installation(otherwise, **given):
    """The same, in memory."""
    with memory(otherwise) as base, installed(base, **given) as bench:
        yield bench
