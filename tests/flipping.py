"""A name in a drop or store that is a link and itself by turns, thousands of times a second."""

import ctypes
import os
import subprocess
import sys
from contextlib import contextmanager

import pytest

HERE, EXCHANGE = -100, 2  # AT_FDCWD, RENAME_EXCHANGE

FLIP = """
import ctypes, os, sys
libc, pairs = ctypes.CDLL(None), [*zip(*[map(os.fsencode, sys.argv[1:])] * 2)]
print("flipping", flush=True)
while True:
    for one, other in pairs:
        libc.renameat2(-100, one, -100, other, 2)
"""


def exchanged(one, other):
    """Two names exchanged in one step; not 0 where the file system can't."""
    return ctypes.CDLL(None).renameat2(HERE, os.fsencode(one), HERE, os.fsencode(other), EXCHANGE)


@contextmanager
def flipped(*pairs):
    """Meanwhile another process exchanges the two names of each pair, as fast as it can.

    Skips the test where the file system can't exchange two names in one step.
    """
    names = [os.fsencode(name) for pair in pairs for name in pair]
    for _ in range(2):
        if exchanged(*names[:2]) != 0:
            pytest.skip("this file system does not exchange names")
    command = [sys.executable, "-c", FLIP, *names]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            process.stdout.readline()
            yield
        finally:
            process.kill()
