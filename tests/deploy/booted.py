"""A machine that boots: real systemd as PID 1, in namespaces of its own.

Its root is an overlay over a folder, `/` by default; nothing below that is ever changed. It has
process ids, mounts, a name, cgroups and, unless told otherwise, a network of its own, which is its
loopback. The kernel's settings (/proc/sys) are read-only there, but for the limits of inotify.
Whatever ends the test ends the machine: the kernel kills its PID 1, and its mounts go with it.
"""

import contextlib
import os
import subprocess
import uuid
from pathlib import Path

import pytest
from faults.machine import needs
from world import until

INIT = "/lib/systemd/systemd"
TARGET = "booted.target"
OURS = "watcher-booted-"  # cgroups, by the process that owns them
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PLAIN = {"PATH": PATH, "HOME": "/root", "LANG": "C.UTF-8", "TERM": "dumb", "SYSTEMD_PAGER": ""}
GROUP = "[Unit]\nDescription=What a booted test needs\nRequires=basic.target\nAfter=basic.target\n"

# In a cgroup of its own first, so that it is the root of the new namespace.
OUTSIDE = """
mkdir "$OWN$$" && echo $$ >"$OWN$$/cgroup.procs" || exit
exec unshare --pid --mount --uts --ipc --cgroup $NETWORK --fork --kill-child \
  --propagation private sh -eu -c "$INSIDE" inside "$1"
"""
INSIDE = """
mount -t overlay overlay -o "lowerdir=$LOWER,upperdir=$1/upper,workdir=$1/work" "$1/root"
cd "$1/root"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755,size=1m tmpfs dev
for name in null zero full random urandom tty fuse; do
  test -e /dev/$name || continue
  : >dev/$name && mount --bind /dev/$name dev/$name
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
for folder in dev/shm run tmp; do mount -t tmpfs tmpfs $folder; done
chmod 1777 tmp dev/shm
mount --bind -o ro proc/sys proc/sys
mount --bind /proc/sys/fs/inotify proc/sys/fs/inotify
eval "$BINDS"
hostname booted
pivot_root . mnt
umount -l mnt
cd /
mount --make-rshared /  # as on any machine that systemd boots, but in a container it does not
exec env -i container=booted "PATH=$PATH" $INIT --unit=$UNIT --log-level=info
"""


