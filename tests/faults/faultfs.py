"""A file system that passes all on to a folder, and fails where it is told to.

Run as a program it mounts itself (libfuse by mfusepy) and takes JSON lines on standard input until
that ends; `Faulty` is the other end of that line. Nothing is cached: attribute and name time-outs
are 0 and reads are direct, so that every call of the program reaches this one. A mount of it is a
network file system to the program: it is polled, and no lease is asked for.

A rule: `op` one or several of OPERATIONS, `path` a regular expression searched for in the path
below the mount, and what happens: `error` (a name of errno), `short` (so many bytes are written or
read at most), `hang` (until the rules change, or the caller is killed), `stale` (attributes as they
were when first asked for); `skip` calls that match pass first, then `times` are met (None: all,
until the rules change).
"""

import contextlib
import ctypes.util
import errno
import json
import os
import re
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from faults.machine import needs, unmount

OPERATIONS = (
    *("stat", "open", "create", "read", "write", "fsync", "close", "readdir", "syncdir"),
    *("rename", "link", "unlink", "mkdir", "rmdir", "truncate", "chmod", "utimens", "statfs"),
)
TURN = 0.02  # seconds between two looks whether a hang is over
STARTING = 120.0  # seconds until the mount must stand, or be gone


class Faulty:
    """A faulty file system on `point`, a view of `behind`; `rules` and `seen` while it is mounted.

    Skips the test where the machine has no FUSE.
    """

    program = (__file__,)

    def __init__(self, point, behind):
        needs("mount")
        if not os.path.exists("/dev/fuse"):
            pytest.skip("no /dev/fuse")
        if not (ctypes.util.find_library("fuse") or ctypes.util.find_library("fuse3")):
            pytest.skip("no libfuse (Debian: libfuse2 or fuse3)")
        self.point, self.behind = Path(point), Path(behind)

    def __enter__(self):
        self.point.mkdir(parents=True, exist_ok=True)
        self.behind.mkdir(parents=True, exist_ok=True)
        self.process = subprocess.Popen(
            [sys.executable, *self.program, str(self.behind), str(self.point)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        )
        deadline = time.monotonic() + STARTING
        while not os.path.ismount(self.point):
            assert self.process.poll() is None, "the faulty file system ended"
            assert time.monotonic() < deadline, "the faulty file system does not stand"
            time.sleep(TURN)
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError, ValueError, AssertionError):
            self.rules()
        unmount(self.point)
        self.process.stdin.close()
        self.process.wait(STARTING)
        self.process.stdout.close()

    def _ask(self, **question):
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, "the faulty file system ended"
        return json.loads(answer)

    def rules(self, *rules):
        """These faults from now on, and no others; none: all is well again."""
        self._ask(rules=rules)

    def fail(self, op, error="EIO", path="", times=None, skip=0):
        """One fault from now on, and no other."""
        self.rules({"op": op, "error": error, "path": path, "times": times, "skip": skip})

    def hang(self, op, path=""):
        """These calls don't come back, until the rules change."""
        self.rules({"op": op, "hang": True, "path": path})

    def seen(self, *ops, path=""):
        """The calls there were: `op`, `path`, `inode`, `what` (a fault that was met, or empty).

        Besides those of OPERATIONS `made`: a file is new, and has an inode that may be used again.
        """
        return [
            dict(zip(("op", "path", "inode", "what"), call, strict=True))
            for call in self._ask(seen=True, ops=ops, path=path)
        ]

    def met(self, *ops, path=""):
        """How many faults were met since the mount stands."""
        return len(self.hits(*ops, path=path))

    def hits(self, *ops, path=""):
        """The calls that met a fault: operation, path, inode and what."""
        return self._ask(met=True, ops=ops, path=path)


class Rule:
    """One fault, and how often it may still be met."""

    def __init__(self, op, path="", error="", short=0, hang=False, stale=False, times=None, skip=0):
        self.ops = {op} if isinstance(op, str) else set(op)
        assert self.ops <= set(OPERATIONS), self.ops
        self.path = re.compile(path)
        self.error, self.short, self.hang, self.stale = error, short, hang, stale
        self.times, self.skip = times, skip
        self.attributes = {}

    def meets(self, op, path):
        """Whether this call is met; counts it."""
        if op not in self.ops or not self.path.search(path):
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.times is not None:
            self.times -= 1
        return self.times is None or self.times >= 0

    @property
    def what(self):
        """A word for the log of calls."""
        return self.error or ("short" if self.short else "hang" if self.hang else "stale")


