"""What is mounted where, which of it inotify can't speak for, and how much room is left.

The kernel's table is /proc/self/mountinfo: proc_pid_mountinfo(5).
"""

import errno
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from watcher.core.errors import MissingPlaceError, storage_error

TABLE = "/proc/self/mountinfo"

NETWORK: Final = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "virtiofs", "fuse", "ceph", "lustre"),
        *("gpfs", "glusterfs", "beegfs", "afs", "coda", "orangefs", "pvfs2", "panfs"),
        *("gfs2", "ocfs2", "vboxsf", "vmhgfs", "prl_fs"),
    }
)
"""File systems that others change behind this kernel's back, besides every `fuse.*`.

inotify sees the changes of this host only (measured on NFS 3, NFS 4.2, CIFS 3.1.1 and FUSE).
`fuseblk` is a block device of this host, and is not among them.
"""

_OCTAL = re.compile(rb"\\([0-7]{3})")
_BRANCHES = re.compile(r"(?:^|,)(?:lowerdir\+?|upperdir)=((?:[^,\\]|\\.)*)")
_BETWEEN = re.compile(r"(?<!\\):")


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of the table. `root` is the part of the file system that is seen at `point`."""

    id: int
    root: bytes
    point: bytes
    type: str
    source: str
    parent: int = 0
    options: str = ""  # of the file system, not of the mount


@dataclass(frozen=True, slots=True)
class Space:
    """Room for this user. A file system without a count of inodes says 0 of 0."""

    bytes_free: int
    bytes_total: int
    inodes_free: int
    inodes_total: int


def parse(text: str) -> tuple[Mount, ...]:
    """The mounts of a mountinfo text, in its order (os.fsdecode makes such text of bytes)."""
    return tuple(_mount(line) for line in text.split("\n") if " - " in line)


def read_mounts(table: str = TABLE) -> tuple[Mount, ...]:
    """The mounts this process sees now. StorageError without /proc."""
    try:
        with open(table, "rb") as lines:
            return parse(os.fsdecode(lines.read()))
    except OSError as error:
        raise storage_error(error, "reading the table of mounts") from error


def mount_of(path: str, mounts: Sequence[Mount]) -> Mount:
    """The mount that `path` lies on: absolute, links resolved. Nothing is read from disk.

    Walks as the kernel does: at each directory, the topmost mount upon the mount one came by.
    Thus the longest prefix wins, of several at one point the last, and mounts hidden by a later
    one above them don't count. MissingPlaceError where the table has no root.
    """
    found = _walk(os.fsencode(os.path.normpath(path)), mounts)
    if found is None:
        raise MissingPlaceError("the table of mounts has no root")
    return found


def is_network(mount: Mount, mounts: Sequence[Mount] = ()) -> bool:
    """Whether others can change it unseen by inotify; an overlay, where one of its branches is.

    An overlay's branches are looked up in `mounts`; those not visible there don't count.
    """
    if mount.type in NETWORK or mount.type.startswith("fuse."):
        return True
    if mount.type != "overlay":
        return False
    # Without the overlay itself, whose point may be one of its own branches.
    others = [other for other in mounts if other.id != mount.id]
    beneath = (_walk(os.fsencode(branch), others) for branch in _branches(mount.options))
    return any(is_network(found, others) for found in beneath if found is not None)


def free(path: str) -> Space:
    """What is left on the file system of `path`, in bytes and inodes, for one who is not root.

    MissingPlaceError where there is no such path, StorageError where it can't be asked.
    """
    try:
        status = os.statvfs(path)
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ENOTDIR}:
            raise MissingPlaceError("the place is not there") from error
        raise storage_error(error, "asking for free space") from error
    unit = status.f_frsize
    return Space(status.f_bavail * unit, status.f_blocks * unit, status.f_favail, status.f_files)


def _mount(line: str) -> Mount:
    """One line: six fields, any number of optional ones, a dash, three more."""
    head, _, tail = line.partition(" - ")
    number, parent, _, root, point, *_ = head.split(" ")
    kind, source, options = [*tail.split(" ", 2), "", ""][:3]
    return Mount(
        id=int(number),
        root=_plain(root),
        point=_plain(point),
        type=kind,
        source=os.fsdecode(_plain(source)),
        parent=int(parent),
        options=os.fsdecode(_plain(options)),
    )


def _plain(field: str) -> bytes:
    r"""A field without its escapes: blank, tab, newline and backslash are written \ooo."""
    return _OCTAL.sub(lambda found: bytes([int(found[1], 8)]), os.fsencode(field))


def _walk(path: bytes, mounts: Sequence[Mount]) -> Mount | None:
    """The mount at the end of a path; None without a root."""
    known = {mount.id for mount in mounts}
    roots = [mount for mount in mounts if mount.point == b"/" and mount.parent not in known]
    upon = {(mount.parent, mount.point): mount for mount in mounts if mount.parent != mount.id}
    here = roots[-1] if roots else None
    for place in _way(path):
        while here and (here.id, place) in upon:
            here = upon[here.id, place]
    return here


def _way(path: bytes) -> Iterator[bytes]:
    """`/`, `/a`, `/a/b` of `/a/b`."""
    yield b"/"
    place = b""
    for part in path.split(b"/"):
        if part:
            place += b"/" + part
            yield place


def _branches(options: str) -> Iterator[str]:
    r"""The absolute directories an overlay lies over; `:` and `,` in names are written `\:`, `\,`.

    Relative ones were relative to a directory that is no longer known.
    """
    for found in _BRANCHES.finditer(options):
        for branch in _BETWEEN.split(found[1]):
            if branch.startswith("/"):
                yield re.sub(r"\\(.)", r"\1", branch)
