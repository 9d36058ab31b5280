"""Whether a ledger can be used: whole, and the one that worked on this prearchive last."""

import errno
import os
import random
import sqlite3
from contextlib import closing

import pytest
from filed import session

from watcher.core.errors import LedgerError, StorageError
from watcher.io import intact
from watcher.io.ledger import NAME, Ledger


@pytest.fixture
def state(tmp_path):
    """A folder with a ledger that was closed, signed for the prearchive beside it."""
    for kind in ("state", "prearchive"):
        (tmp_path / kind).mkdir()
    state = tmp_path / "state"
    run(state)
    return state


def run(state, change=lambda ledger: ledger.add(session())):
    """What a daemon's run does to ledger and mark."""
    ledger = Ledger.open(str(state))
    runs = intact.next_runs(prearchive(state))
    ledger.remember(intact.RUNS, runs)
    intact.sign(prearchive(state), runs)
    change(ledger)
    ledger.close()


def prearchive(state):
    return str(state.parent / "prearchive")


def fault(state):
    return intact.fault_of(str(state / NAME), prearchive(state))


def test_a_ledger_as_it_was_left_is_used(state):
    """Whole and the last one: nothing is wrong with it; nor with none at all before any run."""
    assert ("", "") == (fault(state), intact.fault_of("/nowhere/ledger", "/nowhere"))


def test_one_that_is_gone_is_lost(state):
    """No file, or an empty one, where the prearchive says there was one."""
    os.truncate(state / NAME, 0)
    assert "it was lost" == fault(state)
    (state / NAME).unlink()
    assert "it was lost" == fault(state)


@pytest.mark.parametrize("seed", range(5))
def test_noise_is_damage(state, seed):
    """Bytes flipped anywhere in many of its pages are found, whatever SQLite then says."""
    chance = random.Random(seed)
    with (state / NAME).open("r+b") as file:
        for page in range(1, os.path.getsize(state / NAME) // 4096):
            file.seek(4096 * page + chance.randrange(100))
            file.write(chance.randbytes(3900))
    before = (state / NAME).read_bytes()
    assert fault(state).startswith("it is damaged: ")
    assert before == (state / NAME).read_bytes(), "it is only looked at"


def test_what_is_no_database_is_damage(state):
    """Text, zeros, half a file."""
    whole = (state / NAME).read_bytes()
    for data in (b"no database\n" * 1000, bytes(len(whole)), whole[: len(whole) // 2 + 7]):
        (state / NAME).write_bytes(data)
        assert fault(state).startswith("it is damaged: ")


def test_an_undecodable_text_is_damage(state):
    """A schema whose text is no UTF-8: what Python can't say of it is damage all the same."""
    with closing(sqlite3.connect(state / NAME)) as tx, tx:
        tx.execute("PRAGMA writable_schema = ON")
        bad = "CAST(x'ff8081' AS TEXT)"
        tx.execute(f"UPDATE sqlite_schema SET name = {bad}, sql = {bad} WHERE name = 'lease'")
    tx.close()
    assert fault(state).startswith("it is damaged: ")


def test_an_older_copy_is_not_the_last_one(state):
    """One copied before the last run is none to go on with; the run before counts after a crash."""
    old = (state / NAME).read_bytes()
    intact.sign(prearchive(state), "")  # no mark of any run: an older version's
    assert "" == fault(state)
    run(state, change=lambda ledger: None)
    run(state, change=lambda ledger: None)
    (state / NAME).write_bytes(old)
    assert "it is not the one of the last run" == fault(state)


def test_cut_off_between_ledger_and_mark(state):
    """A crash after the ledger was signed and before the mark was: the next start goes on."""
    ledger = Ledger.open(str(state))
    ledger.remember(intact.RUNS, intact.next_runs(prearchive(state)))
    ledger.close()
    assert "" == fault(state)


def test_a_whole_database_of_others(state, tmp_path):
    """A database without our tables is not the last one either."""
    (state / NAME).unlink()
    with closing(sqlite3.connect(state / NAME)) as tx, tx:
        tx.execute("CREATE TABLE other (x)")
    tx.close()
    assert "it is not the one of the last run" == fault(state)


@pytest.mark.parametrize("other", ["0", "2"])
def test_a_ledger_of_another_format_is_not_used(state, other):
    """That of a newer version, or of one too old: a start makes another, and removes neither."""
    run(state, lambda ledger: ledger.remember("schema", other))
    assert f"it has format {other}, and this version reads 1" == fault(state)


def test_what_the_machine_refuses_is_no_damage(state):
    """A ledger somebody holds for long may well be whole: opening it says what is wrong."""
    holder = sqlite3.connect(state / NAME, isolation_level=None)
    holder.execute("PRAGMA journal_mode = DELETE")
    holder.execute("BEGIN EXCLUSIVE")
    assert "" == fault(state)
    holder.close()


def test_set_aside(state):
    """Every file of it has another name, with its bytes; where there is none, none is made."""
    (state / f"{NAME}-wal").write_bytes(b"log")
    before = sorted(path.read_bytes() for path in state.iterdir())
    first = intact.set_aside(str(state / NAME))
    assert before == sorted(path.read_bytes() for path in state.iterdir())
    assert [] == list(state.glob(f"{NAME}*"))
    assert os.path.exists(f"{first}-wal")
    assert "" == intact.set_aside(str(state / NAME))


def test_set_aside_where_it_can_not_be(state):
    """What the file system refuses is a StorageError."""
    path = state / ("x" * 240 + ".sqlite")  # no longer name fits beside it
    path.touch()
    with pytest.raises(StorageError) as caught:
        intact.set_aside(str(path))
    assert (errno.ENAMETOOLONG, True) == (caught.value.number, path.exists())


@pytest.mark.parametrize("part", ["", "-wal"])
def test_another_file_of_the_name_is_noticed(state, part):
    """What was opened is removed, or replaced: no transaction is begun on it, and it is told."""
    ledger = Ledger.open(str(state))
    ledger.check()
    data = (state / (NAME + part)).read_bytes()
    (state / (NAME + part)).unlink()
    for _ in range(2):
        with pytest.raises(LedgerError, match="removed or replaced"):
            ledger.remember("one", "1")
        with pytest.raises(LedgerError):
            ledger.check()
        (state / (NAME + part)).write_bytes(data)  # another file of that name is none of ours
    ledger.close()


def test_out_of_reach(tmp_path):
    """Where nobody can look at it that is a StorageError, never a loss."""
    os.symlink("loop", tmp_path / "loop")
    with pytest.raises(StorageError) as caught:
        intact.fault_of(str(tmp_path / "loop" / NAME), "")
    assert errno.ELOOP == caught.value.number


def test_a_row_that_is_none(state):
    """A row nobody could have written is damage, told as such."""
    with closing(sqlite3.connect(state / NAME)) as tx, tx:
        tx.execute("UPDATE session SET rest = '{'")
    tx.close()
    ledger = Ledger.open(str(state))
    with pytest.raises(LedgerError, match="can't be read"):
        ledger.session(session().id)
    with pytest.raises(LedgerError):
        ledger.check()
    ledger.close()
