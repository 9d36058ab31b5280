"""The arena of malloc: asked in a process of its own, as it can't be taken back."""

import subprocess
import sys

CODE = """
import re, sys, threading
from watcher.io.arena import use_one
if sys.argv[1] == "one":
    use_one()
ready, done = threading.Barrier(5), threading.Event()
def work():
    kept = [bytes(100_000) for _ in range(20)]
    ready.wait()
    done.wait()
threads = [threading.Thread(target=work) for _ in range(4)]
for each in threads: each.start()
ready.wait()
import ctypes
libc = ctypes.CDLL(None)
sys.stdout.flush()
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
libc.fflush(None)
done.set()
"""


def arenas(how):
    done = subprocess.run([sys.executable, "-c", CODE, how], capture_output=True, check=True)
    return done.stdout.count(b"<heap nr=")


def test_all_threads_share_one():
    """Threads that hold memory at the same time take it from one arena; glibc gives each its own.

    A C library that has no arenas has none to share.
    """
    assert arenas("one") <= 1
