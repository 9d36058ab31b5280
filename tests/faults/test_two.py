"""Two of everything: daemons on one store, commands on one session, sessions for one place."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import another
import pytest
from faults import aftermath, machine
from faults.waiting import wait_until
from lines import checked_lines
from makers import make_dicom
from world import World

from watcher.io import lease

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]
STORES = ("state", "prearchive", "archive", "quarantine", "history", "status")
STUDY = "1.2.3"
REFUSED, RUNNING = 4, 11
PATIENCE = 180.0  # seconds until something must have happened: machines are shared and slow


def put(path, number, *, study=STUDY, **values):
    """The `number`-th instance of one series, which takes its name when it is whole: its digest."""
    given = {"series": f"{study}.1", "sop": f"{study}.1.{number}", "instance": number}
    part = f"{path}.part"
    make_dicom(part, study=study, **{**given, **values})
    digest = aftermath.md5(part)  # before a daemon has taken it
    os.rename(part, path)
    return digest


def start(world, *words):
    """The program as a process; its output is read by `ended`."""
    return subprocess.Popen(
        [sys.executable, "-m", "watcher", *words, "--config", str(world.config)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process, timeout=PATIENCE):
    """Its code and what it said; killed where it does not end."""
    try:
        out, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        out, errors = process.communicate()
        raise AssertionError(errors + out) from None
    checked_lines(out + errors)
    return process.returncode, out, errors


def sharing(base, world, kind):
    """An installation of its own that has one store of another: `kind`."""
    return World(base, storage_lines=[f'{kind} = "{world.root / kind}"'])


def refused(world):
    """The code of a second daemon that ends by itself, and what it said."""
    code, out, errors = ended(start(world, "run"))
    assert "Traceback" not in errors, errors
    return code, errors or out


class TestDaemons:
    """`run` locks every store."""

    @pytest.mark.parametrize(
        "kind",
        [
            "archive",
            *(
                pytest.param(each, marks=pytest.mark.campaign)
                for each in STORES
                if each != "archive"
            ),
        ],
    )
    def test_one_shared_store_is_enough(self, kind, tmp_path, row):
        """A daemon that shares one store with a running one ends with 11, and writes nothing."""
        world = World(tmp_path / "one")
        with world.daemon() as daemon:
            other = sharing(tmp_path / "two", world, kind)
            put(other.drop / "b", 1, study="1.2.9")
            code, said = refused(other)
            assert (RUNNING, True) == (code, "another daemon" in said), said
            assert ["b"] == other.left()
            put(world.drop / "a", 1)
            daemon.wait_for("session.archived")
        assert 1 == len(world.archived())
        row("two daemons, one store", f"shared: {kind}").ran()

    @pytest.mark.campaign
    def test_through_a_link(self, tmp_path):
        """The same store under another name is the same store."""
        world = World(tmp_path / "one")
        with world.daemon():
            (tmp_path / "link").symlink_to(world.root)
            other = World(tmp_path / "two")
            text = other.config.read_text().replace(str(other.root), str(tmp_path / "link"))
            other.config.write_text(text)
            assert RUNNING == refused(other)[0]

    @pytest.mark.campaign
    def test_through_a_bind_mount(self, tmp_path, row):
        """A bind mount of a store is that store: who holds it holds it there too."""
        machine.needs("mount")
        world = World(tmp_path / "one")
        with (
            world.daemon(),
            machine.mounted(tmp_path / "bound", "--bind", str(world.root / "archive")),
        ):
            line = f'archive = "{tmp_path / "bound"}"'
            other = World(tmp_path / "two", storage_lines=[line])
            assert RUNNING == refused(other)[0]
        row("two daemons, one store", "shared: archive, by a bind mount").ran()

    @pytest.mark.campaign
    def test_killed_and_taken_over(self, tmp_path):
        """Kill -9 frees every store at once: the next daemon starts, and carries on."""
        world = World(tmp_path, extra=TWO.format(auto="false"))  # the first leaves it unarchived
        with world.daemon() as first:
            put(world.drop / "a", 1)
            first.wait_for("file.filed")
            first.stop(signal.SIGKILL)
            text = world.config.read_text()
            world.config.write_text(text.replace("auto_archive = false", "auto_archive = true"))
            with world.daemon() as second:
                second.wait_for("session.archived")
        assert 1 == len(world.archived())

    @pytest.mark.parametrize(
        "rounds",
        [pytest.param(2, marks=pytest.mark.campaign), pytest.param(20, marks=pytest.mark.soak)],
    )
    @pytest.mark.parametrize("apart", [False, True], ids=["same-state", "own-state"])
    def test_at_the_same_instant(self, rounds, apart, tmp_path, row):
        """Of two daemons started at once on new stores, one works, the other ends with 11."""
        how = "first start at once" + (", each with its own state" if apart else "")
        for number in range(rounds):
            base = tmp_path / str(number)
            worlds = [World(base / "one")]
            if apart:
                lines = [f'{k} = "{worlds[0].root / k}"' for k in STORES if k != "state"]
                worlds.append(World(base / "two", storage_lines=lines))
            both = [_started(world) for world in (worlds * 2)[:2]]
            with ExitStack() as stack:
                for each in both:
                    stack.callback(each.__exit__)
                wait_until(lambda both=both: any(d.process.poll() is not None for d in both))
                wait_until(lambda both=both: any(_is_ready(d) for d in both))
                lost, won = sorted(both, key=lambda d: d.process.poll() is None)
                assert RUNNING == lost.process.wait(PATIENCE)
                put(won.world.drop / "a", 1)
                won.wait_for("session.archived")
                assert 0 == won.stop()[0]
            assert 1 == len(worlds[0].archived())
            for world in worlds:
                assert 0 == world.once()[0], "what the other left is no obstacle"
            row("two daemons, one store", how).ran()

    @pytest.mark.campaign
    def test_a_marker_made_anew_is_held_too(self, tmp_path):
        """A daemon whose store gets a new marker holds that one: a second still ends with 11."""
        world = World(tmp_path)
        with world.daemon() as daemon:
            for kind in STORES:
                marker = world.root / kind / ".watcher-store"
                data = marker.read_bytes()
                marker.unlink()
                marker.write_bytes(data)
            put(world.drop / "a", 1)
            daemon.wait_for("session.archived")
            wait_until(lambda: _is_held(world, "archive"))
            assert RUNNING == refused(world)[0]


def _started(world):
    daemon = world.daemon()
    daemon.world = world
    return daemon


def _is_ready(daemon):
    return any(each["event"] == "daemon.ready" for each in daemon.events)


def _is_held(world, kind):
    from watcher.io.lease import is_locked

    return is_locked(str(world.root / kind / ".watcher-store"))


COMMANDS = {
    "archive": ("archive",),
    "rebuild": ("rebuild",),
    "move": ("move", "--project", "P3"),
    "relabel": ("relabel", "--session", "OTHER"),
    "split": ("split",),
    "delete": ("delete", "--reason", "a race"),
}
RACES = """
[projects.P1]
auto_archive = true
[projects.P2]
auto_archive = false
[projects.P3]
auto_archive = true
"""
TWO = """
[projects.P1]
auto_archive = {auto}
[projects.P3]
auto_archive = true
"""


def files(world):
    """The digests of every instance, by store."""
    return {
        store: sorted(aftermath.md5(p) for p in (world.root / store).rglob("*.dcm"))
        for store in ("prearchive", "archive", "history")
    }


def judge(world, sent, row, *, runs=1):
    """Every file is in one store once, catalogs and ledger are true, nothing half done is left."""
    found = files(world)
    everywhere = sorted(digest for some in found.values() for digest in some)
    root = world.base
    assert [] == aftermath.wrong_entries(root) + world.uncatalogued()
    assert [] == aftermath.unfound(root) + aftermath.leftovers(root)
    for _ in range(runs - 1):
        row.ran()
    row.ran(
        lost=len(set(sent) - set(everywhere)),
        torn=len(set(everywhere) - set(sent)),
        duplicated=len(everywhere) - len(set(everywhere)),
    )


AT_ONCE = 8  # sessions, two commands each
SECONDS = [
    pytest.param(10, marks=pytest.mark.campaign),
    pytest.param(3600, marks=pytest.mark.soak),
]


@pytest.mark.parametrize("seconds", SECONDS)
@pytest.mark.timeout(4000)
def test_commands_race_the_daemon_and_each_other(seconds, tmp_path, row):
    """Two commands at random moments on a session that the daemon files, builds and archives: each
    ends with its code and its reason, and no file is lost or doubled.
    """
    chance = random.Random(8)
    world = World(tmp_path, project="", inactivity="300ms", extra=RACES)
    sent, raced, ends = [], [], time.monotonic() + seconds
    with world.daemon() as daemon, racers() as commands:
        while time.monotonic() < ends:
            studies = [f"1.2.{1000 + len(raced) + more}" for more in range(AT_ONCE)]
            for study in studies:
                sent += _drop(world, study, chance.choice(["P1", "P2"]), chance.randint(2, 12))
            start = []
            for study in studies:
                (opened,) = daemon.wait_for("session.opened", study=study)
                moment, two = chance.uniform(0, 2), chance.choices(sorted(COMMANDS), k=2)
                start += [  # both at once, but for the time one of them takes
                    (moment + chance.uniform(0, 0.1), _words(world, name, opened["session"]))
                    for name in two
                ]
            answers = commands(start)
            raced += studies
            for (_, words), (code, errors) in zip(start, answers, strict=True):
                assert code in {0, 2, 3, 4}, (words, errors)
                assert code in {0, 3} or "watcher: " in errors, (words, errors)
                assert "Traceback" not in errors, (words, errors)
        daemon.wait_until(lambda: not world.left(), timeout=PATIENCE)
        assert 0 == daemon.stop()[0], daemon.errors
        assert "" == daemon.errors
    code, lines = world.once()
    assert code in {0, 3}, lines
    assert [] == [each for each in daemon.events + lines if each["event"] == "session.error"]
    counted = row("commands race the daemon on one session", "two at a random moment")
    judge(world, sent, counted, runs=len(raced))


def _drop(world, study, project, number):
    """So many files of a study, which say their project; gives their digests."""
    values = {"study": study, "comments": f"Project:{project}", "patient_id": f"S{study}"}
    return [put(world.drop / f"{study}-{n}", n, **values) for n in range(1, number + 1)]


def _words(world, name, session):
    word, *more = COMMANDS[name]
    return [word, session, *more, "--config", str(world.config)]


@contextmanager
def racers():
    """Commands from one program, at moments in seconds from now: codes and errors."""
    with subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("racers.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    ) as program:

        def run(start):
            program.stdin.write(json.dumps({"start": start}) + "\n")
            program.stdin.flush()
            return json.loads(program.stdout.readline())

        try:
            assert "there\n" == program.stdout.readline()
            yield run
        finally:
            program.kill()


@pytest.mark.parametrize(
    "rounds",
    [pytest.param(2, marks=pytest.mark.campaign), pytest.param(50, marks=pytest.mark.soak)],
)
@pytest.mark.timeout(1200)
def test_two_sessions_for_one_place_at_once(rounds, tmp_path, row):
    """Two sessions of one study and label, archived at the same instant by two processes: one after
    the other, or one is refused and goes in later; the archive holds both, and its catalogs are
    true.
    """
    counted = row("two sessions, one destination", "two `archive` at the same instant")
    for number in range(rounds):
        world, (one, two), sent = two_for_one_place(tmp_path / str(number))
        both = [start(world, "archive", each) for each in (one, two)]
        codes = []
        for each in both:
            code, out, errors = ended(each)
            assert code in {0, REFUSED}, errors + out
            assert code == 0 or "held by" in errors, errors
            codes.append(code)
        assert 0 in codes
        for wanted, code in zip((one, two), codes, strict=True):
            if code:
                assert 0 == world.watcher("archive", wanted)[0], world.errors
        assert sorted(sent) == files(world)["archive"]
        assert {"P1"} == {label for label, _ in world.archived()}
        judge(world, sent, counted)


@pytest.mark.campaign
def test_a_place_that_is_being_archived_to_is_held(tmp_path, row):
    """While one session is merged, another for the same project and label is refused (exit 4),
    with who has the place; later it goes in, and the archive holds both.
    """
    world, (one, two), sent = two_for_one_place(tmp_path)
    words = ("archive", one, "--config", str(world.config))
    with another.process(STOPPED, MOMENTS["last swap"], *words) as owner:
        wait_until(lambda: _state_of(owner.pid) == "T")
        code, _ = world.watcher("archive", two)
        told = f"archive/P1/p1 is held by {lease.login()}, process {owner.pid}"
        assert (REFUSED, True) == (code, told in world.errors), world.errors
        _wake_till_it_ends(owner)
    assert 0 == world.watcher("archive", two)[0], world.errors
    assert sorted(sent) == files(world)["archive"]
    judge(world, sent, row("two sessions, one destination", "one stopped before its last swap"))


def two_for_one_place(base):
    """Two READY sessions with one project, study and label: the second was another's until now."""
    world = World(base, extra="[projects.P1]\nauto_archive = false")
    sent = [put(world.drop / "1", 1)]
    assert 0 == world.once()[0]
    (one,) = world.json("sessions")[0]
    sent.append(put(world.drop / "2", 2, patient_id="WRONG"))
    assert 0 == world.once()[0]
    (two,) = (each for each in world.json("sessions")[0] if each["id"] != one["id"])
    assert 0 == world.watcher("relabel", two["id"], "--session", "P1")[0], world.errors
    return world, (one["id"], two["id"]), sent


