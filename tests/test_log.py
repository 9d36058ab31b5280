"""The log: one line each, nothing that identifies, never a fault for the program."""

import io
import json
import os
import select
import subprocess
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta, timezone
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.core.coding import Coder
from watcher.core.errors import ConfigurationError, StorageError, WatcherError
from watcher.core.events import EVENTS
from watcher.core.lines import LONGEST
from watcher.core.session import Finding, Severity
from watcher.io import sinks
from watcher.log import Log, load_key, plain

NOON = datetime(2026, 6, 19, 12, 0, 0, 123456, tzinfo=UTC)
HOSTILE = "a\nb\x1b[31m\x00\u2028\x85\ud800\udcff"
PLANTED = {
    "subject": "Planted^Zoe",
    "label": "PLANTED_ZOE-1",
    "birth_date": "19700102",
    "path": b"Planted Zoe/\xffIM1",
    "patient_id": "ZP4711",
}


def make(stream=None, *, file=None, rotate=10_000, keep=2, level="debug", coder=None):
    return Log(
        stream=stream,
        file=file and str(file),
        rotate=rotate,
        keep=keep,
        level=level,
        coder=coder,
        clock=lambda: NOON,
    )


def lines(text):
    return [json.loads(line) for line in text.split("\n")[:-1]]


def strings(value):
    if isinstance(value, Mapping):
        return [text for pair in value.items() for one in pair for text in strings(one)]
    if isinstance(value, list):
        return [text for one in value for text in strings(one)]
    return [str(value)]


@pytest.mark.parametrize("name", EVENTS)
def test_every_event_renders(name):
    """Level and message come from the catalogue; time is UTC with milliseconds."""
    stream = io.StringIO()
    make(stream)(name, session="20260619_091425123")
    (line,) = lines(stream.getvalue())
    kind = EVENTS[name]
    expected = {
        "timestamp": "2026-06-19T12:00:00.123Z",
        "level": kind.level,
        "event": name,
        "message": kind.message,
        "session": "20260619_091425123",
    }
    if kind.who:
        expected |= {"who": kind.who, "hint": f"watcher explain {name}"}
    assert expected == line
    assert list(expected)[:4] == list(line)[:4]


def test_an_unknown_event_is_a_bug():
    """A name that is not in the catalogue is refused."""
    with pytest.raises(WatcherError, match=r"no\.such"):
        make(io.StringIO())("no.such")


def test_lines_below_the_level_are_not_written():
    """`level` is the least that is said; a line may carry a level of its own."""
    stream = io.StringIO()
    log = make(stream, level="warning")
    log("file.filed")
    log("file.quarantined", level="info", code="not-dicom")
    log("file.quarantined", level="loud")
    log("session.conflict", message="Own words", who="nobody", hint="watcher show 1")
    log("daemon.stopped", level="error")
    names = ("level", "message", "who", "hint")
    said = [tuple(line[name] for name in names) for line in lines(stream.getvalue())]
    expected = [
        ("warning", "File put into quarantine", "data", "watcher explain file.quarantined"),
        ("error", "Own words", "nobody", "watcher show 1"),
        ("error", "Stopped", "admin", "watcher explain daemon.stopped"),
    ]
    assert expected == said


def test_fields_may_not_pass_for_the_head_of_the_line():
    """A field called like the event or the time is kept under another name."""
    line = json.loads(make().line("daemon.ready", {"event": "x", "timestamp": 1}))
    assert (line["event"], line["event_"], line["timestamp_"]) == ("daemon.ready", "x", 1)


def test_bound_fields_are_on_every_line():
    """`bind` adds fields; what is given with the event goes first."""
    stream = io.StringIO()
    say = make(stream).bind(drop="mri", key="a")
    say("drop.readonly", key="b")
    assert [(one["drop"], one["key"]) for one in lines(stream.getvalue())] == [("mri", "b")]


def test_a_line_can_be_made_now_and_written_later():
    """`line` gives the text for the outbox, with its own time; `write_line` writes it as it is."""
    stream = io.StringIO()
    log = make(stream, level="error")
    then = datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))
    text = log.line("daemon.ready", {"drops": ["mri"]}, then)
    log.write_line(text)
    log.write_line("{}\n{}")
    assert text + "\n{} {}\n" == stream.getvalue()
    assert json.loads(text)["timestamp"] == "2026-01-01T00:00:00.000Z"


