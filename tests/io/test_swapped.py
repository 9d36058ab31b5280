"""A folder or a file swapped for a link between any two steps leads nowhere (spec 13)."""

import os
import shutil
import time
from contextlib import suppress

import pytest
from flipping import flipped
from makers import make_dicom

from watcher.core.errors import ClashError, StorageError
from watcher.io import descent, files, returning, scan, sources
from watcher.io.ignore import Ignore
from watcher.io.reaching import MARKER
from watcher.io.reader import examine

SECONDS, LONGEST = 0.15, 240.0
LEAST = 20  # of each outcome: else the race was none
TIMES = 2000
SECRET = "TOPSECRET"


@pytest.fixture
def place(tmp_path):
    """A folder with a file, and one outside of it with a file of the same name, a secret."""
    for name, patient in (("drop/in", "OPEN"), ("outside", SECRET)):
        make_dicom(tmp_path / name / "a.dcm", patient_id=patient)
    (tmp_path / "incoming").mkdir()
    os.symlink(tmp_path / "outside", tmp_path / "link")
    os.symlink(tmp_path / "outside" / "a.dcm", tmp_path / "filelink")
    return tmp_path


def tried(step, is_taken=bool):
    """What the step gave, again and again, until both sides of the race were met often enough.

    Its own errors count as nothing.
    """
    found, taken = [], 0
    began = time.monotonic()
    while time.monotonic() < began + SECONDS or min(taken, len(found) - taken) < LEAST:
        assert time.monotonic() < began + LONGEST, (taken, len(found))
        result = None
        with suppress(StorageError, ClashError, OSError):
            result = step()
        found.append(result)
        taken += bool(is_taken(result))
    return found


FLIPS = {
    "folder": lambda place: (place / "drop" / "in", place / "link"),
    "file": lambda place: (place / "drop" / "in" / "a.dcm", place / "filelink"),
}


@pytest.mark.parametrize("what", FLIPS)
def test_no_reader_gets_there(place, what):
    """The copy in the store and the values of the header are never those of the secret file."""
    request = {
        "root": f"{place}/drop",
        "path": "in/a.dcm",
        "incoming": f"{place}/incoming",
        "name": "copy",
        "lease": "skip",
    }

    def ask():
        reply = examine(request)
        if "values" in reply:
            assert b"OPEN" in (place / "incoming" / "copy").read_bytes()
        return reply.get("values")

    with flipped(FLIPS[what](place)):
        found = tried(ask)
    assert {"OPEN"} == {values["00100020"] for values in found if values}


@pytest.mark.parametrize("what", FLIPS)
def test_no_look_gets_there(place, what):
    """A look and a stat give the file of the drop, or nothing of it; never the other inode."""
    secret = (place / "outside" / "a.dcm").stat().st_ino

    def inodes():
        seen = scan.look(f"{place}/drop", ignore=Ignore()).found
        seen += [each for each in descent.stat(f"{place}/drop", [b"in/a.dcm"]) if each]
        return {each.print.inode for each in seen if each.kind == "file"}

    with flipped(FLIPS[what](place)):
        found = tried(inodes)
    assert secret not in set().union(*filter(None, found))


@pytest.mark.parametrize("what", FLIPS)
def test_no_copy_or_link_gets_there(place, what):
    """What is copied or linked from a drop is the drop's own, or it is a link and no file."""

    def take():
        for way in (sources.copy_from, sources.link_from):
            target = f"{place}/incoming/{way.__name__}"
            with suppress(FileNotFoundError):
                os.unlink(target)
            with sources.parent_of_drop(f"{place}/drop", b"in/a.dcm") as (folder, name):
                way(folder, name, target)
            if not os.path.islink(target):
                with open(target, "rb") as file:
                    assert SECRET.encode() not in file.read()
        return True

    with flipped(FLIPS[what](place)):
        tried(take)


def test_nothing_is_removed_there(place):
    """Neither a file nor an empty folder behind the link, whatever they are called."""
    (place / "outside" / "bare").mkdir()
    secret = files.print_of(f"{place}/outside/a.dcm")
    with flipped(FLIPS["folder"](place)):
        for _ in range(TIMES):
            assert not sources.unlink_if(f"{place}/drop", b"in/a.dcm", secret)
            assert [] == descent.prune(f"{place}/drop", [b"in/bare"])
    assert ["a.dcm", "bare"] == sorted(os.listdir(place / "outside"))


def test_nothing_is_given_back_there(place):
    """A file that goes back into the drop lands in the drop, or nowhere."""
    (place / "store").mkdir()
    (place / "store" / "kept").write_bytes(b"bytes")

    def back():
        for folder in (place / "drop" / "in", place / "link"):
            with suppress(OSError):
                os.unlink(folder / "back") if not folder.is_symlink() else None
        returning.give_back(f"{place}/store/kept", f"{place}/drop", b"in/back")
        return True

    with flipped(FLIPS["folder"](place)):
        tried(back)
    assert ["a.dcm"] == os.listdir(place / "outside")


STORES = {
    "read": lambda path: SECRET.encode() in files.read(path),
    "digest": files.digest,
    "print": lambda path: (found := files.print_of(path)) and found.inode,
    "readable": lambda path: files.is_readable(path, os.path.getsize(path)) or None,
    "names": lambda path: files.names_in(os.path.dirname(path)),
    "walk": lambda path: tuple(files.walk(os.path.dirname(path))),
}


@pytest.mark.parametrize("how", STORES)
def test_no_store_is_left(place, how):
    """A folder of a store that is a link every other moment: nothing behind it is read."""
    (place / "drop" / MARKER).write_bytes(b"id")
    shutil.rmtree(place / "outside")
    make_dicom(place / "outside" / "a.dcm", patient_id=SECRET, rows=32)
    (place / "outside" / "b.dcm").write_bytes(b"another")
    path = f"{place}/drop/in/a.dcm"
    size = os.path.getsize(path)
    ways = {**STORES, "readable": lambda path: files.is_readable(path, 3 * size // 2) or True}
    mine = ways[how](path)
    with flipped(FLIPS["folder"](place)):
        found = tried(lambda: ways[how](path), lambda each: each == mine)
    assert set(found) <= {mine, None, frozenset(), ()}
