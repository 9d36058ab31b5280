"""What feeds the watchdog: the rounds of the sessions' stage, each hand's own."""

from dataclasses import replace

import anyio

from watcher.core.session import Status
from watcher.io import service
from watcher.io.service import Watchdog
from watcher.stages.sessions import Sessions


async def until(reached):
    """Wait until something holds; fails after a while."""
    with anyio.fail_after(240):
        while not reached():  # noqa: ASYNC110  neither a ledger nor a socket of systemd has an event
            await anyio.sleep(0.02)


async def test_a_hand_that_does_not_come_back_starves_the_watchdog(bench, monkeypatch):
    """While one session's work hangs nothing is told, though the other hand goes its rounds."""
    real, told, later = service.monotonic, [], [0.0]
    monkeypatch.setattr(service, "monotonic", lambda: real() + later[0])
    monkeypatch.setattr(service, "notify", lambda state, _: told.append(state))
    watchdog = Watchdog("@nobody", 4.0)
    watchdog.ready("")
    session = bench.filed(1)
    bench.parts.clock.ahead += 3600  # it rests: the first round builds it, and sends nothing ahead
    stage = Sessions(replace(bench.parts, watchdog=watchdog), {})

    def status():
        return bench.parts.ledger.session(session.id).status

    def signs():
        return sorted(watchdog._last.values())

    async with anyio.create_task_group() as tasks:
        with bench.parts.leases.exclusive(f"record/{session.id}"):  # who builds it waits there
            await tasks.start(stage.run)
            await until(lambda: status() is not Status.RECEIVING)  # BUILDING is over in no time
            while not signs() or signs()[0] > service.monotonic() - 500:  # it may be on its way yet
                later[0] += 1000
                for _ in range(3):
                    told.clear()
                    last = max(signs())
                    await until(lambda last=last: max(signs()) > last)
            assert [] == told
        await until(lambda: "WATCHDOG=1" in told)
        tasks.cancel_scope.cancel()
    assert [] == signs()
