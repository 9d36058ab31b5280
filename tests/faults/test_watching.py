"""The watch: what the kernel does not tell is found by looking, and no absence is a deletion."""

import os
import shutil
import signal
import unicodedata

import pytest
from faults.flood import Flood, archived, judged, said
from faults.machine import command, mounted, needs, tmpfs, unmount
from faults.waiting import WAIT, wait_until
from flipping import exchanged
from world import World

pytestmark = [pytest.mark.faults, pytest.mark.campaign, pytest.mark.timeout(1200)]

QUICK = {"inactivity": "300ms", "level": "info"}
UNTOLD = 9000  # renames of an ignored file: two events each, more than the kernel's queue holds
MORTAL = (
    "setpriv",
    "--bounding-set=-dac_override,-dac_read_search",
    "--inh-caps=-dac_override,-dac_read_search",
)


@pytest.fixture
def world(tmp_path):
    return World(tmp_path, **QUICK)


@pytest.fixture
def flood():
    return Flood()


# -- arriving --------------------------------------------------------------------------------------


def burst(world, flood, size):
    """Nested directories, each filled the moment it is there."""
    for number in range(size):
        for folder in (f"s{number}", f"s{number}/a", f"s{number}/a/b"):
            flood.fill(world.drop / folder, 5)


def renamed_in(world, flood, size):
    """A tree that appears with one event, that of its top."""
    for number in range(size):
        flood.fill(world.base / "staged" / f"s{number}" / "a" / "b", 5)
    os.rename(world.base / "staged", world.drop / "staged")


def strange(world, flood, size):
    """Names that are not UTF-8 (they break the watch), long, with newlines, NFC beside NFD."""
    drop = os.fsencode(world.drop)
    for number in range(size):
        folder = b"%s/d%d\xff\xfe" % (drop, number)
        os.mkdir(folder)
        accent = f"\u00e9{number}"
        names = (
            b"\xe9%d" % number,
            b"line\nfeed%d" % number,
            b"%d" % number + b"x" * (255 - len(b"%d" % number)),
            accent.encode(),
            unicodedata.normalize("NFD", accent).encode(),
            b" \\%20&<'\"",
        )
        flood.put(*(os.path.join(folder, name) for name in names))
        flood.put(b"%s/plain%d" % (drop, number))


ARRIVALS = {
    "nested directories at full speed": (burst, 30),
    "a tree renamed in": (renamed_in, 60),
    "names that are no text, long, alike": (strange, 20),
}


@pytest.mark.parametrize("fault", ARRIVALS)
@pytest.mark.parametrize("times", [1, pytest.param(16, marks=pytest.mark.soak)])
def test_whatever_arrives_is_found(fault, times, world, flood, row):
    """Files the events say nothing of are found by the next look, and the watch stands again."""
    line = row(fault, "while the daemon watches")
    arrive, size = ARRIVALS[fault]
    with world.daemon() as daemon:
        arrive(world, flood, size * times)
        archived(world, flood, WAIT * times)
        os.mkdir(world.drop / "after")  # the watch is alive, or made anew
        flood.fill(world.drop / "after", 1)
        archived(world, flood)
        # a slow sender of odd names ends the watch again and again, each time for longer
        daemon.wait_until(lambda: said(daemon, "drop.degraded") == said(daemon, "drop.restored"))
        assert 0 == daemon.stop()[0]
    judged(line, world, flood)


@pytest.mark.parametrize("count", [1000, pytest.param(20_000, marks=pytest.mark.soak)])
def test_an_overflowing_queue_loses_no_file(count, world, flood, row):
    """The kernel drops events and says so to nobody: the files are found by looking."""
    line = row("inotify queue overflow", "SIGSTOP while events pile up")
    with world.daemon() as daemon:
        daemon.process.send_signal(signal.SIGSTOP)
        one, other = world.drop / ".one", world.drop / ".other"
        one.touch()
        for _ in range(UNTOLD):
            os.rename(one, other)
            os.rename(other, one)
        flood.fill(world.drop / "a" / "b", count)
        daemon.process.send_signal(signal.SIGCONT)
        archived(world, flood, WAIT + count / 100)
        assert 0 == daemon.stop()[0]
    judged(line, world, flood)


# -- limits ----------------------------------------------------------------------------------------

LIMIT = "/proc/sys/user/max_inotify_%s"


def limited(world, name, number):
    """The daemon in a user namespace of its own, whose users may have so many watches."""
    needs("unshare", "nsenter")
    command("unshare", "-U", "-r", "sh", "-c", f"echo 9 > {LIMIT % name}")
    enter = f'echo {number} > {LIMIT % name} && exec "$@"'
    return world.daemon("unshare", "-U", "-r", "sh", "-c", enter, "sh")


def raise_limit(daemon, name):
    words = ("nsenter", "-t", str(daemon.process.pid), "-U", "--preserve-credentials")
    command(*words, "sh", "-c", f"echo 100000 > {LIMIT % name}")


