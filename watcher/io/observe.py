"""File events as hints where to look. Lost ones cost latency, never data: looks decide.

One watchfiles watch over all drops, and a supervisor round it. What it must live with, measured
(stack facts 1.1, 1.2): the order and kind of events are lost, so both are ignored; a name that
is not UTF-8 kills the watch and the events in hand; a full kernel queue is silent; a root made
anew is deaf for ever. Hence: whenever the watch comes to stand and whenever it falls, every drop
is to be looked at whole.

A watch keeps one thread of anyio's default limiter (40) for good: awatch offers no other.
Whoever shares that limiter raises it by one per observer.
"""

import os
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, aclosing
from typing import Protocol

import anyio
import watchfiles
from anyio.abc import TaskStatus

from watcher.io.batches import FULL, Batch, Fault, begin, next_batch

DOUBT = 1000
"""Distinct paths in one batch that make a lost event likely: 16384 slots, four for a file.

A quarter of them, as a full queue may be read in several batches.
"""

Hint = Callable[[str, bytes | None], None]
Health = Callable[[str, bool, str], None]


class Watch(Protocol):
    """The part of watchfiles.awatch that is used: the seam by which a test provokes faults."""

    def __call__(
        self,
        *paths: str,
        watch_filter: None,
        debounce: int,
        step: int,
        stop_event: anyio.Event,
        rust_timeout: int,
        yield_on_timeout: bool,
        debug: bool,
        force_polling: bool,
        recursive: bool,
        ignore_permission_denied: bool,
    ) -> AsyncGenerator[Batch, None]:
        """Batches of events; an empty one after `rust_timeout` ms without any."""


