"""SQLite as the ledger uses it: durable, shared by processes, its faults told as ours."""

import errno
import os
import shutil

import another
import pytest
from filed import session
from sqlalchemy import text

from watcher.core.errors import FullError, LedgerError, StorageError
from watcher.io import tables
from watcher.io.ledger import NAME, Ledger


@pytest.fixture
def ledger(tmp_path):
    made = Ledger.open(str(tmp_path))
    yield made
    made.close()


def test_pragmas(ledger):
    """A commit is durable: WAL, synchronous FULL; a writer waits five seconds for another."""
    with ledger.read() as tx:
        found = [
            tx.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "busy_timeout")
        ]
    assert found == ["wal", 2, 5000]


@pytest.mark.parametrize("name", ["a b?c#d%20", "ü"])
def test_any_folder(tmp_path, name):
    """The ledger lies in the state folder, whatever that is called."""
    folder = tmp_path / name
    folder.mkdir()
    Ledger.open(str(folder)).close()
    assert (folder / NAME).exists()


def test_no_folder(tmp_path):
    """Without a state folder there is no ledger, and that is a StorageError."""
    with pytest.raises(StorageError) as caught:
        Ledger.open(str(tmp_path / "missing"))
    assert caught.value.number == errno.EIO


def test_other_format(tmp_path, ledger):
    """A command leaves a ledger of another version as it is, and says who makes another."""
    ledger.remember("schema", "0")
    with ledger.write() as tx:
        tx.execute(text("DROP TABLE outbox"))
    with pytest.raises(LedgerError, match="it has format 0, and this version reads 1") as caught:
        Ledger.open(str(tmp_path))
    assert "`watcher run` sets it aside" in caught.value.hint
    with ledger.read() as tx:
        names = set(tx.execute(text("SELECT name FROM sqlite_master")).scalars())
    assert "outbox" not in names


def test_opened_again(tmp_path, ledger):
    """A ledger opened again has what was kept, and its format."""
    ledger.remember("one", "1")
    again = Ledger.open(str(tmp_path))
    found = again.recall("one"), again.recall("schema"), again.recall("two")
    again.close()
    assert found == ("1", tables.SCHEMA, None)


def test_no_ledger(tmp_path):
    """A file that is no ledger is told with the way out: an index can be rebuilt."""
    (tmp_path / NAME).write_bytes(b"x" * 4096)
    with pytest.raises(StorageError) as caught:
        Ledger.open(str(tmp_path))
    assert (errno.EIO, True) == (caught.value.number, "rebuilds it" in caught.value.hint)


def test_damaged(tmp_path, ledger):
    """A damaged ledger is told in the same way, in the middle of work too."""
    ledger.add(session())
    ledger.close()
    with open(tmp_path / NAME, "r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (os.path.getsize(tmp_path / NAME) - 4096))
    with pytest.raises(StorageError) as caught:
        Ledger.open(str(tmp_path)).session(session().id)
    assert "rebuilds it" in caught.value.hint


def test_full(ledger):
    """A full disk is a FullError with ENOSPC; nothing half was written, and later it goes on."""
    with ledger.write() as tx:
        size = tx.execute(text("PRAGMA page_count")).scalar()
        tx.execute(text(f"PRAGMA max_page_count = {size}"))
    with pytest.raises(FullError) as caught:
        ledger.remember("big", "x" * 100_000)
    assert caught.value.number == errno.ENOSPC
    assert ledger.recall("big") is None
    with ledger.write() as tx:
        tx.execute(text("PRAGMA max_page_count = 100000"))
    ledger.remember("big", "x" * 100_000)
    assert len(ledger.recall("big")) == 100_000


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_readonly(tmp_path, ledger):
    """Writing a ledger that may not be written is a StorageError that says so."""
    ledger.close()
    os.chmod(tmp_path / NAME, 0o400)
    again = Ledger.open(str(tmp_path))
    with pytest.raises(StorageError) as caught:
        again.remember("a", "1")
    again.close()
    assert caught.value.number == errno.EROFS


def test_clash(ledger):
    """A row that is there twice is an error and takes its whole transaction back."""

    def twice():
        with ledger.write() as tx:
            for value in "12":
                tx.execute(text(f"INSERT INTO meta VALUES ('a', '{value}')"))

    with pytest.raises(StorageError):
        twice()
    assert ledger.recall("a") is None


def test_rolled_back(ledger):
    """Whatever ends the block, half a transaction is none."""

    def interrupted():
        with ledger.write() as tx:
            tx.execute(text("INSERT INTO meta VALUES ('a', '1')"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert ledger.recall("a") is None


COUNTER = """
import sys
from sqlalchemy import text
from watcher.io.ledger import Ledger
ledger = Ledger.open(sys.argv[1])
with ledger.read() as tx:  # SQLite's waiting writers have no turn: a slow disk keeps one for long
    tx.execute(text("PRAGMA busy_timeout = 250000"))
print("there", flush=True)
sys.stdin.readline()
for _ in range(50):
    with ledger.write() as tx:
        found = int(tx.execute(text("SELECT value FROM meta WHERE key = 'n'")).scalar())
        tx.execute(text(f"UPDATE meta SET value = '{found + 1}' WHERE key = 'n'"))
ledger.close()
print("done", flush=True)
"""


def test_two_writers(tmp_path, ledger):
    """Two processes that read and then write lose no update: a writer locks before it reads."""
    ledger.remember("n", "0")
    with another.process(COUNTER, tmp_path) as one, another.process(COUNTER, tmp_path) as two:
        for child in (one, two):
            child.stdin.write("go\n")
            child.stdin.flush()
        assert [child.stdout.readline() for child in (one, two)] == ["done\n", "done\n"]
    assert ledger.recall("n") == "100"


KEEPER = """
import sys
from sqlalchemy import text
from watcher.io.ledger import Ledger
ledger = Ledger.open(sys.argv[1])
with ledger.write() as tx:
    tx.execute(text("INSERT INTO meta VALUES ('half', '1')"))
    print("there", flush=True)
    sys.stdin.readline()
"""


def test_killed(tmp_path, ledger):
    """A process killed in a transaction leaves nothing of it, and no lock."""
    ledger.remember("whole", "1")
    with another.process(KEEPER, tmp_path) as child:
        assert ledger.recall("half") is None  # readers go on beside a writer
        child.kill()
        child.wait()
        ledger.remember("after", "1")
    assert [ledger.recall(key) for key in ("whole", "half", "after")] == ["1", None, "1"]


def test_busy(tmp_path, ledger):
    """A ledger that another holds past all patience is EBUSY: a passing fault."""
    with another.process(KEEPER, tmp_path):
        with ledger.read() as tx:
            tx.execute(text("PRAGMA busy_timeout = 50"))
        with pytest.raises(StorageError) as caught:
            ledger.remember("a", "1")
    assert (errno.EBUSY, False) == (caught.value.number, caught.value.permanent)


def test_committed_survives(tmp_path, ledger):
    """What was committed is there in a copy of the files as a crash would leave them."""
    ledger.remember("a", "1")
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    for name in (NAME, f"{NAME}-wal"):
        shutil.copy(tmp_path / name, crashed / name)
    again = Ledger.open(str(crashed))
    found = again.recall("a")
    again.close()
    assert found == "1"
