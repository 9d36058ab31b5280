"""Waiting for what the program does by itself."""

import threading
import time

WAIT = 420.0  # seconds until something must have happened: machines are shared and slow


def wait_until(reached, seconds=WAIT, tell=lambda: ""):
    """Wait until something holds; fails with what `tell` says."""
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, tell()
        threading.Event().wait(0.05)
