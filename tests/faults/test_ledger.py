"""The ledger is an index: lost, torn, foreign or too old, it is made anew, and nothing is lost."""

import contextlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from faults import aftermath, scenes
from lines import checked_lines
from world import World

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]
TREE = str(Path(__file__).parents[2])
DRIVER = Path(__file__).with_name("trip_wire.py")
LAST_SWAP = "os.rename store/archive/AUTO/arc001/P1.xml"
OTHER = {"study": "1.2.8", "patient_id": "P8", "number": 1}


def run(config, *words):
    """A command line in a process of its own: its code, the lines of its log, its errors."""
    done = subprocess.run(
        [sys.executable, "-m", "watcher", *words, "--config", config],
        capture_output=True,
        text=True,
        cwd=TREE,
        env=scenes.environment(),
    )
    checked_lines(done.stderr)
    return done.returncode, checked_lines(done.stdout), done.stderr


def once(config):
    code, lines, errors = run(config, "run", "--once")
    assert code in {0, 3}, errors
    return code, lines


def drain(root, config):
    """Runs until nothing is left to be taken: a slow machine may want more than one."""
    while any(path.is_file() for path in (root / "drops/linked").rglob("*")):
        once(config)


def half_done(config):
    """A run killed before the last swap of an archiving: nothing of SQLite is folded in."""
    job = {"config": config, "do": "run", "match": LAST_SWAP}
    done = subprocess.run(
        [sys.executable, str(DRIVER)],
        input=json.dumps(job) + "\n",
        capture_output=True,
        text=True,
        cwd=TREE,
        env=scenes.environment(PYTHONPATH=TREE),
    )
    assert -signal.SIGKILL == json.loads(done.stdout)["code"]


@pytest.fixture(scope="module")
def beginning(tmp_path_factory):
    """Sessions READY, in CONFLICT with a decision, Unassigned, ARCHIVING half done, and kept ones.

    `early.sqlite` is the ledger as it was when half of it had come.
    """
    root = tmp_path_factory.mktemp("ledger") / "beginning"
    held = 'project = "HELD"'
    config = scenes.furnish(
        root, linked='project = "AUTO"', held=held, kept=f'{held}\nafter = "keep"', nobody=""
    )
    for number in (1, 2, 3):
        scenes.put(root, "held", f"h/{number}", sop=number, study="1.2.4", patient_id="P4")
        scenes.put(root, "kept", f"k/{number}", sop=number, study="1.2.5", patient_id="P5")
    scenes.put(root, "nobody", "n/1", sop=1, study="1.2.6", patient_id="P6")
    scenes.put(root, "linked", "o/1", sop=1, series="81", **OTHER)
    drain(root, config)
    scenes.put(root, "linked", "o/1", sop=1, series="81", ImageComments="another", **OTHER)
    scenes.put(root, "linked", "o/2", sop=2, series="82", **OTHER)
    drain(root, config)
    shutil.copy2(root / "store/state/ledger.sqlite", root / "early.sqlite")
    done = World.json(_world(config), "sessions", "--status", "CONFLICT", "--project", "AUTO")[0]
    code, _, errors = run(config, "relabel", done[0]["id"], "--subject", "P8B", "--reason", "typo")
    assert 3 == code, errors
    for number in (4, 5):
        scenes.put(root, "held", f"h/{number}", sop=number, study="1.2.4", patient_id="P4")
    scenes.put(root, "linked", "a/1", sop=1)
    scenes.put(root, "linked", "a/2", sop=2, series="2")
    half_done(config)
    assert os.path.getsize(root / "store/state/ledger.sqlite-wal")
    return root


def _world(config):
    world = World.__new__(World)
    world.config = config
    return world


@pytest.fixture(scope="module")
def undisturbed(beginning, tmp_path_factory):
    """How it ends with the ledger as it is: code, and all that the stores hold."""
    root = tmp_path_factory.mktemp("undisturbed") / "it"
    code, lines = once(scenes.copied(beginning, root))
    assert [] == rebuilt(lines)
    return code, picture(root)


def picture(root):
    """All the stores hold, and how the sessions stand; but for where in the drop a file lay."""
    with contextlib.closing(sqlite3.connect(root / "store/state/ledger.sqlite")) as tx, tx:
        rows = tx.execute("select status, project, label, subject from session").fetchall()
        files = tx.execute("select scan, folder, name, digest, in_hand from instance").fetchall()
    tx.close()
    open_ones = [row for row in rows if row[0] not in {"ARCHIVED", "DELETED"}]
    return aftermath.picture(root, ledger=False), sorted(open_ones, key=str), sorted(files)


