"""A whole installation in a directory of its own: configuration, drop, stores, the real program."""

import contextlib
import fcntl
import hashlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from lines import checked, checked_lines
from lxml import etree

from watcher.cli import call
from watcher.commands.options import Common

CAT = "{http://nrg.wustl.edu/catalog}"
XNAT = "{http://nrg.wustl.edu/xnat}"
ROOM = 1 << 20  # bytes: the daemon goes on writing while nobody lets us read; else lines are lost


def own_host():
    """An address of this machine, one of sixteen million: no port of it is taken by chance."""
    octets = (str(random.SystemRandom().randrange(1, 255)) for _ in range(3))
    return f"127.{'.'.join(octets)}"  # not by the run's seed: other workers have the same


class World:
    """Files in `drop`, stores below `root`, and the program run on them."""

    def __init__(
        self,
        base,
        *,
        project="P1",
        drop_lines=(),
        storage_lines=(),
        extra="",
        settle="100ms",
        inactivity="1s",
        rescan="1s",
        level="debug",
    ):
        self.base = Path(base)
        self.drop = self.base / "drop"
        self.root = self.base / "store"
        self.config = self.base / "watcher.toml"
        self.drop.mkdir(parents=True, exist_ok=True)
        lines = [
            "[storage]",
            f'root = "{self.root}"',
            'reserve = "1MiB"',
            *storage_lines,
            "[[drop]]",
            f'path = "{self.drop}"',
            'name = "mri"',
            f'settle = "{settle}"',
            f'inactivity = "{inactivity}"',
            f'rescan_interval = "{rescan}"',
            *([f'project = "{project}"'] if project else []),
            *drop_lines,
            "[log]",
            'identifiers = "plain"',
            f'level = "{level}"',
            extra,
        ]
        self.config.write_text("\n".join(lines))

    def watcher(self, *arguments):
        """A command line in this process: its exit code and what it printed."""
        out, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            code = call([*arguments, "--config", str(self.config)])
        self.errors = errors.getvalue()
        checked_lines(self.errors)  # where no daemon runs a command says its events there
        return code, out.getvalue()

    def json(self, *arguments):
        """A command's `--json` document, and its exit code."""
        code, text = self.watcher(*arguments, "--json")
        return json.loads(text), code

    def once(self):
        """`watcher run --once`: its exit code and its events, each held to the catalogue."""
        code, text = self.watcher("run", "--once")
        lines = checked_lines(text)
        assert len(lines) == len(text.splitlines())  # and nothing but lines of the log
        return code, lines

    def daemon(self, *before, **environment):
        """`watcher run`, as a process of its own; `before` are the words put before the command."""
        return Daemon(self, before, environment)

    @property
    def sessions(self):
        """What `watcher sessions --json` lists, by label."""
        found, _ = self.json("sessions")
        return {each["label"]: each for each in found}

    def archived(self):
        """Every file the archive's catalogs list, by label and path, with its MD5; checked."""
        found = {}
        for catalog in self._catalogs():
            label = catalog.relative_to(self.root / "archive").parts[2]
            for entry in etree.parse(str(catalog)).iter(f"{CAT}entry"):
                path = catalog.parent / entry.get("URI")
                digest = md5(path)
                assert digest == entry.get("digest"), path
                found[label, str(path.relative_to(catalog.parents[3]))] = digest
        return found

    def uncatalogued(self):
        """Instances in the archive that no catalog lists."""
        listed = {
            str(catalog.parent / entry.get("URI"))
            for catalog in self._catalogs()
            for entry in etree.parse(str(catalog)).iter(f"{CAT}entry")
        }
        return sorted({p for p in self._archive_files() if p.endswith(".dcm")} - listed)

    def left(self):
        """What lies in the drop still, files only; but for the receipts."""
        return sorted(each for each in files_below(self.drop) if not each.startswith("RECEIPTS/"))

    def prearchive(self):
        """Files in the prearchive, but for the program's own."""
        return sorted(
            path
            for path in files_below(self.root / "prearchive")
            if not os.path.basename(path).startswith(".watcher-")
        )

    def _archive_files(self):
        base = str(self.root / "archive")
        return [os.path.join(base, path) for path in files_below(base)]

    def _catalogs(self):
        return sorted(Path(path) for path in self._archive_files() if path.endswith("_catalog.xml"))

    def let_go(self, session):
        """Wait until the daemon has let go of a session: it tells of its work a little before."""
        with Common(config=str(self.config)).parts() as parts:
            for key in parts.keys(parts.ledger.session(session)):
                with parts.leases.exclusive(key):
                    pass


class Daemon:
    """A running daemon, its lines read as they come."""

    def __init__(self, world, before, environment):
        self.events = []
        self.faults = []  # lines that are not what the catalogue says
        self._more = threading.Condition()
        self.process = subprocess.Popen(
            [*before, sys.executable, "-m", "watcher", "run", "--config", str(world.config)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )
        with contextlib.suppress(OSError):  # a user may have so much in pipes and no more
            fcntl.fcntl(self.process.stdout, fcntl.F_SETPIPE_SZ, ROOM)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            if not line.endswith("\n"):
                return  # it was killed within a long line
            with self._more:
                self.events.append(json.loads(line))
                self._more.notify_all()
            try:
                checked(self.events[-1])
            except AssertionError as fault:
                self.faults.append(str(fault))

    def wait_for(self, event, count=1, timeout=180.0, **fields):
        """The first `count` events of this name with these fields; fails after `timeout` s."""

        def found():
            return [
                each
                for each in self.events
                if each["event"] == event and fields.items() <= each.items()
            ]

        with self._more:
            self._more.wait_for(lambda: len(found()) >= count, timeout)
            hits = found()
        assert len(hits) >= count, f"{len(hits)} of {count} {event}: {self.events[-20:]}"
        return hits[:count]

    def wait_until(self, reached, timeout=180.0):
        """Wait until something holds, asked at new lines and each second; fails after `timeout` s.

        Lines are read while it is asked, which may take long.
        """
        deadline = time.monotonic() + timeout
        while not reached():
            assert time.monotonic() < deadline, self.events[-20:]
            with self._more:
                self._more.wait(1.0)

    def stop(self, number=signal.SIGTERM, timeout=180.0):
        """Send a signal; gives the exit code and how long it took, in seconds."""
        began = time.monotonic()
        self.process.send_signal(number)
        code = self.process.wait(timeout)
        took = time.monotonic() - began
        self._reader.join(timeout)
        self.errors = self.process.stderr.read()
        self.process.stdout.close()
        self.process.stderr.close()
        return code, took

    def __enter__(self):
        try:
            self.wait_for("daemon.ready")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.stop(signal.SIGKILL)
        if not self.process.stdout.closed:
            self._reader.join(60.0)  # one that ended by itself: its last lines are read first
            self.process.stdout.close()
            self.process.stderr.close()
        assert self.faults == []


def files_below(base):
    """The files in and below a folder, relative; folders may go meanwhile, where rglob fails."""
    paths = (os.path.join(folder, name) for folder, _, names in os.walk(base) for name in names)
    return [os.path.relpath(path, base) for path in paths if os.path.isfile(path)]


def until(asked, holds, seconds=180.0, pause=0.05):
    """What `asked` gives once it `holds`; fails after so many seconds."""
    end = time.monotonic() + seconds
    while not holds(found := asked()):
        assert time.monotonic() < end, found
        time.sleep(pause)
    return found


def md5(path):
    """A file's MD5."""
    return hashlib.md5(Path(path).read_bytes()).hexdigest()
