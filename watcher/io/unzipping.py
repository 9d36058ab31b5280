"""The entries of a zip, in the order in which they lie there.

zipfile reads the list at its end. What it lists is read here, in bounded blocks: zipfile unpacks
bzip2 and lzma by as much as a block gives, and lets entries lie over one another.
"""

import bz2
import itertools
import lzma
import stat
import struct
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from watcher.core.members import BrokenError, Entry, HostileError, Sort
from watcher.core.policy import Limits
from watcher.io.packed import BLOCK, Source

__all__ = ["entries"]

_LOCAL: Final = struct.Struct("<4s22xHH")  # signature, lengths of name and extra (APPNOTE 4.3.7)
_LISTED: Final = b"PK\1\2"
_HEADER: Final = b"PK\3\4"
_UTF8: Final = 1 << 11  # flag bits, APPNOTE 4.4.4
_ENCRYPTED: Final = 1 << 0 | 1 << 6 | 1 << 13
_PATCH: Final = 1 << 5
_METHODS: Final = {
    zipfile.ZIP_STORED,
    zipfile.ZIP_DEFLATED,
    zipfile.ZIP_BZIP2,
    zipfile.ZIP_LZMA,
}
_AES: Final = 99  # the method is inside
_KINDS: Final = {  # by the mode that Unix packs; others leave it out
    0: Sort.FILE,
    stat.S_IFREG: Sort.FILE,
    stat.S_IFDIR: Sort.FOLDER,
    stat.S_IFLNK: Sort.LINK,
}


def entries(source: Source, count: Callable[[int], None], limits: Limits) -> Iterator[Entry]:
    """What the archive holds. What the caller does not read of it is never unpacked.

    count: told of all bytes of members as they come. Raises BrokenError, HostileError.
    """
    archive = _listed(source, limits.entries)
    contents = _Contents(source, archive.start_dir, count)
    for info in sorted(archive.infolist(), key=lambda info: info.header_offset):
        mtime = time.mktime((*info.date_time, 0, 0, -1))  # local time, by two seconds
        yield Entry(info.orig_filename, _sort(info), mtime, contents.of(info))


class _Listed:
    """The archive for zipfile, which keeps a list of all its entries: only so long a one."""

    def __init__(self, source: Source, most: int) -> None:
        self.seek, self.tell = source.seek, source.tell
        self._source = source
        self._most = most

    def read(self, count: int = -1) -> bytes:
        data = self._source.read(count)
        if data.count(_LISTED) > self._most:
            raise HostileError(f"It has more than {self._most} entries (limits.entries).")
        return data


def _listed(source: Source, most: int) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(_Listed(source, most))
    except (
        zipfile.BadZipFile,
        OSError,
    ) as error:  # an OSError of our own, those of the machine not
        raise BrokenError from error
    except NotImplementedError as error:
        raise HostileError("It wants a later version of zip.") from error
    except UnicodeDecodeError as error:
        raise HostileError("A name in it is said to be UTF-8, and is not.") from error


def _sort(info: zipfile.ZipInfo) -> Sort:
    kind = _KINDS.get(stat.S_IFMT(info.external_attr >> 16), Sort.DEVICE)
    if kind is not Sort.FILE and kind is not Sort.FOLDER:
        return kind
    if kind is Sort.FOLDER or info.orig_filename.endswith("/"):
        return Sort.OTHER if info.file_size else Sort.FOLDER
    if info.flag_bits & _ENCRYPTED or info.compress_type == _AES:
        return Sort.ENCRYPTED
    known = info.compress_type in _METHODS and not info.flag_bits & _PATCH
    return Sort.FILE if known else Sort.METHOD


