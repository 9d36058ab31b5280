"""Files with the same UIDs are compared by the readers; what can't be compared is not the same."""

import errno
import os
import sys
import threading
import time
from dataclasses import replace

import hostile
import pytest

from watcher.core.errors import StorageError, WorkerError
from watcher.core.session import Status
from watcher.stages import decide
from watcher.stages.comparing import compare_all
from watcher.stages.parts import Stopped
from watcher.stages.validate import judge


@pytest.fixture
def interpreter(tmp_path):
    """Puts a shell script in the place of the readers' interpreter."""
    kept, path = sys.executable, tmp_path / "python"

    def broken(script):
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        sys.executable = str(path)

    yield broken
    sys.executable = kept


# answers that it is there, and dies of the first question
MORTAL = "read line; echo '[]'; read line; exit 1"


def clash(judged):
    """The one finding about files that differ: text, and what is said of the pixels."""
    (found,) = (each for each in judged.findings if each.code == "instance-differs")
    return found.text, found.evidence["pixels"]


def test_a_pair_that_kills_its_readers_differs_and_says_so(bench, interpreter):
    """Twice dead is not the same: the newcomer waits for a person, and nothing is tried again."""
    bench.archived(1)
    session = bench.again(1)
    interpreter(MORTAL)
    judged = judge(bench.parts, session)
    text, pixels = clash(judged)
    assert ((), "unknown") == (judged.merge.same, pixels)
    assert text.startswith("UID conflict detected during archiving (1 pair could not be compared: ")
    assert "died or hung" in text
    assert Status.CONFLICT is bench.rebuilt(session).status


def test_a_pair_beyond_the_bounds_differs_and_says_so(bench):
    """More elements than the limit, in both: neither stalls the build, and they differ."""
    bench.archived(1)
    bench.filed(1)
    (session,) = bench.parts.ledger.sessions()
    (instance,) = bench.parts.ledger.instances(session.id)
    path = os.path.join(bench.parts.storage.folder(session), instance.place.path)
    hostile.items(path, 300_000, study="1.2.3", series="1.2.3.1", sop="1.2.3.9.1")
    size = os.path.getsize(path)
    with bench.parts.ledger.write() as tx:
        tx.exec_driver_sql("UPDATE instance SET size = ?, digest = ?", (size, "0" * 32))
    session = bench.parts.ledger.session(session.id)
    text, _ = clash(judge(bench.parts, session))
    assert "(1 pair could not be compared: it has more elements than the limit)" in text


def test_a_machine_that_says_no_is_no_difference(bench, tmp_path):
    """A file that is gone is the storage's fault: the session is tried again later."""
    with pytest.raises(StorageError) as error:
        compare_all(bench.parts, {"a": (f"{tmp_path}/none", f"{tmp_path}/none")})
    assert errno.ENOENT == error.value.number


def test_no_reader_is_no_difference(bench, interpreter):
    """Readers that can't be started say nothing of the files: nothing is decided."""
    bench.archived(1)
    session = bench.again(1)
    interpreter("exit 1")
    with pytest.raises(WorkerError):
        bench.rebuilt(session)
    assert Status.RECEIVING is bench.parts.ledger.session(session.id).status


def test_a_stop_is_heeded_while_files_are_compared(bench, interpreter, tmp_path):
    """The program ends at once although a pair keeps its reader, before it is given up for dead.

    It is stopped when the reader has the pair.
    """
    asked = tmp_path / "asked"
    os.mkfifo(asked)
    interpreter(f"read line; echo '[]'; read line; echo > '{asked}'; exec sleep 600")
    parts = replace(bench.parts, stopping=threading.Event())
    moments = []

    def stop():
        asked.read_bytes()
        moments.append(time.monotonic())
        parts.stopping.set()

    threading.Thread(target=stop, daemon=True).start()
    with pytest.raises(Stopped):  # one that is given up is a StorageError
        compare_all(parts, {"a": (str(tmp_path), str(tmp_path))})
    assert time.monotonic() - moments[0] < 120


def test_nothing_to_compare_starts_no_reader(bench, interpreter):
    """The cost is paid only where digests differ."""
    bench.archived(1)
    interpreter("exit 1")
    session = bench.filed(1)
    assert {"same-instance", "session-exists"} == {
        each.code for each in judge(bench.parts, session).findings
    }


def test_a_session_that_could_not_be_compared_can_be_settled(bench, interpreter):
    """A person's decision passes it like any other difference; the archived file is kept."""
    kept = bench.archived(1)
    session = bench.again(1)
    before = sys.executable
    interpreter(MORTAL)
    bench.rebuilt(session)
    sys.executable = before
    done = decide.archive_now(
        bench.parts, session.id, overwrite=True, who="anna", reason="the new one is right"
    )
    assert (Status.ARCHIVED, kept.label) == (done.status, done.label)
