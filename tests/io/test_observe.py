"""Hints from real inotify; faults it can't be made to show at will come by the seam `watch`."""

import os
from contextlib import aclosing, asynccontextmanager, suppress
from itertools import pairwise

import anyio
import anyio.lowlevel
import pytest
import watchfiles
from trio.testing import MockClock

from watcher.io.observe import DOUBT, Observer

ADDED = watchfiles.Change.added
LIMIT_SAID = "the limit of watches is reached (sysctl fs.inotify.max_user_watches)"
LIMIT = OSError("OS file watch limit reached. about ['/drop/Doe^Jane']")


class Heard:
    """What the observer said, and a way to wait until it has said something."""

    def __init__(self):
        self.hints = []
        self.healths = []
        self._news = anyio.Event()

    def hint(self, drop, path):
        self.hints.append((drop, path))
        self._tell()

    def health(self, drop, ok, why):
        self.healths.append((drop, ok, why))
        self._tell()

    def _tell(self):
        self._news.set()
        self._news = anyio.Event()

    async def wait_for(self, *wanted):
        while not {*wanted} <= {*self.hints, *self.healths}:
            await self._news.wait()

    def forget(self):
        self.hints.clear()
        self.healths.clear()


@asynccontextmanager
async def watching(roots, *, patience=200, **options):
    """An observer at work, stopped at the end."""
    heard = Heard()
    options = {"backoff": (0.01, 60.0), "tick": 50} | options
    observer = Observer(roots, hint=heard.hint, health=heard.health, **options)
    async with anyio.create_task_group() as tasks:
        try:
            with anyio.fail_after(patience):
                await tasks.start(observer.run)
                yield observer, heard
        finally:
            observer.stop()


def make(*parts):
    with open(os.path.join(*parts), "wb"):
        pass


def watches():
    """How many directories the kernel watches for this process, by descriptor.

    Those of a watch that was stopped go a moment later, and are none of the next one's.
    """
    found = {}
    for fd in os.listdir("/proc/self/fdinfo"):
        with suppress(FileNotFoundError), open(f"/proc/self/fdinfo/{fd}", encoding="utf-8") as info:
            found[fd] = sum(line.startswith("inotify ") for line in info)
    return found


def has_more(before):
    """Whether a descriptor has more of them than it had."""
    return any(count > before.get(fd, count) for fd, count in watches().items())


@pytest.fixture
def roots(tmp_path):
    for name in ("ct", "mr"):
        (tmp_path / name).mkdir()
    return {name: str(tmp_path / name) for name in ("ct", "mr")}


async def test_a_file_is_hinted_at_with_its_drop_and_path(roots):
    """An event names the drop and the relative path, in bytes."""
    async with watching(roots) as (_, heard):
        before = watches()
        os.mkdir(f"{roots['mr']}/é")
        await heard.wait_for(("mr", "é".encode()))
        while not has_more(before):  # a new directory is told of before it is watched
            await anyio.lowlevel.checkpoint()
        make(roots["mr"], "é", "a.dcm")
        make(roots["ct"], "b.dcm")
        await heard.wait_for(("mr", "é/a.dcm".encode()), ("ct", b"b.dcm"))
        assert heard.healths == []


async def test_started_means_that_the_watch_stands(roots):
    """When `run` says started, everything is to be looked at, and no later file is missed."""
    async with watching(roots) as (_, heard):
        assert heard.hints == [("ct", None), ("mr", None)]


async def test_a_name_that_is_not_utf8_costs_one_look(roots):
    """It kills the watch and the events in hand: said, watched anew, everything looked at."""
    async with watching(roots) as (_, heard):
        heard.forget()
        make(os.fsencode(roots["ct"]), b"bad\xff\xfe.dcm")
        await heard.wait_for(("ct", True, ""), ("mr", True, ""))
        why = "the watch broke, as it does on a name that is not UTF-8"
        told = [(drop, ok, why if not ok else "") for ok in (False, True) for drop in roots]
        assert told == heard.healths
        assert [*heard.hints].count(("mr", None)) == 2  # as it fell, and as it stood again
        make(roots["mr"], "later.dcm")
        await heard.wait_for(("mr", b"later.dcm"))


async def test_a_root_made_anew_is_watched_again_after_restart(roots):
    """A watch is deaf to the new directory for ever, without error; `restart` cures it."""
    async with watching(roots) as (observer, heard):
        heard.forget()
        os.rmdir(roots["ct"])
        await heard.wait_for(("ct", None))
        os.mkdir(roots["ct"])
        heard.forget()
        observer.restart()
        await heard.wait_for(("ct", None), ("mr", None))  # both: only a watch that stands says so
        make(roots["ct"], "new.dcm")
        await heard.wait_for(("ct", b"new.dcm"))
        assert heard.healths == []


async def test_stopping_is_prompt(roots):
    """`stop` ends a quiet watch at its next step, not at the end of its tick."""
    observer = Observer(roots, hint=print, health=print, tick=200_000)
    with anyio.fail_after(100):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(observer.run)
            await anyio.wait_all_tasks_blocked()
            observer.stop()