class Booted:
    """A machine on a folder `base`, which must be on a file system that an overlay can write to.

    `lower` is the tree it is made of; `binds` are folders of this machine by where they are shown;
    `target` is what it boots to, by default what any machine has before its services; with
    `network` it shares ours. `put` what it shall find before it boots. Skips the test where this
    machine can't.
    """

    def __init__(self, base, *, lower="/", binds=None, target=TARGET, network=False):
        needs("unshare", "nsenter", "mount", "pivot_root", "setpriv")
        if not os.path.exists(os.path.join(lower, INIT.lstrip("/"))):
            pytest.skip(f"no systemd in {lower}")
        self.base, self.process = Path(base), None
        self.lower, self.binds, self.target, self.network = lower, binds or {}, target, network
        for name in ("upper", "work", "root"):
            (self.base / name).mkdir(parents=True, exist_ok=True)
        self.put("/etc/machine-id", f"{uuid.uuid4().hex}\n")  # else a first boot enables units
        self.put("/etc/fstab", "")
        self.put(f"/etc/systemd/system/{TARGET}", GROUP)

    def put(self, path, text, mode=0o644):
        """A file of the machine, before or after it booted."""
        where = self.root / path.lstrip("/") if self.is_up else self.base / "upper" / path[1:]
        where.parent.mkdir(parents=True, exist_ok=True)
        where.write_text(text)
        where.chmod(mode)

    @property
    def is_up(self):
        """Whether it was booted."""
        return self.process is not None

    @property
    def root(self):
        """Its root, as a folder of ours; absolute links in it lead astray."""
        return Path(f"/proc/{self.pid}/root")

    # -- on and off -----------------------------------------------------------------------------

    def __enter__(self):
        self.boot()
        return self

    def __exit__(self, *_):
        self.end()

    def boot(self):
        """Start it, and wait until it is up; what `put` has written is there."""
        groups = _groups()
        _sweep(groups)
        binds = "\n".join(
            f"mkdir -p './{where}' && mount --rbind '{source}' './{where}'"
            for where, source in self.binds.items()
        )
        words = {
            "OWN": f"{groups}/{OURS}",
            "NETWORK": "" if self.network else "--net",
            "INSIDE": INSIDE,
            "LOWER": str(self.lower),
            "BINDS": binds,
            "INIT": INIT,
            "UNIT": self.target,
        }
        script = ("sh", "-c", OUTSIDE, "outside", str(self.base))
        with (self.base / "console").open("w") as console:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *script],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                env={**PLAIN, **words},
            )
        try:
            self.pid = until(self._first, bool)
            until(self._state, lambda state: state in {"running", "degraded"})
        except BaseException:
            self.end()
            raise

    def end(self):
        """As when its power fails. It may be booted again, and finds what its disk has."""
        if self.process:
            group = f"{_groups()}/{OURS}{self.process.pid}"
            self.process.kill()
            self.process.wait()
            self.process = None
            until(lambda: _removed(group), bool)

    def reboot(self):
        """Off and on again."""
        self.run("sync")
        self.end()
        self.boot()

    def _first(self):
        """Our number of its PID 1, once that is systemd."""
        if self.process.poll() is not None:
            told = (self.base / "console").read_text()
            pytest.skip(f"this machine boots no other: {told[-400:]}")
        path = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        with contextlib.suppress(OSError, ValueError):
            pid = int(Path(path).read_text())
            return pid if Path(f"/proc/{pid}/comm").read_text() == "systemd\n" else None

    def _state(self):
        assert self.process.poll() is None, (self.base / "console").read_text()
        return self.run("systemctl", "is-system-running", "--wait", check=False).stdout.strip()

    # -- inside ---------------------------------------------------------------------------------

    def run(self, *words, user=None, check=True, env=None, **how):
        """A command there, as root or as a user: what `subprocess.run` gives, as text."""
        entered = ("nsenter", "--target", str(self.pid), "--all", "--wdns=/")
        as_user = ("runuser", "-u", user, "--") if user else ()
        done = subprocess.run(
            [*entered, *as_user, *map(str, words)],
            **{"capture_output": True, "text": True, "env": {**PLAIN, **(env or {})}, **how},
        )
        assert not check or done.returncode == 0, (words, done)
        return done

    def sh(self, text, **how):
        """A text for the shell there, which ends at its first fault."""
        return self.run("bash", "-euo", "pipefail", "-c", text, **how)

    def journal(self, *words):
        """Lines of its journal, bare; as `journalctl` chooses them."""
        return self.run("journalctl", "--no-pager", "-o", "cat", *words).stdout.splitlines()

    def shown(self, unit, *names):
        """Properties of a unit, as `systemctl show` knows them."""
        wanted = [word for name in names for word in ("-p", name)]
        lines = self.run("systemctl", "show", unit, *wanted).stdout.splitlines()
        return dict(line.split("=", 1) for line in lines)


def _groups():
    """Where this machine has its cgroups (version 2); skips the test where they can't be made."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        about, kind = line.split(" - ")
        if kind.startswith("cgroup2 "):
            where = about.split()[4]
            if os.access(where, os.W_OK):
                return where
    return pytest.skip("no cgroups (version 2) that may be made here")


def _removed(group):
    """Whether a group and all below it is gone; it can go when its last process has."""
    for folder, _, _ in os.walk(group, topdown=False):
        with contextlib.suppress(OSError):
            os.rmdir(folder)
    return not os.path.exists(group)


def _sweep(groups):
    """What tests that were killed left."""
    for each in os.listdir(groups):
        owner = each.removeprefix(OURS)
        if each != owner and not os.path.exists(f"/proc/{owner}"):
            _removed(f"{groups}/{each}")
