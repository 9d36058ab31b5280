"""Whether a file was written all over, or has places that were only laid out and read as zeros.

Windows gives a file its size first and fills it afterwards; an image cut off in between looks
whole. Where the file system knows no holes, none is seen.
"""

import errno
import fcntl
import os
from collections.abc import Iterator
from struct import Struct
from typing import Final

__all__ = ["is_hollow"]

# struct fiemap and fiemap_extent of linux/fiemap.h
_MAP: Final = Struct("=QQIIII")  # start, length, flags, extents found, extents there is room for
_EXTENT: Final = Struct("=QQQ16xI12x")  # offset in the file, on disk, length, flags
_ASK: Final = 0xC020660B  # FS_IOC_FIEMAP
_SYNC, _LAST, _UNWRITTEN = 0x1, 0x1, 0x800
_ROOM: Final = 64
_UNKNOWN: Final = frozenset({errno.EINVAL, errno.ENXIO, errno.ENOTTY, errno.EOPNOTSUPP})


def is_hollow(file: int) -> bool:
    """Whether there are holes, or extents that were reserved and never written. OSError passes.

    lseek(2) does not tell of the latter once somebody has read them; ioctl_fiemap does. What is
    written and not yet on disk counts as unwritten there, so it is asked again after a sync.
    """
    try:
        if os.lseek(file, 0, os.SEEK_HOLE) < os.fstat(file).st_size:
            return True
        return _reserved(file, 0) and _reserved(file, _SYNC)
    except OSError as error:
        if error.errno in _UNKNOWN:
            return False
        raise


def _reserved(file: int, flags: int) -> bool:
    size = os.fstat(file).st_size
    return any(at < size and kind & _UNWRITTEN for at, kind in _extents(file, size, flags))


def _extents(file: int, size: int, flags: int) -> Iterator[tuple[int, int]]:
    """Where each extent of a file begins, in bytes, and its flags."""
    start, kind = 0, 0
    while start < size and not kind & _LAST:
        answer = bytearray(_MAP.size + _ROOM * _EXTENT.size)
        _MAP.pack_into(answer, 0, start, size - start, flags, 0, _ROOM, 0)
        fcntl.ioctl(file, _ASK, answer)
        count = _MAP.unpack_from(answer)[3]
        if count == 0:
            return
        for number in range(count):
            found = _EXTENT.unpack_from(answer, _MAP.size + number * _EXTENT.size)
            at, _, length, kind = found
            yield at, kind
        start = at + length
