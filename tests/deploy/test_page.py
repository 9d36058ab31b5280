"""The page is typed as it stands, block by block, on a bare Debian that boots real systemd.

Nothing is added to what it says: its program, configuration, sandboxed unit, rsyslog, Alertmanager
and mail. What fetches packages does so by this machine's network, all else has the booted one's
own, which is its loopback. Its `/proc/sys/fs/inotify` are plain files.
"""

import json
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from deploy.booted import PLAIN, Booted
from deploy.debian import QUIET, clone, tree
from world import until

PAGE = Path(__file__).parents[2] / "deploy" / "README.md"
HERE = "/usr/src/prearchive-watcher"
FETCHES = re.compile(r"^apt-get |/pip install ", re.MULTILINE)
PATIENCE = 600.0  # seconds
SAMPLES = "/opt/watcher/lib/python3.11/site-packages/pydicom/data/test_files/dicomdirtests"

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(3600)]


def blocks():
    """What the first part of the page says to type, and for what each block is typed again."""
    text = PAGE.read_text(encoding="utf-8")
    part = text.partition("## The first twenty minutes\n")[2].partition("\n## ")[0]
    return re.findall(r"^```sh(?: until=(\S+))?\n(.*?)^```$", part, re.MULTILINE | re.DOTALL)


class Admin:
    """Root's shell on a booted machine, in the clone."""

    def __init__(self, machine):
        self.machine = machine

    def type(self, text):
        """A block, which stops at its first fault: a CompletedProcess."""
        spaces = ["--mount", "--uts", "--ipc", "--pid", "--cgroup"]
        if not FETCHES.search(text):
            spaces.append("--net")
        enter = ("nsenter", f"--target={self.machine.pid}", *spaces, f"--wdns={HERE}")
        words = (*enter, "bash", "-euo", "pipefail", "-c", text)
        return subprocess.run(words, capture_output=True, text=True, env={**PLAIN, **QUIET})

    def follow(self, word, text):
        """A block of the page: typed once, or until it shows the word."""
        if word:
            return until(lambda: self.type(text).stdout, lambda said: word in said, PATIENCE, 1.0)
        done = self.type(text)
        assert 0 == done.returncode, f"{text}\n{done.stdout}\n{done.stderr}{self.told()}"
        return done.stdout

    def told(self):
        """The journal's end: why a unit is not what it should be."""
        return "\n".join(self.machine.journal("-n", "60", "-o", "short"))


def test_the_page(tmp_path):
    """Typed as it stands it ends with two examinations archived, an alert raised and ended, and a
    daemon that systemd supervises. It was the sender's account that dropped them.
    """
    binds, target = {HERE: clone(tmp_path / "clone")}, "multi-user.target"
    machine = Booted(tmp_path / "machine", lower=tree(), binds=binds, target=target)
    machine.put("/etc/resolv.conf", Path("/etc/resolv.conf").read_text())
    with machine:
        admin = Admin(machine)
        said, took = {}, {}
        for word, text in blocks():
            began = time.monotonic()
            name = text.splitlines()[0]
            said[name] = admin.follow(word, text)
            took[name] = round(time.monotonic() - began, 1)
        print(json.dumps(took))
        archived_as_sent(admin)
        supervised(admin)
        told_and_over(admin, said["cat /var/mail/mail"])
        kept_apart(admin, said["find /srv/drop/mri"])
    shutil.rmtree(machine.base)  # half a gigabyte, kept only where something was wrong


def archived_as_sent(admin):
    """What was dropped lies in the archive, byte for byte; nothing else is left."""
    sent = (f"{SAMPLES}/98892003/{name}" for name in ("MR1/5641", "MR2/4950", "MR2/4981"))
    sums = "sha256sum {} | cut -d' ' -f1 | sort"
    expected = admin.type(sums.format(" ".join(sent))).stdout
    found = "$(find /srv/imaging/archive -name '*.dcm')"
    assert (3, expected) == (len(expected.split()), admin.type(sums.format(found)).stdout)
    assert "" == admin.type("find /srv/drop/mri -type f -not -path '*/RECEIPTS/*'").stdout
    assert "[]" == admin.type("watcher sessions --json").stdout.strip()


def supervised(admin):
    """It runs under the unit as its own user, was never restarted by it, and nothing is wrong."""
    shown = admin.machine.shown("watcher", "ActiveState", "NRestarts", "User", "Type")
    expected = {"ActiveState": "active", "NRestarts": "0", "User": "watcher", "Type": "notify"}
    assert expected == shown
    assert "active\n" == admin.type("systemctl is-active watcher-verify.timer").stdout
    for command in ("systemctl start watcher-verify", "watcher check"):
        done = admin.type(command)
        assert 0 == done.returncode, f"{command}\n{done.stdout}{done.stderr}{admin.told()}"


def told_and_over(admin, mails):
    """The alert was mailed with the session and what to type, and then that it is over."""
    mails = mails.replace("=\n", "")  # as mail folds lines
    (session,) = set(re.findall(r"session/(\d{8}_\d{9})", mails))
    assert f"watcher show {session}" in mails
    assert "Invalid modification of session UID via archive process" in mails
    left = admin.type("amtool alert query service=watcher --alertmanager.url=http://localhost:9093")
    assert (0, False) == (left.returncode, "WatcherSessionConflict" in left.stdout)


def kept_apart(admin, receipt):
    """Whoever may drop files reads their receipt, and neither archive, log nor state."""
    assert "Taken: 1 file" in receipt
    for path in (
        "/srv/imaging/archive",
        "/var/log/watcher/watcher.jsonl",
        "/var/lib/watcher/state",
    ):
        refused = admin.type(f"runuser -u scanner -- ls {path}")
        assert "Permission denied" in refused.stderr, path