@given(st.text() | st.sampled_from([HOSTILE]), st.booleans())
def test_hostile_text_stays_one_line(text, coded):
    """Newlines, escapes, NUL, U+2028 and lone surrogates are escaped, in values and names."""
    stream = io.StringIO()
    log = make(stream, coder=Coder(b"k") if coded else None)
    log(
        "file.waiting",
        path=text,
        text=HOSTILE + text,
        findings=[{text: {text: text.encode("utf-8", "replace")}}],
    )
    written = stream.getvalue()
    assert all(32 <= ord(letter) < 127 for letter in written[:-1])
    assert len(lines(written)) == 1


def test_values_are_made_plain():
    """Whatever a stage hands over can be said in JSON."""
    finding = Finding("no-project", (6,), Severity.FAIL, "none", "session", {"a": b"\xff"})
    ring: list[object] = []
    ring.append(ring)
    said = {
        "finding": finding,
        "set": {"b", "a"},
        "map": MappingProxyType({1: (None, True, 2.5)}),
        "nan": float("nan"),
        "date": date(2026, 1, 2),
        "other": complex(1, 2),
        "type": Finding,
    }
    expected = {
        "finding": {
            "code": "no-project",
            "xnat": [6],
            "severity": "FAIL",
            "text": "none",
            "scope": "session",
            "incoming": {"a": "\udcff"},
            "archived": {},
            "evidence": {},
            "resolve": [],
        },
        "set": ["a", "b"],
        "map": {"1": [None, True, 2.5]},
        "nan": "nan",
        "date": "2026-01-02",
        "other": "(1+2j)",
        "type": str(Finding),
    }
    assert expected == plain(said)
    assert "..." in json.dumps(plain(ring))


def test_errors_are_said_without_the_words_of_others():
    """A foreign message may quote the data: only our own, and the system's, are said."""
    errors = [
        ValueError("DOE^JANE"),
        WatcherError("ours"),
        FileNotFoundError(2, "No such file", "/x"),
    ]
    expected = ["ValueError", "WatcherError: ours", "FileNotFoundError: No such file"]
    assert expected == plain(errors)
    assert f"ExceptionGroup({', '.join(expected)})" == plain(ExceptionGroup("DOE", errors))


def test_nothing_planted_is_in_a_coded_line():
    """Name, id, birth date, label and path are gone at any depth; a plain log has them."""
    told = [
        value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value
        for value in PLANTED.values()
    ]
    texts = [f"about {text}, really" for text in told]
    finding = Finding(
        "study-elsewhere",
        (2,),
        Severity.CONFLICT,
        "; ".join(texts),
        "session",
        incoming={"PatientName": "Planted^Zoe", "PatientID": "ZP4711"},
        archived={"text": texts},
        resolve=(f"watcher relabel 20260619_091425123 --session {PLANTED['label']}-2",),
    )
    fields = {
        **PLANTED,
        "session": "20260619_091425123",
        "findings": [finding],
        "hint": texts[1],
        "error": WatcherError(texts[3]),
        "message": texts[0],
    }
    coded = strings(json.loads(make(coder=Coder(b"k")).line("session.conflict", fields)))
    shown = strings(json.loads(make().line("session.conflict", fields)))
    for text in (*told, "Planted", "PLANTED", "Zoe", "ZOE"):
        assert [one for one in coded if text in one] == [], text
        assert [one for one in shown if text in one], text
    assert "20260619_091425123" in coded


def test_the_fixed_message_is_never_coded():
    """A session labelled like a word of XNAT's leaves XNAT's wording alone."""
    line = json.loads(make(coder=Coder(b"k")).line("session.error", {"label": "upload"}))
    assert line["message"] == "Session upload failed"


