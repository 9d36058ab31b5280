"""What of deploy/senders/README.md anybody can type anywhere: copies, a medium and its list."""

import os
import re
import subprocess

import pytest
from makers import make_dicom
from media import medium
from world import World

from deploy.senders import SENDERS, blocks, known

PLAIN = {**os.environ, "LC_ALL": "C"}  # bash complains of a language that is not there


def typed(block, **variables):
    """A block typed by whoever runs the tests; its exit code, and what it printed."""
    own = {"GROUP": str(os.getgid())}  # which need not have a name
    done = subprocess.run(
        ["bash", "-euc", block],
        env={**PLAIN, **own, **{name: str(value) for name, value in variables.items()}},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.returncode, done.stdout


def study(folder, number):
    """Two files in a folder."""
    uid = f"1.2.8.{number}"
    for instance in (1, 2):
        values = {"series": f"{uid}.1", "sop": f"{uid}.1.{instance}", "instance": instance}
        more = {"StudyID": "1", "StudyTime": "0915", "patient_id": folder.name}
        make_dicom(folder / f"IM{instance}", study=uid, **values, **more)
    return folder


def disc_of(folder):
    """The same with a list of it."""
    uid = "1.2.8.3"
    listed = {f"{uid}.1.{instance}": f"IM{instance}" for instance in (1, 2)}
    study(folder, 3).joinpath("DICOMDIR").write_bytes(medium({uid: {f"{uid}.1": listed}}))
    return folder


def test_copies(tmp_path):
    """Copied, moved, and a medium that lacks a file: all that came is archived, once; the receipt
    tells what is missing, until it is copied.
    """
    world = World(tmp_path / "world")
    copied, moved = (study(tmp_path / name, n) for n, name in enumerate(("copied", "moved")))
    disc, away = disc_of(tmp_path / "disc"), tmp_path / "away"
    sent = sorted(known(path) for each in (copied, moved, disc) for path in each.glob("IM?"))
    (disc / "IM1").rename(away)
    copy, move = blocks("cp and mv")
    for block, source in ((copy, copied), (move, moved), (copy, disc)):
        said = typed(block, SOURCE=source, DROP=world.drop, NAME=source.name)
        assert (0, "") == said
    assert 0 == world.once()[0]
    receipts = world.drop / "RECEIPTS"
    lines = {each.stem: each.read_text().partition("\n")[0] for each in receipts.glob("*.txt")}
    done = "all here, nothing left to do"
    lacking = "1 file listed in DICOMDIR has not come: copy it"
    assert {"copied": done, "moved": done, "disc": lacking} == lines
    away.rename(disc / "IM1")
    assert (0, "") == typed(copy, SOURCE=disc, DROP=world.drop, NAME="again")
    assert 0 == world.once()[0]
    assert done == (receipts / "again.txt").read_text().partition("\n")[0]
    archive = world.root / "archive"
    assert sent == sorted(
        known(archive / "P1" / "arc001" / label / path) for label, path in world.archived()
    )
    assert ["again/DICOMDIR", "disc/DICOMDIR"] == world.left()


@pytest.mark.parametrize("name", ["README.md"])
def test_every_block_is_shell(name):
    """Every block is whole, and a file that one reads is shipped."""
    text = (SENDERS / name).read_text()
    for block in re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        done = subprocess.run(
            ["bash", "-n"], input=block, capture_output=True, text=True, env=PLAIN
        )
        assert (0, "") == (done.returncode, done.stderr)
    named = set(re.findall(r"deploy/senders/([\w.]+)", text))
    assert sorted(named) == sorted(each.name for each in SENDERS.iterdir() if each.name != name)
