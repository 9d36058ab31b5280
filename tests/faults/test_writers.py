"""Programs that write in every manner: nothing is filed before they are done, then all of it."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from faults import aftermath, scenes
from faults.flood import count
from faults.machine import needs
from faults.waiting import wait_until
from makers import make_dicom
from world import World, md5

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]
WRITER = Path(__file__).with_name("writer.py")
SIDE = 192  # pixels: more than a page of them, so that a file can have holes
NO_LEASE = ("setpriv", "--bounding-set=-lease", "--inh-caps=-lease")  # on files of others
SETTLE = "3s"  # a file with holes waits twelve of them: longer than any pause of a writer here
PATIENCE = 180.0  # seconds until something must have happened: machines are shared and slow
PAGE = 4096  # bytes; what a hole is made of


class Writer:
    """A process that writes a step at a time."""

    def __init__(self, owner=-1):
        self.process = subprocess.Popen(
            [sys.executable, str(WRITER), str(owner)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, verb, *arguments):
        words = [os.fspath(a) if isinstance(a, Path) else a for a in arguments]
        words = [a.hex() if isinstance(a, bytes) else a for a in words]
        self.process.stdin.write(json.dumps([verb, *words]) + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"

    def whole(self, path, data, flags="wb", at=None):
        """Open, write, close."""
        self("open", path, flags)
        self("write", path, data, at)
        self("close", path)

    def end(self):
        self.process.stdin.close()
        self.process.wait(PATIENCE)
        self.process.stdout.close()


@pytest.fixture
def writer():
    made = Writer()
    yield made
    made.end()


# -- manners: each a generator; where it yields, the writer pauses for longer than `settle` -------


def slowly(writer, path, data):
    """blocks, each synced, the file open"""
    writer("open", path, "wb")
    for at in range(0, len(data), len(data) // 3 + 1):
        writer("write", path, data[at : at + len(data) // 3 + 1])
        yield
    writer("close", path)


def keeping_it_open(writer, path, data):
    """Whole from the start, kept open, its last bytes changed in the end"""
    writer("open", path, "wb")
    writer("write", path, data[:-64] + bytes(range(64)))
    yield
    yield
    writer("write", path, data[-64:], len(data) - 64)
    writer("close", path)


def reopening(writer, path, data):
    """Closed after each block, opened again for the next"""
    writer.whole(path, data[:1000])
    yield
    writer.whole(path, data[1000:-1], "ab")
    yield
    writer.whole(path, data[-1:], "ab")


def mapping(writer, path, data):
    """Mapped into memory, the descriptor closed"""
    writer.whole(path, data[:-64] + bytes(range(64)))
    writer("open", path)
    writer("map", path)
    yield
    yield
    writer("poke", path, len(data) - 64, data[-64:])
    writer("close", path)


def laid_out_by_size(writer, path, data):
    """Its final size first (ftruncate), filled from the front, closed in between"""
    half = PAGE * (len(data) // PAGE // 2)
    writer("open", path, "wb")
    writer("size", path, len(data))
    writer("close", path)
    yield
    writer.whole(path, data[:half], "r+b", 0)
    yield
    writer.whole(path, data[half:], "r+b", half)


def laid_out_by_reserve(writer, path, data):
    """Its final size first (fallocate), filled from the front, closed in between"""
    half = PAGE * (len(data) // PAGE // 2)
    writer("open", path, "wb")
    writer("reserve", path, len(data))
    writer("close", path)
    yield
    writer.whole(path, data[:half], "r+b", 0)
    yield
    writer.whole(path, data[half:], "r+b", half)


def from_the_back(writer, path, data):
    """Its final size first, filled from the back"""
    half = PAGE * (len(data) // PAGE // 2)
    writer("open", path, "wb")
    writer("reserve", path, len(data))
    writer("write", path, data[half:], half)
    writer("close", path)
    yield
    writer.whole(path, data[PAGE:half], "r+b", PAGE)
    yield
    writer.whole(path, data[:PAGE], "r+b", 0)


def under_another_name(writer, path, data):
    """As x.part, then renamed"""
    writer.whole(path.with_name(f"{path.name}.part"), data)
    yield
    writer("rename", path.with_name(f"{path.name}.part"), path)


def under_a_dot_name(writer, path, data):
    """As .x, then renamed"""
    writer.whole(path.with_name(f".{path.name}"), data)
    yield
    writer("rename", path.with_name(f".{path.name}"), path)


def over_a_torn_one(writer, path, data):
    """Renamed over a torn one that waits"""
    writer.whole(path, data[:5000])
    yield
    writer.whole(path.with_name(f".{path.name}"), data)
    writer("rename", path.with_name(f".{path.name}"), path)


def empty_first(writer, path, data):
    """Empty first, then filled"""
    writer("open", path, "wb")
    writer("close", path)
    yield
    writer.whole(path, data)


def rewriting(writer, path, data):
    """whole, then cut to nothing and written anew in place"""
    writer("open", path, "wb")
    writer("write", path, data[:-64] + bytes(range(64)))
    yield
    writer("size", path, 0)
    writer("write", path, data[:100], 0)
    yield
    writer("write", path, data[100:])
    writer("close", path)


UNLEASED = [
    reopening,
    laid_out_by_size,
    laid_out_by_reserve,
    from_the_back,
    under_another_name,
    under_a_dot_name,
    over_a_torn_one,
    empty_first,
]
MANNERS = [*UNLEASED, slowly, keeping_it_open, mapping, rewriting]


def image(path, number, **values):
    """A whole image larger than many pages; gives its path."""
    return make_dicom(
        path, sop=f"1.2.3.7.{number}", instance=number, rows=SIDE, columns=SIDE, **values
    )


def content(folder, number):
    """The bytes of such an image."""
    path = Path(image(folder / f"{number}", number))
    try:
        return path.read_bytes()
    finally:
        path.unlink()


def filed(daemon):
    """The paths the log says are filed."""
    return [each["path"] for each in daemon.events if each["event"] == "file.filed"]


def drive(world, daemon, writer, manners, folder):
    """All at once, each in its manner: pauses end when a file that is whole has been filed.

    Gives the digest each file has in the end, by manner; and those that were filed too early.
    """
    plans = {each.__name__: content(folder, 1 + n) for n, each in enumerate(manners)}
    digests = {}
    under_way = {}
    for each in manners:
        path = world.drop / each.__name__
        under_way[each.__name__] = each(writer, path, plans[each.__name__])
    early, witness = set(), 0
    while under_way:
        for name in [name for name, steps in under_way.items() if next(steps, "done") == "done"]:
            del under_way[name]
        witness += 1
        image(world.drop / ".witness", 100 + witness)
        digests[f"witness{witness}"] = md5(world.drop / ".witness")
        os.rename(world.drop / ".witness", world.drop / f"witness{witness}")
        daemon.wait_for("file.filed", path=f"witness{witness}")
        early |= set(under_way) & {os.path.basename(path) for path in filed(daemon)}
    for name, data in plans.items():
        (folder / "final").write_bytes(data)
        digests[name] = md5(folder / "final")
    return digests, early


def judge(world, row, digests, manners, how=""):
    """Every file stands in the archive once, with the bytes it had in the end."""
    wait_until(lambda: not world.left() and len(world.archived()) >= len(digests))
    found = list(world.archived().values())
    for each in manners:
        count = found.count(digests[each.__name__])
        case = row("files written in every manner", f"{each.__doc__.lower()}{how}")
        case.ran(lost=int(count == 0), duplicated=max(0, count - 1), recovered=count == 1)
    assert sorted(digests.values()) == sorted(found)
    assert [] == world.uncatalogued()


@pytest.mark.campaign
def test_nothing_is_filed_before_its_writer_is_done(tmp_path, writer, row):
    """Each file is archived once with the bytes it had in the end, and not filed before that."""
    world = World(tmp_path, settle=SETTLE)
    with world.daemon() as daemon:
        digests, early = drive(world, daemon, writer, MANNERS, tmp_path)
        assert set() == early
        judge(world, row, digests, MANNERS)
        assert [] == [e for e in daemon.events if e["event"] == "file.quarantined"]
        assert (0, "") == (daemon.stop()[0], daemon.errors)


@pytest.mark.campaign
def test_where_no_lease_can_be_had_quiet_structure_and_holes_decide(tmp_path, row):
    """Files of another user: what was closed for longer than `settle` and is not whole waits."""
    needs("setpriv")
    world, writer = World(tmp_path, settle=SETTLE), Writer(owner=65534)
    try:
        with world.daemon(*NO_LEASE) as daemon:
            digests, early = drive(world, daemon, writer, UNLEASED, tmp_path)
            assert set() == early
            judge(world, row, digests, UNLEASED, "; no lease to be had")
    finally:
        writer.end()


def test_a_file_that_has_holes_for_good_is_filed_in_the_end(tmp_path):
    """A black image saved with holes waits twelve times `settle`, then it is taken as it is."""
    world = World(tmp_path, settle="100ms")
    path = Path(image(world.drop / "black", 1, PixelData=bytes(SIDE * SIDE * 2)))
    data = path.read_bytes()
    with path.open("r+b") as file:
        file.truncate(PAGE)
        file.truncate(len(data))
    assert (data, True) == (path.read_bytes(), path.stat().st_blocks * 512 < len(data))
    began = time.monotonic()
    code, events = world.once()
    assert (0, 1) == (code, sum(each["event"] == "file.filed" for each in events))
    assert time.monotonic() - began >= 1.2
    assert [] == world.left()


@pytest.mark.campaign
@pytest.mark.parametrize("when", [4070908800, 86400, 0, -86400])  # 2099, 1970, and before
def test_file_times_prove_nothing(tmp_path, when):
    """A file is filed whatever its modification time, which is kept."""
    world = World(tmp_path)
    path = image(world.drop / "a", 1)
    os.utime(path, (when, when))
    digest = md5(path)
    code, _ = world.once()
    (archived,) = (world.root / "archive").rglob("*.dcm")
    assert (0, digest, when) == (code, md5(archived), archived.stat().st_mtime)


def test_two_names_of_one_file_are_one_instance(tmp_path, row):
    """Hard link twins: one is filed, the other known as its duplicate; both names go."""
    world = World(tmp_path)
    path = image(world.drop / "a", 1)
    os.link(path, world.drop / "b")
    case, sent = row("hard link twins", "two names of one file in a drop"), [md5(path)]
    code, events = world.once()
    counts = [sum(e["event"] == word for e in events) for word in ("file.filed", "file.duplicate")]
    assert (0, [1, 1], []) == (code, counts, world.left())
    case.judge(sent, world.root, [world.drop], md5)


@pytest.mark.campaign
def test_a_stuck_file_is_said_once_each_way_and_holds_no_session(tmp_path, row):
    """`file.stuck` once; its session goes on meanwhile; `file.released` once it is whole."""
    case = row("a transfer that stopped", "a torn file, given whole after it was said to be stuck")
    world = World(tmp_path, settle="100ms", drop_lines=('stuck_after = "3s"',))
    torn, data = world.drop / "torn", content(tmp_path, 1)
    sent = [md5(image(world.drop / "good", 2))]
    torn.write_bytes(data[:-1])
    with world.daemon() as daemon:
        (stuck,) = daemon.wait_for("file.stuck")
        assert ("torn", "torn") == (stuck["path"], stuck["code"])
        daemon.wait_for("session.archived")
        assert [] == [e for e in daemon.events if e["event"] == "file.released"]
        torn.write_bytes(data)
        sent.append(hashlib.md5(data).hexdigest())
        daemon.wait_for("session.merged")
        words = [e["event"] for e in daemon.events if e["event"] in {"file.stuck", "file.released"}]
        assert ["file.stuck", "file.released"] == words
    case.judge(sent, world.root, [world.drop], md5)


# -- clocks -----------------------------------------------------------------------------------

FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"
JUMPS = ("+2d", "-1h", "+1h", "+0")


@pytest.mark.campaign
def test_a_clock_that_jumps_files_and_builds_nothing_early_or_never(tmp_path, writer, row):
    """The wall clock jumps while a file is torn and a session rests: no effect but on the times."""
    if not os.path.exists(FAKETIME):
        pytest.skip("not installed: libfaketime")
    case, clock = row("a clock that jumps", "2 days on, 1 hour back (libfaketime)"), tmp_path / "t"
    clock.write_text("+0")
    faked = {
        "LD_PRELOAD": FAKETIME,
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
    world = World(tmp_path / "w", settle="500ms", inactivity="3s")
    torn, data = world.drop / "torn", content(tmp_path, 1)
    writer.whole(torn, data[:-1])
    sent = []
    with world.daemon(**faked) as daemon:
        for number, jump in enumerate(JUMPS):
            sent.append(md5(image(tmp_path / "made", 10 + number)))  # before it is taken
            os.rename(tmp_path / "made", world.drop / f"{number}")
            daemon.wait_for("file.filed", path=f"{number}")
            clock.write_text(jump)
        assert "torn" not in filed(daemon)
        assert [] == [e for e in daemon.events if e["event"] in {"session.rebuilt", "file.stuck"}]
        writer.whole(torn, data[-1:], "ab")
        sent.append(hashlib.md5(data).hexdigest())
        daemon.wait_for("file.filed", path="torn")
        wait_until(lambda: len(world.archived()) == len(sent))
        wait_until(lambda: not count(world.root / "prearchive"))
    case.judge(sent, world.root, [world.drop], md5)


# -- growing after it was claimed ------------------------------------------------------------------

DRIVER = Path(__file__).with_name("trip_wire.py")
TREE = str(Path(__file__).parents[2])
MOMENTS = {
    "before it is read": "open store/prearchive",
    "before it is linked": "os.link store/prearchive",
    "before its source is removed": "os.rename drops/linked/a/.watcher-leaving-",
}


@contextmanager
def stopped_at(config, match):
    """`run --once` in a child, stopped before an effect; goes on and ends with the block."""
    driver = subprocess.Popen(
        [sys.executable, str(DRIVER)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=TREE,
        env=scenes.environment(PYTHONPATH=TREE),
    )
    job = {"config": config, "do": "run", "match": match, "signal": signal.SIGSTOP}
    driver.stdin.write(json.dumps(job) + "\n")
    driver.stdin.flush()
    child = []
    try:
        wait_until(lambda: is_stopped(driver.pid, child))
        yield
    finally:
        if child:
            os.kill(child[0], signal.SIGCONT)
        answer = json.loads(driver.stdout.readline())
        driver.stdin.close()
        driver.wait(PATIENCE)
        driver.stdout.close()
    assert answer["code"] in {0, 3}


def is_stopped(parent, found):
    """Whether the only child of a process is stopped; its pid goes to `found`."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    found[:] = [int(pid) for pid in children]
    return bool(found) and Path(f"/proc/{found[0]}/stat").read_text().rpartition(")")[2][1] == "T"