@pytest.mark.parametrize(
    ("name", "number", "word"),
    [("watches", 0, "max_user_watches"), ("instances", 0, "max_user_instances")],
)
def test_a_limit_reached_at_the_start_is_said_and_outlived(name, number, word, world, flood, row):
    """Without a watch the drop is looked at: said once, all found; said once when it stands."""
    line = row(f"limit of inotify {name}", "reached at the start, by user namespace")
    for folder in "abcd":
        os.makedirs(world.drop / folder)
        flood.fill(world.drop / folder, 5)
    with limited(world, name, number) as daemon:
        flood.fill(world.drop / "e" / "f", 5)
        archived(world, flood)
        (degraded,) = daemon.wait_for("drop.degraded", timeout=WAIT, drop="mri")
        assert word in degraded["text"]
        raise_limit(daemon, name)
        daemon.wait_for("drop.restored", timeout=WAIT, drop="mri", key=degraded["key"])
        flood.fill(world.drop / "g", 5)
        archived(world, flood)
        assert 0 == daemon.stop()[0]
        assert (1, 1) == (said(daemon, "drop.degraded"), said(daemon, "drop.restored"))
    judged(line, world, flood)


def test_a_limit_reached_later_is_said_and_outlived(world, flood, row):
    """A standing watch that gets no further directory is told from one that does."""
    line = row("limit of inotify watches", "reached while it runs, by user namespace")
    with limited(world, "watches", 10) as daemon:
        for number in range(30):
            os.makedirs(world.drop / f"{number}" / "a")
            (world.drop / f"{number}" / "a" / "stays.part").touch()  # first: what is empty goes
            flood.fill(world.drop / f"{number}" / "a", 2)
        archived(world, flood)
        (degraded,) = daemon.wait_for("drop.degraded", timeout=WAIT, drop="mri")
        assert "max_user_watches" in degraded["text"]
        raise_limit(daemon, "watches")
        daemon.wait_for("drop.restored", timeout=WAIT, drop="mri", key=degraded["key"])
        flood.fill(world.drop / "late", 2)
        archived(world, flood)
        assert 0 == daemon.stop()[0]
        assert (1, 1) == (said(daemon, "drop.degraded"), said(daemon, "drop.restored"))
    judged(line, world, flood)


# -- places ----------------------------------------------------------------------------------------


def removed_and_made_anew(world, flood, daemon):
    wait_until(lambda: set(os.listdir(world.drop)) <= {"RECEIPTS"})  # else it removes beside us
    os.rename(world.drop, world.base / "gone")  # and may write a receipt meanwhile
    shutil.rmtree(world.base / "gone", ignore_errors=True)
    daemon.wait_for("drop.unavailable", timeout=WAIT, drop="mri")
    os.mkdir(world.drop)
    daemon.wait_for("drop.available", timeout=WAIT, drop="mri")


def replaced(world, flood, daemon):
    """In one step: a look in between would find none."""
    os.mkdir(world.base / "old")
    assert 0 == exchanged(world.base / "old", world.drop)


@pytest.mark.parametrize("change", [removed_and_made_anew, replaced])
def test_a_drop_made_anew_is_watched_and_looked_at(change, world, flood, row):
    """Another directory at the path is the drop from now on."""
    line = row("another directory is the drop", change.__name__.replace("_", " "))
    with world.daemon() as daemon:
        flood.fill(world.drop / "a", 5)
        archived(world, flood)
        change(world, flood, daemon)
        flood.fill(world.drop / "b" / "c", 5)
        archived(world, flood)
        assert 0 == daemon.stop()[0]
        gone = int(change is removed_and_made_anew)
        assert (gone, gone) == (said(daemon, "drop.unavailable"), said(daemon, "drop.available"))
    judged(line, world, flood)


def test_a_mount_over_the_drop_is_the_drop(world, flood, row):
    """What is mounted over a drop is looked at and watched; gone again, the drop is missing."""
    line = row("a file system mounted over the drop", "tmpfs, while the daemon watches")
    with world.daemon() as daemon:
        flood.fill(world.drop / "a", 5)
        archived(world, flood)
        with tmpfs(world.drop):
            flood.fill(world.drop / "b" / "c", 5)
            archived(world, flood)
        daemon.wait_for("drop.unavailable", drop="mri")
        assert 0 == daemon.stop()[0]
    judged(line, world, flood)


ASIDE = """
[[drop]]
path = "{path}"
name = "other"
project = "P1"
settle = "100ms"
inactivity = "300ms"
rescan_interval = "1s"
"""


def two_drops(tmp_path, **lines):
    """A drop that is a mount and one beside it; what the mount shows lies in `disk`."""
    needs("mount")
    for name in ("disk", "other"):
        os.mkdir(tmp_path / name)
    extra = ASIDE.format(path=tmp_path / "other")
    return World(tmp_path, inactivity="300ms", extra=extra, **lines)


