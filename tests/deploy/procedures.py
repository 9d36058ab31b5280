"""`deploy/procedures.md` as it stands: its blocks by heading, and an installation to run them on.

A block is run by bash, literally; only the variables that the page names at the beginning of a
block have values of the test's own. What `$START` and `$STOP` are to systemd, `Supervisor` is here.
"""

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import threading
import uuid
from contextlib import contextmanager
from pathlib import Path

from makers import make_dicom
from world import Daemon, World, until

HERE = Path(__file__).parents[2]
PAGE = HERE / "deploy" / "procedures.md"
SETTINGS = "Backup, restore, upgrade, move"  # the heading of the block with the variables
PATIENCE = 180.0

ASK = """#!{python}
import socket, sys
with socket.socket(socket.AF_UNIX) as asking:
    asking.connect({address!r})
    asking.sendall(sys.argv[1].encode())
    asking.shutdown(socket.SHUT_WR)
    sys.exit(int(asking.makefile().read() or 1))
"""
PROGRAM = """#!/bin/sh
PYTHONSAFEPATH=1 PYTHONPATH={path} exec {python} -m watcher "$@"
"""
MORE = """
[[drop]]
path = "{base}/slow"
inactivity = "1h"
settle = "100ms"
[projects.P1]
[projects.P2]
auto_archive = false
"""


def blocks():
    """The fenced blocks of the page, by the heading they stand below; one each."""
    found, heading = {}, ""
    for line, block in re.findall(
        r"^#+ ([^\n]+)$|^```sh\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL
    ):
        heading = line or heading
        if block:
            assert heading not in found, f"two blocks below {heading}"
            found[heading] = block
    return found


def with_values(block, values):
    """A block whose variables have other values: each is one that it sets."""
    for name, value in values.items():
        pattern = re.compile(rf"(^|[ ]){name}=(\"[^\"]*\"|\$\([^)]*\)|\S+)", re.MULTILINE)
        own = f"{name}={shlex.quote(str(value))}"
        block, count = pattern.subn(lambda found, own=own: found[1] + own, block, count=1)
        assert count == 1, f"no {name} is set in: {block}"
    return block


class Supervisor:
    """Starts and stops the daemon when a block asks for it, as systemd does: up when READY is said.

    `events` are all lines since the first start. `before_each` is called for any other word.
    """

    def __init__(self, site):
        self.site = site
        self.daemon, self.past, self.faults = None, [], []
        self.other = lambda word: None
        address = f"\0watcher-test-{uuid.uuid4()}"
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(address)
        self._listening.listen()
        self.ask = site.script("ask", ASK.format(python=sys.executable, address=address))
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        while True:
            asking, _ = self._listening.accept()
            with asking:
                word = asking.makefile().read()
                if word == "end":
                    return
                try:
                    self.do(word)
                    asking.sendall(b"0")
                except BaseException as fault:  # the block ends, and the test says why
                    self.faults.append(fault)
                    asking.sendall(b"1")

    def do(self, word):
        if word == "start":
            self.daemon = Daemon(self.site.world, self.site.words, {})
            self.daemon.wait_for("daemon.ready", timeout=PATIENCE)
        elif word == "stop":
            self.stop()
        else:
            self.other(word)

    def stop(self):
        if self.daemon:
            code, _ = self.daemon.stop()
            self.past += self.daemon.events
            self.daemon = None
            assert code == 0, self.past[-5:]

    @property
    def events(self):
        return [*self.past, *(self.daemon.events if self.daemon else [])]

    def close(self):
        if self.daemon:
            self.daemon.stop(9)
        subprocess.run([self.ask, "end"], check=False)
        self._thread.join()
        self._listening.close()


