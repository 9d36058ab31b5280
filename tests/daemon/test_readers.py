"""Whoever reads the archive while sessions are merged into it never finds it broken (spec 11)."""

import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from lxml import etree
from quick import installation
from world import CAT, md5

from watcher.core.life import Event
from watcher.core.session import Status
from watcher.stages.archive import archive
from watcher.stages.rebuild import build

ROUNDS = 40
MERGES = [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 0)]  # added, same, replaced: see `put`


class Reader(threading.Thread):
    """Reads every catalog and every file listed, over and over, until it is told to stop."""

    def __init__(self, archive):
        super().__init__()
        self.archive = Path(archive)
        self.passes = self.read = self.missed = 0
        self.wrong = []
        self.passed = threading.Semaphore(0)  # released after each pass
        self._enough = threading.Event()

    def run(self):
        while not self._enough.is_set():
            self.look()
            self.passed.release()

    def look(self):
        """One pass: the session XMLs, the catalogs they name, the files those list."""
        for xml in sorted(self.archive.glob("*/arc001/*.xml")):
            for resource in etree.parse(str(xml)).iter("{*}file"):
                self._check(xml.with_suffix("") / resource.get("URI"))
        self.passes += 1

    def _check(self, catalog):
        listed = entries(catalog)
        for uri, digest in listed.items():
            self.read += 1
            if found(catalog.parent / uri) == digest:
                continue
            self.missed += 1
            if entries(catalog).get(uri) == digest:
                self.wrong.append((str(catalog), uri, digest))

    def stop(self):
        self._enough.set()
        self.join()


class Steps:
    """Has something done before each change of a directory, and so after the one before it."""

    CHANGES = frozenset({"os.link", "os.rename", "os.remove", "os.rmdir", "os.mkdir"})

    def __init__(self):
        self.done = 0
        self._act = None
        sys.addaudithook(self._audit)  # for good: Python has no way to take one out

    def _audit(self, name, _):
        if self._act and name in self.CHANGES:
            self.done += 1
            self._act()

    @contextmanager
    def before_each(self, act):
        self._act = act
        try:
            yield self
        finally:
            self._act = None


def entries(catalog):
    """What a catalog lists now: digests by URI."""
    root = etree.fromstring(catalog.read_bytes())
    return {each.get("URI"): each.get("digest") for each in root.iter(f"{CAT}entry")}


def found(path):
    """A file's digest, or None where it is not there."""
    try:
        return md5(path)
    except FileNotFoundError:
        return None


def put(bench, turn):
    """What comes in a round: a new file, one known, one that replaces, a taken number."""
    name, series = f"in{turn}", "1.2.3.1"
    before = turn - turn % 4
    match turn % 4:
        case 0:
            bench.put(name, turn)
        case 1:
            bench.put(name, before)
        case 2:
            bench.put(name, before, StudyTime=f"10{turn:02}00")
        case _:
            bench.put(name, turn, series=f"{series}.{turn}")
    return name


def merged(bench, name):
    (outcome,) = bench.file(name)
    build(bench.parts, outcome.session, Event.IDLE)
    return archive(bench.parts, outcome.session)


@pytest.fixture
def bench(tmp_path):
    """An archive of a few files whose project lets newcomers replace what is held."""
    with installation(tmp_path, extra="[projects.P1]\noverwrite = true") as made:
        made.put("first", 1000)
        merged(made, "first")
        yield made


def test_the_reader_finds_what_is_wrong(bench):
    """A listed file that is gone or changed, while its catalog stays, is found."""
    for turn in range(4):
        merged(bench, put(bench, turn))
    reader = Reader(bench.parts.storage.path("archive"))
    reader.look()
    assert [] == reader.wrong
    one, other, *_ = sorted(Path(bench.shelf()).rglob("*.dcm"))
    one.unlink()
    other.write_bytes(b"other")
    reader.look()
    assert 2 == len(reader.wrong)


def told(bench):
    """What each merge said it did."""
    said = bench.events("session.merged")
    return [(each["added"], each["same"], each["replaced"]) for each in said]


def test_right_between_any_two_steps(bench):
    """Whatever the merge has just done or is about to do: what is listed is there."""
    reader = Reader(bench.parts.storage.path("archive"))
    turns = [put(bench, turn) for turn in range(8)]
    with Steps().before_each(reader.look) as steps:
        for name in turns:
            merged(bench, name)
    assert [] == reader.wrong
    assert [*MERGES, *MERGES] == told(bench)
    assert steps.done == reader.passes > 8 * 8


@pytest.mark.timeout(900)
def test_never_wrong_beside_a_reader(bench):
    """Dozens of merges, a reader running all the while: never wrong, and all of it is there."""
    reader = Reader(bench.parts.storage.path("archive"))
    reader.start()
    try:
        for turn in range(ROUNDS):
            assert Status.ARCHIVED is merged(bench, put(bench, turn)).status
            assert reader.passed.acquire(timeout=180)  # one for each merge: never starved
    finally:
        reader.stop()
    assert [] == reader.wrong
    assert reader.passes >= ROUNDS
    assert MERGES * (ROUNDS // 4) == told(bench)
    scans = {path.name for path in (Path(bench.shelf()) / "SCANS").iterdir()}
    assert {"1", *(f"1-CT{n}" for n in range(1, ROUNDS // 4 + 1))} == scans
