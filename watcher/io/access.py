"""What this user may do at a place, and whether the place answers at all. Nothing is written."""

import ctypes
import fcntl
import grp
import os
import pwd
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from watcher.core.errors import storage_error
from watcher.io.lease import FLOCK

PATIENCE: Final = 5.0  # seconds a share may take to answer
ASKING: Final = """
import os, sys, threading
def ask(number, path):
    try:
        os.statvfs(path)
        with os.scandir(path) as found: next(found, None)
        open(os.path.join(path, sys.argv[1]), "rb").read(64)
    except OSError: pass
    os.write(1, b"%d " % number)
for each in enumerate(sys.argv[2:]): threading.Thread(target=ask, args=each).start()
"""
MANY: Final = 1000  # folders of a drop that are looked at
BYTE: Final = 1 << 61  # of the leases' file: no lease, whose offsets are made from keys, is there


@dataclass(frozen=True, slots=True)
class Rights:
    """Who may do what at a path. `mode` as chmod(1) takes it."""

    mine: bool
    owner: str
    group: str
    mode: int

    def joining(self, bits: int) -> str:
        """The group whose members may do what `bits` (4 read, 2 write, 1 search) say; or empty.

        Never root's.
        """
        return self.group if self.mode >> 3 & bits == bits and self.group != "root" else ""


def rights(path: str) -> Rights:
    """Those at a path that is there. StorageError."""
    try:
        found = os.stat(path)
    except OSError as error:
        raise storage_error(error, "looking at a folder's rights") from error
    mine = found.st_uid == os.geteuid()
    return Rights(mine, user_name(found.st_uid), group_name(found.st_gid), found.st_mode & 0o7777)


def owner(path: str) -> int | None:
    """Whose a path is, as a number; None where nothing is."""
    try:
        return os.stat(path).st_uid
    except OSError:
        return None


def user_name(number: int) -> str:
    """A user's name, else the number."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def number_of(name: str) -> int | None:
    """A user's number, which may stand for the name; None for one nobody knows."""
    if name.isdecimal():
        return int(name)
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        return None


def group_name(number: int) -> str:
    """A group's name, else the number."""
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def become(number: int) -> None:
    """Be another user, with all groups of that one, as a service manager does it; for root only."""
    try:
        found = pwd.getpwuid(number)
        os.initgroups(found.pw_name, found.pw_gid)
        os.setgid(found.pw_gid)
    except KeyError:
        os.setgroups([])
        os.setgid(number)
    os.setuid(number)


def may(path: str, wanted: str) -> bool:
    """Whether this user has rights such as `rwx` there; not where the file system refuses."""
    bits = {"r": os.R_OK, "w": os.W_OK, "x": os.X_OK}
    return os.access(path, sum(bits[each] for each in wanted))


def is_readonly(path: str) -> bool:
    """Whether the file system of a path takes no writes, mounted so or gone so after a fault."""
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError as error:
        raise storage_error(error, "looking at a file system") from error


def closed_way(path: str) -> str:
    """The first folder above a path that this user can't go through; empty where none is."""
    place = "/"
    for part in os.path.dirname(path).split("/"):
        place = os.path.join(place, part)
        if os.path.isdir(place) and not os.access(place, os.X_OK):
            return place
    return ""


def nearest(path: str) -> str:
    """The path, else the nearest folder above it that is there."""
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    return path


def closed_folders(path: str) -> Iterator[str]:
    """Folders right in a drop that this user can't empty; of many some."""
    try:
        with os.scandir(path) as found:
            for entry, _ in zip(found, range(MANY), strict=False):
                if entry.is_dir(follow_symlinks=False) and not may(entry.path, "rwx"):
                    yield entry.path
    except OSError as error:
        raise storage_error(error, "looking into a drop") from error


def holds_only(folder: str, name: str) -> bool:
    """Whether all names in a folder begin so; not where this user can't tell."""
    try:
        return all(each.startswith(name) for each in os.listdir(folder))
    except OSError:
        return False


def folders(path: str, most: int) -> int:
    """How many there are at and below a path; counted up to `most`."""
    count = 0
    for _ in os.walk(path):
        count += 1
        if count >= most:
            break
    return count


def silent(paths: Sequence[str], name: str, patience: float) -> frozenset[str]:
    """The places on shares that do not answer; `name` is a file in each that may be.

    All are asked at the same time: any number costs one patience, in seconds. A process asks, and
    is left where it gets no answer: it may not even be killed.
    """
    if not paths:
        return frozenset()
    command = [sys.executable, "-I", "-S", "-c", ASKING, name, *paths]
    null, pipe = subprocess.DEVNULL, subprocess.PIPE
    asking = subprocess.Popen(command, stdin=null, stdout=pipe, stderr=null)
    try:
        asking.communicate(timeout=patience)
    except subprocess.TimeoutExpired as error:
        asking.kill()
        asking.returncode = -9  # nobody waits for it, nor warns of it
        answered = {int(number) for number in (error.output or b"").split()}
        return frozenset(path for number, path in enumerate(paths) if number not in answered)
    finally:
        if asking.stdout:
            asking.stdout.close()
    return frozenset()


def locks_hold(path: str) -> bool:
    """Whether a lock on a file shuts out another; StorageError where none can be had.

    It is on a byte that no lease is made of, and gone at once.
    """
    wanted = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, BYTE, 1, 0)
    held: list[int] = []
    try:
        held += [os.open(path, os.O_RDWR | os.O_CLOEXEC) for _ in range(2)]
        fcntl.fcntl(held[0], fcntl.F_OFD_SETLK, wanted)
        found: int = struct.unpack(FLOCK, fcntl.fcntl(held[1], fcntl.F_OFD_GETLK, wanted))[0]
    except OSError as error:
        raise storage_error(error, "trying a lock") from error
    finally:
        for each in held:
            os.close(each)
    return found != fcntl.F_UNLCK


def can_watch() -> bool:
    """Whether this user gets one more inotify instance."""
    watch = ctypes.CDLL(None, use_errno=True).inotify_init1(os.O_CLOEXEC)
    if watch < 0:
        return False
    os.close(watch)
    return True


def is_timed() -> bool:
    """Whether the kernel's clock is kept in time by others: adjtimex(2) says TIME_ERROR if not."""
    room = ctypes.create_string_buffer(512)  # struct timex, all nought: nothing is set
    return int(ctypes.CDLL(None).adjtimex(room)) != 5
