"""The entries of a tar, plain or packed with gzip, in their order and as a stream.

tarfile reads the headers; it takes damage between two members for the end of the archive, so the
mark of the end is looked for here, and nothing but zeros may follow it.
"""

import gzip
import tarfile
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Final, cast

from watcher.core.members import NOT_ARCHIVE, BrokenError, Entry, HostileError, Sort
from watcher.io.packed import Source, Stream

__all__ = ["entries"]

BLOCK: Final = tarfile.BLOCKSIZE
PADDING: Final = 1 << 20  # bytes of zeros after the end: tar fills up a record of at most so much
_CUT: Final = (EOFError, OSError, zlib.error)  # OSError: gzip's own; those of the machine are none
_SORTS: Final = {
    tarfile.REGTYPE: Sort.FILE,
    tarfile.AREGTYPE: Sort.FILE,
    tarfile.CONTTYPE: Sort.FILE,
    tarfile.DIRTYPE: Sort.FOLDER,
    tarfile.SYMTYPE: Sort.LINK,
    tarfile.LNKTYPE: Sort.HARD_LINK,
    tarfile.CHRTYPE: Sort.DEVICE,
    tarfile.BLKTYPE: Sort.DEVICE,
    tarfile.FIFOTYPE: Sort.DEVICE,
}


def entries(source: Source, count: Callable[[int], None], *, packed: bool) -> Iterator[Entry]:
    """What the archive holds. Blocks that the caller does not read are passed over.

    count: told of all bytes of members as they come, wanted or not. packed: with gzip. Raises
    BrokenError, HostileError, and what tarfile raises of headers that make no sense.
    """
    read = gzip.GzipFile(fileobj=source).read if packed else source.read
    stream = Stream(read, _CUT if packed else ())
    archive = _opened(stream)
    member = None if stream.ended() else archive.next()  # the first: it was read at the opening
    while member is not None:
        stream.begin(member.name)
        sort = _sort(member)
        content = _counted(stream.content(_length(archive, member, sort, stream)), count)
        yield Entry(member.name, sort, float(member.mtime), content)
        for _ in content:
            pass
        for _ in stream.content(archive.offset - stream.tell()):  # up to the next header
            pass
        member = _next(archive, stream)
    _end(stream)


def _opened(stream: Stream) -> tarfile.TarFile:
    """The archive, its first header read."""
    file = cast("IO[bytes]", stream)  # nothing is written to it
    try:
        return tarfile.TarFile(fileobj=file, encoding="utf-8", errors="surrogateescape")
    except tarfile.ReadError as error:
        if stream.is_plain:
            raise HostileError(NOT_ARCHIVE) from error
        raise BrokenError from error


def _next(archive: tarfile.TarFile, stream: Stream) -> tarfile.TarInfo | None:
    """The next member; None at the mark of the end. Without TarFile.next, which keeps them all."""
    try:
        return tarfile.TarInfo.fromtarfile(archive)
    except tarfile.HeaderError as error:
        if stream.ended() and stream.is_plain:
            return None
        raise BrokenError(stream.member) from error


def _sort(member: tarfile.TarInfo) -> Sort:
    return Sort.SPARSE if member.issparse() else _SORTS.get(member.type, Sort.OTHER)


def _length(archive: tarfile.TarFile, member: tarfile.TarInfo, sort: Sort, stream: Stream) -> int:
    """Bytes of what follows the headers of a member; for a file those that are its own."""
    room = archive.offset - stream.tell()
    size = member.size if sort is Sort.FILE else room
    if room < 0 or -(-size // BLOCK) * BLOCK != room:
        raise HostileError("Its sizes contradict one another.", member.name)
    return size


def _counted(blocks: Iterator[bytes], count: Callable[[int], None]) -> Iterator[bytes]:
    for block in blocks:
        count(len(block))
        yield block


def _end(stream: Stream) -> None:
    """Nothing but zeros follows the mark of the end; the sums of gzip are looked at on the way."""
    room = PADDING
    for block in stream.rest():
        if any(block):
            raise HostileError("Something follows its end.")
        room -= len(block)
        if room < 0:  # more zeros than anybody fills up with: laid out, and not written yet
            raise BrokenError
