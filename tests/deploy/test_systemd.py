"""The units on a machine that boots real systemd: started, watched, restarted, shut in, drained."""

import json
import site
import subprocess
import sys
from pathlib import Path

import pytest
from deploy.booted import Booted
from faults.faultfs import Faulty
from makers import make_dicom
from world import until

REPOSITORY = Path(__file__).parents[2]
SHIPPED = REPOSITORY / "deploy" / "systemd"
PYTHON = "/usr/bin/python3"  # of Debian: it lies where a unit may look
PROGRAM = f"""#!/bin/sh
PYTHONPATH=/opt/watcher/source:/opt/watcher/site exec {PYTHON} -m watcher "$@"
"""
UNIT = "watcher.service"
QUICK = "[Service]\nRestartSec=100ms\n"  # the pause between two tries is not what is tested

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(900)]


def same_python():
    """Debian's Python may read what this one has installed, if both are of one version."""
    if not Path(PYTHON).exists():
        pytest.skip(f"there is no {PYTHON}")
    asked = "import sys; print(*sys.version_info[:2])"
    found = subprocess.run([PYTHON, "-c", asked], capture_output=True, text=True).stdout.split()
    if found != [str(each) for each in sys.version_info[:2]]:
        pytest.skip(f"{PYTHON} is Python {'.'.join(found)}, and the tests run on another")


class Box(Booted):
    """A machine on which the daemon is installed, as deploy/README.md says."""

    def __init__(self, base):
        (base / "srv" / "drop" / "net").mkdir(parents=True)
        super().__init__(
            base,
            binds={
                "/srv": base / "srv",
                "/opt/watcher/site": site.getsitepackages()[0],
                "/opt/watcher/source/watcher": REPOSITORY / "watcher",
            },
        )
        self.srv = base / "srv"
        self.put("/opt/watcher/bin/watcher", PROGRAM, 0o755)
        self.put("/opt/paths.py", (SHIPPED / "paths.py").read_text())
        for name, folder in {
            "watcher.service": "systemd/system",
            "watcher@.service": "systemd/system",
            "60-watcher-inotify.conf": "sysctl.d",
            "watcher.sysusers.conf": "sysusers.d",
            "watcher.tmpfiles.conf": "tmpfiles.d",
        }.items():
            there = name.replace(".sysusers", "").replace(".tmpfiles", "")
            self.put(f"/etc/{folder}/{there}", (SHIPPED / name).read_text())
        self.put(f"/etc/systemd/system/{UNIT}.d/test.conf", QUICK)
        self.put("/etc/systemd/system/watcher@.service.d/test.conf", QUICK)

    def configure(
        self, name="watcher", root="/srv/imaging", state="/var/lib/watcher/state", **also
    ):
        """One drop `mri`, and one more for each of `also`: its path, and its other lines."""
        drops = {"mri": ("/srv/drop/mri", ""), **also}
        lines = [f'[storage]\nroot = "{root}"\nstate = "{state}"\nreserve = "1MiB"']
        for drop, (path, more) in drops.items():
            timing = 'settle = "100ms"\ninactivity = "1s"\nrescan_interval = "1s"'
            lines.append(f'[[drop]]\npath = "{path}"\nname = "{drop}"\nproject = "P1"\n{timing}')
            lines.append(more)
        log = f'[log]\nfile = "/var/log/{name}/watcher.jsonl"\nidentifiers = "plain"'
        self.put(f"/etc/watcher/{name}.toml", "\n".join([*lines, log]))

    def stream(self, unit=UNIT):
        """The lines of its log in the journal, since this test began."""
        lines = [line for line in self.said(unit) if line.startswith('{"timestamp"')]
        return [json.loads(line) for line in lines]

    def said(self, unit=UNIT):
        """What the journal has of a unit, since this test began."""
        return self.journal("-u", unit, "--after-cursor", self.cursor)

    def wait_for(self, event, unit=UNIT, **fields):
        """The first such line of the journal."""

        def found():
            return [
                each
                for each in self.stream(unit)
                if each["event"] == event and fields.items() <= each.items()
            ]

        return until(found, bool, pause=0.3)[0]

    def send(self, name, drop="mri", user="nobody", **values):
        """A file that a sender drops, who is nobody but in the drop's group."""
        make_dicom(self.base / "sent" / name, **values)
        data = (self.base / "sent" / name).read_bytes()
        who = ("setpriv", f"--reuid={user}", "--regid=watcher", "--clear-groups")
        writes = ("dd", "status=none", f"of=/srv/drop/{drop}/{name}")
        self.run(*who, *writes, input=data, text=False)

    def begin(self):
        """As a machine on which it was just installed."""
        self.sh("rm -rf /srv/imaging /srv/ct /srv/drop/mri /var/lib/watcher* /var/log/watcher*")
        self.sh("rm -rf /etc/watcher /etc/systemd/system/watcher*.d/[!t]*; : >/etc/fstab")
        self.sh("systemd-tmpfiles --create /etc/tmpfiles.d/watcher.conf; systemctl daemon-reload")
        self.sh("install -d -m 2770 -o watcher -g watcher /srv/drop/mri")
        self.run("journalctl", "--sync")  # what was said before, was said before
        self.cursor = self.journal("-n", "0", "--show-cursor")[-1].removeprefix("-- cursor: ")

    def finish(self):
        """Whatever is left of a test goes."""
        self.sh("systemctl stop 'watcher*.service'; systemctl reset-failed", check=False)

    def start(self, unit=UNIT, **how):
        """`systemctl start`."""
        return self.run("systemctl", "start", unit, **how)

    def tune(self, lines, unit=UNIT):
        """A drop-in for this test."""
        self.put(f"/etc/systemd/system/{unit}.d/now.conf", f"[Service]\n{lines}\n")
        self.run("systemctl", "daemon-reload")

    def is_left(self, name, drop="mri"):
        """Whether a dropped file lies there still."""
        return self.run("test", "-e", f"/srv/drop/{drop}/{name}", check=False).returncode == 0

    def main_pid(self, unit=UNIT):
        return int(self.shown(unit, "MainPID")["MainPID"])


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """One boot for all of these tests."""
    same_python()
    base = tmp_path_factory.mktemp("booted")
    box = Box(base)
    with Faulty(base / "srv" / "drop" / "net", base / "behind") as box.share, box:
        box.run("systemd-sysusers")  # a boot does it only where /etc is older than /usr
        yield box


