"""DICOM files made to harm whoever reads them: small on disk, large or deep in memory."""

import struct
import zlib
from pathlib import Path

from makers import make_dicom
from pydicom.uid import DeflatedExplicitVRLittleEndian

from watcher.dicom.structure import preface

UNDEFINED = 0xFFFFFFFF
ITEM = struct.pack("<HHI", 0xFFFE, 0xE000, 0)
OPEN_ITEM = struct.pack("<HHI", 0xFFFE, 0xE000, UNDEFINED)
ITEM_END = struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
SEQUENCE_END = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


def long(tag, vr, length, value=b""):
    """An explicit little-endian element with a length of 32 bits, as large as it claims or not."""
    return struct.pack("<HH2sHI", tag >> 16, tag & 0xFFFF, vr, 0, length) + value


def with_tail(path, tail, **values):
    """A whole small file with more elements after its last."""
    make_dicom(path, PixelData=None, Rows=None, sop_class="1.2.840.10008.5.1.4.1.1.66", **values)
    with open(path, "ab") as file:
        file.write(tail)
    return path


def bomb(path, size=1 << 30, **values):
    """A deflated data set that inflates to so many bytes."""
    make_dicom(path, transfer_syntax=DeflatedExplicitVRLittleEndian, **values)
    data = Path(path).read_bytes()
    start = preface(data, len(data)).start
    pressed = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    plain = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data[start:])
    block, count = bytes(1 << 20), size >> 20
    with open(path, "wb") as file:
        file.write(data[:start] + pressed.compress(plain + long(0x00420011, b"OB", size)))
        file.writelines(pressed.compress(block) for _ in range(count))
        file.write(pressed.flush())
    return path


def items(path, count=2_000_000, **values):
    """A sequence of so many empty items."""
    tail = long(0x0040A730, b"SQ", UNDEFINED, ITEM * count + SEQUENCE_END)
    return with_tail(path, tail, **values)


def nested(path, depth=100_000, *, defined=False, **values):
    """Sequences in one another."""
    if defined:
        tail = b""
        for _ in range(depth):
            item = struct.pack("<HHI", 0xFFFE, 0xE000, len(tail)) + tail
            tail = long(0x0040A730, b"SQ", len(item), item)
    else:
        begin = long(0x0040A730, b"SQ", UNDEFINED, OPEN_ITEM)
        tail = begin * depth + (ITEM_END + SEQUENCE_END) * depth
    return with_tail(path, tail, **values)


def claims(path, length, **values):
    """A last element that says it is so long, and is not."""
    return with_tail(path, long(0x00420011, b"OB", length, b"short"), **values)


def many(path, count=600_000, seed=0, **values):
    """So many private elements, each with two bytes."""
    tags = (divmod(number, 0xF000) for number in range(count))
    made = (
        struct.pack("<HH2sHH", 0x0051 + 2 * group, 0x1000 + element, b"US", 2, seed)
        for group, element in tags
    )
    return with_tail(path, b"".join(made), **values)


def long_values(path, count=10_000_000, **values):
    """An attribute with so many values."""
    text = b"\\1" * count
    return with_tail(path, long(0x0040A160, b"UT", len(text), text), **values)