async def test_stopping_before_the_start_is_stopping(roots):
    """A stop is not forgotten because nothing ran yet."""
    observer = Observer(roots, hint=print, health=print)
    observer.stop()
    with anyio.fail_after(100):
        await observer.run()


async def test_a_missing_root_does_not_stop_the_others(roots):
    """It is left out and said; the rest is watched; after `restart` it is watched too."""
    os.rmdir(roots["ct"])
    async with watching(roots) as (observer, heard):
        assert heard.healths == [("ct", False, "the directory is not there")]
        make(roots["mr"], "a.dcm")
        await heard.wait_for(("mr", b"a.dcm"))
        os.mkdir(roots["ct"])
        observer.restart()
        await heard.wait_for(("ct", True, ""))
        make(roots["ct"], "b.dcm")
        await heard.wait_for(("ct", b"b.dcm"))


@pytest.mark.parametrize("gone", [["ct"], ["ct", "mr"]])
async def test_a_root_left_out_is_tried_again(roots, gone):
    """Without being told: after the longest pause, beside the watch or, if all are out, alone."""
    for drop in gone:
        os.rmdir(roots[drop])
    async with watching(roots, backoff=(0.01, 0.1), tick=20) as (_, heard):
        assert {(drop, ok) for drop, ok, _ in heard.healths} == {(drop, False) for drop in gone}
        with anyio.move_on_after(0.25):  # it is tried in vain, too
            await heard.wait_for(("never", None))
        for drop in gone:
            os.mkdir(roots[drop])
        await heard.wait_for(*((drop, True, "") for drop in gone))
        assert len(heard.healths) == 2 * len(gone)


class Limited:
    """watchfiles with a kernel limit on how many roots may be watched at once."""

    def __init__(self, limit):
        self.limit = limit
        self.held = 0

    async def __call__(self, *paths, stop_event, **options):
        if self.held + len(paths) > self.limit:
            raise LIMIT
        self.held += len(paths)
        try:
            real = watchfiles.awatch(*paths, stop_event=stop_event, **options)
            async with aclosing(real) as batches:
                async for batch in batches:
                    yield batch
        finally:
            self.held -= len(paths)


async def test_a_limit_shared_by_all_leaves_out_as_many_as_needed(roots):
    """Each drop alone would do, not all together: the first keep their watch."""
    watch = Limited(1)
    async with watching(roots, watch=watch, backoff=(0.01, 0.1)) as (_, heard):
        assert heard.healths == [("mr", False, LIMIT_SAID)]
        make(roots["ct"], "a.dcm")
        await heard.wait_for(("ct", b"a.dcm"))
        watch.limit = 2
        await heard.wait_for(("mr", True, ""))


class Script:
    """A watch whose lives are written down: batches to yield, then an error, or an end."""

    def __init__(self, *lives):
        self.lives = list(lives)
        self.opened = []  # when

    async def __call__(self, *paths, stop_event, rust_timeout, **options):
        if rust_timeout == 1:  # a drop is being tried
            yield set()
            return
        self.opened.append(anyio.current_time())
        life = self.lives.pop(0) if self.lives else [set(), stop_event]
        for step in life:
            if isinstance(step, BaseException):
                raise step
            if isinstance(step, float):
                await anyio.sleep(step)
            elif step is stop_event:
                await stop_event.wait()
            else:
                yield step


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (LIMIT, LIMIT_SAID),
        (PermissionError("/drop/Doe^Jane"), "a directory in it may not be read"),
        (ExceptionGroup("", [OSError("/drop/Doe^Jane")]), "the watch broke: OSError"),
        (ExceptionGroup("", [ExceptionGroup("", [KeyError("x")])]), "the watch broke: KeyError"),
    ],
)
@pytest.mark.parametrize("stands", [True, False])
async def test_a_fault_is_said_once_and_names_no_path(roots, error, why, stands):
    """Whatever breaks, before or after it stood: said once for each drop, until it stands."""
    before = [set()] if stands else []
    async with watching(roots, watch=Script([*before, error], [error], [error])) as (_, heard):
        await heard.wait_for(("ct", True, ""), ("mr", True, ""))
        told = [("ct", False, why), ("mr", False, why), ("ct", True, ""), ("mr", True, "")]
        assert told == heard.healths


async def test_a_watch_that_ends_by_itself_is_a_fault(roots):
    """An end nobody asked for is like an error."""
    async with watching(roots, watch=Script([set()])) as (_, heard):
        await heard.wait_for(("ct", False, "the watch ended by itself"), ("ct", True, ""))


async def test_too_many_paths_are_a_doubt(roots):
    """Past DOUBT paths some were likely lost: one hint for each drop instead of thousands."""
    many = {(ADDED, f"{roots['ct']}/{number}") for number in range(DOUBT + 1)}
    async with watching(roots, watch=Script([set(), many], [set()])) as (_, heard):
        await heard.wait_for(("ct", False, "the watch ended by itself"))
        assert {path for _, path in heard.hints} == {None}
        assert heard.hints[2:4] == [("ct", None), ("mr", None)]