def rebuilt(lines):
    return [line for line in lines if line.get("outcome") == "rebuilt"]


def deleted(state, _early):
    for path in state.glob("ledger.sqlite*"):
        path.unlink()


def only_deleted(state, _early):
    (state / "ledger.sqlite").unlink()


def emptied(state, _early):
    os.truncate(state / "ledger.sqlite", 0)


def cut(state, _early):
    fold(state)
    os.truncate(state / "ledger.sqlite", os.path.getsize(state / "ledger.sqlite") // 2 + 100)


def zeroed(state, _early):
    for path in state.glob("ledger.sqlite*"):
        path.write_bytes(bytes(path.stat().st_size))


def scrambled(state, _early):
    """Blocks of noise over the pages of the file, as a dying disk leaves them."""
    fold(state)
    noise(state / "ledger.sqlite", random.Random(5), 12)


def no_database(state, _early):
    (state / "ledger.sqlite").write_text("this was never a database\n" * 200)


def scrambled_log(state, _early):
    noise(state / "ledger.sqlite-wal", random.Random(6), 6)


def cut_log(state, _early):
    os.truncate(state / "ledger.sqlite-wal", 5000)


def no_log(state, _early):
    (state / "ledger.sqlite-wal").unlink()


def older(state, early):
    deleted(state, early)
    shutil.copy2(early, state / "ledger.sqlite")


def foreign(state, early):
    """That of another installation, which is whole and knows other sessions."""
    deleted(state, early)
    other = state.parent.parent.parent / "other"
    other.mkdir()
    config = scenes.furnish(other, held='project = "HELD"')
    scenes.put(other, "held", "x/1", sop=1, study="1.9.9", patient_id="X9")
    assert 0 == once(config)[0]
    shutil.copy2(other / "store/state/ledger.sqlite", state / "ledger.sqlite")


DAMAGES = {
    each.__name__: each
    for each in (
        deleted,
        only_deleted,
        emptied,
        cut,
        zeroed,
        scrambled,
        no_database,
        scrambled_log,
        cut_log,
        no_log,
        older,
        foreign,
    )
}


def fold(state):
    """The log folded into the file, as a clean end leaves it."""
    with contextlib.closing(sqlite3.connect(state / "ledger.sqlite")) as tx, tx:
        tx.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    tx.close()


def noise(path, chance, blocks, length=700):
    with path.open("r+b") as file:
        size = path.stat().st_size
        for _ in range(blocks):
            file.seek(chance.randrange(0, max(1, size - length)))
            file.write(chance.randbytes(length))


def is_dicom(path):
    return path.is_file() and path.read_bytes()[128:132] == b"DICM"


@pytest.mark.campaign
@pytest.mark.parametrize("name", list(DAMAGES))
def test_a_bad_ledger_is_set_aside_said_once_and_made_anew(
    name, beginning, undisturbed, tmp_path, row
):
    """Whatever became of the ledger, the next run ends as the undisturbed one, and says it once."""
    root = tmp_path / "it"
    config = scenes.copied(beginning, root)
    state = root / "store/state"
    DAMAGES[name](state, root / "early.sqlite")
    bad = {p.read_bytes() for p in state.glob("ledger.sqlite") if p.stat().st_size}
    inputs = {aftermath.md5(path) for path in root.rglob("*") if is_dicom(path)}
    code, lines = once(config)
    told = len(rebuilt(lines))
    assert told == 1 or (told == 0 and name.endswith("_log")), lines
    assert (bad if told else set()) <= {
        path.read_bytes() for path in state.glob("ledger.aside-*.sqlite")
    }
    assert undisturbed == (code, picture(root))
    assert [] == aftermath.unfound(root)
    again, lines = once(config)
    assert (code, []) == (again, rebuilt(lines))
    row("ledger " + name.replace("_", " "), "between two runs, sessions open").ran(
        lost=len(aftermath.lost(root, inputs)), torn=len(aftermath.wrong_entries(root))
    )


READING = [("status",), ("sessions",), ("show", "P1"), ("find", "P1")]


@pytest.mark.parametrize(
    "name", ["no_database", pytest.param("scrambled", marks=pytest.mark.campaign)]
)
def test_a_command_on_a_bad_ledger_says_one_line(name, tmp_path):
    """A damaged ledger: exit 1 and one line that says what to do; none at all: 10. No traceback."""
    world = World(tmp_path)
    scenes.put(tmp_path, "", "a", sop=1)
    os.rename(tmp_path / "drops/a", world.drop / "a")
    assert 0 == world.once()[0]
    DAMAGES[name](world.root / "state", "")
    if name == "scrambled":
        os.truncate(world.root / "state/ledger.sqlite", 8000)
    for words in READING:
        code, _ = world.watcher(*words)
        assert (1, 1) == (code, len(world.errors.splitlines())), (words, world.errors)
        assert "watcher run" in world.errors
    lines, code = world.json("check")  # the doctor says it among the rest: a start mends it
    (ledger,) = [x for x in lines if x["of"] == "store state" and x["severity"] != "ok"]
    assert (0, "warning") == (code, ledger["severity"])
    assert "watcher run" in ledger["command"]
    deleted(world.root / "state", "")
    code, _ = world.watcher("sessions")
    assert (10, 1) == (code, len(world.errors.splitlines())), world.errors
    assert not (world.root / "state/ledger.sqlite").exists(), "a command makes none"
    assert 0 == world.once()[0]
    assert 1 == len(world.archived())


def while_deleted(state):
    deleted(state, "")


def while_replaced(state):
    """By another file of that name, as a restored backup: the daemon still has the old one open."""
    copy = state / "copy"
    shutil.copy2(state / "ledger.sqlite", copy)
    os.rename(copy, state / "ledger.sqlite")


def while_emptied(state):
    os.truncate(state / "ledger.sqlite", 0)


def while_log_deleted(state):
    (state / "ledger.sqlite-wal").unlink()


def while_scrambled(state):
    """Every page but the first, and the log: what the daemon asks next it can't be told."""
    for name in ("ledger.sqlite", "ledger.sqlite-wal"):
        size = (state / name).stat().st_size
        with (state / name).open("r+b") as file:
            file.seek(min(4096, size))
            file.write(random.Random(7).randbytes(max(0, size - 4096)))


MEANWHILE = [while_deleted, while_replaced, while_emptied, while_log_deleted, while_scrambled]


@pytest.mark.parametrize(
    "harm",
    [
        harm if harm is while_deleted else pytest.param(harm, marks=pytest.mark.campaign)
        for harm in MEANWHILE
    ],
)
def test_a_ledger_lost_under_a_running_daemon_is_made_anew(harm, tmp_path, row):
    """The daemon notices by itself, makes another from the stores, and files all that comes."""
    world = World(tmp_path, inactivity="2s", extra="[projects.P2]\nauto_archive = false")
    (tmp_path / "drops").mkdir()
    sent = [_drop(world, number) for number in (1, 2, 3)]
    with world.daemon() as daemon:
        daemon.wait_for("file.filed", 3)
        harm(world.root / "state")
        sent += [_drop(world, number) for number in (4, 5, 6)]
        daemon.wait_for("daemon.recovered", outcome="rebuilt")
        daemon.wait_for("daemon.ready", 2)
        sent += [_drop(world, number) for number in (7, 8)]
        daemon.wait_until(lambda: _archived(world) == len(sent))
        assert 1 == len([e for e in daemon.events if e.get("outcome") == "rebuilt"])
        assert 0 == daemon.stop()[0], daemon.errors
        assert "" == daemon.errors
    assert [] == world.uncatalogued() + world.left()
    row(
        "ledger " + harm.__name__.removeprefix("while_").replace("_", " "), "under the daemon"
    ).judge(sent, world.root, [world.drop], aftermath.md5)


def _archived(world):
    """How many files the archive's catalogs list; they may go meanwhile."""
    with contextlib.suppress(FileNotFoundError):
        return len(world.archived())


def _drop(world, number):
    """One instance more, whole when it takes its name; gives its digest."""
    path = scenes.put(world.base, "", f"{number}", sop=number)
    digest = aftermath.md5(path)
    os.rename(path, world.drop / f"{number}")
    return digest


@pytest.mark.campaign
def test_a_daemon_whose_disk_spoils_every_ledger_ends(tmp_path):
    """Not for ever: where ledgers fail one after the other the run ends with 1, and says so."""
    world = World(tmp_path)
    with world.daemon() as daemon:
        for number in (1, 2, 3):
            daemon.wait_for("daemon.ready", number)
            deleted(world.root / "state", "")
        daemon.process.wait(180)
        assert 1 == daemon.stop()[0], daemon.errors
    done = subprocess.run(
        [sys.executable, "-m", "watcher", "run", "--once", "--config", str(world.config)],
        capture_output=True,
    )
    assert 0 == done.returncode