class Faults:
    """The pass-through; one method for each call of the kernel."""

    use_ns = True

    def __init__(self, behind, interrupted):
        self.behind, self.interrupted = behind, interrupted
        self.rules, self.seen, self.hits, self.writers = [], [], [], set()
        self.guard = threading.Lock()

    # -- faults -------------------------------------------------------------------------

    def met(self, op, path, inode=0):
        """The rule this call meets, or None; raises and hangs as that says."""
        path = (path or "/a removed file").lstrip("/")
        with self.guard:
            rules = self.rules
            rule = next((each for each in rules if each.meets(op, path)), None)
            self.seen.append((op, path, inode, rule.what if rule else ""))
            if rule:
                self.hits.append(self.seen[-1])
        if rule and rule.hang:
            self.hang(rules)
        if rule and rule.error:
            raise OSError(getattr(errno, rule.error), rule.error)
        return rule

    def told(self, question):
        """The calls that were asked for."""
        with self.guard:
            calls = list(self.hits if "met" in question else self.seen)
        return [
            call
            for call in calls
            if (not question["ops"] or call[0] in question["ops"])
            and re.search(question["path"], call[1])
        ]

    def hang(self, rules):
        """Until the rules are others, or the kernel says that nobody waits any more."""
        while self.rules is rules:
            if self.interrupted():
                raise OSError(errno.EINTR, "killed")
            time.sleep(TURN)

    def real(self, path):
        return self.behind + path

    def inode(self, path):
        try:
            return os.lstat(self.real(path)).st_ino
        except OSError:
            return 0

    # -- names --------------------------------------------------------------------------

    def getattr(self, path, fh=None):
        rule = self.met("stat", path)
        found = os.fstat(fh) if fh else os.lstat(self.real(path))
        values = {
            key: getattr(found, key)
            for key in ("st_mode", "st_ino", "st_nlink", "st_uid", "st_gid", "st_size")
        }
        values |= {"st_blocks": found.st_blocks, "st_blksize": found.st_blksize}
        values |= {f"st_{t}time": getattr(found, f"st_{t}time_ns") for t in "amc"}
        return rule.attributes.setdefault(path, values) if rule and rule.stale else values

    def readdir(self, path, fh):
        self.met("readdir", path)
        with os.scandir(self.real(path)) as entries:  # a name without an inode is left out
            return [(each.name, self.kind(each), 0) for each in entries]

    def kind(self, entry):
        mode = stat.S_IFDIR if entry.is_dir(follow_symlinks=False) else stat.S_IFREG
        mode = stat.S_IFLNK if entry.is_symlink() else mode
        return {"st_mode": mode, "st_ino": entry.inode()}

    def readlink(self, path):
        return os.readlink(self.real(path))

    def mkdir(self, path, mode):
        self.met("mkdir", path)
        os.mkdir(self.real(path), mode)

    def rmdir(self, path):
        self.met("rmdir", path)
        os.rmdir(self.real(path))

    def unlink(self, path):
        self.met("unlink", path, self.inode(path))
        os.unlink(self.real(path))

    def symlink(self, target, source):
        os.symlink(source, self.real(target))

    def rename(self, old, new):
        self.met("rename", new, self.inode(old))
        os.rename(self.real(old), self.real(new))

    def link(self, target, source):
        self.met("link", target, self.inode(source))
        os.link(self.real(source), self.real(target), follow_symlinks=False)

    def chmod(self, path, mode):
        self.met("chmod", path)
        os.chmod(self.real(path), mode)

    def chown(self, path, uid, gid):
        os.chown(self.real(path), uid, gid, follow_symlinks=False)

    def utimens(self, path, times=None):
        self.met("utimens", path)
        os.utime(self.real(path), ns=times, follow_symlinks=False)

    def statfs(self, path):
        self.met("statfs", path)
        found = os.statvfs(self.real(path))
        return {key: getattr(found, key) for key in dir(found) if key.startswith("f_")}

    # -- bytes --------------------------------------------------------------------------

    def open(self, path, flags):
        self.met("open", path, self.inode(path))
        return self.opened(os.open(self.real(path), flags & ~os.O_NOFOLLOW), flags)

    def create(self, path, mode, flags):
        self.met("create", path)
        flags |= os.O_CREAT
        fd = os.open(self.real(path), flags & ~os.O_NOFOLLOW, mode)
        self.seen.append(("made", path.lstrip("/"), os.fstat(fd).st_ino, ""))
        return self.opened(fd, flags)

    def opened(self, fd, flags):
        if flags & os.O_ACCMODE != os.O_RDONLY:
            self.writers.add(fd)
        return fd

    def read(self, path, size, offset, fh):
        rule = self.met("read", path, os.fstat(fh).st_ino)
        return os.pread(fh, min(size, rule.short) if rule and rule.short else size, offset)

    def write(self, path, data, offset, fh):
        rule = self.met("write", path, os.fstat(fh).st_ino)
        return os.pwrite(fh, data[: rule.short] if rule and rule.short else data, offset)

    def truncate(self, path, length, fh=None):
        self.met("truncate", path)
        os.truncate(fh or self.real(path), length)

    def fsync(self, path, datasync, fh):
        self.met("fsync", path, os.fstat(fh).st_ino)
        os.fsync(fh)

    def fsyncdir(self, path, datasync, fh):
        self.met("syncdir", path)

    def flush(self, path, fh):
        if fh in self.writers:
            self.met("close", path, os.fstat(fh).st_ino)

    def release(self, path, fh):
        self.writers.discard(fh)
        os.close(fh)


def serve(behind, point, kind=Faults):
    """Mount and answer, to the end of standard input or until unmounted."""
    import mfusepy  # asks for libfuse, which not every machine has

    faults = kind(behind, mfusepy._libfuse.fuse_interrupted)
    threading.Thread(target=_answer, args=(faults,), daemon=True).start()
    options = {"attr_timeout": 0, "entry_timeout": 0, "negative_timeout": 0}
    options |= {"use_ino": True, "direct_io": True, "hard_remove": True, "intr": True}
    _mount(mfusepy)(faults, point, foreground=True, fsname="faulty", allow_other=True, **options)


def _mount(mfusepy):
    """What mounts: of libfuse 3 it would overlook the flags of renameat2(2)."""

    class Mount(mfusepy.FUSE):
        def rename_fuse_3(self, old, new, flags):
            return -errno.EINVAL if flags else self.rename_fuse_2(old, new)

    return Mount


def _answer(faults):
    for line in sys.stdin:
        question = json.loads(line)
        answer = True
        if "rules" in question:
            faults.rules = [Rule(**each) for each in question["rules"]]
        else:
            answer = faults.told(question)
        print(json.dumps(answer), flush=True)
    os._exit(0)


if __name__ == "__main__":
    os.umask(0)
    serve(*sys.argv[1:])
