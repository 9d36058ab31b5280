"""The whole job, as the benchmarks measure it: from files in a drop to files in the archive."""

import shutil

from measured import WATCHER, run, settled, timed
from world import World

SETTLE = 0.1  # seconds; taken off
STORES = ("prearchive", "archive", "quarantine", "history", "state", "status")


def whole_job(base, source, disk):
    """`run --once` on a drop in `base` that holds the tree: seconds without the settle time."""
    stores = [f'{store} = "{disk}/{store}"' for store in STORES]
    world = World(base, settle="100ms", level="info", storage_lines=stores)
    shutil.rmtree(world.drop)
    run("cp", "-r", source, world.drop)
    settled()
    seconds, _ = timed(run, *WATCHER, "run", "--once", "--config", str(world.config))
    archived = len([*(disk / "archive").rglob("*.dcm")])
    assert [] == world.left()
    shutil.rmtree(disk)
    return seconds - SETTLE, archived
