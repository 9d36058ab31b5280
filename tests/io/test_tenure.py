"""Who has a store, told to other hosts: taken, renewed, taken over, checked before each effect."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from watcher.core.errors import AlreadyRunningError, MissingPlaceError, StorageError
from watcher.core.policy import Stores
from watcher.io import files, journal, mounts
from watcher.io.reaching import GUARDS, MARKER, OWNER
from watcher.io.stores import KINDS, Storage
from watcher.io.tenure import EXPIRY, LOOK, Owner, Tenure, Tenures, this_process

ONE = Owner("host-a", "boot-a", 7)
OTHER = Owner("host-b", "boot-b", 8)
WHOLE = EXPIRY + LOOK


class Time:
    """A clock that goes when it is told."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now

    def go(self, seconds):
        self.now += seconds


@pytest.fixture
def time():
    return Time()


@pytest.fixture
def store(tmp_path):
    folder = tmp_path / "archive"
    folder.mkdir()
    (folder / MARKER).write_text("id\n")
    return folder


def said(store):
    return json.loads((store / OWNER).read_text())


def had(store, me, time):
    """A tenure that is held."""
    tenure = Tenure(str(store), me, time)
    assert (False, True) == (tenure.take(), tenure.take())
    return tenure


def test_taken(store, time):
    """A store that nobody has is written, and ours at the next look."""
    had(store, ONE, time).check()
    expected = {"host": "host-a", "boot": "boot-a", "pid": 7, "epoch": 1, "expiry_s": EXPIRY}
    assert {**expected, "beat": 1} == said(store)
    assert {MARKER, OWNER} == set(os.listdir(store))


def test_two_at_the_same_moment(store, time):
    """Both find no owner and write: the last one has it, the other is refused, and had nothing."""
    one, other = Tenure(str(store), ONE, time), Tenure(str(store), OTHER, time)
    assert not one.take()
    (store / OWNER).unlink()  # as the other saw it
    assert not other.take()
    with pytest.raises(AlreadyRunningError, match="process 8 on host-b"):
        one.take()
    assert (True, False) == (other.take(), one.is_held)


def test_renewed_is_refused(store, time):
    """Whoever finds another owner's file changed within an expiry is refused, with its name."""
    one, other = had(store, ONE, time), Tenure(str(store), OTHER, time)
    assert not other.take()
    time.go(EXPIRY / 3)
    one.renew()
    with pytest.raises(AlreadyRunningError, match="process 7 on host-a"):
        other.take()
    one.check()
    assert (1, 2) == (said(store)["epoch"], said(store)["beat"])


def test_expired_is_taken_over(store, time):
    """Unchanged for the whole of one expiry, and no sooner: taken over under the next epoch."""
    had(store, ONE, time)
    other = Tenure(str(store), OTHER, time)
    assert not other.take()
    time.go(WHOLE - 0.1)
    assert not other.take()
    assert "host-a" == said(store)["host"]
    time.go(0.1)
    assert (False, True) == (other.take(), other.take())
    assert ("host-b", 2, 7) == (said(store)["host"], said(store)["epoch"], other.before.pid)
    other.check()


def test_an_owner_that_wakes_up(store, time):
    """After another took over, the first is refused at its check, its renewal and ever after."""
    one = had(store, ONE, time)
    other = Tenure(str(store), OTHER, time)
    other.take()
    time.go(WHOLE)
    assert (False, True) == (other.take(), other.take())
    for step in (one.check, one.check, one.check):
        with pytest.raises(AlreadyRunningError, match="process 8 on host-b"):
            step()
    one.renew()
    one.release()
    assert "host-b" == said(store)["host"]
    other.check()


def test_a_renewal_that_finds_another(store, time):
    """Nor does a renewal write over another's file."""
    one = had(store, ONE, time)
    (store / OWNER).unlink()
    had(store, OTHER, time)
    with pytest.raises(AlreadyRunningError, match="process 8"):
        one.renew()
    assert "host-b" == said(store)["host"]


def test_looked_at_once_a_second(store, time):
    """A check within a second of the last one reads nothing; the next one does."""
    one = had(store, ONE, time)
    one.check()
    (store / OWNER).unlink()
    had(store, OTHER, time)
    time.go(LOOK - 0.1)
    one.check()
    time.go(0.1)
    with pytest.raises(AlreadyRunningError):
        one.check()


def test_not_renewed_in_time(store, time):
    """Own renewals that failed for an expiry: nothing more is done, until the next epoch is had."""
    one = had(store, ONE, time)
    time.go(EXPIRY)
    one.check()
    time.go(0.1)
    for _ in range(2):
        with pytest.raises(StorageError, match="could not be renewed") as refused:
            one.check()
    assert str(store / OWNER) == refused.value.place
    one.renew()
    one.check()
    assert ("host-a", 2) == (said(store)["host"], said(store)["epoch"])


