"""`watcher check`."""

import contextlib
import io
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
from imaging import ask, configure, told, tree
from mending import MACHINE, carry_out, faulty, places

from watcher import cli
from watcher.assembly import command_parts
from watcher.io.mounts import mount_of, read_mounts
from watcher.report.manner import bounds
from watcher.settings import load


def run_once(config, *, expected):
    """One run in this process; asserts its exit code."""
    with contextlib.redirect_stdout(io.StringIO()):
        assert expected == cli.call(["run", "--once", "--config", str(config)])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An installation that has run once, with nothing in it."""
    config = configure(tmp_path_factory.mktemp("checked"))
    run_once(config, expected=0)
    return config


def found(capsys, config, *words):
    """Exit code, and severity by what was looked at; of several lines the gravest."""
    code, lines = ask(capsys, config, "check", *words)
    order = ["ok", "advice", "warning", "error"]
    gravest = {}
    for line in lines:
        now = gravest.get(line["of"], "ok")
        gravest[line["of"]] = max(now, line["severity"], key=order.index)
    return code, gravest


def bad(capsys, config):
    """The lines that are not ok, but for those of the host."""
    code, lines = ask(capsys, config, "check")
    return code, [line for line in lines if line["severity"] != "ok" and line["of"] not in MACHINE]


def test_a_sound_installation_is_ok(made, capsys):
    """Configuration, drops, stores and log are each said to be well; exit 0."""
    code, severities = found(capsys, made)
    assert code == 0
    assert {each for of, each in severities.items() if of not in MACHINE} == {"ok"}
    assert {"configuration", "drop mri", "drop quiet", "store archive", "log.file"} <= set(
        severities
    )


def test_before_the_first_start_nothing_is_missing(tmp_path, capsys):
    """Stores are made at the first start: not missing, and not made by looking."""
    config = configure(tmp_path)
    assert faulty(config) == (0, [])
    assert "is made at the first start" in told(capsys, config, "check")[1]
    assert not (tmp_path / "imaging").exists()


def test_checking_writes_nothing(made, capsys):
    """No file of drops and stores is changed."""
    before = tree(made.parent)
    told(capsys, made, "check")
    assert tree(made.parent) == before


def test_what_goes_for_good_is_said(tmp_path, capsys):
    """A retention that removes is told with its time; one that keeps for ever is not."""
    config = configure(tmp_path, more='[retention]\nhistory = "30d"\nquarantine = "forever"\n')
    found = {line["of"]: line for line in ask(capsys, config, "check")[1]}
    assert "entries are purged after 30 d" == found["retention.history"]["text"]
    assert "ok" == found["retention.history"]["severity"]
    assert "retention.quarantine" not in found


def test_a_missing_drop_is_10(tmp_path, capsys):
    """Its directory is not there: exit 10, and the command that mends it."""
    config = configure(tmp_path)
    (tmp_path / "mri").rmdir()
    code, (line,) = faulty(config)
    assert (code, line.of) == (10, "drop mri")
    carry_out(line.command, tmp_path)
    assert faulty(config) == (0, [])


def test_a_drop_that_must_be_a_mount_is_10(tmp_path, capsys):
    """`mount = true` and nothing mounted there."""
    config = configure(tmp_path)
    config.write_text(config.read_text().replace('after = "keep"', "mount = true"))
    code, (line,) = faulty(config)
    assert (code, line.of) == (10, "drop quiet")
    assert "nothing is mounted" in line.text


def test_a_faulty_configuration_is_2(tmp_path, capsys):
    """A configuration that does not load exits 2 with each fault."""
    config = configure(tmp_path, more='[retention]\nrecepts = "1d"\n')
    code, said = told(capsys, config, "check")
    assert code == 2
    assert "did you mean receipts?" in said


FOUR = """
[[drop]]
path = "{base}/visits"
import = "transactional"
strict = true
inactivity = "2m"
[[drop]]
path = "{base}/named"
layout = "{{project}}/{{timestamp}}/{{session}}"
dest = "archive"
[limits]
entries = 7
bytes = "3GiB"
ratio = 9
depth = 11
"""


def said(config, of):
    """Everything that is said of one thing, in one text; and the exit code."""
    code, lines = places(config)
    return code, "; ".join(line.text for line in lines if line.of == of)


def test_each_drop_says_how_it_takes_what_lies_in_it(tmp_path, capsys):
    """Mode, destination, what a unit is and when it is complete, what is kept, how sessions are
    named; and what an archive file may hold.
    """
    config = configure(tmp_path, more=FOUR.format(base=tmp_path))
    for name in ("visits", "named"):
        (tmp_path / name).mkdir()
    code, visits = said(config, "drop visits")
    assert code == 0
    assert "transactional, to the prearchive" in visits
    assert "each top-level folder, archive file (.zip .tar .tar.gz .tgz) or loose file" in visits
    assert "after 2 min without a change, at once with `.complete`" in visits
    assert "refused for any member that is not DICOM" in visits
    _, named = said(config, "drop named")
    assert "gradual, to the archive" in named
    assert "file by file" in named
    assert "named by folders: {project}/{timestamp}/{session}" in named
    assert "whatever auto_archive says" in named
    assert "kept, each taken once" in said(config, "drop quiet")[1]
    limits = bounds(load(str(config)).limits)
    for word in ("7 members", "3 GiB unpacked", "9 times", "11 deep"):
        assert word in limits


def test_an_archive_on_another_file_system_is_said_where_files_go_there(
    tmp_path, capsys, monkeypatch
):
    """Files for the archive are copied once more where a link would not do.

    A drop to the prearchive is not told so, and it is no fault.
    """
    mounts, place = read_mounts(), os.path.realpath(tmp_path / "mounted")
    here = mount_of(place, mounts)
    number = 1 + max(each.id for each in mounts)
    other = replace(here, id=number, parent=here.id, point=os.fsencode(place))
    monkeypatch.setattr("watcher.commands.looked.read_mounts", lambda: (*mounts, other))
    config = configure(tmp_path)
    text = config.read_text().replace("[[drop]]", '[[drop]]\ndest = "archive"', 1)
    config.write_text(text)
    assert faulty(config) == (0, [])
    elsewhere = f'reserve = "1MiB"\narchive = "{place}/archive"'
    config.write_text(text.replace('reserve = "1MiB"', elsewhere))
    code, lines = faulty(config)
    (line,) = [line for line in lines if line.of.startswith("drop")]
    assert (code, line.severity, line.of) == (0, "warning", "drop mri")
    assert "two mounts" in line.text


def test_a_low_disk_is_a_warning(tmp_path, capsys):
    """Less free than the reserve: work will pause; exit 0."""
    config = configure(tmp_path)
    config.write_text(config.read_text().replace('"1MiB"', '"900000TiB"'))
    run_once(config, expected=3)
    code, lines = faulty(config)
    assert code == 0
    assert {line.severity for line in lines} == {"warning"}
    assert len(lines) == 6


@pytest.fixture
def own(tmp_path):
    """An installation of this test's own that has run once."""
    config = configure(tmp_path)
    run_once(config, expected=0)
    return config


