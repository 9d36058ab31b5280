"""Hostile input in a drop: whatever lies there, the good file beside it is archived, and no more.

Bounds of memory: tests/watched.py.
"""

import os
import re
import shutil
import socket
import stat
from contextlib import closing

import hostile
import pytest
from flipping import flipped
from makers import make_dicom
from watched import DAEMON, READER, peaks
from world import World, md5

pytestmark = pytest.mark.faults
SECRET = "TOPSECRET"
PATIENCE = 300.0  # seconds


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


@pytest.fixture
def outside(tmp_path):
    """A folder of somebody else's, with a DICOM file that nobody may file."""
    make_dicom(tmp_path / "outside" / "secret.dcm", patient_id=SECRET, sop="1.9.9", study="1.9")
    return tmp_path / "outside"


def good(world, name="good.dcm", **values):
    """A file that is to be archived; gives its digest. It is whole when it takes its name."""
    path = make_dicom(world.base / "made", **values)
    digest = md5(path)  # before a daemon has taken it
    (world.drop / name).parent.mkdir(parents=True, exist_ok=True)
    os.rename(path, world.drop / name)
    return digest


def judged(row, world, *sent):
    """What was sent is archived once and whole, nothing else is; no link is in a store."""
    row.judge(sent, world.root, [world.drop], md5)
    below = [path for path in world.root.rglob("*") if not path.is_dir()]
    assert [] == [path for path in below if not stat.S_ISREG(path.lstat().st_mode)]


def told(world, events):
    """Everything that was said or written, as one text."""
    texts = [path.read_bytes() for path in world.root.rglob("*") if path.is_file()]
    return b"".join(texts) + repr(events).encode()


# -- what is no file -------------------------------------------------------------------------------


def strew(world, outside):
    """Links, FIFOs, sockets, and devices where root makes them; gives the names that stay."""
    drop = world.drop
    (drop / "to-file.dcm").symlink_to(outside / "secret.dcm")
    (drop / "to-folder").symlink_to(outside)
    (drop / "dangling.dcm").symlink_to(outside / "none")
    (drop / "loop").symlink_to(drop)
    (drop / "itself").symlink_to(drop / "itself")
    os.mkfifo(drop / "fifo.dcm")
    with closing(socket.socket(socket.AF_UNIX)) as server:
        server.bind(str(drop / "socket.dcm"))
    if os.geteuid() == 0:
        os.mknod(drop / "zero.dcm", stat.S_IFCHR | 0o666, os.makedev(1, 5))
        os.mknod(drop / "disk.dcm", stat.S_IFBLK | 0o666, os.makedev(7, 0))
    return sorted(os.listdir(drop))


@pytest.mark.timeout(300)
def test_what_is_no_file_stays_and_is_said_once(world, outside, row):
    """Neither read nor removed, and the good file beside it is archived."""
    left = strew(world, outside)
    sent = good(world)
    _, events = world.once()
    assert left == sorted({*os.listdir(world.drop)} - {"RECEIPTS"})
    waits = [e["path"] for e in events if e["event"] == "file.waiting" and e["level"] == "info"]
    assert [name for name in left if not (world.drop / name).is_dir()] == sorted(
        name for name in waits if not (world.drop / name).is_dir()
    )
    assert len(waits) == len(set(waits))
    assert SECRET.encode() not in told(world, events)
    judged(row("what is no file in a drop", "links, loops, FIFO, socket, devices"), world, sent)


def test_a_file_with_another_name_outside_is_copied(world, outside, row):
    """What is filed shares no inode with a file that somebody else can write to."""
    kept = md5(make_dicom(outside / "shared.dcm", sop="1.2.3.1.2", instance=2))
    os.link(outside / "shared.dcm", world.drop / "shared.dcm")
    sent = good(world)
    world.once()
    (outside / "shared.dcm").chmod(0o666)
    (filed,) = (p for p in world.root.rglob("*.dcm") if md5(p) == kept)
    assert filed.stat().st_ino != (outside / "shared.dcm").stat().st_ino
    assert (kept, 1) == (md5(outside / "shared.dcm"), (outside / "shared.dcm").stat().st_nlink)
    judged(row("a hard link to a file outside", "os.link into the drop"), world, sent, kept)


# -- what a tag says -------------------------------------------------------------------------------