class Observer:
    """Hints for all drops: `run` in a task, `restart` and `stop` from the same event loop.

    `roots` are absolute paths by drop, none inside another. `hint(drop, path)` gives the path of
    an event relative to the drop, or None: look at all of it. `health(drop, False, why)` says
    once that a drop gets no hints, `health(drop, True, "")` that it gets them again. Both are
    called in the loop and must not wait. `backoff` is the first and the longest pause after a
    fault, in seconds; a drop that can't be watched is tried again after the longest. `tick` is
    how often, in milliseconds, a quiet watch shows that it stands.
    """

    def __init__(
        self,
        roots: Mapping[str, str],
        *,
        hint: Hint,
        health: Health,
        backoff: tuple[float, float] = (1.0, 60.0),
        watch: Watch = watchfiles.awatch,
        tick: int = 1000,
    ) -> None:
        self._roots = {drop: path.rstrip("/") or "/" for drop, path in roots.items()}
        self._prefixes = _prefixes(self._roots)
        self._hint = hint
        self._health = health
        self._backoff = backoff
        self._watch = watch
        self._tick = tick
        self._out: dict[str, str] = {}  # drops that can't be watched, and why
        self._full = False  # no further directory could be watched when last tried
        self._told: set[str] = set()  # drops said to be unwatched
        self._cut: anyio.Event | None = None  # ends the round in progress
        self._stopped = False
        self._announced = False

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Watch until `stop`. Says started once the watch stands, or can't be had for now."""
        pause, longest = self._backoff
        while not self._stopped:
            self._cut = cut = anyio.Event()
            began = anyio.current_time()
            fault = await self._round(cut, task_status)
            if fault is None:
                continue
            if anyio.current_time() - began > longest:
                pause = self._backoff[0]
            self._fall(fault, self._watched())
            self._announce(task_status)
            with anyio.move_on_after(pause):
                await cut.wait()
            pause = min(2 * pause, longest)
        self._announce(task_status)  # stopped before it stood

    def stop(self) -> None:
        """End `run` at once: far quicker than cancelling it, which may take a whole tick."""
        self._stopped = True
        self._end_round()

    def restart(self) -> None:
        """Watch anew: a root was replaced (made anew, mounted over), or has come back."""
        self._out.clear()
        self._end_round()

    def _end_round(self) -> None:
        if self._cut is not None:
            self._cut.set()

    async def _round(self, cut: anyio.Event, task_status: TaskStatus[None]) -> Fault | None:
        """One life of the watch. None: it was ended on purpose; else why it fell."""
        watched = self._watched()
        if not watched:
            await self._without(cut, task_status)
            return None
        async with aclosing(self._open(watched.values(), cut, tick=self._tick)) as watch:
            batch, stood = await begin(watch, lambda: self._stand(watched, task_status))
            if isinstance(batch, Fault) and not stood and not cut.is_set():
                return await self._sort_out(cut, batch)
            retry = anyio.current_time() + self._backoff[1]
            while not cut.is_set() and not isinstance(batch, Fault):
                self._pass_on(batch, watched)
                if anyio.current_time() >= retry:
                    if await self._mended(cut) or await self._has_room_again(watched, cut):
                        return None
                    retry = anyio.current_time() + self._backoff[1]
                batch = await next_batch(watch)
        return batch if isinstance(batch, Fault) and not cut.is_set() else None

    async def _without(self, cut: anyio.Event, task_status: TaskStatus[None]) -> None:
        """A round in which no drop can be watched: wait, then try them all again."""
        self._announce(task_status)
        with anyio.move_on_after(self._backoff[1]):
            await cut.wait()
        self._out.clear()

    async def _sort_out(self, cut: anyio.Event, fault: Fault) -> Fault | None:
        """After a watch that could not start: leave out the drops it fails for, if it is some.

        None: go on without them. The fault: it failed for no other drop than before.
        """
        before = set(self._out)
        self._out = await self._failing(self._roots, cut)
        for drop, why in self._out.items():
            self._fall(Fault(why), [drop])
        return None if cut.is_set() or set(self._out) - before else fault

    async def _mended(self, cut: anyio.Event) -> bool:
        """Whether a drop that was left out can be watched now."""
        if not self._out:
            return False
        before = len(self._out)
        self._out = await self._failing(self._out, cut)
        return len(self._out) < before

    async def _has_room_again(self, watched: Mapping[str, str], cut: anyio.Event) -> bool:
        """Whether new directories could not be watched for a while, and can now: watch anew.

        A standing watch says nothing when the kernel refuses it one more directory (stack facts
        1.2), so one more is tried. Without room these drops are told: looks find what is there.
        """
        lacked, self._full = self._full, await self._is_full(next(iter(watched.values())), cut)
        if self._full:
            self._fall(Fault(FULL), watched)
        return lacked and not self._full

    async def _is_full(self, path: str, cut: anyio.Event) -> bool:
        """Whether the kernel watches no further directory."""
        watch = self._open([path], cut, tick=1, step=1, recursive=False)
        async with aclosing(watch):
            batch = await next_batch(watch)
        return isinstance(batch, Fault) and batch.why == FULL

    async def _failing(self, drops: Iterable[str], cut: anyio.Event) -> dict[str, str]:
        """Those of `drops` that can't be watched beside one another, and why.

        Each that can is held until all are tried: the kernel's limits are for all together.
        """
        failing = {}
        async with AsyncExitStack() as held:
            for drop in drops:
                watch = self._open([self._roots[drop]], cut, tick=1, step=1)
                await held.enter_async_context(aclosing(watch))
                batch = await next_batch(watch)
                if isinstance(batch, Fault) and not cut.is_set():
                    failing[drop] = batch.why
        return {} if cut.is_set() else failing

    def _open(
        self,
        paths: Iterable[str],
        cut: anyio.Event,
        *,
        tick: int,
        step: int = 50,
        recursive: bool = True,
    ) -> AsyncGenerator[Batch, None]:
        """A watch; every option is given, as those left out are read from the environment.

        Never polling: it sees whole seconds only and dies of one unreadable directory. Never
        ignoring denials: that ignores every error, the watch limit too (stack facts 1.1).
        """
        return self._watch(
            *paths,
            watch_filter=None,
            debounce=50,
            step=step,
            stop_event=cut,
            rust_timeout=tick,
            yield_on_timeout=True,
            debug=False,
            force_polling=False,
            recursive=recursive,
            ignore_permission_denied=False,
        )

    def _watched(self) -> dict[str, str]:
        """The drops not left out."""
        return {drop: path for drop, path in self._roots.items() if drop not in self._out}

    def _announce(self, task_status: TaskStatus[None]) -> None:
        """Say started, the first time."""
        if not self._announced:
            self._announced = True
            task_status.started()

    def _stand(self, watched: Iterable[str], task_status: TaskStatus[None]) -> None:
        """The watch has come to stand: what happened before it is found by looking."""
        self._full = False
        for drop in watched:
            if drop in self._told:
                self._told.discard(drop)
                self._health(drop, True, "")
            self._hint(drop, None)
        self._announce(task_status)

    def _fall(self, fault: Fault, drops: Iterable[str]) -> None:
        """These drops get no hints now; the events in hand are lost."""
        for drop in drops:
            if drop not in self._told:
                self._told.add(drop)
                self._health(drop, False, fault.why)
            self._hint(drop, None)

    def _pass_on(self, batch: Batch, watched: Iterable[str]) -> None:
        """One hint for each path; for too many, one for each drop."""
        paths = {path for _, path in batch}
        if len(paths) > DOUBT:
            for drop in watched:
                self._hint(drop, None)
            return
        for path in paths:
            for prefix, drop in self._prefixes:
                if f"{path}/".startswith(prefix):
                    self._hint(drop, os.fsencode(path[len(prefix) :]) or None)
                    break


def _prefixes(roots: Mapping[str, str]) -> list[tuple[str, str]]:
    """Roots with a slash at the end, and their drops, the longest first."""
    pairs = [(f"{path.rstrip('/')}/", drop) for drop, path in roots.items()]
    return sorted(pairs, key=lambda pair: -len(pair[0]))
