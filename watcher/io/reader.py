"""What a worker process does with one file of a drop: opens, reads once, judges, and copies it.

A worker meets hostile bytes so that the daemon needn't (spec 13). It runs with bounded memory as
`python -m watcher.io.reader --memory BYTES`, takes a JSON list of requests per line of stdin and
gives the list of replies as one line of stdout.

A request: `root` (absolute), `path` (below it), `incoming` (folder for copies, or null), `name`
(of the copy there), `link` (whether linking into place is allowed), `lease` (require, try, skip),
`tags` (wanted besides core.tags), `limits` (keywords of `structure.walk`), `hollow` (whether it is
taken with holes in it), `filed` (whether it lies in a store already). Paths are text as
`os.fsdecode` makes it. A reply: `refusal text hint sop`, or `errno doing place`, or
`print digest values temp unread`.
One with `into` is to unpack an archive file: see `unpacking`.
A request with `pair`, the paths of two files of ours, is one to compare them: see `comparing`.
One with `list`, `root` and `path` of a DICOMDIR, is one to read what it lists: see `listing`.
"""

import argparse
import hashlib
import json
import os
import resource
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from typing import Any, Final

from watcher.core.file import Header, Refusal, RefusalCode
from watcher.core.tags import TAGS, written
from watcher.dicom.header import header_of, judge
from watcher.dicom.structure import Buffer, Fetch, Walk, looks_dicom, walk
from watcher.io.comparing import reply_to
from watcher.io.holes import is_hollow
from watcher.io.listing import reply_to as listed
from watcher.io.opening import (
    FailedError,
    NotTakenError,
    doing,
    lease,
    open_regular,
    read_at,
    unchanged,
    write_all,
)
from watcher.io.unpacking import unpacked

__all__ = ["examine", "main"]

BLOCK: Final = 1 << 20  # bytes read at a time
KEPT: Final = 64 << 20  # bytes; a larger file is walked where it lies
_WANTED: Final = frozenset(TAGS.values())
_HEAD: Final = 132  # bytes that tell a DICOM file
_COPY: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_HOLLOW: Final = Refusal(RefusalCode.HOLLOW, "It has holes: perhaps it is not filled yet.")
_CHANGED: Final = Refusal(RefusalCode.CHANGED, "It changed while it was read.")

Request = Mapping[str, Any]
Reply = dict[str, Any]


def _reading(request: Request) -> AbstractContextManager[None]:
    return doing("reading a file of a drop", request["root"])


def _making(request: Request) -> AbstractContextManager[None]:
    return doing("making a copy in the store", request.get("incoming") or "")


def examine(request: Request) -> Reply:
    """The reply to one request, whatever the file is or holds."""
    try:
        with _reading(request), open_regular(*_where(request)) as file:
            return unpacked(file, request) if "into" in request else _examined(file, request)
    except NotTakenError as error:
        refusal = error.refusal
        return {
            "refusal": refusal.code.value,
            "text": refusal.text,
            "hint": refusal.hint,
            "sop": refusal.sop,
        }
    except FailedError as error:
        return {"errno": error.number, "doing": error.doing, "place": error.place}


def _where(request: Request) -> tuple[str, str]:
    return request["root"], request["path"]


def _examined(file: int, request: Request) -> Reply:
    before = os.fstat(file)
    size = before.st_size
    if size == 0:
        raise NotTakenError(Refusal(RefusalCode.EMPTY, "It is empty."))
    lease(file, request.get("lease", "try"))
    data = _content(file, size)
    header, unread = _header(file, before, data, request)
    if not request.get("hollow", True) and is_hollow(file):
        raise NotTakenError(_HOLLOW)
    with _copy(before, request) as (out, temp):
        digest = _pass_on(data, size, request, out)
        after = unchanged(file, before, request.get("lease", "try"))
    return {
        "print": after.numbers,
        "digest": digest,
        "values": {written(tag): text for tag, text in header.values.items()},
        "temp": temp,
        "unread": [written(tag) for tag in unread],
    }


def _content(file: int, size: int) -> Buffer | Fetch:
    """The whole file in memory, or a way to its parts if it is large or its head no DICOM."""

    def fetch(at: int, count: int) -> bytes:
        return read_at(file, at, count)

    if size <= BLOCK:
        whole = fetch(0, size)
        if len(whole) < size:
            raise NotTakenError(_CHANGED)
        return whole
    if size > KEPT or not looks_dicom(fetch(0, _HEAD)):
        return fetch
    data = bytearray(size)
    view, done = memoryview(data), 0
    while done < size:
        count = os.preadv(file, [view[done : done + BLOCK]], done)
        if count == 0:
            raise NotTakenError(_CHANGED)
        done += count
    return data


