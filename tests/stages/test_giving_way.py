"""What is ripe gives way to a look that is due: else what came since would wait for all of it."""

from dataclasses import replace

import pytest
from stages.conftest import SetClock
from stages.test_looking import looker

from watcher.io.workers import Workers
from watcher.stages.file_intake import TURN


class Leaping(SetClock):
    """A monotonic clock that leaps whenever it is read, once it is told how far."""

    leap = leapt = 0.0

    def monotonic(self):
        self.leapt += self.leap
        return super().monotonic() + self.leapt


@pytest.fixture
async def intake(bench):
    """The stage of a drop in which three files are ripe, on a clock that only leaps."""
    for number in (1, 2, 3):
        bench.put(f"d/{number}", number)
    clock = Leaping()
    clock.stop()
    async with Workers.open(count=1, silent=120.0) as workers:
        made = bench.intake(workers, parts=replace(bench.parts, clock=clock))
        await made.looker.look_fully()
        clock.leapt = 60.0
        await made.looker.look()
        yield made


@pytest.mark.parametrize(
    ("leap", "hint", "taken"), [(TURN, b"d", 0), (TURN, None, 3), (0.0, b"d", 3)]
)
async def test_only_once_it_took_long_and_something_is_to_be_looked_at(intake, leap, hint, taken):
    """A hint ends the taking at the next batch, after two seconds of it; nothing else does."""
    if hint is not None:
        intake.hint(hint)
    intake.parts.clock.leap = leap
    await intake.files.take()
    assert 3 - taken == len(intake.settler)


async def test_a_look_is_due_by_time_or_by_a_hint(bench):
    """A full look, or a file that has still to settle; what is ripe by itself makes none due."""
    eyes = looker(bench, rescan_interval=1000.0)
    assert eyes.is_due()
    await eyes.look()
    assert not eyes.is_due()
    eyes.hint(b"a")
    assert eyes.is_due()
