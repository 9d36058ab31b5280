"""A container engine of our own: Podman in namespaces of a test, and what it keeps in one folder.

Nothing of the machine's is seen or changed by it: /etc is an overlay, /srv and /run are its own,
and so are its process ids. Whatever ends the test ends the engine and its containers: its first
process reads a line from us, and ends when nobody can write one any more.
"""

import contextlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from faults.machine import needs
from world import until

NAMED = "docker.io/library/python:3.11-slim-bookworm"  # in the Containerfile
LEFT_OUT = ("var/cache", "var/lib/apt", "usr/share/doc", "usr/share/locale", "usr/share/man")
PATIENCE = 300.0
QUIET = "unable to get systemd connection"  # of Podman, whose timers of health are systemd's

# crun wants one version of cgroups, and not a second beside it.
ENTER = """
set -eu
mount --make-rshared /
cp -L /etc/resolv.conf "$1/resolv.conf"  # it may lead to /run
umount /sys/fs/cgroup/unified 2>/dev/null || :
mount -t overlay etc -o "lowerdir=/etc,upperdir=$1/etc,workdir=$1/work" /etc
cp --remove-destination "$1/resolv.conf" /etc/resolv.conf
mount -t tmpfs shm /dev/shm
mount -t tmpfs run /run
mount --bind "$1/srv" /srv
echo up
read -r _
"""
CONTAINERS = """
[containers]
netns = "host"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "crun"
"""
STORAGE = """
[storage]
driver = "overlay"
graphroot = "{base}/storage"
runroot = "{base}/running"
"""


class Engine:
    """Podman, while it is entered; `base` is its folder, `srv` what it sees as /srv."""

    def __init__(self):
        needs("podman", "crun", "conmon", "catatonit", "unshare", "nsenter", "mount", "tar")
        # short, for the paths of its sockets; not in /run, which may be small
        self.base = Path(tempfile.mkdtemp(prefix="watcher-engine-", dir="/var/tmp"))
        self.srv = self.base / "srv"
        for name in ("etc/containers", "work", "srv", "storage", "running"):
            (self.base / name).mkdir(parents=True)
        (self.base / "etc/containers/containers.conf").write_text(CONTAINERS)
        (self.base / "etc/containers/storage.conf").write_text(STORAGE.format(base=self.base))

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            shutil.rmtree(self.base, ignore_errors=True)
            raise
        return self

    def _start(self):
        spaces = ("--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
        self._first = subprocess.Popen(
            [
                *("unshare", *spaces, "--propagation", "slave"),
                *("bash", "-c", ENTER, "bash", str(self.base)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        if self._first.stdout.readline() != "up\n":
            _, said = self._first.communicate()
            pytest.skip(f"this machine lends no namespaces or overlays: {said.strip()}")

    def __exit__(self, *_):
        self._first.stdin.close()  # kills what runs there, and its mounts go with the last of it
        self._first.wait(PATIENCE)
        self._first.stdout.close()
        self._first.stderr.close()
        shutil.rmtree(self.base, ignore_errors=True)

    def inside(self, *words):
        """A command line that is carried out where the engine is, in the caller's folder."""
        own = f"/proc/{self._first.pid}/ns"
        spaces = (f"--mount={own}/mnt", f"--pid={own}/pid_for_children")
        return ["nsenter", *spaces, "env", "-C", os.getcwd(), *map(str, words)]

    def run(self, *words, check=True, **options):
        """Carry it out: a CompletedProcess with text. Fails with what was said where `check`."""
        done = subprocess.run(
            self.inside(*words), capture_output=True, text=True, timeout=3 * PATIENCE, **options
        )
        said = f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert not check or done.returncode == 0, said
        return done

    def podman(self, *words, check=True):
        """`podman WORDS`."""
        return self.run("podman", *words, check=check)

    def sh(self, text, folder, **environment):
        """A block of a page, typed in that folder; ends at the first fault."""
        given = [f"{name}={value}" for name, value in environment.items()]
        return self.run("env", "-C", folder, *given, "sh", "-euc", text)

    def take_base(self, tree):
        """That directory as the image that the Containerfile begins with."""
        skipped = [f"--exclude=./{name}" for name in LEFT_OUT]
        packed = ("tar", "--one-file-system", *skipped, "-C", str(tree), "-c", ".")
        with subprocess.Popen(packed, stdout=subprocess.PIPE) as tar:
            self.run("podman", "import", "-", NAMED, stdin=tar.stdout)
        assert tar.returncode == 0

    @contextlib.contextmanager
    def service(self):
        """Docker's own interface, for its tools: what DOCKER_HOST is to be."""
        socket = self.base / "api.sock"
        words = ("podman", "system", "service", "--time", "0", f"unix://{socket}")
        process = subprocess.Popen(
            self.inside(*words), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            until(socket.exists, bool)
            yield f"unix://{socket}"
        finally:
            process.kill()
            process.wait(PATIENCE)

    def ready(self, name):
        """Wait until the daemon in this container is."""
        until(lambda: self.log(name), lambda log: "daemon.ready" in log, PATIENCE, 0.3)

    def log(self, name):
        """What a container said on standard output."""
        return self.podman("logs", name).stdout

    def exit_code(self, name):
        """With what it ended."""
        return int(self.podman("inspect", "--format", "{{.State.ExitCode}}", name).stdout)
