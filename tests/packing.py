"""Archive files as people make them, and as nobody should."""

import io
import stat
import struct
import tarfile
import zipfile

SPECIAL = {  # kinds of a tar's members that refuse it
    "link": tarfile.SYMTYPE,
    "hard link": tarfile.LNKTYPE,
    "device": tarfile.CHRTYPE,
    "disk": tarfile.BLKTYPE,
    "FIFO": tarfile.FIFOTYPE,
    "volume": b"V",
}


def zip_of(path, members, method=zipfile.ZIP_DEFLATED, **attributes):
    """A zip of (name, content) pairs; attributes: of each entry's ZipInfo."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members:
            info = zipfile.ZipInfo("x", (2024, 6, 19, 9, 14, 24))
            info.filename, info.compress_type, info.create_system = name, method, 3
            for each, value in attributes.items():
                setattr(info, each, value)
            archive.writestr(info, data)
    return path


def typed_zip(path, name, kind, data=b""):
    """A zip whose one entry has a Unix mode of this kind, S_IFLNK and so on."""
    return zip_of(path, [(name, data)], external_attr=(kind | 0o644) << 16)


def tar_of(path, members, mode="w", form=tarfile.GNU_FORMAT, **attributes):
    """A tar of (name, content) pairs; attributes: of each member's TarInfo."""
    with tarfile.open(path, mode, format=form, encoding="utf-8") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), 1718788464
            for each, value in attributes.items():
                setattr(info, each, value)
            archive.addfile(info, io.BytesIO(data))
    return path


def special_tar(path, kind):
    """A tar with a file, then something that is none."""
    with tarfile.open(path, "w") as archive:
        good, bad = tarfile.TarInfo("good"), tarfile.TarInfo("bad")
        good.size = 4
        bad.type, bad.linkname = SPECIAL[kind], "good"
        archive.addfile(good, io.BytesIO(b"good"))
        archive.addfile(bad)
    return path


def header(name, size=0, kind=b"0"):
    """One header of a tar, to be put where it doesn't belong."""
    info = tarfile.TarInfo(name)
    info.type = kind
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    if size < 0 or size >= 1 << 33:
        block[124:136] = tarfile.itn(size, 12, tarfile.GNU_FORMAT)
    else:
        block[124:136] = b"%011o\0" % size
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def padded(data):
    return data + bytes(-len(data) % 512)


def patched(path, **fields):
    """A zip of one entry whose list says something else than what lies there; gives the path.

    flags method crc packed size disk offset: of the list's entry (APPNOTE 4.3.12).
    """
    places = {"version": (6, "<H"), "flags": (8, "<H"), "method": (10, "<H"), "crc": (16, "<L")}
    places |= {"packed": (20, "<L"), "size": (24, "<L"), "offset": (42, "<L")}
    data = bytearray(path.read_bytes())
    start = data.index(b"PK\1\2")
    for name, value in fields.items():
        at, form = places[name]
        struct.pack_into(form, data, start + at, value)
    path.write_bytes(data)
    return path


def overlapping(path):
    """A zip whose second entry lies within the first, as in bombs that list one content often."""
    zip_of(path, [("inner", b"content")], zipfile.ZIP_STORED)
    inner = path.read_bytes()
    local = inner[: inner.index(b"PK\1\2")]
    listed = bytearray(inner[len(local) : inner.index(b"PK\5\6")])
    zip_of(path, [("outer", b"before" + local + b"after")], zipfile.ZIP_STORED)
    outer = path.read_bytes()
    start, end = outer.index(b"PK\1\2"), outer.index(b"PK\5\6")
    struct.pack_into("<L", listed, 42, outer.index(b"before") + 6)
    both = outer[start:end] + listed
    last = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 2, 2, len(both), start, 0)
    path.write_bytes(outer[:start] + both + last)
    return path


def links(path):
    """Kinds of a zip's entries that refuse it, by name."""
    return {"link": stat.S_IFLNK, "device": stat.S_IFCHR, "FIFO": stat.S_IFIFO}[path]
