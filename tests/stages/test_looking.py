"""What lies in one drop: looks decide, hints only say where to look."""

import os
import shutil
from dataclasses import replace

import anyio
import pytest
from mortal import MortalHop, mode

from watcher.core.errors import MissingPlaceError, StorageError
from watcher.io.mounts import mount_of, read_mounts
from watcher.stages.hop import Hop
from watcher.stages.looking import Looker
from watcher.stages.patience import Speed, speed_of
from watcher.stages.presence import check_mount, while_there

SPEED = Speed(0.02, 0.04)


def looker(bench, *, thread=None, **changes):
    return Looker(bench.parts, replace(bench.drop, **changes), SPEED, thread or Hop(1))


def pending(looker):
    return {waiting.path for waiting in looker.settler.waiting()}


async def look_once(eyes):
    """A look in which no time passes: what it sees is not ripe, however slow the machine."""
    eyes.parts.clock.stop()
    await eyes.look()
    eyes.parts.clock.go()


async def until(reached, step):
    with anyio.fail_after(240):
        while not reached():
            await step()
            await anyio.sleep(0.01)


class TestSpeed:
    """How long a file must be quiet."""

    def test_settle_is_the_drop_s(self, bench):
        """A duration in the configuration holds on every file system."""
        assert Speed(3.0, 3.0) == speed_of(replace(bench.drop, settle=3.0), network=True)

    @pytest.mark.parametrize(
        ("network", "expected"), [(False, Speed(1.0, 5.0)), (True, Speed(15.0, 15.0, 3))]
    )
    def test_auto_suits_the_file_system(self, bench, network, expected):
        """`auto`: 1 s with a lease, 5 s without; on a network 15 s and three looks (spec 3)."""
        assert expected == speed_of(bench.drop, network=network)


class TestMissing:
    """A drop that is not there."""

    async def test_it_is_said_once_each_way(self, bench):
        """Unavailable once, available once; what was pending is kept meanwhile."""
        eyes = looker(bench)
        bench.put("a")
        await eyes.look_fully()
        os.rename(bench.drop.path, f"{bench.drop.path}.away")
        for _ in range(2):
            await eyes.look_fully()
        assert (False, {b"a"}) == (eyes.available, pending(eyes))
        os.rename(f"{bench.drop.path}.away", bench.drop.path)
        for _ in range(2):
            await eyes.look_fully()
        assert eyes.available
        assert (1, 1) == tuple(
            len(bench.events(name)) for name in ("drop.unavailable", "drop.available")
        )

    async def test_a_hint_or_a_second_look_notices_it_too(self, bench):
        """Not only full looks tell that a drop has gone."""
        for way in ("hint", "again"):
            eyes = looker(bench, rescan_interval=1000.0)
            bench.put("a")
            await look_once(eyes)
            shutil.move(bench.drop.path, f"{bench.drop.path}.away")
            if way == "hint":
                eyes.hint(b"a")
            await until(lambda eyes=eyes: not eyes.available, eyes.look)
            shutil.move(f"{bench.drop.path}.away", bench.drop.path)

    async def test_another_directory_at_the_path_is_watched_anew(self, bench):
        """A drop made anew: the watch is told, once."""
        eyes = looker(bench)
        await eyes.look_fully()
        os.rename(bench.drop.path, f"{bench.drop.path}.old")
        os.mkdir(bench.drop.path)
        await eyes.look_fully()
        with anyio.fail_after(240):
            await eyes.replaced.wait(None)

    async def test_pruning_a_drop_that_is_gone_is_no_fault(self, bench):
        """Folders to be removed in a drop that is not there stay, and nobody is told twice."""
        eyes = looker(bench, inactivity=0.001)
        eyes.met.finish(b"d/a", None)
        os.rename(bench.drop.path, f"{bench.drop.path}.away")
        eyes.prune(bench.parts.clock.monotonic() + 10)
        assert [] == bench.said