def test_a_file_taken_away(store, time):
    """Without the file nobody else has it: it is written again, as the next epoch."""
    one = had(store, ONE, time)
    (store / OWNER).unlink()
    time.go(LOOK)
    one.check()
    one.renew()
    assert ("host-a", 2) == (said(store)["host"], said(store)["epoch"])


def test_nothing_is_written_beneath_a_mount(store, time):
    """A store without its marker is a bare mount point: no file is made there."""
    one = had(store, ONE, time)
    (store / OWNER).unlink()
    (store / MARKER).unlink()
    with pytest.raises(StorageError, match="beneath its mount"):
        one.renew()
    assert [] == os.listdir(store)


def test_released(store, time):
    """Who ends well leaves a free store: the next has it at once, under the next epoch."""
    one = had(store, ONE, time)
    one.release()
    assert (0, 1, False) == (said(store)["pid"], said(store)["epoch"], one.is_held)
    other = had(store, OTHER, time)
    assert ("host-b", 2, 0) == (said(store)["host"], said(store)["epoch"], other.before.pid)


def test_a_dead_process_of_this_host(store, time):
    """The store of a process of this very system that is no more is had at once; a living one's
    is watched like that of another host.
    """
    me = this_process()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as living:
        had(store, replace(me, pid=living.pid), time)
        mine = Tenure(str(store), me, time)
        assert (False, False) == (mine.take(), mine.take())
        living.send_signal(signal.SIGKILL)
        living.wait()
    assert (False, True) == (mine.take(), mine.take())
    assert (os.getpid(), 2) == (said(store)["pid"], said(store)["epoch"])


TORN = (b"", b"{", b'{"host"', b"[1]", b'{"host": 1, "boot": "", "pid": 0}', b"\xff\x00")


@pytest.mark.parametrize("torn", TORN)
def test_torn(torn, store, time):
    """A file that says nothing is somebody's: watched, and taken over when it does not change."""
    (store / OWNER).write_bytes(torn)
    one = Tenure(str(store), ONE, time)
    assert not one.take()
    time.go(WHOLE - 0.1)
    assert (False, torn) == (one.take(), (store / OWNER).read_bytes())
    time.go(0.1)
    assert (False, True) == (one.take(), one.take())
    assert 1 == said(store)["epoch"]


def test_an_owner_of_a_later_version(store, time):
    """What a newer version says besides is passed over: it is told by its name."""
    values = {"host": "h", "boot": "b", "pid": 3, "epoch": 9, "expiry_s": 30.0, "beat": 1}
    (store / OWNER).write_text(json.dumps({**values, "later": 1}))
    one = Tenure(str(store), ONE, time)
    assert not one.take()
    time.go(WHOLE)
    assert (False, True) == (one.take(), one.take())
    assert ("h", 10) == (one.before.host, said(store)["epoch"])


@pytest.mark.parametrize(
    "odd", [{"expiry_s": 1e9}, {"expiry_s": 0}, {"pid": -1}, {"epoch": 0}, {"pid": 1.5}]
)
def test_values_nobody_writes(odd, store, time):
    """An owner whose values can't be is believed no longer than one expiry of ours."""
    values = {"host": "h", "boot": "b", "pid": 3, "epoch": 9, "expiry_s": 30.0, "beat": 1, **odd}
    (store / OWNER).write_text(json.dumps(values))
    one = Tenure(str(store), ONE, time)
    assert not one.take()
    time.go(WHOLE)
    assert (False, True) == (one.take(), one.take())


# -- all stores of an installation ------------------------------------------------------------


@pytest.fixture
def remote(tmp_path, time):
    """An installation whose archive is said to lie on a network; its locks held meanwhile."""
    storage = Storage(Stores(root=str(tmp_path), **{k: str(tmp_path / k) for k in KINDS}), ())
    storage.prepare()
    tenures = storage.tenures = Tenures(time)
    folder = storage.path("archive")
    tenures._all[folder] = Tenure(folder, ONE, time)
    tenures.take(wait=time.go)
    with storage.locked():
        yield storage


def overtake(storage):
    values = {"host": "host-b", "boot": "b", "pid": 8, "epoch": 9, "expiry_s": 30.0, "beat": 1}
    Path(storage.path("archive"), OWNER).write_text(json.dumps(values))


EFFECTS = {
    "swap": lambda folder: files.swap(f"{folder}/a", b"new"),
    "remove": lambda folder: files.remove(f"{folder}/a"),
    "place": lambda folder: files.place(f"{folder}/a", f"{folder}/b"),
    "transfer": lambda folder: files.transfer(f"{folder}/a", f"{folder}/b"),
    "remove_empty": lambda folder: files.remove_empty(f"{folder}/empty"),
    "remove_empty_below": lambda folder: files.remove_empty_below(f"{folder}/empty"),
    "append": lambda folder: journal.append_line(f"{folder}/a", "line"),
}


