"""How the C library hands out memory to this process."""

import ctypes
from typing import Final

_ARENAS: Final = -8  # M_ARENA_MAX of glibc's malloc.h


def use_one() -> bool:
    """One arena for all threads, called before there are any; whether the C library knows of it.

    glibc gives each thread one, which keeps what was freed in it: a tenth of the memory of a large
    session (mallopt(3)). Python hands out memory under its own lock anyway.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and mallopt(_ARENAS, 1) == 1