class TestMounts:
    """A drop that must be, or was, a mount point."""

    async def test_a_drop_that_must_be_a_mount(self, bench):
        """`mount = true` and no mount there: missing, whatever lies in the directory."""
        bench.put("a")
        eyes = looker(bench, mount=True)
        await eyes.look_fully()
        assert (False, set()) == (eyes.available, pending(eyes))

    async def test_a_mount_that_is_gone(self, bench):
        """It was a mount point when last seen: the empty directory below it is not the drop."""
        bench.parts.ledger.remember("mount/mri", "nfs4 server:/share")
        eyes = looker(bench)
        await eyes.look_fully()
        assert not eyes.available
        assert "mount" in bench.events("drop.unavailable")[0]["text"]

    async def test_a_mount_is_remembered_by_type_and_source(self, bench):
        """Seen once it is known; another one at the same path is not the drop."""
        point = next(m for m in read_mounts() if m.point == b"/proc")
        path = os.fsdecode(point.point)
        assert mount_of(path, read_mounts()).point == point.point
        eyes = looker(bench, path=path, mount=True)
        check_mount(eyes.parts, eyes.drop)
        known = bench.parts.ledger.recall("mount/mri")
        assert f"{point.type} {point.source}" == known
        bench.parts.ledger.remember("mount/mri", "nfs4 server:/other")
        await eyes.look_fully()
        assert "another file system" in bench.events("drop.unavailable")[0]["text"]

    async def test_a_look_at_the_bare_mount_point_says_nothing(self, bench):
        """The mount goes while its files are looked at: none of them is taken for deleted."""
        eyes = looker(bench, rescan_interval=1000.0)
        bench.put("a")
        await look_once(eyes)
        os.remove(bench.path("a"))
        bench.parts.ledger.remember("mount/mri", "nfs4 server:/share")
        await until(lambda: not eyes.available, eyes.look)
        assert {b"a"} == pending(eyes)
        bench.parts.ledger.remember("mount/mri", "")

        def looking():
            bench.parts.ledger.remember("mount/mri", "nfs4 server:/share")
            return "nothing is here"

        with pytest.raises(MissingPlaceError):
            while_there(bench.parts, bench.drop, looking)

    async def test_its_return_is_watched_anew(self, bench):
        """The same directory after an absence: the watch may be deaf to it."""
        eyes = looker(bench)
        for mount in ("", "nfs4 server:/share", ""):
            bench.parts.ledger.remember("mount/mri", mount)
            await eyes.look_fully()
        with anyio.fail_after(240):
            await eyes.replaced.wait(None)

    async def test_a_mount_point_that_the_machine_names(self, bench):
        """Below a named mount point that is bare a drop is missing, at the first look already."""
        bench.put("a")
        bench.parts.storage.points = (os.path.dirname(bench.drop.path),)
        eyes = looker(bench)
        await eyes.look_fully()
        assert (False, set()) == (eyes.available, pending(eyes))

    async def test_what_could_not_be_looked_at_is_not_the_ledger(self, bench):
        """A drop that can't be opened is unavailable; a ledger that fails says nothing of it."""
        with pytest.raises(MissingPlaceError, match="busy"):
            while_there(bench.parts, bench.drop, lambda: failing("busy"))
        bench.parts.ledger.close()
        os.remove(f"{bench.parts.storage.path('state')}/.watcher-store")
        with pytest.raises(StorageError):
            await looker(bench).look_fully()
        assert [] == bench.events("drop.unavailable")


def failing(text):
    raise StorageError(text, number=5)


class TestIncomplete:
    """A look that could not see everything."""

    async def test_a_directory_that_cannot_be_read(self, bench):
        """Degraded, said once; nothing is forgotten that may lie in it; then restored."""
        bench.put("d/a")
        eyes = looker(bench, thread=MortalHop(1))
        await eyes.look_fully()
        first = eyes.looked
        os.chmod(bench.path("d"), 0)
        for _ in range(2):
            await eyes.look_fully()
        assert ({b"d/a"}, first) == (pending(eyes), eyes.looked)
        assert (1, True) == (len(bench.events("drop.degraded")), eyes.attempted)
        os.chmod(bench.path("d"), 0o755)
        await eyes.look_fully()
        assert 1 == len(bench.events("drop.restored"))
        assert first < eyes.looked

    async def test_the_last_look_tells_none_from_never(self, bench):
        """None before the first look, 0 where none was complete, else when it began."""
        bench.put("d/a")
        os.chmod(bench.path("d"), 0)
        eyes = looker(bench, thread=MortalHop(1))
        assert eyes.last_look is None
        await eyes.look_fully()
        assert 0.0 == eyes.last_look
        os.chmod(bench.path("d"), 0o755)
        await eyes.look_fully()
        assert eyes.looked == eyes.last_look


