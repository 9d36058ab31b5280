"""Kept drops: each file is taken once, in little room, and a look by names costs no more."""

import os
from dataclasses import replace

import pytest
from mortal import MortalHop, mode
from stages.test_looking import looker, pending

from watcher.core.file import Candidate, Fingerprint
from watcher.io.receiving import PAGE
from watcher.stages.keeping import Keeping
from watcher.stages.looking import WHOLLY


@pytest.fixture
def anyio_backend():
    """One will do: what is asked here is not who runs the loop."""
    return "asyncio"


OLD = Fingerprint(device=1, inode=2, size=3, mtime_ns=4, ctime_ns=5)


def kept(bench):
    return replace(bench.drop, after="keep")


def watching(bench, **changes):
    """The eyes of a kept drop whose changes are hinted at."""
    eyes = looker(bench, after="keep", **changes)
    eyes.watched = True
    return eyes


async def look(eyes):
    """A full look, however short the time since the last one, and then at hints."""
    eyes.next_full = 0.0
    assert await eyes.look()


def remembered(bench):
    return set(bench.parts.receiving.taken("mri"))


def change(bench, name):
    """Other bytes under a name, in place."""
    os.utime(bench.path(name), ns=(1, 1))


async def filed(bench, *names):
    """These files are filed, and the drop was looked at wholly."""
    for number, name in enumerate(names, 1):
        bench.put(name, number)
        bench.file(name, drop=kept(bench))
    eyes = watching(bench)
    await look(eyes)
    return eyes


class TestByNames:
    """Looks at a watched drop ask known files only when something was said of them."""

    async def test_a_name_that_is_known_will_do(self, bench):
        """A change that nobody hinted at is found by one look in ten, not by the others."""
        eyes = await filed(bench, "d/a", "d/b")
        change(bench, "d/a")
        for _ in range(WHOLLY - 1):
            await look(eyes)
            assert set() == pending(eyes)
        await look(eyes)
        assert {b"d/a"} == pending(eyes)

    @pytest.mark.parametrize("path", [b"d/a", b"d", None])
    async def test_a_hint_has_it_asked(self, bench, path):
        """A hint at the file, at its directory, or at anything: the change is found at once."""
        eyes = await filed(bench, "d/a", "d/b")
        change(bench, "d/a")
        eyes.hint(path)
        await look(eyes)
        assert {b"d/a"} == pending(eyes)

    async def test_a_new_name_is_seen(self, bench):
        """Names are listed at every look."""
        eyes = await filed(bench, "d/a")
        bench.put("d/c", 3)
        await look(eyes)
        assert {b"d/c"} == pending(eyes)

    async def test_a_pending_change_stays_pending(self, bench):
        """A file that changed is not known by its name any more: looks go on to see it."""
        eyes = await filed(bench, "d/a")
        change(bench, "d/a")
        eyes.hint(b"d/a")
        for _ in range(3):
            await look(eyes)
            assert {b"d/a"} == pending(eyes)

    async def test_an_unwatched_drop_is_asked_at_every_look(self, bench):
        """Without hints (`watch = "poll"`, a watch that fell) every look sees a change."""
        eyes = await filed(bench, "d/a")
        eyes.watched = False
        change(bench, "d/a")
        await look(eyes)
        assert {b"d/a"} == pending(eyes)

    async def test_after_an_absence_every_file_is_asked(self, bench):
        """Nothing hints at what happened while the drop was away."""
        eyes = await filed(bench, "d/a")
        os.rename(bench.drop.path, f"{bench.drop.path}.away")
        await look(eyes)
        os.rename(f"{bench.drop.path}.away", bench.drop.path)
        change(bench, "d/a")
        await look(eyes)
        assert {b"d/a"} == pending(eyes)


