"""What the commands take that people wait for, with ten thousand sessions (spec 4)."""

import json
import os
import subprocess
import time

import pytest
from measured import FULL, WATCHER, few, median, report
from multitude import MOULDS, multitude

STAGED, ARCHIVED = few(10_000, 10), few(5000, 5)
ROUNDS = few(5, 1)
BARS = {"--help": 0.3, "status": 0.8, "sessions": 1.2, "sessions --json": 1.2}  # seconds


def carried_out(world, words):
    """A command line as a person types it: seconds, and what it printed."""
    given = [] if words == ["--help"] else ["--config", str(world.config)]
    began = time.monotonic()
    done = subprocess.run(
        [*WATCHER, *words, *given], stdout=subprocess.PIPE, text=True, env=os.environ
    )
    seconds = time.monotonic() - began
    assert 0 == done.returncode, (words, done)
    return seconds, done.stdout


@pytest.mark.benchmark
@pytest.mark.timeout(1800)
def test_commands_beside_many_sessions(tmp_path):
    """Each answers with what there is, and those that have a bar answer within it."""
    world = multitude(tmp_path, staged=STAGED, archived=ARCHIVED)
    lines = [each.split() for each in BARS] if FULL else [["--help"], ["sessions", "--json"]]
    if FULL:
        with world.daemon() as daemon:
            daemon.stop()  # it leaves a log
        found, _ = world.json("sessions", "--status", "CONFLICT")
        (one, study) = (found[0]["id"], found[0]["study_uid"])
        lines += [["show", one], ["find", study], ["find", "nobody"], ["log"]]
    took = {" ".join(words): [] for words in lines}
    said = {}
    for _ in range(ROUNDS):
        for words in map(" ".join, lines):
            seconds, said[words] = carried_out(world, words.split())
            took[words].append(seconds)
    assert all(said.values())
    assert STAGED + MOULDS == len(json.loads(said["sessions --json"]))
    found = {words: median(seconds, 2) for words, seconds in took.items()}
    report(
        "commands",
        prearchive_sessions=STAGED,
        archived_sessions=ARCHIVED,
        rounds=ROUNDS,
        seconds=found,
    )
    assert not FULL or [] == [words for words, bar in BARS.items() if found[words] > bar]