def test_a_full_disk_is_no_fault_of_the_program(tmp_path):
    """Nothing is raised, the other sink has the lines, and the loss is said once when it ends."""
    target = tmp_path / "log"
    target.symlink_to("/dev/full")
    stream = io.StringIO()
    log = make(stream, file=target)
    log("daemon.started")
    log("daemon.ready")
    assert log.lost == 2
    target.unlink()
    log("daemon.heartbeat")
    log("daemon.stopped")
    log.close()
    said = lines(target.read_text())
    assert [one["event"] for one in said] == ["daemon.heartbeat", "log.degraded", "daemon.stopped"]
    expected = ("file", 2, "OSError: No space left on device")
    assert expected == (said[1]["sink"], said[1]["lost"], said[1]["error"])
    assert len(lines(stream.getvalue())) == 5


def test_a_full_stream_does_not_fail_at_exit(tmp_path):
    """What standard output refused is not kept in a buffer that fails again when Python ends."""
    program = (
        "import sys, datetime\n"
        "from watcher.log import Log\n"
        "log = Log(stream=sys.stdout, file=sys.argv[1], rotate=9999, keep=1, level='info',"
        " coder=None, clock=lambda: datetime.datetime.now(datetime.UTC))\n"
        "log('daemon.started'); log('daemon.ready'); log.close()\n"
    )
    target = tmp_path / "log"
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", program, str(target)],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(lines(target.read_text())) == 2