def _header(
    file: int, before: os.stat_result, data: Buffer | Fetch, request: Request
) -> tuple[Header, tuple[int, ...]]:
    walked, header, unread = _parsed(data, before.st_size, request)
    refusal = judge(walked, header, filed=request.get("filed", False))
    if refusal is not None:
        unchanged(file, before, request.get("lease", "try"))  # else it was judged by halves
        raise NotTakenError(refusal)
    return header, unread


def _parsed(
    data: Buffer | Fetch, size: int, request: Request
) -> tuple[Walk, Header, tuple[int, ...]]:
    wanted = _WANTED.union(request.get("tags", ()))
    try:
        walked = walk(data, size, wanted, **request.get("limits", {}))
        return walked, *header_of(walked)
    except Exception as error:  # the error border: no bytes may end the worker (stack-facts 4.2)
        if isinstance(error, OSError) and error.errno is not None:
            raise
        text = f"It can't be read: {type(error).__name__}."  # the message may show values
        raise NotTakenError(Refusal(RefusalCode.UNREADABLE, text)) from error


def _may_link(before: os.stat_result, incoming: str, request: Request) -> bool:
    """Whether nobody else can change the inode once its name in the drop is gone (spec 5)."""
    ours = before.st_uid == os.geteuid() and before.st_nlink == 1
    if not (request.get("link") and ours):
        return False
    folder = os.path.dirname(os.path.join(request["root"], request["path"]))
    # a source that can't be removed would stay a second name, and a way to change what is filed
    return os.access(folder, os.W_OK) and os.stat(incoming).st_dev == before.st_dev


@contextmanager
def _copy(before: os.stat_result, request: Request) -> Iterator[tuple[int | None, str]]:
    """A new file in the store's incoming folder, gone again if the block fails; and its name.

    Nothing where the file may be linked into place. Not synced: the filer does that in batches.
    """
    incoming, name = request.get("incoming"), request.get("name", "")
    with _making(request):
        if incoming is None or _may_link(before, incoming, request):
            out = None
        else:
            path = os.path.join(incoming, name)
            with suppress(FileNotFoundError):
                os.unlink(path)  # of a try that was cut off: one reader at a time has a name
            out = os.open(path, _COPY, 0o666)
    if out is None:
        yield None, ""
        return
    try:
        with _making(request), ExitStack() as stack:
            stack.callback(os.close, out)
            yield out, name
            os.utime(out, ns=(before.st_atime_ns, before.st_mtime_ns))
    except BaseException:
        os.unlink(path)
        raise


def _blocks(data: Buffer | Fetch, size: int, request: Request) -> Iterator[bytes | memoryview]:
    with _reading(request):
        for at in range(0, size, BLOCK):
            yield data(at, BLOCK) if callable(data) else memoryview(data)[at : at + BLOCK]


def _pass_on(data: Buffer | Fetch, size: int, request: Request, out: int | None) -> str:
    """MD5 of the bytes, lower-case hex; they are written to `out` on the way."""
    digest, done = hashlib.md5(usedforsecurity=False), 0
    for block in _blocks(data, size, request):
        digest.update(block)
        done += len(block)
        if out is not None:
            write_all(out, memoryview(block))
    if done != size:
        raise NotTakenError(_CHANGED)
    return digest.hexdigest()


def main(arguments: list[str] | None = None) -> int:
    """The loop of a worker process, to the end of stdin. Exit code 0."""
    parser = argparse.ArgumentParser(prog="watcher.io.reader")
    parser.add_argument("--memory", type=int, required=True, help="bytes of address space")
    memory = parser.parse_args(arguments).memory
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core would hold patient data
    for number in (signal.SIGINT, signal.SIGIO):  # the daemon ends us; a broken lease does not
        signal.signal(number, signal.SIG_IGN)
    with _replies() as replies:
        for line in sys.stdin.buffer:
            answer = [_answer(request) for request in json.loads(line)]
            write_all(replies, memoryview(json.dumps(answer).encode() + b"\n"))
    return 0


def _answer(request: Request) -> Reply:
    if "list" in request:
        return listed(request["list"])
    return reply_to(request["pair"]) if "pair" in request else examine(request)


@contextmanager
def _replies() -> Iterator[int]:
    """The real stdout, out of reach of anything that prints."""
    replies, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    try:
        yield replies
    except BrokenPipeError:  # the daemon is gone: nobody is left to tell
        return
    finally:
        os.close(replies)


if __name__ == "__main__":
    sys.exit(main())
