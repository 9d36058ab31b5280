"""What a person types as a reason may be anything: the coded log does not tell it."""

import json

from imaging import ask, configure, run_once, told
from makers import make_dicom

from watcher.assembly import coder_of
from watcher.settings import load

REASON = "Zoe Planted withdrew"


def test_a_reason_is_coded_as_a_whole(tmp_path, capsys):
    """No word of it is in the log; `find` turns it back; history keeps it plain."""
    config = configure(tmp_path)
    make_dicom(tmp_path / "mri" / "IM1", description="PROJ2", patient_id="S001")
    run_once(config, expected=0)
    assert 0 == told(capsys, config, "delete", "S001", "--reason", REASON)[0]
    log = (tmp_path / "watcher.jsonl").read_text()
    assert [] == [word for word in REASON.split() if word in log]
    lines = map(json.loads, log.splitlines())
    (line,) = [each for each in lines if each["event"] == "session.decided"]
    assert coder_of(load(str(config))).code(REASON) == line["reason"]
    _, (found,) = ask(capsys, config, "find", line["reason"])
    assert "decision" == found["kind"]
    assert REASON in found["where"]
    assert REASON in (tmp_path / "imaging" / "history" / "decisions.jsonl").read_text()


def test_why_the_program_stopped_is_no_secret(tmp_path):
    """A field of that name that nobody typed stays as it is."""
    config = configure(tmp_path)
    run_once(config, expected=0)
    last = json.loads((tmp_path / "watcher.jsonl").read_text().splitlines()[-1])
    assert ("daemon.stopped", "drained") == (last["event"], last["reason"])