def test_a_closed_pipe_and_a_closed_stream_are_counted(tmp_path):
    """A reader that went away, and a stream that is closed, cost nothing but the line."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        log = make(stream)
        log("daemon.ready")
        assert log.lost == 1
    log("daemon.ready")
    assert log.lost == 2


def test_a_stream_with_a_descriptor_is_written_in_order(tmp_path):
    """What was printed before comes first."""
    with (tmp_path / "out").open("w") as stream:
        stream.write("before\n")
        make(stream)("daemon.ready")
    first, second, rest = (tmp_path / "out").read_text().split("\n")
    assert (first, json.loads(second)["event"], rest) == ("before", "daemon.ready", "")


def test_the_file_is_rotated_by_size(tmp_path):
    """No file outgrows `rotate`, `keep` older ones stay, the newest lines are in the file."""
    target = tmp_path / "log"
    log = make(file=target, rotate=300, keep=2)
    for number in range(12):
        log("daemon.ready", sessions=number)
    log.close()
    names = ["log.2", "log.1", "log"]
    assert sorted(names) == sorted(os.listdir(tmp_path))
    assert all((tmp_path / name).stat().st_size <= 300 for name in names)
    kept = [one["sessions"] for name in names for one in lines((tmp_path / name).read_text())]
    assert list(range(12))[-len(kept) :] == kept
    assert len(kept) > 3


def test_without_copies_the_file_begins_anew(tmp_path):
    """`keep = 0` keeps no older file."""
    log = make(file=tmp_path / "log", rotate=100, keep=0)
    log("daemon.ready")
    log("daemon.stopped")
    log.close()
    assert os.listdir(tmp_path) == ["log"]
    assert [one["event"] for one in lines((tmp_path / "log").read_text())] == ["daemon.stopped"]


def test_a_file_that_cannot_be_rotated_grows_and_says_so(tmp_path):
    """Better a long file than a lost line."""
    (tmp_path / "log.1").mkdir()
    (tmp_path / "log.1" / "in the way").touch()
    target = tmp_path / "log"
    log = make(file=target, rotate=600, keep=1)
    for _ in range(8):
        log("daemon.ready")
    log.close()
    said = lines(target.read_text())
    assert len([one for one in said if one["event"] == "daemon.ready"]) == 8
    (told,) = [one for one in said if one["event"] == "log.degraded"]
    assert (told["lost"], told["error"].startswith("can't rotate: ")) == (0, True)


def test_reopening_follows_a_file_that_was_moved(tmp_path):
    """After SIGHUP lines go to a new file of the name (logrotate)."""
    target = tmp_path / "log"
    log = make(file=target)
    log("daemon.started")
    target.rename(tmp_path / "old")
    log("daemon.ready")
    log.reopen()
    log("daemon.stopped")
    log.close()
    log.close()
    assert len(lines((tmp_path / "old").read_text())) == 2
    assert [one["event"] for one in lines(target.read_text())] == ["daemon.stopped"]


def test_a_line_that_was_cut_off_is_not_continued(tmp_path):
    """A torn end, from a crash, is ended before the next line."""
    target = tmp_path / "log"
    target.write_text('{"whole": 1}\n{"to')
    log = make(file=target)
    log("daemon.ready")
    log("daemon.stopped")
    log.close()
    first, torn, *rest = target.read_text().splitlines()
    assert (first, torn, len(rest)) == ('{"whole": 1}', '{"to', 2)


def test_a_disk_that_fills_within_a_line_leaves_whole_lines_after(tmp_path):
    """The part that was written is ended by a newline before the next line (a real limit)."""
    program = (
        "import datetime, resource, signal, sys\n"
        "from watcher.log import Log\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "with open(sys.argv[1], 'a') as stream:\n"
        "    log = Log(stream=stream, file=None, rotate=9999, keep=1, level='info', coder=None,"
        " clock=lambda: datetime.datetime.now(datetime.UTC))\n"
        "    before = resource.getrlimit(resource.RLIMIT_FSIZE)\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (50, before[1]))\n"
        "    log('daemon.started')\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, before)\n"
        "    log('daemon.ready')\n"
    )
    target = tmp_path / "log"
    subprocess.run([sys.executable, "-c", program, str(target)], check=True)
    torn, *rest = target.read_text().splitlines()
    assert len(torn) == 50
    assert [json.loads(one)["event"] for one in rest] == ["daemon.ready", "log.degraded"]


def test_a_key_is_made_once_and_for_its_owner_only(tmp_path):
    """32 random bytes at mode 0600, the same at every call, nothing else left behind."""
    path = tmp_path / "log.key"
    key = load_key(str(path))
    assert key == load_key(str(path))
    assert (len(key), path.stat().st_mode & 0o777, os.listdir(tmp_path)) == (32, 0o600, ["log.key"])


def test_processes_that_make_the_key_at_once_get_the_same(tmp_path):
    """Whoever links first has made it; nobody sees half of one."""
    program = (
        "import sys\nfrom watcher.io.sinks import _make_key, load_key\n"
        "sys.stdin.read(1)\n_make_key(sys.argv[1])\nprint(load_key(sys.argv[1]).hex())"
    )
    path = str(tmp_path / "log.key")
    racing = [
        subprocess.Popen(
            [sys.executable, "-c", program, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for _ in range(3)
    ]
    for one in racing:
        one.stdin.write(b"x")
        one.stdin.flush()
    keys = {one.communicate()[0] for one in racing}
    assert {load_key(path).hex().encode() + b"\n"} == keys
    assert os.listdir(tmp_path) == ["log.key"]


def test_a_key_that_is_none_is_refused(tmp_path):
    """A short file is no key; a directory, a link or a missing folder is a fault of the storage."""
    short = tmp_path / "short"
    short.write_bytes(b"123")
    with pytest.raises(ConfigurationError, match="3 bytes"):
        load_key(str(short))
    (tmp_path / "link").symlink_to(short)
    for path in (tmp_path / "link", tmp_path, tmp_path / "none" / "log.key"):
        with pytest.raises(StorageError):
            load_key(str(path))


def test_making_a_key_that_came_meanwhile_changes_nothing(tmp_path):
    """The key another process made between looking and linking stays."""
    from watcher.io.sinks import _make_key

    path = tmp_path / "log.key"
    path.write_bytes(b"k" * 32)
    _make_key(str(path))
    assert load_key(str(path)) == b"k" * 32
    assert os.listdir(tmp_path) == ["log.key"]


def test_a_reader_that_stops_reading_costs_lines_and_no_time():
    """A full pipe is waited for once; then lines are lost, counted, and the loss said once."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with open(reading, "rb", 0) as reader, open(writing, "w") as stream:
        while os.write(writing, bytes(4096)) == 4096:
            if not select.select([], [writing], [], 0)[1]:
                break
        os.set_blocking(writing, True)
        log = make(stream)
        for _ in range(500):
            log("daemon.heartbeat")
        assert log.lost == 500
        reader.read(1 << 20)
        log("daemon.ready")
        said = lines(reader.read(1 << 20).decode())
    assert [one["event"] for one in said] == ["daemon.ready", "log.degraded"]
    expected = ("stream", 500, "BlockingIOError: nobody reads it")
    assert expected == (said[1]["sink"], said[1]["lost"], said[1]["error"])


