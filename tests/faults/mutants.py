"""Real DICOM files, spoilt at random: the same seed gives the same files."""

import random

from makers import pydicom_samples

LARGEST = 48 << 10  # bytes; larger ones only take longer
EDGES = (b"\0", b"\xff", b"\x7f", b"\x80", b"\xff\xff\xff\xff", b"\xfe\xff\xff\xff", b"\\", b"SQUN")


def originals():
    """The real files that are small."""
    return [path.read_bytes() for path in pydicom_samples() if path.stat().st_size < LARGEST]


def mutants(count, *, seed):
    """So many spoilt files: bytes changed, cut out, doubled, moved, or put together from two."""
    chance = random.Random(seed)
    whole = originals()
    for _ in range(count):
        data = bytearray(chance.choice(whole))
        for _ in range(chance.choice((1, 1, 2, 4, 16))):
            chance.choice(WAYS)(data, chance, whole)
        yield bytes(data)


def _place(data, chance):
    """Anywhere, but mostly in the header."""
    most = len(data) - 1 if chance.random() < 0.3 else min(len(data) - 1, 2000)
    return chance.randrange(128, max(129, most))


def _flip(data, chance, _whole):
    at = min(_place(data, chance), len(data) - 1)
    data[at] ^= 1 << chance.randrange(8)


def _edge(data, chance, _whole):
    at, edge = _place(data, chance), chance.choice(EDGES)
    data[at : at + len(edge)] = edge


def _noise(data, chance, _whole):
    at, size = _place(data, chance), chance.randrange(1, 64)
    data[at : at + size] = chance.randbytes(size)


def _cut(data, chance, _whole):
    at = _place(data, chance)
    del data[at : at + chance.randrange(1, 512)]


def _double(data, chance, _whole):
    at, to = _place(data, chance), _place(data, chance)
    data[to:to] = data[at : at + chance.randrange(1, 512)]


def _end(data, chance, _whole):
    del data[_place(data, chance) :]


def _cross(data, chance, whole):
    other = chance.choice(whole)
    data[_place(data, chance) :] = other[_place(other, chance) :]


WAYS = (_flip, _flip, _edge, _edge, _noise, _cut, _double, _end, _cross)