class TestForgetting:
    """What is gone is forgotten, in the ledger too."""

    async def test_what_vanished_is_forgotten_page_by_page(self, bench):
        """Names that are gone leave no row, however many; those that are there stay."""
        eyes = await filed(bench, "d/a", "d/b")
        rows = {Candidate("mri", b"d/%06d" % each, OLD): OLD for each in range(2 * PAGE + 1)}
        bench.parts.receiving.record([], rows)
        eyes = watching(bench)
        await look(eyes)
        assert {b"d/a", b"d/b"} == remembered(bench)
        os.remove(bench.path("d/b"))
        await look(eyes)
        assert {b"d/a", b"d/b"} == remembered(bench)  # by names: it passes over what it knows
        eyes.hint(None)
        await look(eyes)
        assert {b"d/a"} == remembered(bench)
        bench.put("d/b", 2)
        await look(eyes)
        assert {b"d/b"} == pending(eyes)

    async def test_nothing_is_concluded_from_a_look_that_saw_not_all(self, bench):
        """A directory that can't be read hides its files: they stay known."""
        eyes = await filed(bench, "d/a", "e/a")
        eyes.thread = MortalHop(1)
        with mode(bench.path("d"), 0):
            await look(eyes)
        assert {b"d/a", b"e/a"} == remembered(bench)
        await look(eyes)
        assert set() == pending(eyes)

    async def test_what_is_taken_during_a_look_is_not_forgotten(self, bench):
        """A look that passed a folder before its file was done proves nothing of it."""
        memory = Keeping(bench.parts.receiving, kept(bench))
        memory.load(lambda: None)
        memory.begin()
        bench.put("a")
        (outcome,) = bench.file("a", drop=kept(bench))
        memory.add(b"a", outcome.remains)
        memory.forget_unmet((), lambda: None)
        assert {b"a"} == remembered(bench)
        assert memory.has(b"a", outcome.remains)

    async def test_what_is_pending_is_not_forgotten(self, bench):
        """Content that was filed is known until its successor is: the row is replaced then."""
        eyes = await filed(bench, "a", "b")
        change(bench, "a")
        os.remove(bench.path("b"))
        eyes.hint(None)
        await look(eyes)
        assert {b"a"} == remembered(bench)


class TestKey:
    """Path, size, mtime and inode (spec 5)."""

    async def test_a_mount_s_number_is_no_part_of_it(self, bench):
        """The device number of a mount changes from one start to the next: nothing is new."""
        await filed(bench, "a")
        (row,) = bench.parts.receiving.taken("mri").items()
        seen = replace(row[1], device=row[1].device + 1)
        bench.parts.receiving.record([], {Candidate("mri", row[0], seen): seen})
        eyes = watching(bench)
        await look(eyes)
        assert set() == pending(eyes)

    async def test_another_inode_is_another_file(self, bench):
        """The same size and mtime under the name: it is asked what it holds."""
        eyes = await filed(bench, "a")
        found = os.stat(bench.path("a"))
        bench.put("b", 2)
        os.utime(bench.path("b"), ns=(found.st_atime_ns, found.st_mtime_ns))
        os.replace(bench.path("b"), bench.path("a"))
        assert found.st_size == os.stat(bench.path("a")).st_size
        eyes.hint(b"a")
        await look(eyes)
        assert {b"a"} == pending(eyes)

    async def test_what_was_left_alone_is_known_by_name_too(self, bench):
        """A file that is nothing to us is as good as a kept one, until the next start."""
        eyes = await filed(bench, "a")
        bench.put("b", 2)
        eyes.met.leave(b"b", bench.candidate("b").print)
        await look(eyes)
        assert set() == pending(eyes)


async def test_the_ledger_is_read_once(bench):
    """What it knows of a drop is read at the first look, in a thread that gives signs of life."""
    await filed(bench, "a")
    beats = []
    memory = Keeping(bench.parts.receiving, kept(bench))
    for _ in range(2):
        memory.load(lambda: beats.append(1))
    assert [1] == beats


async def test_a_read_only_drop_is_nobody_s_concern(bench):
    """With `keep` nothing is tried that would want to write there, and nothing is said."""
    bench.put("d/a")
    with mode(bench.path("d"), 0o555), mode(bench.drop.path, 0o555):
        (outcome,) = bench.file("d/a", drop=kept(bench))
        eyes = looker(bench, after="keep", thread=MortalHop(1))
        await eyes.look_fully()
        eyes.met.finish(b"d/a", outcome.remains)
        await eyes.look_fully()
        eyes.prune(bench.parts.clock.monotonic() + 9e9)
    assert [] == [name for name, _ in bench.said if name.startswith("drop.")]
    assert os.path.exists(bench.path("d/a"))
