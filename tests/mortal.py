"""Root without its power over permissions, so that a refusal is a real one for every user."""

import ctypes
import os
from contextlib import contextmanager

from watcher.stages.hop import Hop

CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER = 0, 1, 2, 3
VERSION = 0x20080522  # _LINUX_CAPABILITY_VERSION_3
EFFECTIVE = 0  # the first of capget(2)'s six words: the effective set, capabilities 0 to 31

_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def mortal():
    """This thread obeys the modes of files meanwhile; nothing changes for an ordinary user."""
    before = _get()
    mortal_set = list(before)
    mortal_set[EFFECTIVE] &= ~sum(
        1 << bit for bit in (CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER)
    )
    _set(mortal_set)
    try:
        yield
    finally:
        _set(before)


@contextmanager
def mode(path, bits):
    """The path has this mode meanwhile, and this thread obeys it."""
    before = os.stat(path).st_mode
    os.chmod(path, bits)
    try:
        with mortal():
            yield
    finally:
        os.chmod(path, before)


class MortalHop(Hop):
    """Threads that obey the modes of files, also where the tests run as root."""

    async def __call__(self, function, *args):
        def obeying():
            with mortal():
                return function(*args)

        return await super().__call__(obeying)


def _head():
    return (ctypes.c_uint32 * 2)(VERSION, 0)


def _get():
    sets = (ctypes.c_uint32 * 6)()
    _check(_libc.capget(_head(), sets))
    return list(sets)


def _set(values):
    _check(_libc.capset(_head(), (ctypes.c_uint32 * 6)(*values)))


def _check(result):
    if result != 0:
        raise OSError(ctypes.get_errno(), "capabilities")
