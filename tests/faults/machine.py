"""What a machine lends to a fault: file systems that are small, that can be cut off, that go away.

Whatever is mounted here is unmounted again; where the machine does not allow it, the test is
skipped with the reason.
"""

import contextlib
import ctypes
import fcntl
import os
import shutil
import struct
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

GOING_DOWN = 0x8004587D  # EXT4_IOC_SHUTDOWN, XFS_IOC_GOINGDOWN: ioctl of the file system's root
WITHOUT_LOG_FLUSH = 2  # as when the power goes: nothing more is written, the journal neither
DETACH = 2  # MNT_DETACH of umount2(2)

_libc = ctypes.CDLL(None, use_errno=True)


def needs(*programs):
    """Skip this test unless we are root and these programs are there."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    missing = [name for name in programs if not shutil.which(name, path=_path())]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


def _path():
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def command(*words):
    """Run a program of the system; skip this test where the machine refuses it."""
    done = subprocess.run(
        words, capture_output=True, text=True, env={**os.environ, "PATH": _path()}, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"{' '.join(map(str, words))}: {done.stderr.strip()}")


@contextmanager
def mounted(path, *words):
    """`mount WORDS... PATH`, unmounted afterwards whatever is still open there."""
    needs("mount")
    Path(path).mkdir(parents=True, exist_ok=True)
    command("mount", *words, str(path))
    try:
        yield Path(path)
    finally:
        unmount(path)


def unmount(path):
    """Whatever is mounted there goes, also while files on it are open (umount -l)."""
    with contextlib.suppress(OSError):
        while _libc.umount2(os.fsencode(path), DETACH) == 0:
            pass


def tmpfs(path, *, size="64m", inodes=0):
    """A file system in memory that holds so many bytes and inodes."""
    options = f"size={size}" + (f",nr_inodes={inodes}" if inodes else "")
    return mounted(path, "-t", "tmpfs", "-o", options, "none")


@contextmanager
def image(kind, size="400M"):
    """A file of this size holding a new file system: ext4, xfs or btrfs. xfs needs 300 MB."""
    needs(f"mkfs.{kind}", "mount")
    with tempfile.TemporaryDirectory(dir=os.environ.get("WATCHER_IMAGES")) as folder:
        name = f"{folder}/{kind}"
        command("truncate", "-s", size, name)
        command(f"mkfs.{kind}", "-q", "-F" if kind == "ext4" else "-f", name)
        yield name


def loop(path, name):
    """An `image` mounted at a path."""
    return mounted(path, "-o", "loop", name)


def make_durable(path):
    """All of the file system there, and of no other: sync(2) would meet those of other tests."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if _libc.syncfs(folder) != 0:
            raise OSError(ctypes.get_errno(), "syncfs")
    finally:
        os.close(folder)


def cut_power(path):
    """The file system mounted there loses what is not on its disk, and answers EIO till unmounted.

    Skips this test where the file system knows no such thing.
    """
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.ioctl(folder, GOING_DOWN, struct.pack("I", WITHOUT_LOG_FLUSH))
    except OSError as error:
        pytest.skip(f"no power cut on {path}: {error}")
    finally:
        os.close(folder)
