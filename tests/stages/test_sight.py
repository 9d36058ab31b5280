"""A look lets in so many new files at a time: what is pending takes room, what is known hardly."""

import os
from dataclasses import replace

import pytest
from stages.test_looking import looker, pending

from watcher.stages.keeping import Keeping
from watcher.stages.sight import SOME, Sight


@pytest.fixture
def anyio_backend():
    """One will do: what is asked here is not who runs the loop."""
    return "asyncio"


def sight(bench, room, *, known=(), tops=()):
    """What a look leaves out that has room for so many; `known` are pending already."""
    return Sight(Keeping(bench.parts.receiving, bench.drop), known.__contains__, room, tops)


def asked(bench, sight, paths):
    """Those of the paths that a look gives."""
    bench.put("one")
    seen = bench.candidate("one").print
    return [path for path in paths if not sight.has(path, seen)]


def test_beyond_its_room_a_look_leaves_files_for_later(bench):
    """It says in which folders; some of each top-level folder are let in all the same."""
    many = [b"many/%d/%d" % (each % 2, each) for each in range(SOME + 50)]
    few = [b"few/a", b"b"]
    seen = sight(bench, 10)
    assert [*many[:SOME], *few] == asked(bench, seen, [*many, *few])
    assert {b"many/0", b"many/1"} == seen.later


def test_what_is_pending_is_always_given(bench):
    """Else it would be taken for gone."""
    many = [b"many/%d" % each for each in range(SOME)]
    seen = sight(bench, 0, known={b"many/old"})
    assert [*many, b"many/old"] == asked(bench, seen, [*many, b"many/new", b"many/old"])


def test_a_folder_with_many_pending_has_none_let_in_besides(bench):
    """Else look after look would let in some more."""
    seen = sight(bench, 0, tops={b"many": SOME - 1})
    assert [b"many/1", b"few/1"] == asked(bench, seen, [b"many/1", b"many/2", b"few/1"])


def test_a_folder_of_files_left_for_later_is_not_noted(bench):
    """Nothing of it was given, and it is to be read again; one in which all is known is not."""
    keeping = Keeping(bench.parts.receiving, replace(bench.drop, after="keep"))
    seen = Sight(keeping, lambda _: False, 0, {b"many": SOME})
    assert [] == asked(bench, seen, [b"many/1"])
    for folder in (b"many", b"few"):
        seen.note(folder, 1, ("d",))
    assert [None, ("d",), None] == [
        seen.inside(b"many", 1),
        seen.inside(b"few", 1),
        seen.inside(b"few", 2),
    ]


async def test_the_rest_comes_when_half_is_taken(bench):
    """Nothing is forgotten and nothing waits for the next interval: a look is due at once."""
    for number in range(SOME + 6):
        bench.put(f"d/{number:04}", number)
    bench.parts.clock.stop()  # else a slow machine has a second look due, at what settles
    eyes = looker(bench, rescan_interval=1000.0)
    eyes.room = 100
    await eyes.look()
    first = pending(eyes)
    assert (SOME, {b"d"}, False) == (len(first), eyes.later, eyes.is_due())
    await eyes.look_fully()
    assert first == pending(eyes)
    for path in sorted(first)[: SOME - 50]:
        os.remove(bench.path(os.fsdecode(path)))
        eyes.met.finish(path, None)
    assert eyes.is_due()
    assert await eyes.look()
    assert (56, set(), False) == (len(pending(eyes)), eyes.later, eyes.is_due())


async def test_files_left_for_later_hold_their_sessions(bench):
    """As pending ones do: their session is not at rest, nor is a drain at its end."""
    for number in range(SOME + 1):
        bench.put(f"d/{number:04}", number)
    intake = bench.intake(None)
    intake.looker.room = 0
    await intake.looker.look()
    for path in pending(intake.looker):
        intake.looker.met.leave(path, bench.candidate(os.fsdecode(path)).print)
    assert [{b"d"}, {b"d"}] == [intake.holding_folders(), intake.settling()]


async def test_files_that_wait_for_their_senders_take_no_room(bench):
    """Torn ones may be many, and stay: others come in beside them."""
    for number in range(3 * SOME + 10):
        bench.put(f"d/{number:04}", number)
    eyes = looker(bench, rescan_interval=1000.0)
    eyes.room = 2 * SOME
    await eyes.look()
    assert {b"d"} == eyes.later
    for path in pending(eyes):
        eyes.settler.hold(path, bench.candidate(os.fsdecode(path)).print, "torn", "")
    await eyes.look_fully()
    assert (3 * SOME + 10, set()) == (len(pending(eyes)), eyes.later)
