"""Who works on which session: small ones wait for no large one, and order is kept."""

import anyio
from anyio import to_thread

from watcher.core.session import Session, Status
from watcher.stages.bell import Bell
from watcher.stages.sessions import Sessions
from watcher.stages.two_hands import FEW, Hands


def session(number, *, label="A", study=None, files=1, project="P1"):
    """The `number`-th session that was opened."""
    return Session(
        id=f"20260619_09142512{number}",
        project=project,
        subject="S",
        label=label,
        study=study or f"1.2.{number}",
        status=Status.READY,
        opened=0.0,
        receiving_since=0.0,
        last_arrival=0.0,
        inactivity=1.0,
        generation=files,
    )


BIG = session(1, files=FEW + 1)


def turns(hands, *sessions, few=False):
    return [each.id for each in hands.turns(sessions, few=few)]


def ids(*sessions):
    return [each.id for each in sessions]


def test_one_hand_takes_all_in_order():
    """Large and small, those of one destination one after the other."""
    several = (BIG, session(2), session(3, label="B"))
    assert ids(*several) == turns(Hands(Bell()), *several)


def test_the_other_takes_those_of_few_files():
    """A thousand files at the most; what is behind a larger one of the same destination waits."""
    small, behind = session(2, label="B"), session(3, label="a")
    same_study = session(4, label="C", study=BIG.study)
    edge = session(5, label="D", files=FEW)
    hands = Hands(Bell())
    assert ids(small, edge) == turns(hands, BIG, small, behind, same_study, edge, few=True)


def test_what_is_in_work_is_the_other_hand_s():
    """Neither that session, nor one of its destination or its study, nor what is behind these."""
    worked = session(1, label="A", study="1.2.9")
    chain = session(2, label="A"), session(3, label="B", study="1.2.2"), session(4, label="b")
    free = session(5, label="A", project="P2")
    hands = Hands(Bell())
    with hands.working(worked):
        assert ids(free) == turns(hands, worked, *chain, free)
    assert ids(worked, *chain, free) == turns(hands, worked, *chain, free)


def test_things_are_asked_when_their_turn_comes():
    """A session that the other hand took meanwhile is passed over."""
    one, two, three = (session(number, label=f"L{number}") for number in (1, 2, 3))
    hands = Hands(Bell())
    going = hands.turns([one, two, three])
    assert one is next(going)
    with hands.working(two):
        assert three is next(going)


async def test_what_was_passed_over_is_looked_at_again():
    """The end of a work wakes both hands, if one of them passed something over; else neither."""
    bell = Bell()
    other = bell.another()
    hands = Hands(bell)
    with hands.working(session(1)):
        assert [] == turns(hands, session(2))
    with anyio.fail_after(240):
        await bell.wait(None)
        await other.wait(None)
    with hands.working(session(1)):
        pass
    with anyio.move_on_after(0.01) as scope:
        await bell.wait(None)
    assert scope.cancelled_caught


async def test_a_small_session_waits_for_no_large_one(bench):
    """While one of many files is worked on another is built and archived (issue 5)."""
    large = bench.filed(1)
    with bench.parts.ledger.write() as tx:
        tx.exec_driver_sql("UPDATE session SET generation = ?", (FEW + 1,))
    small = bench.filed(2, study="1.2.4", patient_id="P2")

    def status(of):
        return bench.parts.ledger.session(of.id).status

    async def until(reached):
        with anyio.fail_after(240):
            while not await to_thread.run_sync(reached):  # noqa: ASYNC110  a ledger has no event
                await anyio.sleep(0.02)

    stage = Sessions(bench.parts, {})
    async with anyio.create_task_group() as tasks:
        with bench.parts.leases.exclusive(f"record/{large.id}"):  # it can't be published: it waits
            await tasks.start(stage.run)
            await until(lambda: status(small) is Status.ARCHIVED)
            assert status(large) is not Status.ARCHIVED
        await until(lambda: status(large) is Status.ARCHIVED)
        tasks.cancel_scope.cancel()
