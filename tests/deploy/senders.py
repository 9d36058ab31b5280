"""Senders as they are: Debian's own programs, as users of their own, on a machine of their own.

The machine is this one with another `/etc`, `/run` and network: accounts are made, services are set
up and ports are taken as on a server, and nobody else sees it. What is typed there are the blocks
of deploy/senders/README.md, whose variables it sets.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pydicom
import pytest
from makers import make_dicom
from world import World, files_below, until

import watcher

TREE = Path(__file__).parents[2]
SENDERS = TREE / "deploy" / "senders"
SIDE = 256  # pixels: a file has 128 KiB
PATIENCE = 180.0  # seconds
# Everything a service keeps for itself; accounts and settings lie in /etc. Then the folders that
# lead to the program and let nobody else pass, as /root does: here everybody may.
ALONE = """
mount -t tmpfs none "$1" && cd "$1" && shift || exit
over() {
  mkdir -p "$PWD/$1/work" && mkdir -m "$2" "$PWD/$1/upper" &&
    mount -t overlay -o "lowerdir=$1,upperdir=$PWD/$1/upper,workdir=$PWD/$1/work" overlay "$1"
}
over /etc 755 || exit
for own in /run /var/lib/samba /var/cache/samba /var/log/samba; do
  [ ! -d $own ] || mount -t tmpfs -o mode=755 none $own || exit
done
mkdir -p /run/sshd /run/samba /var/lib/samba/private
for closed; do over "$closed" 711 || exit; done
ip link set lo up && echo there && exec cat
"""
ACCOUNTS = """
groupadd --system watcher && useradd --system --gid watcher --home-dir /nonexistent watcher
useradd --create-home --home-dir "$HOMES/scanner" --shell /bin/bash --password "*" scanner
"""


def blocks(heading, name="README.md"):
    """The fenced blocks below a heading, as they stand there."""
    text = (SENDERS / name).read_text()
    (section,) = re.findall(
        rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL
    )
    return re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


class Machine:
    """Namespaces with accounts `watcher` and `scanner`; `variables` are those of the blocks."""

    def __init__(self, base):
        self.base = Path(base)
        own = self.base / "etc"
        own.mkdir()
        words = ["unshare", "--mount", "--net", "sh", "-c", ALONE, "sh", str(own), *_closed()]
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        self._holder = subprocess.Popen(words, **pipes)
        self._services = []
        self.variables = {"HOMES": str(self.base)}
        if self._holder.stdout.readline() != b"there\n":
            _, said = self._holder.communicate()
            pytest.skip(f"this machine lends no namespaces or overlays: {said.decode().strip()}")
        self.type(ACCOUNTS)

    def words(self, user="root"):
        """What is put before a command so that it runs there, as this user."""
        inside = ["nsenter", "-t", str(self._holder.pid), "-m", "-n"]
        if user == "root":
            return inside
        return [*inside, "setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"]

    def start(self, block, user="root", *, before=(), feed=False, **variables):
        """A block of shell begun there, `before` put before its shell. `feed`: it reads."""
        known = {**os.environ, "HOME": f"{self.base}/{user}", **self.variables, **variables}
        return subprocess.Popen(
            [*self.words(user), "env", f"--chdir={TREE}", *before, "bash", "-euc", block],
            env={**known, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"},
            stdin=subprocess.PIPE if feed else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # smbd ends its whole group with itself
        )

    def type(self, block, user="root", *, fails=False, **more):
        """A block typed to its end; gives what it printed. `fails`: it must."""
        with self.start(block, user, **more) as typed:
            said, _ = typed.communicate(timeout=PATIENCE)
        assert fails == (typed.returncode != 0), (typed.returncode, said)
        return said

    def serve(self, block, port, user="root", **more):
        """A service, begun there; it answers at its port."""
        begun = self.start(f"exec {block}", user, **more)
        self._services.append(begun)
        asks = f"(: </dev/tcp/127.0.0.1/{port}) 2>/dev/null && echo yes || echo no"
        until(lambda: self.type(asks), "yes\n".__eq__, pause=0.2)
        return begun

    def stop(self):
        """Everything that was begun there ends."""
        for each in self._services:
            each.terminate()
            each.communicate(timeout=PATIENCE)
        self._holder.communicate(timeout=PATIENCE)


def _closed():
    """Folders on the way to the program that nobody else may pass."""
    wanted = (sys.executable, os.path.realpath(sys.executable), watcher.__file__)
    ways = {parent for path in wanted for parent in Path(path).parents}
    return [str(each) for each in sorted(ways) if not each.stat().st_mode & 0o001]


class Archive(World):
    """An installation on such a machine; the program runs as the user `watcher`."""

    def __init__(self, machine, base, **more):
        self.machine = machine
        super().__init__(base, **more)
        self.root.mkdir()
        shutil.chown(self.root, *self._owner())
        machine.variables["DROP"] = str(self.drop)

    def _owner(self):
        said = self.machine.type("id -u watcher; id -g watcher").split()
        return [int(each) for each in said]

    def daemon(self):
        """The program, as its user."""
        return super().daemon(*self.machine.words("watcher"))

    def watcher(self, *arguments):
        """A command as the program's user types it: its exit code and what it printed."""
        words = [*self.machine.words("watcher"), sys.executable, "-m", "watcher", *arguments]
        done = subprocess.run(
            [*words, "--config", str(self.config)], capture_output=True, text=True
        )
        self.errors = done.stderr
        return done.returncode, done.stdout


