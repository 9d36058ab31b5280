"""What a worker process does with one archive file: reads it once, and lays its members out.

A request has what `io.reader` is asked of any file (`root path size lease hollow`), and: `into`
(absolute; a folder of ours for nothing else, whose leavings of a try that was cut off are cleared),
`limits` (policy.Limits as a table), `ignore` (the drop's patterns).

A reply is one of
* `print members bytes ignored`: all of it lies in `into`: the archive's print as it was read, how
  many members there are, their bytes, and how many names are never input. Each member is a file
  `m<number>`, from m0 on, new, not synced; `listing.jsonl` has a line for each in that order:
  `{"path": in the archive, "name": "m0", "size": bytes}`, path as os.fsdecode makes it, normalised
  (`./a//b` is `a/b`).
* `refused`: at most 20 of `{"code", "member", "text"}`: why it may not be unpacked (spec 7); code
  is a RefusalCode, `archive-file`, or `crashed-reader` where it killed two readers; member is empty
  where it is the whole archive.
* `refusal text hint sop` as for any file: it waits (torn, empty, busy, unleased, hollow, changed,
  gone, denied, not-regular). A damaged or cut member is `torn`, and the text names it.
* `errno doing place`: the machine said no.
But for the first, what lies in `into` is of no use, and the caller's to sweep.
"""

import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, TextIO

from watcher.core.file import Refusal, RefusalCode
from watcher.core.members import (
    GZIP,
    HEAD,
    NOT_ARCHIVE,
    ZIP,
    BrokenError,
    Entry,
    HostileError,
    Members,
    is_dicom,
)
from watcher.core.policy import Limits
from watcher.io import untarring, unzipping
from watcher.io.holes import is_hollow
from watcher.io.ignore import Ignore
from watcher.io.opening import FailedError, NotTakenError, doing, lease, unchanged, write_all
from watcher.io.packed import Source

__all__ = ["LISTING", "unpacked"]

LISTING: Final = "listing.jsonl"
"""The list of members, in the folder they lie in."""

_OURS: Final = re.compile(r"m\d+")
_NEW: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_SANE: Final = 315532800.0, 86400.0  # 1980; a day ahead of us
_HOLLOW: Final = Refusal(RefusalCode.HOLLOW, "It has holes: perhaps it is not filled yet.")
_QUOTES: Final = "\"'`"
_SHOWN: Final = 200  # characters of a name that a sentence shows
_EMPTY: Final = Refusal(RefusalCode.EMPTY, "It is empty.")

Request = Mapping[str, Any]
Reply = dict[str, Any]
Skips = Callable[[Sequence[str], bool], bool]


def unpacked(file: int, request: Request) -> Reply:
    """The reply about the archive file that is open.

    Raises NotTakenError (it waits) and FailedError (the machine); the reader answers for them.
    """
    before = os.fstat(file)
    if before.st_size == 0:
        raise NotTakenError(_EMPTY)
    policy = request.get("lease", "try")
    lease(file, policy)
    if not request.get("hollow", True) and is_hollow(file):
        raise NotTakenError(_HOLLOW)
    limits = Limits(**request["limits"])
    members = Members(limits, before.st_size, _skips(request.get("ignore", ())))
    source = Source(file, before.st_size, request["root"])
    try:
        count = _lay_out(source, members, limits, request)
    except BrokenError as error:
        unchanged(file, before, policy)
        raise NotTakenError(_torn(request["path"], error.member)) from error
    after = unchanged(file, before, policy)  # else it was judged by halves
    if members.reasons:
        code = RefusalCode.ARCHIVE_FILE.value
        return {
            "refused": [
                {"code": code, "member": why.member, "text": why.text} for why in members.reasons
            ]
        }
    return {
        "print": after.numbers,
        "members": count,
        "bytes": members.bytes,
        "ignored": members.ignored,
    }


