"""The log's file as it is read: lines, rotated files, what is added."""

import gzip
import os
import random

import pytest

from watcher.core.errors import StorageError
from watcher.io.logfiles import LONGEST, Cut, Tail, lines_of, older, pause, rotated


def read(path, since=0.0, before=None):
    return list(older(str(path), since, before))


def test_lines_are_the_same_however_they_come(tmp_path):
    """Blocks of any size give the same lines; the last needs no newline."""
    data = b"one\n\ntwo\xff\n" + b"x" * 70_000 + b"\nlast"
    for seed in range(5):
        sizes = random.Random(seed)
        rest = memoryview(data)

        def read(_size, sizes=sizes):
            nonlocal rest
            size = sizes.choice([1, 7, 4096, 65536])
            block, rest = bytes(rest[:size]), rest[size:]
            return block

        assert data.split(b"\n") == list(lines_of(read))


def test_a_line_without_end_is_cut_short():
    """Of a line longer than any of ours the beginning is read, and the next one is whole."""
    cut = Cut()
    found = [len(each) for _ in range(40) for each in cut.lines(b"x" * 65536)]
    found += [len(each) for each in cut.lines(b"x\nnext\n")]
    assert [LONGEST, 4] == found
    assert [] == list(cut.end())
    assert [LONGEST] == [len(each) for each in Cut().lines(b"y" * (LONGEST + 5) + b"\n")]


def test_rotated_files_come_oldest_first(tmp_path):
    """Ours by number, logrotate's by date before them, compressed or not; others are not read."""
    names = ["log.10", "log.2.gz", "log.1", "log-20260618.gz", "log-20260619", "log.bak", "blog.1"]
    for name in [*names, "log"]:
        (tmp_path / name).touch()
    expected = ["log-20260618.gz", "log-20260619", "log.10", "log.2.gz", "log.1"]
    assert expected == [os.path.basename(each) for each in rotated(str(tmp_path / "log"))]


def test_older_files_are_read_whole(tmp_path):
    """Compressed ones too; a damaged one up to its damage, with a word on it."""
    (tmp_path / "log.3.gz").write_bytes(gzip.compress(b"a\nb\n" * 50_000)[:-20])
    (tmp_path / "log.2.gz").write_bytes(gzip.compress(b"c\n"))
    (tmp_path / "log.1").write_bytes(b"d\nto")
    found = read(tmp_path / "log")
    assert [b"c", b"d", b"to"] == found[-3:]
    assert {b"a", b"b"} <= set(found)
    assert [b"damaged" in each for each in found].count(True) == 1


def test_files_that_are_too_old_are_not_read(tmp_path):
    """A file last written to before that moment has no line of after it."""
    for number in (1, 2):
        (tmp_path / f"log.{number}").write_bytes(b"%d\n" % number)
        os.utime(tmp_path / f"log.{number}", (0, 1000 * (3 - number)))
    assert [b"2", b"1"] == read(tmp_path / "log")
    assert [b"1"] == read(tmp_path / "log", since=1500.0)


def test_a_file_that_is_rotated_meanwhile_is_read_once(tmp_path):
    """The file that was open before it was rotated, and newer ones, are the tail's."""
    path = tmp_path / "log"
    (tmp_path / "log.1").write_bytes(b"a\n")
    path.write_bytes(b"b\n")
    tail = Tail(str(path))
    mine = tail.open()
    os.rename(tmp_path / "log.1", tmp_path / "log.3")
    os.rename(path, tmp_path / "log.2")
    (tmp_path / "log.1").write_bytes(b"c\n")
    path.write_bytes(b"d\n")
    assert [b"a"] == read(path, before=mine)
    assert [b"b", b"c", b"d"] == list(tail.more())
    tail.close()


def test_a_tail_gives_what_is_added(tmp_path):
    """Whole lines only, each once; nothing while the file is not there."""
    path = tmp_path / "log"
    tail = Tail(str(path))
    assert tail.open() is None
    assert [] == list(tail.more())
    with path.open("ab", 0) as file:
        file.write(b"a\nb")
        assert [b"a"] == list(tail.more())
        file.write(b"c\n")
        assert [b"bc"] == list(tail.more())
        file.write(b"torn")
        assert [[], [b"torn"]] == [list(tail.more()), list(tail.last())]
    tail.close()


def test_a_tail_survives_removal_and_truncation(tmp_path):
    """What is left of the old file comes first; an emptied file is read from its start."""
    path = tmp_path / "log"
    path.write_bytes(b"a\n")
    tail = Tail(str(path))
    tail.open()
    assert [b"a"] == list(tail.more())
    with path.open("ab") as file:
        path.unlink()
        file.write(b"b\nto")
    assert [b"b"] == list(tail.more())
    path.write_bytes(b"c\nd\n")
    assert [b"to", b"c", b"d"] == list(tail.more())
    os.truncate(path, 0)
    assert [] == list(tail.more())
    with path.open("ab") as file:
        file.write(b"e\n")
    assert [b"e"] == list(tail.more())
    tail.close()


def test_a_log_that_cannot_be_read_is_a_storage_error(tmp_path):
    """A folder in its place, or a file round it."""
    with pytest.raises(StorageError):
        Tail(str(tmp_path)).open()
    (tmp_path / "file").touch()
    with pytest.raises(StorageError):
        rotated(str(tmp_path / "file" / "log"))


def test_a_tail_outlives_its_folder(tmp_path):
    """It was removed, or its mount is away: what comes when it is back is read."""
    path = tmp_path / "log" / "log"
    path.parent.mkdir()
    path.write_bytes(b"a\n")
    tail = Tail(str(path))
    tail.open()
    assert [b"a"] == list(tail.more())
    path.unlink()
    path.parent.rmdir()
    assert [] == list(tail.more())
    path.parent.mkdir()
    path.write_bytes(b"b\n")
    assert [b"b"] == list(tail.more())
    tail.close()


def test_a_pause_ends_when_nobody_reads(tmp_path):
    """A reader that is gone ends it at once; a file, or one who reads, lets it last."""
    reading, writing = os.pipe()
    with open(writing, "w") as stream:
        pause(stream, 0.01)
        os.close(reading)
        with pytest.raises(BrokenPipeError):
            pause(stream, 1000.0)
    with (tmp_path / "file").open("w") as file:
        pause(file, 0.01)