@pytest.fixture
def box(machine):
    """The machine, with the daemon installed and never started."""
    machine.begin()
    machine.configure()
    yield machine
    machine.finish()


def active(box, unit=UNIT):
    """Once the unit is up."""
    until(lambda: box.shown(unit, "ActiveState")["ActiveState"], lambda state: state == "active")


def test_the_machine_is_prepared_by_the_shipped_files(box):
    """systemd-sysusers makes the user, systemd-tmpfiles the folders once; sysctl takes its file."""
    assert "gid=" in box.run("id", "watcher").stdout
    assert "750 watcher:watcher" == box.run("stat", "-c", "%a %U:%G", "/srv/imaging").stdout.strip()
    box.run("chmod", "2770", "/srv/imaging")
    box.run("systemd-tmpfiles", "--create", "/etc/tmpfiles.d/watcher.conf")
    assert "2770" == box.run("stat", "-c", "%a", "/srv/imaging").stdout.strip()
    box.run("/lib/systemd/systemd-sysctl", "/etc/sysctl.d/60-watcher-inotify.conf")
    found = Path("/proc/sys/fs/inotify/max_user_watches").read_text()
    assert 524288 <= int(found)


def test_it_is_active_once_it_is_ready_and_tells_how_it_stands(box):
    """`systemctl start` comes back after READY; `systemctl status` counts drops and sessions."""
    box.start()
    words = ("-p", "ActiveEnterTimestamp", "--value", "--timestamp=us+utc")
    _, *active, _ = box.run("systemctl", "show", UNIT, *words).stdout.split()
    ready = box.wait_for("daemon.ready")["timestamp"].rstrip("Z")  # milliseconds, rounded down
    assert ready <= "T".join(active)
    status = box.run("systemctl", "status", "--no-pager", UNIT).stdout
    assert 'Status: "drops: 1, sessions here: 0"' in status
    box.run("rm", "-rf", "/srv/drop/mri")
    until(lambda: box.shown(UNIT, "StatusText")["StatusText"], lambda said: "missing: 1" in said)