class _Contents:
    """What the entries hold; no byte belongs to two of them. To be read in their order."""

    def __init__(self, source: Source, end: int, count: Callable[[int], None]) -> None:
        self._source = source
        self._end = end  # of all of them: there the list begins
        self._count = count
        self._read = 0  # up to here

    def of(self, info: zipfile.ZipInfo) -> Iterator[bytes]:
        """One entry's, unpacked, in blocks, and checked against what the list says."""
        name, done, crc = info.orig_filename, 0, 0
        with _sound(name):
            for block in _unpacked(self._packed(info), info):
                done, crc = done + len(block), zlib.crc32(block, crc)
                self._count(len(block))
                if done > info.file_size:
                    raise HostileError("It holds more than the archive says.", name)
                yield block
        if crc != info.CRC:
            raise BrokenError(name)
        if done != info.file_size:
            raise HostileError("It holds less than the archive says.", name)

    def _packed(self, info: zipfile.ZipInfo) -> Iterator[bytes]:
        name, at = info.orig_filename, info.header_offset
        head = self._source.at(at, _LOCAL.size) if at >= 0 else b""
        if len(head) < _LOCAL.size or not head.startswith(_HEADER):
            raise BrokenError(name)
        _, named, extra = _LOCAL.unpack(head)
        start = at + _LOCAL.size + named + extra
        if self._source.at(at + _LOCAL.size, named) != _raw(info):
            raise HostileError("Its name in the list is not the one beside it.", name)
        end = start + info.compress_size
        if at < self._read or end > self._end:
            raise HostileError("It lies over another member.", name)
        self._read = end
        yield from self._source.pieces(start, info.compress_size)


def _raw(info: zipfile.ZipInfo) -> bytes:
    return info.orig_filename.encode("utf-8" if info.flag_bits & _UTF8 else "cp437")


@contextmanager
def _sound(name: str) -> Iterator[None]:
    """Errors of unpacking are damage. OSError: bz2's own; those of the machine are none here."""
    try:
        yield
    except (zlib.error, lzma.LZMAError, OSError, EOFError) as error:
        raise BrokenError(name) from error


def _unpacked(pieces: Iterator[bytes], info: zipfile.ZipInfo) -> Iterator[bytes]:
    if info.compress_type == zipfile.ZIP_STORED:
        return pieces
    if info.compress_type == zipfile.ZIP_DEFLATED:
        return _inflated(pieces)
    if info.compress_type == zipfile.ZIP_BZIP2:
        return _pressed_out(bz2.BZ2Decompressor(), pieces)
    return _of_lzma(pieces, info.file_size)


def _inflated(pieces: Iterator[bytes]) -> Iterator[bytes]:
    press = zlib.decompressobj(-zlib.MAX_WBITS)
    for piece in pieces:
        block = press.decompress(piece, BLOCK)
        while block:
            yield block
            block = press.decompress(press.unconsumed_tail, BLOCK)
        if press.eof:
            return


def _pressed_out(
    press: bz2.BZ2Decompressor | lzma.LZMADecompressor, pieces: Iterator[bytes]
) -> Iterator[bytes]:
    for piece in pieces:
        block = press.decompress(piece, BLOCK)
        while block:
            yield block
            block = b"" if press.eof or press.needs_input else press.decompress(b"", BLOCK)
        if press.eof:
            return


def _of_lzma(pieces: Iterator[bytes], size: int) -> Iterator[bytes]:
    """APPNOTE 5.8.8: the version, two bytes of length, lzma's properties, then its stream."""
    first = next(pieces, b"")
    if len(first) < 9 or first[2:4] != b"\5\0" or first[4] >= 225:
        raise EOFError
    rest, lc = divmod(first[4], 9)
    pb, lp = divmod(rest, 5)
    # no larger a dictionary than the member: it is asked for at once, up to 4 GiB
    words = min(int.from_bytes(first[5:9], "little"), max(size, 1 << 12))
    chain = [{"id": lzma.FILTER_LZMA1, "dict_size": words, "lc": lc, "lp": lp, "pb": pb}]
    press = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=chain)
    yield from _pressed_out(press, itertools.chain([first[9:]], pieces))
