"""A file's bytes, block by block: each is a sign of life of who waits for all of them."""

import hashlib
import os
from io import BufferedReader, BufferedWriter
from typing import Final

from watcher.io.service import alive

BLOCK: Final = 1 << 20


def copy(source: int, new: BufferedWriter) -> None:
    """The bytes and times of an open file into a new one, not durable yet. OSError passes."""
    while block := os.read(source, BLOCK):
        new.write(block)
        alive()
    new.flush()
    times = os.fstat(source)
    os.utime(new.fileno(), ns=(times.st_atime_ns, times.st_mtime_ns))


def digest(file: BufferedReader) -> str:
    """The MD5 of an open file, lower-case hex. OSError passes."""
    found = hashlib.md5(usedforsecurity=False)
    while block := file.read(BLOCK):
        found.update(block)
        alive()
    return found.hexdigest()
