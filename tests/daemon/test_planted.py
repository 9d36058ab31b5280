"""A bug anywhere is an event, said once; no traceback, and no word of the data, gets out."""

import subprocess
import sys
import threading
import warnings

import pytest
from lines import checked_lines
from makers import make_dicom
from world import World

from watcher.core.errors import WatcherError
from watcher.hooks import said
from watcher.stages.faults import Faults

NAME = "Planted^Zoe"
BOOM = f"def boom(*_, **__):\n    raise ValueError('{NAME}')\n"
# A reader, as `Worker.start` starts it, in which a function fails.
READER = f"""#!{sys.executable}
import sys
import watcher.io.reader as reader
{BOOM}
walk = reader.walk
reader.walk = lambda data, size, *more, **limits: (
    boom() if b"WORST" in bytes(data[:size]) else walk(data, size, *more, **limits))
sys.exit(reader.main(sys.argv[4:]))
"""
STAGES = f"""
import sys
import watcher.report.page, watcher.report.receipt, watcher.stages.filing, watcher.stages.rebuild
from watcher.cli import call
sys.executable, arguments = sys.argv[1], sys.argv[2:]
{BOOM}
file = watcher.stages.filing.Filer.file
watcher.stages.filing.Filer.file = lambda self, drop, batch: (
    boom() if drop.name == "bad" else file(self, drop, batch))
watcher.stages.rebuild.tidy = watcher.report.page.html = watcher.report.receipt.values = boom
sys.exit(call(arguments))
"""
START = f"""
import sys
import watcher.daemon
from watcher.cli import call
{BOOM}
watcher.daemon.open_ledger = boom
sys.exit(call(sys.argv[1:]))
"""
REFUSED = """
import sys
import watcher.daemon
from watcher.cli import call
from watcher.core.errors import StorageError
def refuse(*_, **__):
    raise StorageError("the ledger: it is tired", number=5)
watcher.daemon.open_ledger = refuse
sys.exit(call(sys.argv[1:]))
"""
TASK = START.replace("open_ledger", "recover")
COMMAND = f"""
import sys
import watcher.commands.verify, watcher.commands.sessions
from watcher.cli import call
import watcher.io.registry
{BOOM}
watcher.io.registry.Registry.shelved = boom
sys.exit(call(sys.argv[1:]))
"""


def ran(program, *words):
    """A program run with words: exit code, the lines of its log on either stream, what else."""
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, words)], capture_output=True, text=True
    )
    assert NAME not in done.stdout + done.stderr
    said = done.stdout + done.stderr
    rest = [line for line in said.splitlines() if not line.startswith("{")]
    return done.returncode, checked_lines(said), rest


def faults(lines):
    return [(one["part"], one["error"]) for one in lines if one["event"] == "daemon.fault"]


def test_bugs_of_worker_and_stages(tmp_path):
    """A reader's is its file's, a stage's that of its files or session; the run goes on.

    One of a receipt or of the status page costs that alone: the metrics are written.
    """
    bad = tmp_path / "bad"
    bad.mkdir()
    world = World(tmp_path, extra=f'[[drop]]\npath = "{bad}"\nsettle = "100ms"\nproject = "P1"')
    reader = tmp_path / "reader"
    reader.write_text(READER)
    reader.chmod(0o755)
    make_dicom(world.drop / "a" / "one.dcm")
    make_dicom(world.drop / "b" / "two.dcm", study="1.2.9", patient_name="WORST")
    make_dicom(bad / "three.dcm", study="1.2.10")
    code, lines, rest = ran(STAGES, reader, "run", "--once", "--config", world.config)
    assert (3, []) == (code, rest)
    parts = ("intake", "session", "receipts", "telling")
    assert sorted((part, "ValueError") for part in parts) == sorted(faults(lines))
    assert (world.root / "status" / "metrics.prom").exists()
    (trace,) = [one["trace"] for one in lines if one.get("part") == "intake"]
    assert ["Filer.file", "boom"] != trace
    assert trace[-1].endswith(" boom")
    aside = [one for one in lines if one["event"] == "file.quarantined"]
    assert ["It can't be read: ValueError."] == [one["text"] for one in aside]
    assert ["ValueError"] == [one["error"] for one in lines if one["event"] == "session.error"]
    assert (bad / "three.dcm").exists()


