"""Lines on the journal's stream carry priorities, sd-daemon(3); on any other stream none."""

import io
import json
import os
import re
from datetime import UTC, datetime

import pytest

from watcher.io.sinks import is_journal
from watcher.log import Log


def log_on(stream, journal="", file=None):
    return Log(
        stream=stream,
        journal=journal,
        file=file and str(file),
        rotate=10_000,
        keep=1,
        level="debug",
        coder=None,
        clock=lambda: datetime.now(UTC),
    )


def named(stream):
    """What systemd puts into JOURNAL_STREAM."""
    found = os.fstat(stream.fileno())
    return f"{found.st_dev}:{found.st_ino}"


def test_each_level_has_its_priority(tmp_path):
    """An error 3, a warning 4, info 6, debug 7; lines that commands left have theirs too."""
    with (tmp_path / "out").open("w") as stream:
        log = log_on(stream, named(stream), tmp_path / "log")
        for event in ("storage.low", "file.stuck", "daemon.ready", "file.filed"):
            log(event)
        log.write_line(log.line("session.error", {"level": "error"}))
        log.write_line("no line of ours")
        log.close()
    written = (tmp_path / "out").read_text().splitlines()
    found = [re.fullmatch(r"<(\d)>(.*)", line) for line in written]
    assert ["3", "4", "6", "7", "3", "6"] == [each[1] for each in found]
    assert "storage.low" == json.loads(found[0][2])["event"]
    assert [each[2] for each in found] == (tmp_path / "log").read_text().splitlines()


@pytest.mark.parametrize("journal", ["", "1:2", "x", "1:2:3"])
def test_another_stream_has_none(tmp_path, journal):
    """The variable may be inherited, and standard output be a pipe or file."""
    with (tmp_path / "out").open("w") as stream:
        log_on(stream, journal)("daemon.ready")
    assert (tmp_path / "out").read_text().startswith("{")


def test_a_stream_without_a_descriptor_is_no_journal():
    """As one in memory, or one that is closed."""
    assert not is_journal(io.StringIO(), "1:2")
    with open(os.devnull, "w") as stream:
        pass
    assert not is_journal(stream, "1:2")


def test_a_file_that_cannot_be_opened_is_said_at_once(tmp_path):
    """On the stream, in one line, with the reason; again when it works, with what was lost."""
    stream = io.StringIO()
    log = log_on(stream, file=tmp_path / "none" / "log")
    log.open()
    log("daemon.started")
    (tmp_path / "none").mkdir()
    log.reopen()
    assert (tmp_path / "none" / "log").exists()
    log("daemon.ready")
    log.close()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    expected = ["log.degraded", "daemon.started", "daemon.ready", "log.degraded"]
    assert expected == [one["event"] for one in lines]
    assert ("file", "FileNotFoundError: No such file or directory") == (
        lines[0]["sink"],
        lines[0]["error"],
    )
    assert lines[-1]["lost"] > 0


def test_a_file_that_can_be_opened_is_no_news(tmp_path):
    """Nothing is said of it."""
    stream = io.StringIO()
    log = log_on(stream, file=tmp_path / "log")
    log.open()
    log.open()
    log.close()
    assert ("", [tmp_path / "log"]) == (stream.getvalue(), list(tmp_path.iterdir()))
