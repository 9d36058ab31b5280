"""`deploy/procedures.md` as a text: every block is one that a test runs, and is a script."""

import os
import re
import subprocess

import pytest
from deploy.procedures import HERE, SETTINGS, blocks, with_values


def test_every_block_is_run():
    """No block of the page is without a test that names its heading."""
    tests = (HERE / "tests" / "deploy").glob("test_procedures_*.py")
    text = "".join(path.read_text() for path in tests if path.name != "test_procedures_page.py")
    assert [] == [each for each in blocks() if each != SETTINGS and f'"{each}"' not in text]


@pytest.mark.parametrize("heading", blocks())
def test_every_block_is_a_script(heading):
    """Bash reads it, and each variable in it is set there or at the beginning of the page."""
    block = blocks()[heading]
    plain = {**os.environ, "LC_ALL": "C"}  # bash complains of a language that is not there
    done = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True, env=plain)
    assert ("", 0) == (done.stderr, done.returncode)
    used = set(re.findall(r"\$\{?([A-Z_]+)", block))
    for name in used:
        assert re.search(rf"(^|[ ]){name}=", blocks()[SETTINGS] + block, re.MULTILINE), name


def test_a_value_is_put_in_for_one_that_is_there():
    """The test's values stand where the page's did; a name that the page lacks is a fault."""
    assert "A=x B='y z'\n" == with_values('A="1 2" B=$(echo 3)\n', {"A": "x", "B": "y z"})
    with pytest.raises(AssertionError, match="no C"):
        with_values("A=1", {"C": "2"})
