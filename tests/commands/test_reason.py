"""What a person types as a reason may be anything: the coded log does not tell it."""

import json

from imaging import ask, configure, run_once, told
from makers import make_dicom

from watcher.assembly import coder_of
from watcher.settings import load

REASON = "Zoe Planted withdrew"


def test_a_reason_is_coded_as_a_whole(tmp_path, capsys):
    """No word of it is in the log; `find` turns it back; history keeps it plain.

    A field of that name that nobody typed stays as it is: why a run ended.
    """
    config = configure(tmp_path)
    make_dicom(tmp_path / "mri" / "IM1", description="PROJ2", patient_id="S001")
    run_once(config, expected=0)
    assert 0 == told(capsys, config, "delete", "S001", "--reason", REASON)[0]
    log = (tmp_path / "watcher.jsonl").read_text()
    assert [] == [word for word in REASON.split() if word in log]
    lines = {each["event"]: each for each in map(json.loads, log.splitlines())}
    line = lines["session.decided"]
    assert coder_of(load(str(config))).code(REASON) == line["reason"]
    _, (found,) = ask(capsys, config, "find", line["reason"])
    assert "decision" == found["kind"]
    assert REASON in found["where"]
    assert REASON in (tmp_path / "imaging" / "history" / "decisions.jsonl").read_text()
    assert "drained" == lines["daemon.stopped"]["reason"]