@pytest.mark.parametrize("effect", EFFECTS)
def test_every_effect_asks_first(effect, remote, time):
    """Once another has the store no file of it is swapped, placed or removed; others' are."""
    folder = Path(remote.path("archive"))
    (folder / "a").write_bytes(b"old")
    (folder / "empty").mkdir()
    before = {path.name: path.is_file() and path.read_bytes() for path in folder.iterdir()}
    overtake(remote)
    before[OWNER] = (folder / OWNER).read_bytes()
    time.go(LOOK)
    with pytest.raises(AlreadyRunningError, match="process 8 on host-b"):
        EFFECTS[effect](str(folder))
    assert before == {path.name: path.is_file() and path.read_bytes() for path in folder.iterdir()}
    files.swap(f"{remote.path('history')}/a", b"new")


def test_stopped_while_a_document_is_written(remote, time):
    """The check comes again before a document takes its name: writing it may take long."""
    path = f"{remote.path('archive')}/a"
    files.swap(path, b"old")

    asked = []
    check = GUARDS[remote.path("archive")]

    def late():
        asked.append(1)
        if len(asked) == 2:
            overtake(remote)
            time.go(LOOK)
        check()

    GUARDS[remote.path("archive")] = late
    with pytest.raises(AlreadyRunningError):
        files.swap(path, b"new")
    assert b"old" == Path(path).read_bytes()


def test_required(remote, time):
    """A store that another host has is not given to anybody who would work on it."""
    assert remote.path("archive") == remote.require("archive")
    overtake(remote)
    time.go(LOOK)
    with pytest.raises(AlreadyRunningError):
        remote.require("archive")
    with pytest.raises(AlreadyRunningError):
        remote.tenures.check_all()
    assert remote.path("history") == remote.require("history")


def test_renewals_of_all(remote, time):
    """The daemon's renewal tells of a loss; a store that is away for now stops it less."""
    time.go(EXPIRY / 3)
    remote.tenures.renew()
    assert 2 == said(Path(remote.path("archive")))["beat"]
    overtake(remote)
    with pytest.raises(AlreadyRunningError):
        remote.tenures.renew()


def test_held_and_let_go(tmp_path, time):
    """What is held with the locks is let go with them, and asks no more."""
    storage = Storage(Stores(root=str(tmp_path), **{k: str(tmp_path / k) for k in KINDS}), ())
    storage.prepare()
    folder = storage.path("archive")
    storage.tenures = Tenures(time)
    storage.tenures._all[folder] = Tenure(folder, ONE, time)
    storage.tenures.take(wait=time.go)
    with storage.locked():
        assert ({folder}, 7) == (set(GUARDS), said(Path(folder))["pid"])
    assert (set(), 0) == (set(GUARDS), said(Path(folder))["pid"])


def test_waiting_for_another(store, time):
    """All stores are watched at once: one expiry later they are ours, and it is said once."""
    second = store.parent / "prearchive"
    second.mkdir()
    (second / MARKER).write_text("id\n")
    had(store, OTHER, time)
    had(second, OTHER, time)
    tenures, began = Tenures(time), time.now
    tenures._all = {str(each): Tenure(str(each), ONE, time) for each in (store, second)}
    try:
        tenures.take(wait=time.go)
        assert WHOLE + LOOK == time.now - began
        expected = [f"taken over from process 8 on host-b: {store}, {second}"]
        assert (expected, []) == (list(tenures.taken_over()), list(tenures.taken_over()))
    finally:
        tenures.release()
    assert (0, 0) == (said(store)["pid"], said(second)["pid"])


def test_a_store_that_comes_later(remote, time):
    """One that another host renews is missing, for as long as it does; then it is ours."""
    folder = remote.path("quarantine")
    other = had(Path(folder), OTHER, time)
    remote.tenures._all[folder] = Tenure(folder, ONE, time)
    assert not remote.is_there("quarantine")
    other.renew()
    with pytest.raises(MissingPlaceError):
        remote.require("quarantine")
    other.release()
    assert (False, True) == (remote.is_there("quarantine"), remote.is_there("quarantine"))


def test_local_stores_have_none(tmp_path):
    """On a local file system nothing is written, and nothing asked."""
    storage = Storage(Stores(root=str(tmp_path), **{k: str(tmp_path / k) for k in KINDS}), ())
    storage.prepare()
    table = mounts.read_mounts()
    if mounts.is_network(mounts.mount_of(str(tmp_path), table), table):
        pytest.skip("the tests lie on a network file system")
    with storage.locked():
        storage.tenures.renew()
        assert {} == GUARDS
        assert [] == list(tmp_path.rglob(OWNER))
