"""A file system that behaves as those of the network do, on a machine that has none of them.

A mount of it is a network file system to the program (FUSE): it is polled, no lease is asked for.
As on NFS and FUSE it always refuses RENAME_NOREPLACE (EINVAL), O_TMPFILE and fallocate. Each
further manner can be had by itself:

`stale`      what other hosts did to a file shows when it was asked for twice before (NFS, SMB)
`handles`    a file that another host made is ESTALE to its first reader (NFS)
`silly`      a file that is removed while it is open stays, as `.nfs` and a number (NFS)
`folded`     names that differ by case are one name (SMB)
`uncounted`  every file has one name (SMB)
`numbered`   each name has an inode number of its own, another after each mount (SMB `noserverino`)
`linkless`   there are no links (FAT behind a share, some SMB): EPERM
`still`      a folder's times do not change with what lies in it
"""

import collections
import errno
import itertools
import os
import stat
import sys

from faults.faultfs import Faults, Faulty, serve

MANNERS = frozenset(
    {"stale", "handles", "silly", "folded", "uncounted", "numbered", "linkless", "still"}
)
ASKED = 2  # times that a stale answer is given
RETRIES = 2  # opens that the kernel makes of one call where a handle is stale


class Standin(Faulty):
    """One with these manners on `point`, a view of `behind`; that is how another host sees it."""

    def __init__(self, point, behind, *manners):
        super().__init__(point, behind)
        assert MANNERS.issuperset(manners)
        self.program = (__file__, ",".join(manners))


class Share(Faults):
    """The pass-through with its manners."""

    manners = frozenset()

    def __init__(self, *given):
        super().__init__(*given)
        self.known = {}  # attributes by path, and how often they were given
        self.numbers, self.next = {}, itertools.count(int.from_bytes(os.urandom(5)))
        self.handles = collections.Counter()  # how often a path was opened, or made
        self.silly = {}  # the path of what is open now

    # -- names --------------------------------------------------------------------------

    def real(self, path):
        if "folded" not in self.manners or os.path.lexists(self.behind + path):
            return self.behind + path
        here = self.behind
        for part in path.strip("/").split("/"):
            here = os.path.join(here, _folded(here, part))
        return here

    def getattr(self, path, fh=None):
        values = super().getattr(path, fh)
        if stat.S_ISDIR(values["st_mode"]):
            hidden = {"st_mtime": 0, "st_ctime": 0} if "still" in self.manners else {}
            return values | hidden
        if "uncounted" in self.manners:
            values["st_nlink"] = 1
        if "numbered" in self.manners:
            values["st_ino"] = self.number(path)
        return self.as_known(path, values) if "stale" in self.manners else values

    def as_known(self, path, values):
        before, asked = self.known.get(path, (values, 0))
        if before == values or asked >= ASKED:
            self.known[path] = values, 0
            return values
        self.known[path] = before, asked + 1
        return before

    def number(self, path):
        if path not in self.numbers:
            self.numbers[path] = next(self.next)
        return self.numbers[path]

    def kind(self, entry):
        values = super().kind(entry)
        path = entry.path.removeprefix(self.behind)
        number = self.number(path) if "numbered" in self.manners else values["st_ino"]
        return values | {"st_ino": number}

    def forget(self, *paths):
        """This host did something to them, and knows how they are now."""
        for path in paths:
            self.known.pop(path, None)

    def rename(self, old, new):
        super().rename(old, new)
        self.forget(old, new)
        self.silly |= {fh: new for fh, name in self.silly.items() if name == old}
        self.handles[new] = self.handles.pop(old, 0)
        if old in self.numbers:
            self.numbers[new] = self.numbers.pop(old)

    def link(self, target, source):
        if "linkless" in self.manners:
            raise OSError(errno.EPERM, "no links here")
        super().link(target, source)
        self.forget(target, source)
        self.handles[target] = self.handles[source]

    def unlink(self, path):
        if "silly" in self.manners and path in self.silly.values():
            kept = os.path.join(os.path.dirname(path), f".nfs{self.inode(path):024x}")
            self.rename(path, kept)
            self.silly |= {fh: kept for fh, name in self.silly.items() if name == path}
        else:
            super().unlink(path)
        self.forget(path)
        self.numbers.pop(path, None)

    def chmod(self, path, mode):
        super().chmod(path, mode)
        self.forget(path)

    def utimens(self, path, times=None):
        super().utimens(path, times)
        self.forget(path)

    # -- bytes --------------------------------------------------------------------------

    def open(self, path, flags):
        self.handles[path] += 1
        if "handles" in self.manners and self.handles[path] <= RETRIES:
            raise OSError(errno.ESTALE, "asked for by an old handle")
        return self.noted(path, super().open(path, flags))

    def create(self, path, mode, flags):
        self.handles[path] = RETRIES
        return self.noted(path, super().create(path, mode, flags))

    def noted(self, path, fh):
        self.silly[fh] = path
        return fh

    def release(self, path, fh):
        name = self.silly.pop(fh)
        super().release(path, fh)
        if os.path.basename(name).startswith(".nfs") and name not in self.silly.values():
            os.unlink(self.real(name))

    def write(self, path, data, offset, fh):
        self.forget(path)
        return super().write(path, data, offset, fh)

    def truncate(self, path, length, fh=None):
        self.forget(path)
        super().truncate(path, length, fh)


def _folded(folder, name):
    """The name that is there already but for its case, or the name."""
    try:
        there = {each.casefold(): each for each in os.listdir(folder)}
    except OSError:
        return name
    return there.get(name.casefold(), name)


if __name__ == "__main__":
    os.umask(0)
    Share.manners = frozenset(sys.argv[1].split(",")) - {""}
    serve(*sys.argv[2:], kind=Share)
