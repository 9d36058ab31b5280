"""What systemd is told: ready, stopping, status, still alive (sd_notify(3), one datagram each)."""

import math
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from time import monotonic
from typing import Final

PATIENCE = 1.0
"""Seconds a full queue at systemd's end may hold us up: less than any watchdog."""
OFTEN: Final = 5.0  # seconds between two signs of life at the least: a datagram costs little
MORE_TIME: Final = "EXTEND_TIMEOUT_USEC=600000000"
"""Until the next sign of a start must come: a batch of large files read anew gives one only."""

_alive: ContextVar[Callable[[], None] | None] = ContextVar("_alive", default=None)


def notify(state: str, address: str | None) -> bool:
    """Whether `state` (lines such as "READY=1") was handed over; never raises.

    `address` is $NOTIFY_SOCKET: a path, or "@name" for an abstract socket. Without one (not
    started by systemd) there is nobody to tell. The service works the same either way, so
    failing to tell is an answer, not an error.
    """
    if not address or address[0] not in "/@":
        return False
    target = f"\0{address[1:]}" if address.startswith("@") else address
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
            line.settimeout(PATIENCE)
            line.connect(target)
            line.sendall(state.encode())
    except (OSError, ValueError):  # nobody listens; or an address no socket can have
        return False
    return True


def patience_of(environment: Mapping[str, str]) -> float:
    """Seconds that systemd waits for a sign of life of this process (sd_watchdog_enabled(3)).

    Infinite where it waits for none, or for another process.
    """
    try:
        microseconds = int(environment.get("WATCHDOG_USEC", ""))
        meant = int(environment.get("WATCHDOG_PID", os.getpid()))
    except ValueError:
        return math.inf
    return microseconds / 1e6 if microseconds > 0 and meant == os.getpid() else math.inf


def alive() -> None:
    """A step is done: a sign of life of the loop it belongs to, in whatever thread; else nothing.

    Between two steps nobody waits for long: a block that is copied, a file that is placed.
    """
    if (beat := _alive.get()) is not None:
        beat()


class Watchdog:
    """Tells systemd that the program goes on: while every one of its loops does.

    No timer feeds it. The loops do, and the steps of their work; when one gives no sign for half
    of systemd's `patience` (seconds), nobody tells systemd anything any more, and it starts the
    program again. `address`: see `notify`. Used from any thread.
    """

    def __init__(self, address: str | None = None, patience: float = math.inf) -> None:
        self.address = address
        self.every: Final = patience / 4
        """Seconds after which a loop goes round again, though it has nothing to do."""
        self._ready = False
        self._told = -math.inf
        self._last: dict[object, float] = {}  # by loop: its last sign
        self._guard = threading.Lock()

    @contextmanager
    def loop(self) -> Iterator[None]:
        """A loop that has to go on while this lasts; each `alive` within is a sign of it."""
        name = object()
        with self._guard:
            self._last[name] = monotonic()
        token = _alive.set(partial(self._sign, name))
        try:
            self.sign()
            yield
        finally:
            _alive.reset(token)
            with self._guard:
                del self._last[name]

    def ready(self, status: str) -> None:
        """The start is over; from now on systemd waits for signs of life."""
        self._ready = True
        notify(f"READY=1\nSTATUS={status}", self.address)

    def tell(self, status: str) -> None:
        """What the program is at, in a line for `systemctl status`."""
        notify(f"STATUS={status}", self.address)

    def stopping(self) -> None:
        """The end has begun."""
        notify("STOPPING=1", self.address)

    def sign(self) -> None:
        """A sign of life of who is in no loop: a start, or one that waits for a store."""
        with self._guard:
            is_due = self._is_due(monotonic())
        if is_due:
            notify("WATCHDOG=1" if self._ready else MORE_TIME, self.address)

    def _sign(self, name: object) -> None:
        with self._guard:
            if name in self._last:  # else it has ended, and what it began goes on
                self._last[name] = monotonic()
        self.sign()

    def _is_due(self, now: float) -> bool:
        """Whether systemd is to be told again, and all the loops have given a sign of late."""
        if now - self._told < min(OFTEN, self.every / 2):
            return False
        if now - min(self._last.values(), default=now) > 2 * self.every:
            return False
        self._told = now
        return True