def is_taken(daemon, flood):
    """So many files were filed, none twice."""
    filed, again = said(daemon, "file.filed"), said(daemon, "file.duplicate")
    return (len(flood.sent), 0) == (filed, again)


@pytest.mark.parametrize("after", ["remove", "keep"])
def test_a_drop_unmounted_and_mounted_again(after, tmp_path, flood, row):
    """The bare mount point is not the drop: nothing is taken from it, forgotten or said to be over.

    Another drop goes on. After the return nothing is taken twice, and the watch is alive.
    """
    line = row("drop unmounted and mounted again", f'umount -l, after = "{after}"')
    lines = [f'after = "{after}"', 'stuck_after = "1s"']
    world = two_drops(tmp_path, drop_lines=lines)
    disk, other = tmp_path / "disk", tmp_path / "other"
    bare = Flood()
    bare.fill(world.drop / "bare", 2)
    before = sorted(world.drop.rglob("*"))
    with mounted(world.drop, "--bind", str(disk)), world.daemon() as daemon:
        flood.fill(world.drop / "a", 5)
        (world.drop / "torn").write_bytes(b"\0" * 128 + b"DICM" + b"\x02\0")
        archived(world, flood)
        daemon.wait_for("file.stuck", drop="mri")
        unmount(world.drop)
        daemon.wait_for("drop.unavailable", drop="mri")
        flood.fill(other, 5)
        archived(world, flood)
        assert before == sorted(world.drop.rglob("*"))
        command("mount", "--bind", str(disk), str(world.drop))
        daemon.wait_for("drop.available", drop="mri")
        flood.fill(world.drop / "c" / "d", 5)
        archived(world, flood)
        assert is_taken(daemon, flood)
        assert 0 == said(daemon, "file.released")
        assert 0 == daemon.stop()[0]
        assert (1, 1) == (said(daemon, "drop.unavailable"), said(daemon, "drop.available"))
    (disk / "torn").unlink()
    judged(line, world, flood, disk, other)


def test_a_mount_that_is_gone_at_the_start(tmp_path, flood, row):
    """It was there in an earlier run: the bare directory is not it, until it is back."""
    line = row("mount of a drop gone at the start", "remembered by an earlier run")
    world = two_drops(tmp_path, drop_lines=['after = "keep"'])
    disk, other = tmp_path / "disk", tmp_path / "other"
    flood.fill(disk / "a", 5)
    with mounted(world.drop, "--bind", str(disk)):
        assert 0 == world.once()[0]
        unmount(world.drop)
        Flood().fill(world.drop / "bare", 1)
        assert 10 == world.once()[0]
        with world.daemon() as daemon:
            flood.fill(other, 5)
            archived(world, flood)
            command("mount", "--bind", str(disk), str(world.drop))
            daemon.wait_for("drop.available", drop="mri")
            os.mkdir(world.drop / "c")
            flood.fill(world.drop / "c", 5)
            archived(world, flood)
            assert (10, 0) == (said(daemon, "file.filed"), said(daemon, "file.duplicate"))
            assert 0 == daemon.stop()[0]
            assert (0, 1) == (said(daemon, "drop.unavailable"), said(daemon, "drop.available"))
    judged(line, world, flood, disk, other)


def test_a_directory_that_becomes_readable(world, flood, row):
    """What lies in a closed directory is waited for: said once, found when it is opened."""
    line = row("directory that may not be read", "chmod 0, then 755; root without its powers")
    closed = world.drop / "closed"
    flood.fill(closed / "deep", 5)
    closed.chmod(0)
    with world.daemon(*MORTAL) as daemon:
        flood.fill(world.drop / "open", 5)
        daemon.wait_for("drop.degraded", drop="mri", key="unreadable/mri")
        daemon.wait_for("drop.degraded", drop="mri", key="watch/mri")
        wait_until(lambda: daemon.events and not (world.drop / "open").exists())
        closed.chmod(0o755)
        daemon.wait_for("drop.restored", drop="mri", key="unreadable/mri")
        daemon.wait_for("drop.restored", drop="mri", key="watch/mri")
        archived(world, flood)
        assert 0 == daemon.stop()[0]
        assert (2, 2) == (said(daemon, "drop.degraded"), said(daemon, "drop.restored"))
    judged(line, world, flood)


def test_forty_two_drops_at_once(tmp_path, flood, row):
    """More drops than the loop has threads by default: each is looked at and filed from."""
    line = row("more drops than threads", "42 drops of one daemon")
    drops = [tmp_path / f"drop{number}" for number in range(41)]
    extra = "".join(
        ASIDE.format(path=path).replace('name = "other"', f'name = "{path.name}"') for path in drops
    )
    world = World(tmp_path, **QUICK, extra=extra)
    for path in drops:
        flood.fill(path / "early", 1)
    with world.daemon() as daemon:
        for path in [*drops, world.drop]:
            flood.fill(path / "late" / "deep", 2)
        archived(world, flood)
        assert 0 == daemon.stop()[0]
    judged(line, world, flood, *drops, world.drop)