NAMES = {
    "up": "../../../../tmp/escaped",
    "absolute": "/etc/passwd",
    "dots": "..",
    "dot": ".",
    "hidden": ".bashrc",
    "dash": "-rf",
    "device": "CON",
    "long": "A" * 300,
    "emoji": "\U0001f600\U0001f4a9" * 20,
    "right to left": "\u202egnp.exe\u202c \u05d0\u05d1",
    "NUL": "a\0b/../c",
    "newline": 'a\nb\r\n{"event": "forged"}',
    "escape": "\x1b[2J\x1b]0;owned\x07",
    "slashes": "a//b\\..\\c",
    "template": "{PatientID}%s%n${jndi:ldap://x}",
    "markup": "]]>&lol;<!DOCTYPE a><x y='\"",
    "store": ".watcher-store",
}
WHERE = ("PatientName", "PatientID", "StudyDescription", "SeriesDescription", "AccessionNumber")


def values_with(text, number):
    """Every attribute that reaches a path, with this text."""
    said = f"Project: {text} Subject: {text}\nSession: {text}"
    return {
        **dict.fromkeys(WHERE[2:], text),
        "patient_name": text,
        "patient_id": text,
        "comments": said,
        "number": None,
        "SpecificCharacterSet": "ISO_IR 192",
        "sop": f"1.2.3.1.{number}",
        "study": f"1.2.3.{number}",
        "series": f"1.2.3.{number}.1",
    }


CONFIGURATIONS = {
    "chain": {},
    "templates": {
        "project": None,
        "extra": '[projects.P1]\n[identify]\nsubject = ["{PatientName}"]\n'
        'session = ["{StudyDescription}_{AccessionNumber}", "{PatientID}"]\n'
        'project = ["(0010,0010):(.*)"]',
    },
    "layout": {"project": "P1", "drop_lines": ['layout = "{subject}/{session}"']},
}


@pytest.mark.campaign
@pytest.mark.timeout(300)
@pytest.mark.parametrize("how", CONFIGURATIONS)
def test_no_tag_leads_anywhere(tmp_path, how, row):
    """Whatever a tag says, its file lies in the stores, under labels of letters, once."""
    world = World(tmp_path / "w", **CONFIGURATIONS[how])
    before = sorted(os.listdir(tmp_path))
    sent = []
    for number, (what, text) in enumerate(NAMES.items(), 1):
        folder = (
            f"{what}/ {text[:60]}/".translate({ord("/"): "_", 0: "_"}) if how == "layout" else "."
        )
        name = f"{what}/{folder}/{number}.dcm"
        sent.append(good(world, name, **values_with(text, number)))
    _, events = world.once()
    labels = {each["label"] for each in world.sessions.values()}
    kept = {md5(path) for path in world.root.rglob("*.dcm")}
    assert (set(sent), before) == (kept, sorted(os.listdir(tmp_path)))
    assert [] == [each for each in labels if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", each)]
    assert not any(each["event"] == "forged" for each in events)
    row("names in tags that lead out of a store", f"17 texts, {how}").ran(
        lost=len(set(sent) - kept), torn=len(kept - set(sent))
    )


BAD_UIDS = ("../../x", "1.2/../../y", "1.2\\1.3", "", "1" * 65, "-1.2", "1..2/.")


def test_no_uid_leads_anywhere(world, row):
    """A UID that is none sends its file to quarantine, whole; the good one is archived."""
    bad = []
    for number, uid in enumerate(BAD_UIDS):
        for which in ("study", "series", "sop"):
            name = f"{which}{number}.dcm"
            values = {
                "sop": f"1.2.3.1.{number + 10}",
                "instance": number,
                "PixelData": bytes(512),
                which: uid,
            }
            bad.append(good(world, name, **values))
    sent = good(world, "good.dcm")
    _, events = world.once()
    aside = [e["code"] for e in events if e["event"] == "file.quarantined"]
    kept = {md5(path) for path in (world.root / "quarantine").rglob("*.dcm")}
    assert (set(bad), {"bad-uid", "missing-uid"}) == (kept, set(aside))
    judged(row("UIDs that are paths", "7 texts in 3 attributes"), world, sent)


# -- what bursts, hangs or recurses ----------------------------------------------------------------

SMALL = {
    "empty items": lambda path, **v: hostile.items(path, 300_000, **v),
    "deep": lambda path, **v: hostile.nested(path, 5_000, **v),
    "4 GiB": lambda path, **v: hostile.claims(path, (1 << 32) - 2, **v),
}
LARGE = {
    **SMALL,
    "bomb": lambda path, **v: hostile.bomb(path, 3 << 30, **v),
    "empty items": hostile.items,
    "deep": hostile.nested,
    "deep, with lengths": lambda path, **v: hostile.nested(path, 3_000, defined=True, **v),
    "2 GiB": lambda path, **v: hostile.claims(path, (1 << 31) - 1, **v),
    "many values": hostile.long_values,
    "many elements": hostile.many,
}


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "files", [SMALL, pytest.param(LARGE, marks=pytest.mark.campaign)], ids=["small", "large"]
)
def test_files_that_burst_their_reader(tmp_path, files, row):
    """Refused or filed, each within bounds; the good file is archived meanwhile."""
    world = World(tmp_path / "w", drop_lines=['stuck_after = "2s"'])
    with world.daemon() as daemon, peaks(daemon.process.pid) as peak:
        for number, (what, make) in enumerate(files.items()):
            make(tmp_path / what, sop=f"1.2.4.{number}", study="1.2.4", patient_id="BAD")
            os.rename(tmp_path / what, world.drop / f"{number}.dcm")
        sent = good(world)
        daemon.wait_for("session.archived", label="P1", timeout=PATIENCE)
        ended = ("file.quarantined", "file.filed", "file.stuck")
        daemon.wait_until(
            lambda: sum(e["event"] in ended for e in [*daemon.events]) >= len(files) + 1,
            timeout=PATIENCE,
        )
        said = {e["code"] for e in daemon.events if e["event"] == "file.quarantined"}
    assert (peak["daemon"] < DAEMON, peak["reader"] < READER) == (True, True), peak
    assert "crashed-reader" not in said
    kept = {md5(path) for path in (world.root / "archive").rglob("*.dcm")}
    row("files that burst their reader", ", ".join(files)).ran(recovered=sent in kept)


