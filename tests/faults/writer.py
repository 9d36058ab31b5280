"""A program that writes as it is told: one JSON line on stdin is one step, one line on stdout done.

`[verb, file, ...]`: what is open or mapped stays so under the file's name until `close`.
"""

import json
import mmap
import os
import sys

OWNER = int(sys.argv[1])  # of the files it makes; -1: as it is
OPEN = {}
MAPPED = {}


def open_(path, flags="r+b"):
    OPEN[path] = open(path, flags, buffering=0)  # noqa: SIM115  it stays open until `close`
    os.fchown(OPEN[path].fileno(), OWNER, -1)


def write(path, text, at=None):
    file, data = OPEN[path], bytes.fromhex(text)
    if at is not None:
        file.seek(at)
    while data:
        data = data[file.write(data) :]
    os.fsync(file.fileno())


def size(path, count):
    os.ftruncate(OPEN[path].fileno(), count)


def reserve(path, count):
    os.posix_fallocate(OPEN[path].fileno(), 0, count)


def map_(path):
    MAPPED[path] = mmap.mmap(OPEN[path].fileno(), 0)
    OPEN.pop(path).close()


def poke(path, at, text):
    data = bytes.fromhex(text)
    MAPPED[path][at : at + len(data)] = data


def close(path):
    if path in MAPPED:
        MAPPED[path].flush()
    for one in (MAPPED.pop(path, None), OPEN.pop(path, None)):
        if one is not None:
            one.close()


STEPS = {
    "open": open_,
    "write": write,
    "size": size,
    "reserve": reserve,
    "map": map_,
    "poke": poke,
    "close": close,
    "rename": os.rename,
    "link": os.link,
}


def main():
    for line in sys.stdin:
        verb, *arguments = json.loads(line)
        STEPS[verb](*arguments)
        print("done", flush=True)


if __name__ == "__main__":
    main()