def test_a_long_line_is_whole_on_a_pipe(monkeypatch):
    """A line longer than what a pipe takes at once comes whole."""
    monkeypatch.setattr(sinks, "PATIENCE", 200.0)  # the reader may be slow
    reading, writing = os.pipe()
    with open(reading, "rb") as reader, ThreadPoolExecutor(1) as pool:
        read = pool.submit(reader.read)
        with open(writing, "w") as stream:
            make(stream).write_line("x" * 200_000)
        said = read.result()
    assert b"x" * 200_000 + b"\n" == said


def test_a_line_is_never_too_long_for_the_journal():
    """It says what was cut; a line that a command leaves for the daemon is cut too."""
    stream = io.StringIO()
    findings = [{"code": "instance-differs", "text": "x" * 400}] * 200
    make(stream, coder=Coder(b"k"))("session.conflict", session="1", findings=findings, hint="do")
    (line,) = lines(stream.getvalue())
    assert len(stream.getvalue()) <= LONGEST + 1
    assert (["findings"], "do", True) == (line["cut"], line["hint"], len(line["findings"]) > 20)


class Restless(io.StringIO):
    """A stream; while a line is written to it a finalizer says another one."""

    def __init__(self):
        super().__init__()
        self.doomed = None

    def write(self, text):
        self.doomed = None
        return super().write(text)


class Doomed:
    def __init__(self, log):
        self.log = log

    def __del__(self):
        self.log("daemon.stopped")


def test_what_a_finalizer_says_within_a_line_comes_after_it():
    """The collector may run anywhere: the log neither hangs nor cuts a line in two."""
    stream = Restless()
    log = make(stream)
    stream.doomed = Doomed(log)
    saying = threading.Thread(target=log, args=("daemon.ready",), daemon=True)
    saying.start()
    saying.join(180)
    said = [one["event"] for one in lines(stream.getvalue())]
    assert (False, ["daemon.ready", "daemon.stopped"]) == (saying.is_alive(), said)


def test_a_pipe_in_place_of_the_file_that_nobody_reads_costs_lines_only(tmp_path):
    """As a stream that nobody reads: waited for once; the loss is said once it is read again."""
    target = tmp_path / "log"
    os.mkfifo(target)
    log = make(file=target)
    said = 0
    while not log.lost:
        log("daemon.ready")
        said += 1
    log("daemon.ready")
    assert 2 == log.lost
    with open(os.open(target, os.O_RDONLY | os.O_NONBLOCK), "rb", 0) as reader:
        before = reader.read(1 << 20).count(b"\n")
        log("daemon.stopped")
        found = lines(b"\n".join(reader.read(1 << 20).splitlines()[-2:]).decode() + "\n")
    log.close()
    assert [("daemon.stopped", None), ("log.degraded", 2)] == [
        (one["event"], one.get("lost")) for one in found
    ]
    assert said - 1 == before


def test_a_file_that_cannot_be_closed_is_no_fault_of_the_program(tmp_path):
    """As on a share that tells at the end what it could not write: said, and the work goes on."""
    target = tmp_path / "log"
    log = make(file=target)
    log("daemon.started")
    os.close(log._file._descriptor)  # EBADF stands for EIO here
    log.reopen()
    log("daemon.ready")
    log.close()
    told = lines(target.read_text())
    assert ["daemon.started", "daemon.ready", "log.degraded"] == [one["event"] for one in told]
    assert "Bad file descriptor" in told[-1]["error"]


def test_a_file_that_was_removed_is_made_anew(tmp_path):
    """Lines don't go on into a file that has no name any more."""
    target = tmp_path / "log"
    log = make(file=target)
    log("daemon.started")
    target.unlink()
    log("daemon.ready")
    log.close()
    assert ["daemon.ready"] == [one["event"] for one in lines(target.read_text())]