def test_the_whole_job_runs_shut_in(box):
    """A stranger's file is archived through a setgid store; nothing else can be written or seen."""
    box.run("chmod", "2750", "/srv/imaging")
    box.start()
    box.send("copied.dcm", patient_id="A")
    box.wait_for("session.archived")
    box.send(
        "linked.dcm",
        user="watcher",
        patient_id="B",
        study="1.2.9",
        series="1.2.9.1",
        sop="1.2.9.1.1",
    )
    until(
        lambda: [e for e in box.stream() if e["event"] == "session.archived"], lambda e: len(e) == 2
    )
    for name in ("copied.dcm", "linked.dcm"):
        until(lambda name=name: box.is_left(name), lambda left: not left)
    archived = box.sh("find /srv/imaging/archive -name '*.dcm' -printf '%U %G %m\\n'").stdout
    user, group = (box.run("id", flag, "watcher").stdout.strip() for flag in ("-u", "-g"))
    assert [f"{user} {group} 640"] * 2 == archived.split("\n")[:2]
    inside = ("nsenter", "-t", str(box.main_pid()), "-m", "sh", "-c")
    for path in ("/etc/x", "/usr/x", "/var/lib/x", "/srv/x", "/opt/watcher/x"):
        refused = box.run(*inside, f"echo >{path}", check=False)
        assert (True, "Read-only file system" in refused.stderr) == (refused.returncode != 0, True)
    assert (
        ""
        == box.run(*inside, "ls -A /root /home")
        .stdout.replace("/root:", "")
        .replace("/home:", "")
        .strip()
    )
    status = Path(f"{box.root}/proc/{box.main_pid()}/status").read_text()
    kept = dict(line.split(":\t", 1) for line in status.splitlines())
    assert ("1", "2", "0000000000000000") == (kept["NoNewPrivs"], kept["Seccomp"], kept["CapEff"])


def test_it_is_started_again_when_it_is_killed(box):
    """SIGKILL: another process, and it is ready again."""
    box.start()
    before = box.main_pid()
    box.run("kill", "-9", before)
    until(lambda: box.shown(UNIT, "NRestarts")["NRestarts"], lambda count: count == "1")
    active(box)
    assert before != box.main_pid()


def test_a_program_that_stands_still_is_started_again(box):
    """Frozen as a whole it feeds no watchdog; systemd ends it, and starts another."""
    box.tune("WatchdogSec=30s\nTimeoutStopSec=2s")
    box.start()
    before = box.main_pid()
    box.run("kill", "-STOP", before)
    until(box.said, lambda lines: any("Watchdog timeout" in line for line in lines))
    until(box.main_pid, lambda pid: pid not in {0, before})
    active(box)


def test_a_drop_that_hangs_does_not_end_it(box):
    """A share that answers no more is told of; the watchdog is fed on, and others' files come."""
    box.configure(net=("/srv/drop/net", ""))
    box.tune("WatchdogSec=90s")
    box.start()
    before = box.main_pid()
    try:
        box.share.hang("readdir")
        box.wait_for("drop.unavailable", drop="net")
        box.send("here.dcm")
        box.wait_for("session.archived")
        since = fed(box)
        until(lambda: fed(box), lambda now: now > since + 50e6, pause=1.0)  # half of 90 s, and more
        assert (before, "0") == (box.main_pid(), box.shown(UNIT, "NRestarts")["NRestarts"])
        box.run("systemctl", "stop", UNIT)
        assert "success" == box.shown(UNIT, "Result")["Result"]
    finally:
        box.share.rules()


def fed(box):
    """When the watchdog was fed last, in microseconds on the monotonic clock."""
    return int(box.shown(UNIT, "WatchdogTimestampMonotonic")["WatchdogTimestampMonotonic"])


def test_a_wrong_configuration_stays_down(box):
    """Exit 2 is not tried again: nothing mends it but a person."""
    box.put("/etc/watcher/watcher.toml", "[storage]\nrot = 1\n")
    assert 0 != box.start(check=False).returncode
    shown = box.shown(UNIT, "ActiveState", "ExecMainStatus", "NRestarts")
    assert {"ActiveState": "failed", "ExecMainStatus": "2", "NRestarts": "0"} == shown


def test_a_second_daemon_on_the_same_stores_stays_down(box):
    """Exit 11 is not tried again, and the first one goes on; here as an instance."""
    box.start()
    box.configure("ct")
    box.sh(
        "cp -r /etc/systemd/system/watcher.service.d/. /etc/systemd/system/watcher@ct.service.d",
        check=False,
    )
    box.tune("ReadWritePaths=-/var/lib/watcher", unit="watcher@ct.service")
    assert 0 != box.start("watcher@ct.service", check=False).returncode
    shown = box.shown("watcher@ct.service", "ActiveState", "ExecMainStatus", "NRestarts")
    assert {"ActiveState": "failed", "ExecMainStatus": "11", "NRestarts": "0"} == shown
    assert "active" == box.shown(UNIT, "ActiveState")["ActiveState"]