async def test_events_go_to_the_drop_that_holds_them():
    """By whole parts of the path; of the root itself: all of it; of no drop: nothing."""
    roots = {"d": "/srv/drop", "box": "/srv/dropbox/", "in": "/srv/drop/in"}
    named = ["/srv/drop/a", "/srv/dropbox/b/c", "/srv/drop/in/x", "/srv/drop/in", "/srv/dropp/y"]
    batch = {(change, path) for path in named for change in (ADDED, watchfiles.Change.deleted)}
    async with watching(roots, watch=Script([set(), batch, set()])) as (_, heard):
        await heard.wait_for(("d", False, "the watch ended by itself"))
        expected = {("d", b"a"), ("box", b"b/c"), ("in", b"x"), ("in", None)}
        assert (expected, 4) == ({*heard.hints[3:7]}, heard.hints.index(("d", None), 3) - 3)


async def test_a_drop_may_be_the_whole_machine():
    """The root of the tree is a path like any other."""
    script = Script([set(), {(ADDED, "/a/b")}])
    async with watching({"all": "/"}, watch=script) as (_, heard):
        await heard.wait_for(("all", b"a/b"))


async def test_restart_ends_a_pause(roots):
    """A caller who knows that a root is back need not wait for the back-off."""
    script = Script([set(), LIMIT])
    async with watching(roots, watch=script, backoff=(60.0, 60.0)) as (observer, heard):
        await heard.wait_for(("mr", False, LIMIT_SAID))
        observer.restart()
        await heard.wait_for(("mr", True, ""))


async def test_restart_while_drops_are_tried_starts_over(roots):
    """What was found of the old directories is not held against the new ones."""

    class Replaced(Script):
        async def __call__(self, *paths, rust_timeout, **options):
            if rust_timeout == 1:
                watched[0].restart()
                raise LIMIT
            scripted = super().__call__(*paths, rust_timeout=rust_timeout, **options)
            async with aclosing(scripted) as batches:
                async for batch in batches:
                    yield batch

    heard = Heard()
    watched = [Observer(roots, hint=heard.hint, health=heard.health, watch=Replaced([LIMIT]))]
    async with anyio.create_task_group() as tasks:
        with anyio.fail_after(100):
            await tasks.start(watched[0].run)
        assert (heard.hints, heard.healths) == ([("ct", None), ("mr", None)], [])
        watched[0].stop()


def _virtual():
    """Trio with a clock that jumps to the next thing due: pauses can be read exactly."""
    return ("trio", {"clock": MockClock(autojump_threshold=0)})


@pytest.mark.parametrize("anyio_backend", [_virtual()])
async def test_pauses_double_up_to_the_longest(roots):
    """1, 2, 4 … 60 s between two lives of a watch that keeps falling."""
    script = Script(*[[set(), LIMIT]] * 9)
    async with watching(roots, watch=script, backoff=(1.0, 60.0), patience=1000) as (_, heard):
        with anyio.move_on_after(400):
            await heard.wait_for(("never", None))
    pauses = [round(after - before) for before, after in pairwise(script.opened)]
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]


@pytest.mark.parametrize("anyio_backend", [_virtual()])
async def test_a_long_life_forgives_earlier_faults(roots):
    """After a watch that stood for longer than the longest pause, it is the first pause again."""
    fall = [set(), LIMIT]
    script = Script(fall, fall, fall, [set(), 61.0, LIMIT], fall)
    async with watching(roots, watch=script, backoff=(1.0, 60.0), patience=1000) as (_, heard):
        with anyio.move_on_after(400):
            await heard.wait_for(("never", None))
    pauses = [round(after - before) for before, after in pairwise(script.opened)]
    assert pauses == [1, 2, 4, 61 + 1, 2]


class Full:
    """watchfiles with a kernel that grants no further watch while `full`; those that stand stay."""

    def __init__(self):
        self.full = False

    async def __call__(self, *paths, stop_event, **options):
        if self.full:
            raise LIMIT
        async with aclosing(watchfiles.awatch(*paths, stop_event=stop_event, **options)) as batches:
            async for batch in batches:
                yield batch


async def test_a_limit_reached_while_it_stands_is_told(roots):
    """New directories would not be watched: told once, watched anew once there is room."""
    watch = Full()
    async with watching(roots, watch=watch, backoff=(0.01, 0.1)) as (_, heard):
        watch.full = True
        await heard.wait_for(("ct", False, LIMIT_SAID), ("mr", False, LIMIT_SAID))
        make(roots["ct"], "a.dcm")
        await heard.wait_for(("ct", b"a.dcm"))
        watch.full = False
        await heard.wait_for(("ct", True, ""), ("mr", True, ""))
        assert 4 == len(heard.healths)