# -- what is something else the next moment --------------------------------------------------------


@pytest.mark.campaign
@pytest.mark.timeout(900)
def test_names_that_are_swapped_for_links(tmp_path, outside, row):
    """Files and folders that are links every other moment: no byte of what they lead to gets in."""
    world = World(tmp_path / "w", settle="10ms", drop_lines=['stuck_after = "1h"'])
    shutil.copy(outside / "secret.dcm", outside / "a.dcm")
    own, pairs = [], []
    for number in range(20):
        sop = {"sop": f"1.2.3.1.{number}", "instance": number}
        own.append(good(world, f"file{number}.dcm", **sop))
        (tmp_path / f"link{number}").symlink_to(outside / "secret.dcm")
        pairs.append((world.drop / f"file{number}.dcm", tmp_path / f"link{number}"))
    for number in range(20, 40):
        sop = {"sop": f"1.2.3.1.{number}", "instance": number}
        own.append(good(world, f"folder{number}/a.dcm", **sop))
        (tmp_path / f"link{number}").symlink_to(outside)
        pairs.append((world.drop / f"folder{number}", tmp_path / f"link{number}"))
    before = {path.name: path.stat() for path in outside.iterdir()}
    with world.daemon() as daemon, flipped(*pairs):
        sent = good(world, "good.dcm", sop="1.3.1", study="1.3", patient_id="GOOD")
        daemon.wait_for("file.filed", count=3, timeout=PATIENCE)
        daemon.wait_for("session.archived", label="GOOD", timeout=PATIENCE)
    after = {path.name: path.stat() for path in outside.iterdir()}
    everything = told(world, daemon.events)
    assert SECRET.encode() not in everything
    assert {n: (s.st_ino, s.st_nlink) for n, s in before.items()} == {
        n: (s.st_ino, s.st_nlink) for n, s in after.items()
    }
    stores = {md5(path) for path in world.root.rglob("*.dcm") if not path.is_symlink()}
    lying = {md5(p) for p in [*tmp_path.rglob("*.dcm"), *tmp_path.glob("link*/*")] if p.is_file()}
    lying |= {md5(p) for p in tmp_path.glob("link*") if p.is_file()}
    row("names swapped for links between look and open", "renameat2, thousands a second").ran(
        lost=len({*own, sent} - stores - lying), torn=len(stores - {*own, sent})
    )
