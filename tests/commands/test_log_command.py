"""`watcher log`: the log for eyes."""

import contextlib
import gzip
import json
import os
import pty
import re
import signal
import subprocess
import sys

import pytest
from imaging import ask, configure, told

from watcher.assembly import coder_of, command_parts
from watcher.settings import load

IDS = ("20260619_091425123", "20260619_101425123")


def line(number, event="session.status", level="debug", **fields):
    head = {"timestamp": f"2016-06-19T{number:02}:00:00.000Z", "level": level, "event": event}
    return json.dumps({**head, "message": "Something", **fields}).encode() + b"\n"


@pytest.fixture
def config(tmp_path):
    """A configuration with a log: two rotated files, one of them compressed, and a torn end."""
    config = configure(tmp_path)
    log = tmp_path / "watcher.jsonl"
    first = line(1, "daemon.started", "info") + line(2, session=IDS[0])
    (tmp_path / "watcher.jsonl.2.gz").write_bytes(gzip.compress(first))
    (tmp_path / "watcher.jsonl.1").write_bytes(line(3, "session.conflict", "error", session=IDS[1]))
    rest = line(4, "storage.low", "error", hint="watcher check") + b"of another program\n\n"
    log.write_bytes(rest + line(5, "daemon.stopped", "info") + b'{"torn')
    return config


def events(capsys, config, *words):
    code, found = ask(capsys, config, "log", *words)
    assert code == 0
    return [one["event"] for one in found]


def test_everything_in_order(config, capsys):
    """Rotated files first; lines of others, and a torn end, as they stand there."""
    code, said = told(capsys, config, "log")
    assert code == 0
    levels = re.findall(r"^\S+ \S+  (\w+) +(\S+)", said, re.MULTILINE)
    expected = ["daemon.started", "session.status", "session.conflict", "storage.low"]
    assert [*expected, "daemon.stopped"] == [event for _, event in levels]
    assert ("ERROR", "storage.low") in levels
    assert "    do: watcher check\nof another program\n" in said
    assert said.endswith('\n{"torn\n')
    assert [*expected, "daemon.stopped"] == events(capsys, config)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--level", "error"], ["session.conflict", "storage.low"]),
        (["--session", IDS[0]], ["session.status"]),
        (["--event", "session"], ["session.status", "session.conflict"]),
        (["--event", "session.*", "--level", "info"], ["session.conflict"]),
        (["--event", "storage.low"], ["storage.low"]),
        (["--since", "2016-06-19T04:00Z"], ["storage.low", "daemon.stopped"]),
        (["--since", "1h"], []),
        (["--since", "00:00"], []),
    ],
    ids=str,
)
def test_what_is_asked_for(config, capsys, words, expected):
    """Session, event or family, level and time; lines of others only where nothing is asked."""
    assert expected == events(capsys, config, *words)
    assert "another program" not in told(capsys, config, "log", *words)[1]


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["--event", "sesion"], "watcher explain"),
        (["--since", "yesterday"], "09:30"),
        (["--level", "loud"], "level"),
        (["FILE"], "--help"),
        (["--typo"], "--help"),
    ],
    ids=str,
)
def test_what_nobody_can_mean(config, capsys, words, hint):
    """Exit 2, and what may be given."""
    code, said = told(capsys, config, "log", *words)
    assert (2, True) == (code, hint in said)


def test_without_a_file_the_journal_is_named(tmp_path, capsys):
    """Exit 2 with the line to type; a file that is not there yet has no lines."""
    config = configure(tmp_path)
    assert [] == events(capsys, config)
    config.write_text(config.read_text().replace("file = ", "# file = "))
    code, said = told(capsys, config, "log")
    assert code == 2
    assert "journalctl -u watcher -o cat | watcher log -" in said


def program(config, *words, **more):
    command = [sys.executable, "-m", "watcher", "log", *words, "--config", str(config)]
    return subprocess.Popen(command, **more)


def test_lines_from_standard_input(tmp_path):
    """`-` needs neither a log nor a configuration, and shows each line as it comes."""
    command = [sys.executable, "-m", "watcher", "log", "-"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "cwd": tmp_path}
    with subprocess.Popen(command, **pipes) as process:
        process.stdin.write(b"<6>" + line(1, "daemon.ready", "info"))
        process.stdin.flush()
        assert b"daemon.ready" in process.stdout.readline()
        process.stdin.close()
        assert 0 == process.wait()


def test_what_is_added_is_followed(config, tmp_path):
    """The last lines first, then those that come, through rotation; Ctrl-C ends it."""
    log = tmp_path / "watcher.jsonl"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with program(config, "--follow", "--json", **pipes) as process:
        shown = (json.loads(each)["event"] for each in process.stdout)
        assert "daemon.started" == next(shown)
        assert "daemon.stopped" == [next(shown) for _ in range(4)][-1]
        with log.open("ab") as file:
            file.write(b'"}\n' + line(6, "daemon.started"))
        assert "daemon.started" == next(shown)
        os.rename(log, tmp_path / "watcher.jsonl.1")
        log.write_bytes(line(7, "daemon.ready"))
        assert "daemon.ready" == next(shown)
        process.send_signal(signal.SIGINT)
        assert 130 == process.wait()
        assert b"" == process.stderr.read()


def test_a_reader_who_leaves_ends_it(config):
    """A closed pipe is noticed although no line comes; no fault is told."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with program(config, "--follow", **pipes) as process:
        process.stdout.readline()
        process.stdout.close()
        assert 0 == process.wait()
        assert b"" == process.stderr.read()


def test_on_a_terminal_labels_are_shown(tmp_path):
    """What the ledger knows stands in place of its coded value; in a pipe it does not."""
    config = configure(tmp_path)
    settings = load(str(config))
    from watcher.daemon import run

    with open(os.devnull, "w") as nowhere:
        run(settings, once=True, stream=nowhere)
    with command_parts(settings) as parts:
        parts.conditions.raise_("file.stuck", "k", 1.0, hint="watcher explain PLANTED")
    coded = coder_of(settings).code("PLANTED")
    (tmp_path / "watcher.jsonl").write_bytes(line(1, label=coded, subject="~00000000"))
    leader, follower = pty.openpty()
    with program(config, stdout=follower, stderr=follower):
        os.close(follower)
        said = b""
        with contextlib.suppress(OSError):  # EIO: the program has ended
            while block := os.read(leader, 65536):
                said += block
    os.close(leader)
    assert b"label=PLANTED  subject=~00000000" in said
    with program(config, stdout=subprocess.PIPE) as process:
        assert coded.encode() in process.stdout.read()
