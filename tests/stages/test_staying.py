"""Sources whose content is filed and that could not be removed: tried again with the looks."""

import os
from dataclasses import replace

import pytest
from mortal import mode
from stages.test_looking import looker

from watcher.stages.staying import Staying


def seen(bench, name):
    return bench.candidate(name).print


def staying(bench, *names, **changes):
    """These files of the drop, which could not be removed."""
    found = Staying(bench.parts, replace(bench.drop, **changes))
    for name in names:
        found.add(os.fsencode(name), seen(bench, name))
    return found


def test_all_go_when_the_directory_is_writable_again(bench):
    """No restart: the next try removes them, and says so once."""
    for number, name in enumerate(("a/1", "a/2", "b/1"), 1):
        bench.put(name, number)
    sources = staying(bench, "a/1", "a/2", "b/1")
    with mode(bench.path("a"), 0o555):
        assert [b"b/1"] == sources.try_again()
        assert [] == sources.try_again()
    assert (True, {b"a/1", b"a/2"}) == (bool(sources), set(sources.try_again()))
    assert not sources
    assert [1, 1] == [len(bench.events(f"drop.{each}")) for each in ("readonly", "writable")]


def test_one_of_a_directory_is_tried(bench):
    """A look costs one try for each directory, however many stay there; not always the same."""
    names = [f"a/{number}" for number in range(1, 6)]
    for number, name in enumerate(names):
        bench.put(name, number)
    sources = staying(bench, *names)
    with mode(bench.path("a"), 0o555):
        assert [[], []] == [sources.try_again() for _ in range(2)]
    assert [os.fsencode(name) for name in (*names[2:], *names[:2])] == sources.try_again()


def test_another_file_is_never_removed(bench):
    """What took the name meanwhile stays, and is no more remembered."""
    bench.put("a", 1)
    sources = staying(bench, "a")
    os.remove(bench.path("a"))
    bench.put("a", 2, rows=8)  # its inode and times may be those of the first
    assert [b"a"] == sources.try_again()
    assert (["a"], False) == (os.listdir(bench.drop.path), bool(sources))


def test_what_is_gone_is_forgotten(bench):
    """A name that needs nothing more leaves no trace."""
    bench.put("a", 1)
    sources = staying(bench, "a")
    sources.forget(b"b")
    sources.forget(b"a")
    assert ([], False) == (sources.try_again(), bool(sources))


def test_kept_sources_are_nobody_s(bench):
    """With `after = "keep"` nothing in the drop is touched."""
    bench.put("a", 1)
    assert not staying(bench, "a", after="keep")


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_look_removes_what_could_not_be_removed(bench, anyio_backend):
    """Read-only, then writable: the next full look removes the source, and what it was goes too."""
    bench.put("a")
    eyes = looker(bench)
    with mode(bench.drop.path, 0o555):
        (outcome,) = bench.file("a")
        eyes.met.finish(b"a", outcome.remains)
        await eyes.look_fully()
        assert ["a"] == os.listdir(bench.drop.path)
    await eyes.look_fully()
    assert ([], {}) == (os.listdir(bench.drop.path), bench.parts.receiving.taken("mri"))
    assert 1 == len(bench.events("drop.writable"))
