"""What is mounted where, what should be, and what inotify can't speak for.

The kernel's table is /proc/self/mountinfo: proc_pid_mountinfo(5). What should be mounted stands in
/etc/fstab, fstab(5), and in mount units, systemd.mount(5); those made of the fstab are left out.
"""

import ctypes
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from watcher.core.errors import MissingPlaceError, storage_error

TABLE = "/proc/self/mountinfo"
FSTAB: Final = "/etc/fstab"
UNITS: Final = "/etc/systemd/system"
AUTOFS: Final = "autofs"
LINKS: Final = 40  # in one path, as path_resolution(7)

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

# proc_pid_mountinfo(5) leaves out what lies above a chroot(2); statfs(2) tells its file system
_MAGIC: Final = {
    0x6969: "nfs",
    0x517B: "smbfs",
    0xFF534D42: "cifs",
    0xFE534D42: "smb3",
    0x1021997: "9p",
    0x65735546: "fuse",
    0xC36400: "ceph",
    0x5346414F: "afs",
    0x6B414653: "afs",
    0x73757245: "coda",
    0x7461636F: "ocfs2",
    0x1161970: "gfs2",
    0xBD00BD0: "lustre",
}
_OCTAL = re.compile(rb"\\([0-7]{3})")
_WHERE = re.compile(rb"^[ \t]*Where[ \t]*=[ \t]*(/.*?)[ \t]*$", re.MULTILINE)
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


def parse(text: str) -> tuple[Mount, ...]:
    """The mounts of a mountinfo text, in its order (os.fsdecode makes such text of bytes).

    One that shows at its point what lies there anyway is no mount: a sandbox opens paths by binding
    them onto themselves (ReadWritePaths= of systemd.exec(5)), and those outside do not see that.
    """
    lines = [line for line in text.split("\n") if " - " in line]
    mounts = [_mount(line) for line in lines]
    devices = {mount.id: line.split(" ", 3)[2] for mount, line in zip(mounts, lines, strict=True)}
    known = {mount.id: mount for mount in mounts}
    echoes = {
        mount.id: mount
        for mount in mounts
        if mount.parent in known and devices[mount.parent] == devices[mount.id]
        if mount.parent != mount.id and _is_echo(mount, known[mount.parent])
    }
    return tuple(_without(echoes, mounts)) if echoes else tuple(mounts)


def read_mounts(table: str = TABLE) -> tuple[Mount, ...]:
    """The mounts this process sees now, one for its root with them. StorageError without /proc."""
    try:
        with open(table, "rb") as lines:
            found = parse(os.fsdecode(lines.read()))
    except OSError as error:
        raise storage_error(error, "reading the table of mounts") from error
    return found if _root(found) else (_unlisted_root(found), *found)


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


def resolved(path: str, mounts: Sequence[Mount]) -> str:
    """An absolute path with its links resolved, but for those on file systems that may not answer.

    What lies on a network's, or where one comes when it is asked for (autofs), is taken as it is
    written: nothing is asked of those, so that a dead one can't hold whoever wants to know.
    """
    here, rest, links = "/", path.split("/")[::-1], 0
    while rest:
        place = os.path.normpath(os.path.join(here, rest.pop()))
        if may_hang(mount_of(place, mounts), mounts):
            return os.path.normpath(os.path.join(place, *rest[::-1]))
        target = _link(place) if links < LINKS else ""
        if target:
            links += 1
            rest += target.split("/")[::-1]
            here = "/" if target.startswith("/") else here
        else:
            here = place
    return here


def may_hang(mount: Mount, mounts: Sequence[Mount] = ()) -> bool:
    """Whether a file system answers only while another machine, or a program, does."""
    return is_network(mount, mounts) or mount.type == AUTOFS


def _link(path: str) -> str:
    """Where a link leads; empty for anything else, and where nothing is."""
    try:
        return os.readlink(path)
    except OSError:
        return ""


def named_points(fstab: str = FSTAB, units: str = UNITS) -> tuple[str, ...]:
    """The mount points that the machine's administrator names, mounted or not; `noauto` too.

    None where there is no such file or folder; StorageError where it can't be read.
    """
    try:
        found = [*_of_fstab(fstab), *_of_units(units)]
    except OSError as error:
        raise storage_error(error, "reading which mounts there should be") from error
    return tuple(os.path.normpath(point) for point in found if point.startswith("/"))


