"""Held locks: one holder, named; free when its owner is dead, however it died."""

import errno
import getpass
import os
import threading

import another
import pytest
from sqlalchemy import select

from watcher.core.errors import AlreadyRunningError, HeldError, StorageError
from watcher.io import lease, tables
from watcher.io.lease import (
    Leases,
    destination_key,
    is_locked,
    lock_store,
    login,
    owner,
    session_key,
)
from watcher.io.ledger import Ledger

KEY = session_key("20260619_091425123")
NOW = 1_750_000_000.0

HOLDER = """
import sys
from watcher.io.lease import Leases
from watcher.io.ledger import Ledger
ledger = Ledger.open(sys.argv[1])
with Leases(sys.argv[1], ledger).hold(sys.argv[2:], 1750000000.0):
    print("there", flush=True)
    sys.stdin.readline()
ledger.close()
print("done", flush=True)
"""
LOCKER = """
import sys
from watcher.io.lease import lock_store
held = lock_store(sys.argv[1])
print("there", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def ledger(tmp_path):
    opened = Ledger.open(str(tmp_path))
    yield opened
    opened.close()


@pytest.fixture
def leases(tmp_path, ledger):
    return Leases(str(tmp_path), ledger)


@pytest.fixture
def marker(tmp_path):
    path = tmp_path / ".watcher-store"
    path.write_text("id\n")
    return str(path)


def signed(ledger):
    with ledger.read() as tx:
        return set(tx.execute(select(tables.lease.c.key)).scalars())


def held(leases, *keys):
    """Whether these keys can't be had now."""
    try:
        with leases.hold(list(keys), NOW):
            return False
    except HeldError:
        return True


def test_held_by_another(tmp_path, leases):
    """A key another process holds is refused, naming who and since when; freed when it ends."""
    with another.process(HOLDER, tmp_path, KEY) as child:
        with pytest.raises(HeldError) as caught, leases.hold([KEY], NOW):
            pass
        expected = f"process {child.pid}"
        assert expected in str(caught.value)
        assert "since 2025-06-15T15:06:40" in str(caught.value)
        child.communicate("go\n")
        assert not held(leases, KEY)


def test_killed(tmp_path, leases):
    """A holder killed with -9 holds nothing more; nobody has to clean up after it."""
    with another.process(HOLDER, tmp_path, KEY) as child:
        assert held(leases, KEY)
        child.kill()
        child.wait()
        assert not held(leases, KEY)


def test_all_or_none(tmp_path, leases, ledger):
    """Where one key is held, none of the others is kept either."""
    with another.process(HOLDER, tmp_path, "m"):
        assert held(leases, "a", "m", "z")
        assert not held(leases, "a")
        assert not held(leases, "z")
        assert signed(ledger) == {"m"}


def test_same_process(leases):
    """Two tasks of one process exclude each other too; one may name a key twice."""
    with leases.hold([KEY, KEY], NOW):
        assert held(leases, KEY)
        assert not held(leases, session_key("other"))
    assert not held(leases, KEY)


def test_freed_on_error(leases, ledger):
    """However the work ends, the key is free and nobody is named any more."""
    with pytest.raises(RuntimeError), leases.hold([KEY], NOW):
        raise RuntimeError
    assert (False, set()) == (held(leases, KEY), signed(ledger))


def test_unsigned(tmp_path, leases, ledger):
    """A holder that has not signed yet is another process: the lock is the truth."""
    with another.process(HOLDER, tmp_path, KEY):
        with ledger.write() as tx:
            tx.execute(tables.lease.delete())
        with pytest.raises(HeldError, match="another process"), leases.hold([KEY], NOW):
            pass


def test_exclusive(tmp_path, leases):
    """A moment's work is never refused: it waits for its turn."""
    order = []

    def second():
        with leases.exclusive("record/1"):
            order.append("second")

    with leases.exclusive("record/1"):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.05)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_no_state(tmp_path, ledger):
    """Where the state folder is gone a lease is a StorageError, not a refusal."""
    gone = Leases(str(tmp_path / "missing"), ledger)
    for wanted in (gone.hold([KEY], NOW), gone.exclusive(KEY)):
        with pytest.raises(StorageError) as caught, wanted:
            pass
        assert caught.value.number == errno.ENOENT


def test_no_locks(marker):
    """What can't be locked at all is a fault, and never taken for held or free."""
    fd = os.open(marker, os.O_RDONLY)
    try:
        with pytest.raises(StorageError) as caught:
            lease._lock(fd, 0)
    finally:
        os.close(fd)
    assert caught.value.number == errno.EBADF


def test_keys():
    """Destinations that differ by case only share their lease; Unassigned has one as well."""
    assert destination_key("P", "A") == destination_key("P", "a")
    assert len({destination_key("P", "A"), destination_key(None, "A"), session_key("A")}) == 3


WHO = "from watcher.io.lease import login; print(login(), end='')"


def test_login(monkeypatch):
    """The login user is named; behind sudo the person who called it."""
    monkeypatch.delenv("SUDO_USER", raising=False)
    monkeypatch.setenv("LOGNAME", "bertha")  # nor has every user a name in passwd
    assert ("bertha", True) == (getpass.getuser(), "bertha" in owner())
    assert str(os.getpid()) in owner()
    env = {**os.environ, "SUDO_USER": "anna"}
    assert another.run(WHO, env=env) == "anna"
    assert login()


@pytest.mark.skipif(os.geteuid() != 0, reason="changes the user, which takes root")
def test_login_of_nobody(tmp_path):
    """A user that no passwd knows, as containers have, has a number."""
    code = f"import watcher.io.lease, os; os.setuid(54321); {WHO}"
    names = {"LOGNAME", "USER", "LNAME", "USERNAME", "SUDO_USER"}
    env = {key: value for key, value in os.environ.items() if key not in names}
    assert another.run(code, env=env) == "uid 54321"


def test_store(marker):
    """One daemon holds a store; the next is told so, and has it once the first is dead."""
    assert not is_locked(marker)
    with another.process(LOCKER, marker) as child:
        with pytest.raises(AlreadyRunningError, match="another daemon"):
            lock_store(marker)
        assert is_locked(marker)
        child.kill()
        child.wait()
        assert not is_locked(marker)
        os.close(lock_store(marker))


def test_store_same_process(marker):
    """A second lock in the same process is refused, and leaves no descriptor open."""
    fd = lock_store(marker)
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(AlreadyRunningError):
        lock_store(marker)
    assert set(os.listdir("/proc/self/fd")) <= before  # the collector may close another's
    assert is_locked(marker)
    os.close(fd)


ASKER = """
import sys
from watcher.io.lease import is_locked
print("there", flush=True)
while True:
    is_locked(sys.argv[1])
"""


def test_asking_locks_nothing(marker):
    """A daemon that starts while somebody asks is not refused: asking takes no lock."""
    with another.process(ASKER, marker):
        for _ in range(2000):
            os.close(lock_store(marker))


def test_store_missing(tmp_path):
    """A store without its marker is nobody's: not locked, and it can't be."""
    gone = str(tmp_path / "gone")
    assert not is_locked(gone)
    with pytest.raises(StorageError) as caught:
        lock_store(gone)
    assert caught.value.number == errno.ENOENT


def test_store_unsure(tmp_path):
    """Whether it is locked is not guessed where it can't be told."""
    os.symlink("loop", tmp_path / "loop")
    with pytest.raises(StorageError) as caught:
        is_locked(str(tmp_path / "loop"))
    assert caught.value.number == errno.ELOOP
