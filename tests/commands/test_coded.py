"""Commands take the coded values of the log: a hint runs as it was printed (spec 12)."""

import json
import os
import re
import shlex

import pytest
from imaging import ask, configure, run_once, told
from lines import checked_lines
from makers import make_dicom

from watcher.assembly import coder_of, command_parts
from watcher.settings import load

MORE = "[projects.PROJ3]\nauto_archive = false\n"


def lines(config):
    return checked_lines((config.parent / "watcher.jsonl").read_text())


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Archived PROJ1/S001 of DOE^JANE, another's study of that label in CONFLICT, one file torn."""
    base = tmp_path_factory.mktemp("coded")
    config = configure(base, more=MORE)
    text = config.read_text().replace('settle = "100ms"', 'settle = "100ms"\nstuck_after = "100ms"')
    config.write_text(text)
    for number, name in ((1, "DOE^JANE"), (2, "ROE^RICHARD")):
        make_dicom(
            base / "mri" / f"in{number}" / "IM1",
            study=f"1.2.{number}",
            series=f"1.2.{number}.1",
            sop=f"1.2.{number}.1.1",
            patient_id="S001",
            patient_name=name,
            description="PROJ1",
        )
        run_once(config, expected=0 if number == 1 else 3)
    return config


@pytest.fixture(scope="module")
def code(made):
    return coder_of(load(str(made))).code


def test_a_label_in_place_of_itself(made, code, capsys):
    """show, verify, refresh, find and history take PROJECT/~code of an archived session."""
    coded = f"PROJ1/{code('S001')}"
    assert "PROJ1/S001" == ask(capsys, made, "show", coded)[1]["shown"]
    assert ["ok"] == [each["verdict"] for each in ask(capsys, made, "verify", coded)[1]]
    assert "S001" == ask(capsys, made, "refresh", coded)[1][0]["label"]
    assert ask(capsys, made, "find", "PROJ1/S001") == ask(capsys, made, "find", coded)
    assert 2 == told(capsys, made, "history", "show", coded)[0]


def test_what_the_log_prints_runs(made, code, capsys):
    """The commands of a conflict, typed as they stand in the coded log; no force passes a FAIL."""
    (line,) = [each for each in lines(made) if each["event"] == "session.conflict"]
    assert "S001" not in json.dumps(line)
    (found,) = [each for each in line["findings"] if each["code"] == "subject-changed"]
    command = next(each for each in found["resolve"] if "--subject" in each)
    assert code("DOE_JANE") in command
    assert 0 == told(capsys, made, *shlex.split(line["hint"])[1:])[0]
    status, said = told(capsys, made, "archive", line["session"], "--force", "--reason", "one")
    assert (3, True) == (status, "no force passes subject-changed: Invalid" in said)
    done = ask(capsys, made, *shlex.split(command)[1:])[1]
    assert ["DOE_JANE"] == [each["subject"] for each in done]


@pytest.mark.parametrize("command", ["show", "verify", "refresh", "rebuild", "move", "explain"])
def test_a_value_nobody_knows(made, capsys, command):
    """What no known value is coded as is refused with exit 2, and said."""
    more = ("--project", "PROJ2") if command == "move" else ()
    status, said = told(capsys, made, command, "PROJ1/~00000000", *more)
    assert (2, True) == (status, "that is known here is coded ~00000000" in said)


def test_a_code_alone(made, code, capsys):
    """It stands for the label, and the label for the session that waits, as if typed."""
    status, said = told(capsys, made, "show", code("S001"))
    assert (0, True) == (status, re.search(r"PROJ1/\S+/S001", said) is not None)


def test_the_hint_of_a_stuck_file(made, capsys):
    """`watcher explain ~code` tells of the file a warning was about, though its name was coded."""
    drop = made.parent / "mri"
    path = make_dicom(drop / "A B" / "torn", patient_id="S9")
    os.truncate(path, path.stat().st_size - 20)
    with command_parts(load(str(made))) as parts:
        hint = f"watcher explain {shlex.quote(str(path))}"
        parts.conditions.raise_("file.stuck", "file/mri/0123456789abcdef", 1.0, hint=hint)
        prose = "let the daemon's user read it"
        parts.conditions.raise_("drop.degraded", "unreadable/mri", 2.0, hint=prose)
    hint = lines(made)[-2]["hint"]
    assert "torn" not in hint
    assert str(path) == ask(capsys, made, *shlex.split(hint)[1:])[1]["file"]