def test_a_missing_store_is_10_and_accepted_when_meant(own, capsys):
    """A store without its marker is missing until --accept takes it; then `run` takes it too."""
    shutil.rmtree(own.parent / "imaging" / "history")
    code, (line,) = faulty(own)
    assert (code, line.of) == (10, "store history")
    assert "watcher check --accept" in line.command
    code, severities = found(capsys, own, "--accept")
    assert (code, severities["store history"]) == (0, "ok")
    run_once(own, expected=0)


def test_a_foreign_store_is_10_and_accepted_when_meant(own, capsys):
    """The marker of another installation is no marker of ours, until it is taken."""
    marker = own.parent / "imaging" / "archive" / ".watcher-store"
    ours = marker.read_text()
    marker.write_text("f" * 32)
    assert faulty(own)[0] == 10
    assert marker.read_text() == "f" * 32
    assert found(capsys, own, "--accept")[0] == 0
    assert marker.read_text() == ours


def test_a_store_somebody_else_works_on_is_not_taken(own, capsys):
    """Another installation's daemon holds the store: refused with 4, nothing changed."""
    marker = own.parent / "imaging" / "archive" / ".watcher-store"
    marker.write_text("f" * 32)
    script = (
        "import sys\nfrom watcher.io.lease import lock_store\n"
        "lock_store(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", script, str(marker)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        code, _ = told(capsys, own, "check", "--accept")
        process.stdin.close()
    assert (code, marker.read_text()) == (4, "f" * 32)


def test_a_lost_state_is_a_warning(own, capsys):
    """The ledger is an index: the next start makes a new one."""
    shutil.rmtree(own.parent / "imaging" / "state")
    code, (line,) = faulty(own)
    assert (code, line.severity, line.of) == (0, "warning", "store state")


def test_a_mount_that_went_is_10_until_accepted(own, capsys):
    """A drop that was a mount point when last seen and is not now; --accept forgets that."""
    with command_parts(load(str(own))) as parts:
        parts.ledger.remember("mount/mri", "nfs4 server:/export")
    code, (line,) = faulty(own)
    assert (code, line.of) == (10, "drop mri")
    assert "nfs4 server:/export was mounted there" in line.text
    run_once(own, expected=10)
    assert found(capsys, own, "--accept")[0] == 0
    run_once(own, expected=0)


def test_there_is_nothing_to_accept_before_the_first_start(tmp_path, capsys):
    """Without any store --accept is a mistake: exit 2, nothing made."""
    config = configure(tmp_path)
    assert told(capsys, config, "check", "--accept")[0] == 2
    assert not (tmp_path / "imaging").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may do everything")
def test_what_may_not_be_read_or_written_is_said(own, capsys):
    """A drop that is closed: an error of the set-up, exit 2; one that is read-only: a warning."""
    drop = own.parent / "mri"
    try:
        drop.chmod(0o555)
        code, (line,) = faulty(own)
        assert (code, line.severity, line.of) == (0, "warning", "drop mri")
        drop.chmod(0)
        code, lines = faulty(own)
        assert (code, lines[0].severity) == (2, "error")
    finally:
        drop.chmod(0o755)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may do everything")
def test_no_folder_of_a_drop_is_named(own, capsys):
    """Its name may be a patient's, and a journal has what is said; the command finds it."""
    closed = own.parent / "mri" / "DOE^JOHN_19600101"
    closed.mkdir()
    (closed.parent / "open").mkdir()
    try:
        closed.chmod(0o555)
        code, (line,) = faulty(own)
        _, said = told(capsys, own, "check")
        found = carry_out(line.hint.partition("by: ")[2], own.parent)
    finally:
        closed.chmod(0o755)
    assert (0, "warning", "drop mri") == (code, line.severity, line.of)
    assert "can't empty 1 of the folders in it" in line.text
    assert "DOE" not in said + line.command + line.hint
    assert f"{closed}\n" == found


def test_readers_that_can_not_be_started_are_an_error(own, capsys):
    """No file could be read: exit 2, and where to look."""
    kept, sys.executable = sys.executable, str(own.parent / "none")
    try:
        code, (line,) = bad(capsys, own)
    finally:
        sys.executable = kept
    assert (2, "error", "readers") == (code, line["severity"], line["of"])
    assert "can't be started" in line["text"]


def test_a_log_that_can_not_be_written_is_a_warning(tmp_path, capsys):
    """The daemon goes on with stdout; the folder that is missing is named."""
    config = configure(tmp_path)
    config.write_text(config.read_text().replace("/watcher.jsonl", "/none/watcher.jsonl"))
    code, (line,) = faulty(config)
    assert (code, line.severity, line.of) == (0, "warning", "log.file")
