"""`watcher check` where a share does not answer: it says so, and does not wait with it."""

import json
import subprocess
import sys

import pytest
from faults.faultfs import Faulty
from imaging import configure, told
from world import own_host

pytestmark = pytest.mark.campaign

CHECK = """
import sys
from watcher import cli
from watcher.io import access
access.PATIENCE = 2.0
sys.exit(cli.call(["check", "--json", "--config", sys.argv[1]]))
"""
WHERE = {
    "the root": ('root = "{base}/imaging"', 'root = "{share}/imaging"\nstate = "{base}/state"'),
    "the prearchive": ('reserve = "1MiB"', 'reserve = "1MiB"\nprearchive = "{share}/pre"'),
    "all of it": ('root = "{base}/imaging"', 'root = "{share}/imaging"'),
}


@pytest.mark.parametrize(("said", "instead"), WHERE.values(), ids=WHERE)
def test_a_check_ends_where_stores_do_not_answer(tmp_path, capsys, said, instead):
    """Each store on the share is named with exit 10; whoever looks, root or the daemon's user."""
    with Faulty(tmp_path / "share", tmp_path / "behind") as share:
        config = configure(tmp_path)
        names = {"base": tmp_path, "share": share.point}
        text = config.read_text().replace(said.format(**names), instead.format(**names))
        config.write_text(text)
        run = told(capsys, config, "run", "--once")
        assert run[0] in {0, 2}, run  # no state on a share
        config.write_text(f'{text}[metrics]\nlisten = "{own_host()}:9182"\n')
        share.hang(["stat", "open", "readdir", "statfs"])
        command = [sys.executable, "-c", CHECK, str(config)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        share.rules()
    lines = json.loads(done.stdout)
    found = {line["of"] for line in lines if "did not answer" in line["text"]}
    shared = {"store prearchive"} if "pre" in instead else {"store archive", "store prearchive"}
    assert shared <= found
    assert {"store"} == {of.partition(" ")[0] for of in found}
    assert done.returncode in {2, 10}
    assert not [line for line in lines if line["of"] == "user"] or "pre" in instead
