"""What systemd is told, against real datagram sockets."""

import math
import os
import socket
from contextlib import contextmanager
from contextvars import copy_context
from threading import Event, Thread
from uuid import uuid4

import anyio
import anyio.to_thread
import pytest

from watcher.io import service
from watcher.io.service import MORE_TIME, Watchdog, alive, notify, patience_of


@pytest.mark.parametrize("form", ["{path}", "@{name}"])
def test_a_state_arrives_as_one_datagram(tmp_path, form):
    """sd_notify(3): the state is one datagram, to a path or an abstract name."""
    address = form.format(path=tmp_path / "notify", name=f"watcher-test-{uuid4()}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.settimeout(5)
        systemd.bind(address.replace("@", "\0") if form.startswith("@") else address)
        told = notify("READY=1\nSTATUS=watching", address)
        assert (told, systemd.recv(4096)) == (True, b"READY=1\nSTATUS=watching")


@pytest.mark.parametrize(
    "address", [None, "", "vsock:2:1234", "relative", "/nowhere/at/all", "@nobody-here", "/a\0b"]
)
def test_nobody_to_tell_is_an_answer(address):
    """Without a listener notify says False and raises nothing: the daemon runs without systemd."""
    assert notify("READY=1", address) is False


def test_an_address_too_long_is_an_answer():
    """An address no socket can have is like none."""
    assert notify("READY=1", "/" + "x" * 200) is False


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({"WATCHDOG_USEC": "180000000"}, 180.0),
        ({"WATCHDOG_USEC": "180000000", "WATCHDOG_PID": str(os.getpid())}, 180.0),
        ({"WATCHDOG_USEC": "180000000", "WATCHDOG_PID": "1"}, math.inf),
        ({"WATCHDOG_USEC": "0"}, math.inf),
        ({"WATCHDOG_USEC": "soon"}, math.inf),
        ({}, math.inf),
    ],
)
def test_the_watchdog_s_patience_is_what_systemd_says(environment, seconds):
    """sd_watchdog_enabled(3): microseconds, and only where they are meant for this process."""
    assert seconds == patience_of(environment)


@pytest.fixture
def clock(monkeypatch):
    """The watchdog's time, which passes as told."""
    now = [1000.0]
    monkeypatch.setattr(service, "monotonic", lambda: now[0])
    return now


@contextmanager
def listening():
    """A watchdog of 100 s, and what it has told systemd by now."""
    name = f"watcher-test-{uuid4()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(f"\0{name}")
        systemd.setblocking(False)

        def told():
            found = []
            try:
                while True:
                    found.append(systemd.recv(4096).decode())
            except BlockingIOError:
                return found

        yield Watchdog(f"@{name}", 100.0), told


def test_a_start_asks_for_time_and_a_run_tells_that_it_lives(clock):
    """Steps of a start extend its time; after READY each sign is WATCHDOG=1, some seconds apart."""
    with listening() as (watchdog, told), watchdog.loop():
        assert [MORE_TIME] == told()
        watchdog.ready("drops: 1")
        assert ["READY=1\nSTATUS=drops: 1"] == told()
        alive()
        assert [] == told()  # too soon
        clock[0] += 5
        alive()
        assert ["WATCHDOG=1"] == told()


def hang(watchdog, entered, release):
    """A loop that gives one sign, and no other."""
    with watchdog.loop():
        entered.set()
        release.wait()


def test_one_loop_that_stands_still_silences_all(clock):
    """A loop that gives none for half of the patience: no other's signs are told meanwhile."""
    with listening() as (watchdog, told):
        watchdog.ready("")
        with watchdog.loop():
            entered, release = Event(), Event()
            thread = Thread(target=hang, args=(watchdog, entered, release), daemon=True)
            thread.start()
            entered.wait()
            told()
            for _ in range(20):
                clock[0] += 5
                alive()
            release.set()
            thread.join()
            assert ["WATCHDOG=1"] * 10 == told()
            clock[0] += 5
            alive()
            assert ["WATCHDOG=1"] == told()


async def test_steps_in_threads_are_signs_of_the_loop_they_are_done_for(clock):
    """Long work in a thread feeds by its steps; who is in no loop feeds nothing."""
    with listening() as (watchdog, told):
        watchdog.ready("")
        with watchdog.loop():
            told()
            clock[0] += 60  # too long without a sign, then a step
            await anyio.to_thread.run_sync(alive)
            assert ["WATCHDOG=1"] == told()
        clock[0] += 60
        alive()
        assert [] == told()


def test_a_loop_that_has_ended_is_waited_for_no_more(clock):
    """Filing begins and ends: only while it lasts it has to go on."""
    with listening() as (watchdog, told), watchdog.loop():
        watchdog.ready("")
        with watchdog.loop():
            pass
        told()
        clock[0] += 60
        alive()
        assert ["WATCHDOG=1"] == told()


async def test_what_a_loop_left_behind_is_none(clock):
    """Work that it began, and that goes on after its end, neither feeds nor starves."""
    with listening() as (watchdog, told), watchdog.loop():
        watchdog.ready("")
        with watchdog.loop():
            left = copy_context()
        told()
        left.run(alive)
        clock[0] += 60
        alive()
        assert ["WATCHDOG=1"] == told()