class Study:
    """Files to send, in a folder of their own, which belongs to the user who sends them.

    The folder is called as the session will be: after the patient.
    """

    _made = 0

    def __init__(self, place, label, files=4, folder="", names=(), receipt=""):
        Study._made += 1
        self.label, self.place, self.names = label, place, tuple(names)
        self.receipt_name = receipt or label
        uid = f"1.2.826.0.1.{Study._made}"
        self.folder = place.machine.base / "sent" / label
        for number in range(1, files + 1):
            make_dicom(
                self.folder / folder / f"IM{number}",
                study=uid,
                series=f"{uid}.1",
                sop=f"{uid}.1.{number}",
                instance=number,
                patient_id=label,
                StudyID="1",
                StudyTime="091500",
                rows=SIDE,
                columns=SIDE,
            )
        self.sent = sorted(map(known, self.folder.rglob("IM*")))
        place.machine.type(f"chown -R scanner: '{self.folder.parent}'")
        place.machine.variables |= {"SOURCE": str(self.folder), "NAME": label}

    def archived(self):
        """What of it lies in the archive: SOP UID and data set of each file."""
        shelf = self.place.root / "archive" / "P1" / "arc001" / self.label / "SCANS"
        return sorted(known(shelf / each) for each in files_below(shelf) if each.endswith(".dcm"))

    def in_drop(self):
        """Files of it that lie in the drop, but for names that are never input."""
        lying = [each for each in self.place.left() if each.startswith((self.label, *self.names))]
        return [each for each in lying if "/." not in each]

    def hidden(self):
        """Those with such names."""
        lying = self.place.left()
        return [each for each in lying if self.label in each and each not in self.in_drop()]

    def waits(self, daemon):
        """Wait until the daemon has found a file of it that is not whole."""
        begins = (self.label, *self.names)
        daemon.wait_until(
            lambda: any(
                each["event"] == "file.waiting" and each["path"].startswith(begins)
                for each in list(daemon.events)
            )
        )

    def receipt(self):
        """The first line of its receipt; empty while there is none."""
        found = [*(self.place.drop / "RECEIPTS").glob(f"{self.receipt_name}.txt")]
        return found[0].read_text().partition("\n")[0] if found else ""


def known(path):
    """Which instance a file is, and the digest of its data set: senders write group 2 anew."""
    data = Path(path).read_bytes()
    behind = 144 + int.from_bytes(data[140:144], "little")  # of group 2: its length comes first
    read = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SOPInstanceUID"])
    return read.SOPInstanceUID, hashlib.sha256(data[behind:]).hexdigest()