def test_a_state_that_is_not_mounted_is_waited_for(box):
    """Exit 10 is tried again for ever; once it is mounted the daemon is up."""
    box.put("/etc/fstab", "none /srv/imaging/here tmpfs noauto,mode=0770,gid=watcher 0 0\n")
    box.sh("install -d -o watcher -g watcher /srv/imaging/here")
    box.configure(state="/srv/imaging/here/state")
    box.run("systemctl", "start", "--no-block", UNIT)
    until(lambda: int(box.shown(UNIT, "NRestarts")["NRestarts"]), lambda count: count >= 2)
    until(box.said, lambda lines: any("exited, status=10" in line for line in lines))
    box.run("mount", "/srv/imaging/here")
    active(box)
    box.run("systemctl", "stop", UNIT)
    box.run("umount", "-l", "/srv/imaging/here")


def test_a_share_that_is_mounted_later_is_seen(box):
    """What is mounted beside a running daemon is mounted for it too, to be read and emptied."""
    box.sh("mkdir -p /srv/drop/late")
    box.configure(late=("/srv/drop/late", "mount = true"))
    box.start()
    box.wait_for("drop.unavailable", drop="late")
    box.sh("mount -t tmpfs -o mode=2770,gid=watcher none /srv/drop/late")
    try:
        box.wait_for("drop.available", drop="late")
        box.send("a.dcm", drop="late")
        box.wait_for("session.archived")
        until(lambda: box.is_left("a.dcm", "late"), lambda left: not left)
    finally:
        box.sh("umount -l /srv/drop/late; rmdir /srv/drop/late")


def test_an_instance_has_its_own_of_everything(box):
    """watcher@ct: its configuration, state, log and, by paths.py, stores outside the defaults."""
    unit = "watcher@ct.service"
    box.sh("install -d -o watcher -g watcher /srv/ct")
    box.configure("ct", root="/srv/ct", state="/var/lib/watcher-ct/state")
    box.run(PYTHON, "/opt/paths.py", "--config", "/etc/watcher/ct.toml", "--unit", unit)
    box.put(
        "/etc/watcher/ct.toml",
        (box.root / "etc/watcher/ct.toml")
        .read_text()
        .replace("/var/log/ct/", "/var/log/watcher-ct/"),
    )
    box.run("systemctl", "daemon-reload")
    box.start(unit)
    box.send("a.dcm")
    box.wait_for("session.archived", unit)
    assert 1 == len(box.sh("find /srv/ct/archive -name '*.dcm'").stdout.split())
    box.sh("test -s /var/log/watcher-ct/watcher.jsonl -a -d /var/lib/watcher-ct/state")


def test_logrotate_takes_the_log_and_the_daemon_opens_another(box):
    """The shipped snippet, read by logrotate itself: old lines beside, new ones in a new file."""
    box.put("/etc/logrotate.d/watcher", (SHIPPED / "watcher.logrotate").read_text())
    if box.run("which", "logrotate", check=False).returncode:
        pytest.skip("not installed: logrotate")
    box.start()
    box.sh("logrotate --force /etc/logrotate.d/watcher")
    folder = box.root / "var/log/watcher"
    until((folder / "watcher.jsonl").exists, bool)
    box.send("a.dcm")
    box.wait_for("session.archived")
    until(lambda: "session.archived" in (folder / "watcher.jsonl").read_text(), bool)
    (old,) = [each for each in folder.iterdir() if each.name != "watcher.jsonl"]
    assert "daemon.ready" in old.read_text()
    assert "daemon.ready" not in (folder / "watcher.jsonl").read_text()


def test_at_boot_it_comes_after_its_mounts_and_without_those_that_fail(box):
    """paths.conf: a store's mount stands before the daemon starts; one that fails stops nothing."""
    box.put(
        "/etc/fstab",
        (
            "none /srv/imaging tmpfs nofail,mode=2770,uid=watcher,gid=watcher 0 0\n"
            "/nowhere/at/all.img /srv/drop/gone ext4 loop,nofail,x-systemd.device-timeout=1s 0 0\n"
        ),
    )
    box.configure(gone=("/srv/drop/gone/in", ""))
    box.run(PYTHON, "/opt/paths.py", "--config", "/etc/watcher/watcher.toml")
    box.run("systemctl", "add-wants", "booted.target", UNIT)
    box.reboot()
    try:
        active(box)
        mounted = box.shown("srv-imaging.mount", "ActiveEnterTimestampMonotonic", "Where")
        started = box.shown(UNIT, "ExecMainStartTimestampMonotonic", "NRestarts")
        assert ("/srv/imaging", "0") == (mounted["Where"], started["NRestarts"])
        assert int(mounted["ActiveEnterTimestampMonotonic"]) <= int(
            started["ExecMainStartTimestampMonotonic"]
        )
    finally:
        box.finish()
        box.sh(
            "rm -rf /etc/systemd/system/booted.target.wants; umount -l /srv/imaging; : >/etc/fstab"
        )