def _skips(patterns: Sequence[str]) -> Skips:
    ignore = Ignore(patterns)

    def skips(parts: Sequence[str], is_folder: bool) -> bool:  # noqa: FBT001 - Members calls it so
        *above, name = parts
        return ignore.skips(name, is_dir=is_folder, top=False) or any(
            ignore.skips(part, is_dir=True, top=False) for part in above
        )

    return skips


def _torn(archive: str, member: str) -> Refusal:
    where = f': at "{shown(f"{archive}/{member}")}"' if member else ""
    return Refusal(RefusalCode.TORN, f"It is damaged, or not all of it is here{where}.")


def shown(name: str) -> str:
    """A hostile name within a sentence, in quotes."""
    plain = "".join(char if char.isprintable() and char not in _QUOTES else "?" for char in name)
    return plain if len(plain) <= _SHOWN else f"{plain[:_SHOWN]}..."


def _lay_out(source: Source, members: Members, limits: Limits, request: Request) -> int:
    """How many members lie in the folder now; of no use where there are reasons against them."""
    with _laying(request["into"]) as staging:
        try:
            for entry in _entries(source, members, limits, request["path"]):
                path = members.admit(entry.name, entry.sort)
                if path and not members.reasons:
                    members.looked_at(entry.name, staging.lay(path, entry))
                if members.full:
                    break
        except HostileError as error:
            members.refuse(error.member, error.text)
        except MemoryError:
            members.refuse(
                "", "What it says about its members takes more memory than a reader has."
            )
        except (BrokenError, FailedError, OSError):
            raise
        except Exception as error:  # the error border: no bytes may end the worker
            members.refuse("", f"It can't be read: {type(error).__name__}.")
    return staging.count


def _entries(source: Source, members: Members, limits: Limits, name: str) -> Iterator[Entry]:
    """By content, whatever its name."""
    head = source.at(0, HEAD)
    if is_dicom(head):
        raise HostileError(NOT_ARCHIVE)
    if head.startswith(ZIP):
        return unzipping.entries(source, members.count, limits)
    if head.startswith(GZIP):
        return untarring.entries(source, members.count, packed=True)
    if not any(head) or _is_begun(head, name):
        raise BrokenError
    return untarring.entries(source, members.count, packed=False)


def _is_begun(head: bytes, name: str) -> bool:
    """Whether so short a file may still become an archive."""
    if any(mark.startswith(head) for mark in (*ZIP, GZIP)):
        return True
    return len(head) < HEAD and name.lower().endswith(".tar")


@contextmanager
def _laying(into: str) -> Iterator["_Staging"]:
    """An empty folder for the members; what the machine says against it is a FailedError."""
    with doing("unpacking an archive file into the store", into):
        for name in os.listdir(into):
            if name == LISTING or _OURS.fullmatch(name):
                os.unlink(os.path.join(into, name))
        with open(os.path.join(into, LISTING), "x", encoding="utf-8") as listing:
            yield _Staging(into, listing)


class _Staging:
    """The folder of members under way."""

    def __init__(self, into: str, listing: TextIO) -> None:
        self.count = 0
        self._into = into
        self._listing = listing
        self._parent = os.getppid()

    def lay(self, path: str, entry: Entry) -> bytes:
        """Lay one member out; how it begins."""
        name, size = f"m{self.count}", 0
        out = os.open(os.path.join(self._into, name), _NEW, 0o666)
        try:
            for block in entry.blocks:
                self._heed()
                write_all(out, memoryview(block))
                size += len(block)
            _date(out, entry.mtime)
            head = os.pread(out, HEAD, 0)
        finally:
            os.close(out)
        self._listing.write(json.dumps({"path": path, "name": name, "size": size}) + "\n")
        self.count += 1
        return head

    def _heed(self) -> None:
        """The daemon was killed: nobody waits for this any more, and the next one has begun."""
        if os.getppid() != self._parent:
            sys.exit()


def _date(out: int, mtime: float | None) -> None:
    """The member's time of change, where it makes sense."""
    first, ahead = _SANE
    if mtime is not None and first < mtime < time.time() + ahead:
        os.utime(out, (mtime, mtime))
