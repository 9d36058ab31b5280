"""A drop of many files starves none of few (issue 5): ten are archived while the others come in."""

import json
import os
import sys
import time

import pytest
from lines import checked_lines
from makers import make_dicom
from world import World, until

pytestmark = pytest.mark.timeout(900)

DIGITS = "1000000"  # what makes each file another one
HELD = """
import os, sys, time
from watcher.cli import main
from watcher.stages.filing import Filer
few, filed, file = sys.argv[1], [], Filer.file

def held(*given):  # after the first batch none is filed before the few are there
    while len(filed) == 1 and not os.path.exists(few):
        time.sleep(0.01)
    filed.append(given)  # from then on, though their emptied folder goes again
    time.sleep(0.2)  # on a fast machine all were filed before the few have settled
    return file(*given)

Filer.file = held
sys.argv[1:] = sys.argv[5:]  # what stands after `python -m watcher`
main()
"""


class Sender:
    """Files of one study by the thousand, each a whole instance of its own."""

    def __init__(self, base, study):
        self.study = study
        path = make_dicom(
            base / f"template-{study}",
            study=study,
            series=f"{study}.1",
            sop=f"{study}.{DIGITS}",
            patient_id=f"S{study}".replace(".", "_"),
            rows=4,
            columns=4,
        )
        self._text = path.read_bytes()

    @property
    def label(self):
        """Its session."""
        return f"S{self.study}".replace(".", "_")

    def send(self, folder, number):
        """So many files into a folder, which appears with all of them in it."""
        hidden = folder.parent / f".{folder.name}.coming"
        hidden.mkdir(parents=True)
        for each in range(number):
            text = self._text.replace(DIGITS.encode(), b"%d" % (int(DIGITS) + each))
            (hidden / f"{each:06}").write_bytes(text)
        os.rename(hidden, folder)


def world_of(base, *, inactivity="500ms"):
    """A drop for many files, and one beside it for few."""
    beside = base / "beside"
    beside.mkdir(parents=True)
    extra = f"""
file = "{base}/log.jsonl"
[[drop]]
path = "{beside}"
name = "beside"
settle = "100ms"
inactivity = "{inactivity}"
rescan_interval = "1s"
project = "P1"
"""
    world = World(base, extra=extra, inactivity=inactivity)
    world.beside = beside
    return world


def held(world, few):
    """A daemon that files one batch, and no other until the few are there, however late we are."""
    return world.daemon(sys.executable, "-c", HELD, str(few))


def logged(world):
    """The lines so far, of the file: a slow reader of the other stream loses some."""
    return checked_lines((world.base / "log.jsonl").read_text())


def filed(lines):
    """The files filed, in that order: their drops and top-level folders."""
    found = [each for each in lines if each["event"] == "file.filed"]
    return [(each["drop"], each["path"].split("/")[0]) for each in found]


def until_archived(world, label):
    """The lines up to the one that tells of this session."""

    def asked():
        lines = logged(world)
        for place, each in enumerate(lines):
            if (each["event"], each.get("label")) == ("session.archived", label):
                return lines[:place]
        return []

    return until(asked, bool, world.patience, 1.0)


def raced(world, many, few, where):
    """Many files are under way when ten come to `where`; gives what became of both, measured."""
    began = time.monotonic()
    with held(world, where) as daemon:
        many.send(world.drop / "many", world.number)
        daemon.wait_for("file.filed", drop="mri")
        sent = time.monotonic()
        few.send(where, 10)
        meanwhile = filed(until_archived(world, few.label)).count(("mri", "many"))
        there = time.monotonic()
        everything = filed(until_archived(world, many.label)).count(("mri", "many"))
        print(
            json.dumps(
                {
                    "fairness": where.parent.name,
                    "files": world.number,
                    "ten_archived_after": round(there - sent, 2),
                    "filed_meanwhile": meanwhile,
                    "all_archived_after": round(time.monotonic() - began, 2),
                }
            )
        )
        assert (0, "") == (daemon.stop()[0], daemon.errors)
    return meanwhile, everything


@pytest.fixture
def made(tmp_path):
    """The world, and the senders of many files and of few."""
    return world_of(tmp_path), Sender(tmp_path, "1.2.3"), Sender(tmp_path, "1.2.4")


def test_few_are_filed_among_the_first(made):
    """Ten of another drop, that come in the midst of four thousand, wait for a few batches only.

    A few: those read and filed at that moment. (In one drop: core.line, and test_giving_way.)
    """
    world, many, few = made
    many.send(world.drop / "many", 4000)
    with held(world, world.beside / "few") as daemon:
        daemon.wait_for("file.filed")
        few.send(world.beside / "few", 10)
        wanted = ("beside", "few")
        until(lambda: filed(logged(world)).count(wanted), lambda found: found == 10, pause=0.2)
        assert 0 == daemon.stop()[0]
    last = max(place for place, each in enumerate(filed(logged(world))) if each == wanted)
    assert last < 3000


@pytest.mark.campaign
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("where", ["beside", "drop"])
def test_ten_beside_twenty_thousand(made, where):
    """Ten files that come while 20 000 come in are archived before these are filed (issue 5)."""
    world, many, few = made
    world.number, world.patience = 20_000, 900
    meanwhile, everything = raced(world, many, few, getattr(world, where) / "few")
    assert 20_000 == everything
    assert meanwhile < 20_000
    assert 20_010 == len(world.archived())
