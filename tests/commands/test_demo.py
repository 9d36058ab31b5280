"""`watcher demo`: clean archiving, one conflict, and what settles it."""

import contextlib
import hashlib
import io
import json
import os
import pty
import shlex
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from watcher import cli, signals
from watcher.commands import demo, samples, tour
from watcher.settings import load, parse


def call(*words):
    """One command line in this process: exit code, standard output, standard error."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.call(words)
    return code, out.getvalue(), err.getvalue()


def paste(line, cwd):
    """A printed command line, as a shell takes it."""
    return subprocess.run(
        ["/bin/sh", "-c", line], cwd=cwd, capture_output=True, text=True, check=False
    )


def digests(folder):
    """How often each content lies below a folder."""
    return Counter(
        hashlib.sha256(path.read_bytes()).hexdigest()
        for path in Path(folder).rglob("*")
        if path.is_file()
    )


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """What `watcher demo --json` ended with, in a directory with an awkward name."""
    cwd = tmp_path_factory.mktemp("an awkward 'name' é")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(cwd)
        code, out, err = call("demo", "--json")
    return code, out, err, cwd


@pytest.fixture(scope="module")
def told(ended):
    return json.loads(ended[1])


def test_it_ends_well_with_one_document(ended, told):
    """Exit 0 in spite of its conflict; one JSON document on stdout, nothing on stderr."""
    code, _, err, cwd = ended
    assert (code, err) == (0, "")
    assert told["directory"] == str(cwd / "watcher-demo")


def test_the_log_goes_to_the_demo_s_file_alone(told):
    """Every line of the daemon's log is in `watcher.jsonl`, both drains, whole."""
    lines = [json.loads(line) for line in Path(told["log"]).read_text().splitlines()]
    ends = [line["reason"] for line in lines if line["event"] == "daemon.stopped"]
    assert ends == ["drained", "drained"]
    assert sum(line["event"] == "file.filed" for line in lines) == sum(
        one["files"] for one in told["sessions"]
    )


def test_no_byte_is_lost(told):
    """Every sample that was dropped is in a store, or lies in the drop still, byte for byte."""
    went_in = Counter(
        hashlib.sha256(Path(source).read_bytes()).hexdigest()
        for go in samples.goes(told["directory"])
        for source, _ in go
    )
    assert went_in.total() == told["dropped"]
    held = digests(os.path.join(told["directory"], "store"))
    held += digests(os.path.join(told["directory"], "drop"))
    assert Counter() == went_in - held


def test_all_is_archived_but_one_session_in_conflict(told):
    """Exactly one UID conflict, of two studies under one label; every other study is archived."""
    waits = [one for one in told["sessions"] if one["status"] != "ARCHIVED"]
    assert [one["status"] for one in waits] == ["CONFLICT"]
    finding = told["conflict"]["finding"]
    assert finding["code"] == "study-uid-mismatch"
    assert finding["text"] == "Invalid modification of session UID via archive process."
    assert finding["incoming"]["study"] != finding["archived"]["study"]
    sharers = [one["study_uid"] for one in told["sessions"] if one["label"] == waits[0]["label"]]
    assert sorted(sharers) == sorted(finding[side]["study"] for side in ("incoming", "archived"))
    others = [one["findings"] for one in told["sessions"] if one["status"] == "ARCHIVED"]
    assert all(found == [] for found in others)


def test_the_archive_is_told_as_it_lies_on_disk(told):
    """Projects, sessions, scans and counts are those of the tree."""
    store = Path(told["directory"], "store", "archive")
    found = {
        (*path.relative_to(store).parts[::2], scan.name): len(list(scan.glob("*/*.dcm")))
        for path in store.glob("*/arc001/*")
        for scan in path.glob("SCANS/*")
    }
    expected = {
        (one["project"], one["label"], scan["id"]): scan["files"]
        for one in told["archive"]
        for scan in one["scans"]
    }
    assert expected == found
    assert {one["project"] for one in told["archive"]} == {"ROUTINE", "TRIAL"}


def test_what_was_not_filed_is_told_with_why(told):
    """What lies in the drops still is told, all of it; so is what went to quarantine."""
    drop = Path(told["directory"], "drop")
    lies = {str(path.relative_to(drop)) for path in drop.rglob("*") if path.is_file()}
    lies = {path for path in lies if "/RECEIPTS/" not in path}  # ours
    assert lies == {one["path"] for one in told["left"] if one["where"] == "drop"}
    assert any(path.endswith("/DICOMDIR") for path in lies)
    aside = [one["path"] for one in told["left"] if one["where"] == "quarantine"]
    assert aside == ["routine/cd/README"]
    assert all(one["why"] for one in told["left"])
    assert any("not whole" in one["why"] for one in told["left"])


@pytest.mark.parametrize(
    ("way", "archived"),
    [
        ("relabel", {"98890234_20030505": 11, "98890234_20030505_134": 4}),
        ("archive", {"98890234_20030505": 15}),
    ],
)
def test_either_printed_command_settles_it_as_pasted(way, archived, tmp_path, monkeypatch):
    """The line for each way, pasted where the demo was typed, ends the conflict its way; names
    that are taken are left alone, and the next free one is used.
    """
    (tmp_path / "watcher-demo").write_text("somebody's")
    (tmp_path / "watcher-demo-2").mkdir()
    monkeypatch.chdir(tmp_path)
    code, out, err = call("demo")
    assert (code, err) == (0, "")
    assert (tmp_path / "watcher-demo").read_text() == "somebody's"
    assert list((tmp_path / "watcher-demo-2").iterdir()) == []
    (line,) = [line for line in out.splitlines() if f" watcher {way} " in line]
    assert shlex.split(line)[-2:] == ["--config", "watcher-demo-3/watcher.toml"]

    done = paste(line, tmp_path)

    assert (done.returncode, done.stdout.count("ARCHIVED")) == (0, 1), done.stderr
    store = tmp_path / "watcher-demo-3" / "store"
    found = {
        path.name: len(list(path.rglob("*.dcm")))
        for path in store.glob("archive/ROUTINE/arc001/98890234_20030505*")
        if path.is_dir()
    }
    assert archived == found
    assert list(store.glob("prearchive/*/*/*")) == []