def bare_point(path: str, points: Sequence[str], mounts: Sequence[Mount] | None = None) -> str:
    """The mount point, of these, that `path` lies at or below while nothing is mounted there.

    Empty where there is none. `path` is absolute. Reads the table where `mounts` is not given.
    """
    ways = {os.path.normpath(path), os.path.realpath(path)}
    above = [p for p in points if p != "/" and any(f"{way}/".startswith(f"{p}/") for way in ways)]
    if not above:
        return ""
    known = read_mounts() if mounts is None else mounts
    return next((point for point in above if not mounted_at(point, known)), "")


def mounted_at(path: str, mounts: Sequence[Mount]) -> str:
    """What is mounted at a path, `type source`; empty where it is no mount point."""
    real = os.path.realpath(path)
    mount = mount_of(real, mounts)
    return f"{mount.type} {mount.source}" if mount.point == os.fsencode(real) else ""


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


def _is_echo(mount: Mount, beneath: Mount) -> bool:
    """Whether a mount, of the file system beneath it, shows what is at its point anyway.

    A subvolume of btrfs, which its options name, is mounted for its own sake.
    """
    if mount.options != beneath.options:
        return False
    inside = mount.point.removeprefix(beneath.point.rstrip(b"/"))
    return mount.root.rstrip(b"/") == beneath.root.rstrip(b"/") + inside.rstrip(b"/")


def _without(echoes: Mapping[int, Mount], mounts: Sequence[Mount]) -> Iterator[Mount]:
    """What lies upon an echo lies upon what is beneath; what it hides stays hidden."""
    hiding = {(echo.parent, echo.point) for echo in echoes.values()}
    for mount in mounts:
        above = (place for place in _way(mount.point) if place != mount.point)
        if mount.id in echoes or any((mount.parent, place) in hiding for place in above):
            continue
        parent = mount.parent
        while parent in echoes:
            parent = echoes[parent].parent
        yield replace(mount, parent=parent)


def _of_fstab(path: str) -> Iterator[str]:
    if os.path.lexists(path):
        with open(path, "rb") as lines:
            for line in lines:
                _, point, *_ = [*line.split(), b"", b""]
                if not line.lstrip().startswith(b"#"):
                    yield os.fsdecode(_plain(os.fsdecode(point)))


def _of_units(folder: str) -> Iterator[str]:
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else ()
    for name in names:
        if name.endswith(".mount") and os.path.isfile(unit := os.path.join(folder, name)):
            with open(unit, "rb") as lines:
                yield from (os.fsdecode(found) for found in _WHERE.findall(lines.read()))


def _plain(field: str) -> bytes:
    r"""A field without its escapes: blank, tab, newline and backslash are written \ooo."""
    return _OCTAL.sub(lambda found: bytes([int(found[1], 8)]), os.fsencode(field))


def _walk(path: bytes, mounts: Sequence[Mount]) -> Mount | None:
    """The mount at the end of a path; None without a root."""
    upon = {(mount.parent, mount.point): mount for mount in mounts if mount.parent != mount.id}
    here = _root(mounts)
    for place in _way(path):
        while here and (here.id, place) in upon:
            here = upon[here.id, place]
    return here


def _root(mounts: Sequence[Mount]) -> Mount | None:
    known = {mount.id for mount in mounts}
    roots = [mount for mount in mounts if mount.point == b"/" and mount.parent not in known]
    return roots[-1] if roots else None


def _unlisted_root(mounts: Sequence[Mount]) -> Mount:
    """Where the root is a folder of a mount that is not listed: what all that is listed lies on."""
    known = {mount.id for mount in mounts}
    beneath = min((each.parent for each in mounts if each.parent not in known), default=0)
    room = ctypes.create_string_buffer(512)  # struct statfs, which begins with its type
    ctypes.CDLL(None).statfs(b"/", room)
    magic = ctypes.c_ulong.from_buffer(room).value & 0xFFFFFFFF
    return Mount(beneath, b"/", b"/", _MAGIC.get(magic, "unknown"), "unknown", parent=-1)


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