class TestTaken:
    """Sources whose content is filed and that lie there still."""

    async def test_kept_ones_are_not_taken_again(self, bench):
        """`after = "keep"`: nothing is pending, over a restart too; a changed one is new."""
        drop = replace(bench.drop, after="keep")
        bench.put("a")
        bench.file("a", drop=drop)
        eyes = looker(bench, after="keep")
        await eyes.look_fully()
        assert set() == pending(eyes)
        os.utime(bench.path("a"), (1, 1))
        await eyes.look_fully()
        assert {b"a"} == pending(eyes)

    async def test_one_that_could_not_be_removed_is_removed_later(self, bench):
        """A read-only drop that is writable again: at the next start the source goes."""
        bench.put("a")
        with mode(bench.drop.path, 0o555):
            bench.file("a")
        assert os.path.exists(bench.path("a"))
        await looker(bench).look_fully()
        assert not os.path.exists(bench.path("a"))
        assert {} == bench.parts.receiving.taken("mri")

    async def test_one_that_still_cannot_be_removed_stays(self, bench):
        """Still read-only: it stays, is not pending, and nothing is said again."""
        bench.put("a")
        with mode(bench.drop.path, 0o555):
            bench.file("a")
            eyes = looker(bench, thread=MortalHop(1))
            await eyes.look_fully()
            await eyes.look_fully()
        assert (set(), True) == (pending(eyes), os.path.exists(bench.path("a")))
        assert 1 == len(bench.events("drop.readonly"))

    async def test_one_that_was_touched_is_read_again(self, bench):
        """Another ctime and the same content: nobody removes it unread."""
        bench.put("a")
        with mode(bench.drop.path, 0o555):
            bench.file("a")
        (seen,) = bench.parts.receiving.taken("mri").values()
        while bench.candidate("a").print.ctime_ns == seen.ctime_ns:  # a tick may be long
            os.chmod(bench.path("a"), 0o600)
        eyes = looker(bench)
        await eyes.look_fully()
        assert ({b"a"}, True) == (pending(eyes), os.path.exists(bench.path("a")))

    async def test_memory_of_what_is_gone_is_dropped(self, bench):
        """A source that somebody removed is forgotten, so that another may come by its name."""
        drop = replace(bench.drop, after="keep")
        bench.put("a")
        bench.file("a", drop=drop)
        eyes = looker(bench, after="keep")
        os.remove(bench.path("a"))
        await eyes.look_fully()
        assert {} == bench.parts.receiving.taken("mri")


class TestLooks:
    """Full looks, hints and second looks."""

    async def test_what_is_gone_is_pending_no_more(self, bench):
        """A pending file that vanished is forgotten at the next full look, or the second look."""
        eyes = looker(bench, rescan_interval=1000.0)
        bench.put("a")
        await eyes.look()
        os.remove(bench.path("a"))
        bench.put("b")
        await eyes.look_fully()
        assert {b"b"} == pending(eyes)
        os.remove(bench.path("b"))  # seen once, it can't be ripe: somebody would take it then
        await until(lambda: not pending(eyes), eyes.look)

    async def test_what_is_left_alone_is_seen_once(self, bench):
        """A file that is nothing to us is not pending again until it changes."""
        eyes = looker(bench)
        bench.put("a")
        await eyes.look_fully()
        eyes.met.leave(b"a", bench.candidate("a").print)
        await eyes.look_fully()
        assert set() == pending(eyes)
        os.utime(bench.path("a"), (1, 1))
        await eyes.look_fully()
        assert {b"a"} == pending(eyes)

    async def test_links_and_pipes_are_no_files(self, bench):
        """Links, FIFOs and what lies in ignored directories are never pending."""
        os.symlink("/etc/passwd", bench.path("link"))
        os.mkfifo(bench.path("fifo"))
        bench.put("__MACOSX/a")
        eyes = looker(bench)
        for path in (b"link", b"fifo", b"__MACOSX/a"):
            eyes.hint(path)
        await eyes.look()
        eyes.hint(b"__MACOSX/a")
        eyes.hint(b"link")
        await eyes.look()
        assert set() == pending(eyes)

    async def test_what_happens_to_no_input_is_no_reason_to_look(self, bench):
        """Names under which files arrive, or leave: their own names come by hints of their own."""
        eyes = looker(bench, rescan_interval=1000.0)
        await eyes.look()
        for path in (b"a.part", b".hidden", b"__MACOSX/a", b"d/.watcher-x"):
            eyes.hint(path)
            assert not eyes.is_due()
        eyes.hint(b"a")
        assert eyes.is_due()

    async def test_what_comes_together_is_due_together(self, bench):
        """Two files of one look need one second look, not two a moment apart."""
        for name in ("a", "b"):
            bench.put(name)
        eyes = looker(bench, rescan_interval=1000.0)
        await eyes.look()
        bench.parts.clock.stop()
        bench.parts.clock.later += eyes.next_due() - bench.parts.clock.monotonic()
        await eyes.look()
        assert 2 == len(eyes.settler.ripe(bench.parts.clock.monotonic()))

    async def test_it_says_when_it_wants_to_look(self, bench):
        """The next full look, a file that settles, a new directory: the earliest of them."""
        eyes = looker(bench, rescan_interval=1000.0)
        bench.parts.clock.stop()
        await eyes.look()
        now = bench.parts.clock.monotonic()
        assert 900 < eyes.next_due() - now
        os.mkdir(bench.path("d"))
        eyes.hint(b"d")
        await eyes.look()
        assert eyes.next_due() - now < 10
        eyes.hint(None)
        assert 0.0 == eyes.next_due()