def test_every_printed_look_works_as_pasted(told, ended):
    """`show` and `status`, as printed, end with 0 and know the session."""
    for line in told["further"]:
        done = paste(line, ended[3])
        assert (done.returncode, done.stderr) == (0, "")
    assert told["conflict"]["id"] in paste(told["further"][0], ended[3]).stdout
    for what in ("receipt", "page"):
        assert told["conflict"]["id"] in Path(told[what]).read_text()


def test_people_read_a_tree_a_table_and_both_sides(told, capsys):
    """Without --json: the archive as a tree, the sessions as a table, both sides of the finding."""
    tour.tell(told)
    lines = capsys.readouterr().out.splitlines()
    assert "    └── scan 700: MR, 7 files" in lines
    assert ["StudyID", "134", "2", "differs"] in [line.split() for line in lines]
    assert any("DICOMDIR is never filed" in line for line in lines)
    finding = told["conflict"]["finding"]
    for side, word in (("incoming", "waits"), ("archived", "archived")):
        assert [word, finding[side]["study"]] in [line.split() for line in lines]
    assert [way["command"] for way in told["conflict"]["settle"]] == [
        line for line in lines if " --session " in line or " --force " in line
    ]


def test_a_directory_that_exists_is_refused(tmp_path):
    """Exit 2, and nothing is put into it."""
    code, out, err = call("demo", str(tmp_path))
    assert (code, out, list(tmp_path.iterdir())) == (2, "", [])
    assert "exists already" in err


def test_a_configuration_is_refused(tmp_path):
    """It writes its own; one that is given is not silently passed over."""
    code, out, err = call("demo", str(tmp_path / "x"), "--config", str(tmp_path / "c.toml"))
    assert (code, out, list(tmp_path.iterdir())) == (2, "", [])
    assert "--config" in err


def test_a_place_that_can_not_be_used_is_one_line(tmp_path):
    """Where no directory can be made: exit 2, and the line names another place."""
    code, _, err = call("demo", "/proc/watcher-demo")
    assert code == 2
    assert err.count("\n") == 1
    assert "watcher demo /tmp/watcher-demo" in err


def test_a_pydicom_without_samples_is_said(tmp_path):
    """A package that was stripped of its test files: exit 2, and how to get them."""
    (tmp_path / "pydicom").mkdir()
    (tmp_path / "pydicom" / "__init__.py").write_text("")
    done = subprocess.run(
        [sys.executable, "-m", "watcher", "demo", str(tmp_path / "x")],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "pip install" in done.stderr


def test_a_signal_cuts_it_off_and_is_not_taken_for_an_end(tmp_path, monkeypatch):
    """SIGINT while files are filed: the drain's 130, and never a report on half the work."""
    monkeypatch.setattr(signals, "PATIENCE", 600.0)  # what ends it by force would end the tests
    base = str(tmp_path / "demo")
    os.mkdir(base)
    settings = demo._prepare(base)

    events = []

    def heard(event):
        events.append(event)
        if event == "session.opened" and events.count(event) == 1:
            os.kill(os.getpid(), signal.SIGINT)

    log = demo.Listener(heard)
    assert demo._run(settings, samples.goes(base)[0], log) == 130
    assert log.ended == "SIGINT"


def _all_of(master):
    """What a terminal was written until its other side closed; one read may bring a part of it."""
    shown = bytearray()
    with open(master, "rb", buffering=0) as terminal, contextlib.suppress(OSError):
        while chunk := terminal.read(1 << 16):
            shown += chunk
    return bytes(shown)


def test_progress_is_shown_on_a_terminal_only(capfd):
    """A bar that names the last event on a terminal; not a byte elsewhere."""
    master, slave = pty.openpty()
    with (
        open(slave, "w", encoding="utf-8") as terminal,
        contextlib.redirect_stderr(terminal),
        demo._progress(2) as heard,
    ):
        heard("file.filed")
    assert b"file.filed" in _all_of(master)
    with demo._progress(2) as heard:
        heard("file.filed")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ['a "b" c', "back\\slash", "tab\tnewline\n", "é 😀", "del\x7f"])
def test_any_directory_name_is_quoted(name, tmp_path):
    """The configuration is TOML whatever the directory is called."""
    base = f"/{name}"
    settings = parse(samples.configuration(base), f"{base}/watcher.toml")
    assert settings.stores.root == f"{base}/store"
    assert [drop.path for drop in settings.drops] == [f"{base}/drop/{n}" for n in samples.DROPS]


def test_the_configuration_it_writes_is_the_one_it_uses(told):
    """It can be run on as it is: strict loading finds no fault."""
    settings = load(told["config"])
    assert [drop.name for drop in settings.drops] == list(samples.DROPS)
    assert settings.log.file == told["log"]
