"""A drop of many files starves none of few (issue 5): ten are archived while the others come in."""

import json
import os
import time

import pytest
from makers import make_dicom
from world import World

DIGITS = "1000000"  # what makes each file another one


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


def at(daemon, event, **fields):
    """The places in the log of these lines."""
    return [
        place
        for place, each in enumerate(list(daemon.events))
        if each["event"] == event and fields.items() <= each.items()
    ]


def raced(world, daemon, many, few, where):
    """Many files are under way when ten come to `where`; gives what became of both, measured."""
    began = time.monotonic()
    many.send(world.drop / "many", world.number)
    daemon.wait_for("file.filed", timeout=90, drop="mri")
    sent = time.monotonic()
    few.send(where, 10)
    daemon.wait_for("session.archived", timeout=world.patience, label=few.label)
    there = time.monotonic()
    filed = at(daemon, "file.filed", drop="mri")
    daemon.wait_for("session.archived", timeout=world.patience, label=many.label)
    all_filed = at(daemon, "file.filed", drop="mri")
    print(
        json.dumps(
            {
                "fairness": where.parent.name,
                "files": world.number,
                "ten_archived_after": round(there - sent, 2),
                "filed_meanwhile": len(filed),
                "all_archived_after": round(time.monotonic() - began, 2),
            }
        )
    )
    return len(filed), len(all_filed)


def tops(daemon):
    """The top-level folders of the files, in the order in which they were filed."""
    filed = [each["path"] for each in list(daemon.events) if each["event"] == "file.filed"]
    return [path.split("/")[0] for path in filed]


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
    with world.daemon() as daemon:
        daemon.wait_for("file.filed", timeout=90)
        few.send(world.beside / "few", 10)
        daemon.wait_for("session.opened", timeout=90, label=few.label)
        daemon.wait_until(lambda: 10 == tops(daemon).count("few"), timeout=90)
        assert 0 == daemon.stop()[0]
    last = max(place for place, top in enumerate(tops(daemon)) if top == "few")
    assert last < 3000


@pytest.mark.campaign
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("where", ["beside", "drop"])
def test_ten_beside_twenty_thousand(made, where):
    """Ten files that come while 20 000 come in are archived before these are filed (issue 5)."""
    world, many, few = made
    world.number, world.patience = 20_000, 900
    with world.daemon() as daemon:
        meanwhile, filed = raced(world, daemon, many, few, getattr(world, where) / "few")
        assert (0, "") == (daemon.stop()[0], daemon.errors)
    assert 20_000 <= filed
    assert meanwhile < 20_000
    assert 20_010 == len(world.archived())