@pytest.mark.parametrize(
    "program",
    [pytest.param(START, marks=pytest.mark.campaign), TASK],
    ids=["startup", "task"],
)
def test_a_bug_that_ends_the_daemon_is_said_before(tmp_path, program):
    """Exit 1; an event where it was raised, and one line on standard error."""
    world = World(tmp_path)
    code, lines, rest = ran(program, "run", "--once", "--config", world.config)
    assert 1 == code
    ((part, error),) = faults(lines)
    assert "daemon" == part
    assert "ValueError" in error
    (line,) = rest
    assert line.startswith("watcher: unexpected ")
    assert line.endswith(" boom (this is a bug)")


def test_a_bug_of_a_command_is_said(tmp_path):
    """Exit 1, an event through the outbox, and one line for who typed it."""
    world = World(tmp_path)
    world.once()
    code, lines, rest = ran(COMMAND, "verify", "--config", world.config)
    assert (1, [("command", "ValueError")]) == (code, faults(lines))
    assert 1 == len(rest)


def test_a_start_that_is_refused_says_why(tmp_path):
    """What ends a run that has a log is in the log."""
    code, lines, rest = ran(REFUSED, "run", "--once", "--config", World(tmp_path).config)
    expected = ("daemon.stopped", "error", "refused", "StorageError: the ledger: it is tired")
    (last,) = lines
    assert expected == (last["event"], last["level"], last["reason"], last["error"])
    assert (1, ["watcher: the ledger: it is tired"]) == (code, rest)


# -- what Python prints by itself ------------------------------------------------------------------


@pytest.fixture
def heard():
    """What is said of what is raised here, or warned of, while `said` is in force.

    The collector may end, meanwhile, what other tests left.
    """
    lines = []

    def hear(event, **fields):
        assert "daemon.fault" == event
        if OURS & {fields["error"], fields["part"]}:
            lines.append(fields)

    with said(hear):
        yield lines


class OwnError(Exception):
    """Nobody else's."""


class OwnWarning(UserWarning):
    """Nobody else's."""


OURS = {"OwnError", "OwnWarning", "logging a.library"}


def raise_it():
    raise OwnError(NAME)


def test_a_thread_that_ends_by_a_bug_is_said(heard):
    """Python would print a traceback. However many threads end so, it is said once."""
    for _ in range(3):
        thread = threading.Thread(target=raise_it)
        thread.start()
        thread.join()
    (fields,) = heard
    assert ("thread", "OwnError") == (fields["part"], fields["error"])
    assert NAME not in str(heard)


class Doomed:
    def __del__(self):
        raise_it()


def test_a_bug_nobody_can_catch_is_said(heard):
    """As in a finalizer."""
    Doomed()
    (fields,) = heard
    assert ("unraisable", "OwnError") == (fields["part"], fields["error"])


def test_a_warning_is_said_without_its_words(heard):
    """They may quote the data. Where it was is told, once."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        for _ in range(3):
            warnings.warn(NAME, OwnWarning, stacklevel=1)
    (fields,) = heard
    (where,) = fields.pop("trace")
    assert {"level": "warning", "error": "OwnWarning", "part": "warning"} == fields
    assert where.startswith("test_planted.py:")


def test_records_of_libraries_are_said_without_their_words(heard):
    """Warnings and errors, with what was raised; the others are nobody's business."""
    import logging

    log = logging.getLogger("a.library")
    for _ in range(3):
        log.info(NAME)
        log.warning(NAME)
        try:
            raise_it()
        except OwnError:
            log.exception(NAME)
    assert NAME not in str(heard)
    told = [(one["level"], one["part"], one["error"]) for one in heard]
    part = "logging a.library"
    assert [("warning", part, "WARNING"), ("error", part, "OwnError")] == told


def test_afterwards_all_is_as_it_was():
    """Whoever runs it in a program of his own gets his hooks back."""
    import logging

    def hooks():
        kept = (threading.excepthook, sys.unraisablehook, warnings.showwarning)
        return (*kept, list(logging.getLogger().handlers))

    before = hooks()
    with said(lambda _event, **_fields: None):
        assert before != hooks()
    assert before == hooks()


def test_a_bug_is_said_once_in_a_run():
    """However often it is met; another one is another; an error of ours has its own event."""
    lines, told = [], Faults()
    for error in (ValueError("a"), ValueError("b"), KeyError(), WatcherError("ours")):
        told.tell(lambda event, **fields: lines.append((event, fields["error"])), error, "intake")
    assert [("daemon.fault", "ValueError"), ("daemon.fault", "KeyError")] == lines