class Site:
    """An installation: a `World` with `state` of its own, a slow drop, and its program."""

    def __init__(self, base, *, fresh=True):
        self.base = Path(base)
        self.installed = self.base / "opt" / "watcher"
        self.state = self.base / "var" / "state"
        self.backup = self.base / "backup"
        if fresh:
            (self.base / "slow").mkdir(parents=True)
            self.state.parent.mkdir()
            self.world = World(
                self.base,
                project=None,
                storage_lines=[f'state = "{self.state}"'],
                extra=MORE.format(base=self.base),
            )
            text = self.world.config.read_text().replace('"plain"', '"coded"')
            self.world.config.write_text(text)
            self.install()
        else:
            kept = (self.base / "watcher.toml").read_text()
            self.world = World(self.base)
            self.world.config.write_text(kept)
        self.root, self.config = self.world.root, self.world.config
        self.words = ("sh", "-c", 'shift 3; exec "$0" "$@"', f"{self.installed}/bin/watcher")

    def install(self, path=HERE, at=None):
        """A program that runs the sources below `path`."""
        folder = (at or self.installed) / "bin"
        folder.mkdir(parents=True)
        text = PROGRAM.format(python=sys.executable, path=path)
        return self.script(os.path.relpath(folder / "watcher", self.base), text)

    def script(self, name, text):
        path = self.base / name
        path.write_text(text)
        path.chmod(0o755)
        return str(path)

    def copy(self, base):
        """The same at another place."""
        subprocess.run(["cp", "-a", f"{self.base}/.", base], check=True)
        for path in (base / "watcher.toml", base / "backup" / "watcher.toml"):
            if path.exists():
                path.write_text(path.read_text().replace(str(self.base), str(base)))
        return Site(base, fresh=False)

    @contextmanager
    def supervised(self):
        """With somebody who starts and stops it."""
        self.supervisor = Supervisor(self)
        try:
            yield self.supervisor
        finally:
            self.supervisor.close()
            assert self.supervisor.faults == []

    def run(self, heading, *, codes=(0,), first="", **values):
        """The page's block below a heading, after the variables; gives what it printed."""
        own = {
            "WATCHER": f"{self.installed}/bin/watcher",
            "STOP": f"{self.supervisor.ask} stop",
            "START": f"{self.supervisor.ask} start",
            "OWNER": f"{os.geteuid()}:{os.getegid()}",
            "WATCHER_CONFIG": self.config,
            "INSTALLED": self.installed,
            "ROOT": self.root,
            "STATE": self.state,
            "BACKUP": self.backup,
        }
        page = blocks()
        before = with_values(page[SETTINGS], own)
        script = f"set -euo pipefail\n{before}\n{first}\n{with_values(page[heading], values)}"
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=self.base)
        assert done.returncode in codes, script + done.stdout + done.stderr
        return done.stdout

    def json(self, *words, codes=(0,)):
        """A command's document, by the installed program."""
        done = self._type(*words)
        assert done.returncode in codes, done.stdout + done.stderr
        return json.loads(done.stdout)

    def decide(self, *words):
        """A decision, as soon as the daemon has let go of what it is about (exit code 4)."""
        done = until(lambda: self._type(*words), lambda done: done.returncode != 4, PATIENCE)
        assert done.returncode == 0, done.stdout + done.stderr

    def _type(self, *words):
        command = [f"{self.installed}/bin/watcher", *words, "--json", "--config", str(self.config)]
        return subprocess.run(command, capture_output=True, text=True, cwd=self.base)

    def sessions(self):
        """What waits, by label and study: id, project, status, files."""
        return {
            (each["label"], each["study_uid"]): (
                each["id"],
                each["project"],
                each["status"],
                each["files"],
            )
            for each in self.json("sessions")
        }

    def statuses(self):
        return {key: each[2] for key, each in self.sessions().items()}

    def until_statuses(self, expected):
        """Wait until just these wait, with these statuses; asks the program each time."""
        until(self.statuses, lambda found: found == expected, PATIENCE, pause=0.3)

    def picture(self):
        """All that is to outlive a procedure."""
        quarantine = self.json("quarantine", "list")
        return {
            "waiting": self.sessions(),
            "archived": self.world.archived(),
            "quarantine": sorted((each["id"], each["code"]) for each in quarantine),
            "history": sorted(each["id"] for each in self.json("history", "list")),
            "decisions": (self.root / "history" / "decisions.jsonl").read_text(),
            "key": (self.root / "log.key").read_bytes(),
        }

    def verify(self):
        """What is wrong in the archive, by code."""
        return [
            (each["code"], each["path"])
            for session in self.json("verify", codes=(0, 3))
            for each in session["findings"]
        ]


def put(folder, label, study, *, instance=1, project="P1"):
    """A file of a study, in one step."""
    name = f"{label}-{study}-{instance}"
    made = make_dicom(
        folder.parent / f"{name}.new",
        study=study,
        series=f"{study}.1",
        sop=f"{study}.1.{instance}",
        instance=instance,
        patient_id=label,
        description=project,
    )
    os.rename(made, folder / name)


OPEN = {
    ("A", "1.2.3"): "CONFLICT",
    ("R", "1.2.4"): "READY",
    ("W", "1.2.5"): "RECEIVING",
}


def fill(site):
    """Archived sessions, one in each open status, a quarantine entry, history, a forced merge."""
    drop = site.world.drop
    for label, study in (("A", "1.2.1"), ("B", "1.2.2")):
        put(drop, label, study)
        put(drop, label, study, instance=2)
    site.until_statuses({})
    until(site.world.archived, lambda found: len(found) == 4)
    make_dicom(drop.parent / "q.new", study=None, sop="1.2.9.1").rename(drop / "q")
    put(drop, "A", "1.2.3")
    put(drop, "R", "1.2.4", project="P2")
    put(drop, "D", "1.2.6", project="P2")
    put(drop, "B", "1.2.7")
    put(site.base / "slow", "W", "1.2.5")
    more = {("D", "1.2.6"): "READY", ("B", "1.2.7"): "CONFLICT"}
    site.until_statuses({**OPEN, **more})
    until(lambda: site.json("quarantine", "list"), len)
    ids = {key: each[0] for key, each in site.sessions().items()}
    site.decide("delete", ids["D", "1.2.6"], "--reason", "sent by mistake")
    site.decide("archive", ids["B", "1.2.7"], "--force", "--reason", "one examination")
    site.until_statuses(OPEN)


def full_site(base, *headings):
    """An installation with something of everything, on which these blocks were run; stopped."""
    site = Site(base)
    with site.supervised() as supervisor:
        supervisor.do("start")
        fill(site)
        for heading in headings:
            site.run(heading)
        assert site.statuses() == OPEN
        supervisor.do("stop")
    return site


class Feed:
    """New sessions, and one file more for each once it is archived, until it is left."""

    def __init__(self, site):
        self.site, self.number = site, 0
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        followed = 0
        while not self._ending.wait(0.3):
            self.number += 1
            put(self.site.world.drop, f"N{self.number}", f"1.3.{self.number}")
            events = list(self.site.supervisor.events)
            archived = [each["study"] for each in events if each["event"] == "session.archived"]
            for study in [each for each in archived if each.startswith("1.3.")][followed:]:
                followed += 1
                put(self.site.world.drop, f"N{study[4:]}", study, instance=2)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ending.set()
        self._thread.join()