@pytest.mark.campaign
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("how", ["linked", "copied"])
def test_a_file_that_changes_after_it_was_claimed_is_not_lost(tmp_path, row, how, moment):
    """Rewritten in place between two steps: the last bytes are kept, and the stores stay true."""
    case = row("a file rewritten in place after it was claimed", f"{moment}; {how}")
    root = str(tmp_path)
    config = scenes.furnish(root, linked='project = "AUTO"')
    path = Path(scenes.put(root, "linked", "a/1", sop=1))
    if how == "copied":
        os.makedirs(tmp_path / "elsewhere")
        os.link(path, tmp_path / "elsewhere" / "1")
    data = path.read_bytes()
    last = data[:-16] + b"the last sixteen"
    with stopped_at(config, MOMENTS[moment]), path.open("r+b") as file:
        file.write(last)
    ended = hashlib.md5(last).hexdigest()
    once = [sys.executable, "-m", "watcher", "run", "--once", "--config", config]
    done = subprocess.run(once, capture_output=True, text=True, check=False, cwd=TREE)
    assert done.returncode in {0, 3}, done.stderr
    known = {hashlib.md5(data).hexdigest(), ended}
    kept = {md5(p) for p in Path(root, "store").rglob("*.dcm")}
    assert [] == aftermath.unfound(root) + aftermath.wrong_entries(root)
    case.ran(lost=int(ended not in kept | aftermath.dropped(root)), torn=len(kept - known))