STOPPED = """
import os, signal, sys
from watcher.cli import call
mark = sys.argv[1]
def stop(name, arguments):
    if name in ("os.link", "os.rename") and mark in os.fsdecode(arguments[1]):
        os.write(2, b"stopping\\n")
        os.kill(os.getpid(), signal.SIGSTOP)
sys.addaudithook(stop)
print("there", flush=True)
code = call(sys.argv[2:])
sys.exit(code)
"""
MOMENTS = {"linking": "/archive/P1/arc001/P1/SCANS", "last swap": "arc001/P1.xml"}


@pytest.mark.campaign
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("fate", ["wakes", "killed"])
def test_a_stopped_owner_keeps_what_it_holds(moment, fate, tmp_path, row):
    """An archiving stopped half-way holds its session: others are told who has it (exit 4). When it
    wakes it ends well; when it is killed the next one takes over, and carries on.
    """
    world = World(tmp_path, extra=TWO.format(auto="false"))
    sent = [put(world.drop / f"{n}", n) for n in range(1, 4)]
    assert 0 == world.once()[0]
    (session,) = world.json("sessions")[0]
    words = ("archive", session["id"], "--config", str(world.config))
    with another.process(STOPPED, MOMENTS[moment], *words) as owner:
        wait_until(lambda: _state_of(owner.pid) == "T")
        for word, *more in COMMANDS.values():
            code, _ = world.watcher(word, session["id"], *more)
            assert (REFUSED, True) == (code, f"process {owner.pid}" in world.errors), world.errors
        with world.daemon() as daemon:  # nor does a daemon that starts touch it
            before = _files_below(world)
            later = put(world.drop / "later", 9, study="1.2.9", patient_id="P9")
            daemon.wait_for("session.rebuilt")
            assert before <= _files_below(world)
            if fate == "wakes":
                _wake_till_it_ends(owner)
            else:
                owner.kill()
                owner.wait()
                daemon.stop(signal.SIGKILL)
        world.once()
        if world.json("sessions", "--status", "READY")[0]:
            world.watcher("archive", session["id"])
    assert sorted(sent) == files(world)["archive"]
    counted = row("a stopped owner", f"SIGSTOP while archiving, then {fate}")
    judge(world, [*sent, later], counted)


def _files_below(world):
    return {str(path) for path in (world.root / "archive").rglob("*") if path.is_file()} | {
        str(path) for path in (world.root / "prearchive").rglob(f"{STUDY}-*.dcm")
    }


def _wake_till_it_ends(owner):
    """It stops at each further effect that has the name."""
    while owner.poll() is None:
        owner.send_signal(signal.SIGCONT)
        threading.Event().wait(0.02)
    assert 0 == owner.returncode


def _state_of(pid):
    """R, S, T … of a process (proc(5))."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
