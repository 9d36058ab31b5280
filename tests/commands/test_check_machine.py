"""What an administrator of a headless server meets, and the doctor's command for it, typed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import doctored
import pytest
from faults.machine import needs

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(600)]

DROP, LOG = "drop mri", "log.file"
STORES = [f"store {name}" for name in ("state", "prearchive", "archive", "quarantine")]
STORES += ["store history", "store status"]
ONE = {
    "closed_way": (DROP, "error", 2, "setfacl"),
    "closed_drop": (DROP, "error", 2, "usermod"),
    "drop_of_others": (DROP, "warning", 0, "setfacl"),
    "sticky_drop": (DROP, "warning", 0, "chmod -t"),
    "folders_of_others": (DROP, "warning", 0, "setfacl -R"),
    "own_drop": (DROP, "error", 2, "chmod u+rwx"),
    "kept_drop": (DROP, "error", 2, "setfacl"),
    "no_drop": (DROP, "error", 10, "install -d -o watcher -g watcher -m 2770"),
    "readonly_drop": (DROP, "warning", 0, "mount -o remount,rw"),
    "closed_store": ("store archive", "error", 2, "chown watcher:watcher"),
    "ledger_of_root": ("store state", "error", 2, "chown watcher:watcher -R"),
    "own_store": ("store history", "error", 2, "chmod u+rwx"),
    "readonly_store": ("store archive", "error", 2, "mount -o remount,rw"),
    "no_log": (LOG, "warning", 0, "install -d -o watcher"),
    "log_among_others": (LOG, "warning", 0, "install -d -o watcher"),
    "log_folder_of_root": (LOG, "warning", 0, "chown watcher:watcher -R /srv/log"),
    "log_of_root": (LOG, "warning", 0, "chown watcher:watcher"),
    "named_mount": (DROP, "error", 10, "mount /srv/drop/mri"),
    "lost_mount": (DROP, "error", 10, "mount -t tmpfs share /srv/drop/mri"),
    "hanging_drop": (DROP, "error", 10, "umount --lazy --force"),
    "lost_state": ("store state", "warning", 0, "check --accept"),
    "shut_out": ("unit watcher.service", "error", 2, "install -d /etc/systemd/system/watcher"),
}


def may_raise():
    command = "ulimit -n 200 && prlimit --nofile=1024 --pid $$"
    return subprocess.run(["sh", "-c", command], capture_output=True).returncode == 0


def typed(tmp_path, scenario, who, more=""):
    """What was found before, of the fault, and after its commands."""
    needs("unshare", "setpriv", "setfacl", "useradd", "mount")
    words = ["unshare", "--mount", "--propagation", "private", "setpriv", "--pdeathsig", "KILL"]
    words += [sys.executable, doctored.__file__, str(tmp_path), scenario, who, more]
    environment = {**os.environ, "PYTHONPATH": str(Path(doctored.__file__).parent)}
    done = subprocess.run(words, capture_output=True, text=True, env=environment)
    if done.returncode and done.stderr.startswith(("unshare: ", "mount -t overlay ")):
        pytest.skip(f"this machine lends no namespaces or overlays: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert ([0, []], [0, []]) == (said["before"], said["after"]), said
    return said


@pytest.mark.parametrize("scenario", ONE)
def test_the_command_of_a_finding_mends_it(tmp_path, scenario):
    """Looked at by the daemon's user, typed by whoever may use sudo; nothing else is found."""
    of, severity, code, command = ONE[scenario]
    said = typed(tmp_path, scenario, "watcher")
    ((found, *rest),) = said["found"][1]
    assert (code, of, severity, code) == (said["found"][0], found, *rest[:2])
    assert command in rest[2]


@pytest.mark.parametrize(
    ("scenario", "who"),
    [
        ("no_root", "watcher"),
        ("closed_root", "watcher"),
        ("closed_stores", "watcher"),
        ("closed_stores", "root"),
    ],
)
def test_where_stores_can_not_be_made_one_command_lets_them(tmp_path, scenario, who):
    """Each store says so, and all have one command."""
    said = typed(tmp_path, scenario, who)
    assert STORES == [of for of, *_ in said["found"][1]]
    assert 1 == len({command for *_, command in said["found"][1]})


def test_a_group_is_handed_on(tmp_path):
    """Stores made before the root was setgid get its group, all but the state."""
    said = typed(tmp_path, "group_lost", "watcher")
    assert [of for of in STORES if of != "store state"] == [of for of, *_ in said["found"][1]]


@pytest.mark.parametrize("scenario", ["lost_state", "drop_of_others", "closed_configuration"])
def test_root_looks_as_the_daemon_s_user(tmp_path, scenario):
    """What that one may not do is found, no command has sudo, and nothing comes to be root's."""
    said = typed(tmp_path, scenario, "root")
    ((*_, command),) = said["found"][1]
    assert "sudo" not in command
    assert "root" not in said["owners"].values()


@pytest.mark.parametrize(
    ("scenario", "of", "command"),
    [
        ("few_watches", "inotify", "max_user_watches = 524288"),
        ("few_files", "open files", "ulimit -n 1024"),
        ("fewest_files", "open files", "prlimit --nofile=1024"),
    ],
)
def test_a_bound_of_the_machine_is_raised(tmp_path, scenario, of, command):
    """By the real sysctl, on a file that stands for the kernel's; by prlimit, on the shell."""
    if scenario == "fewest_files" and not may_raise():
        pytest.skip("this root may not raise a hard limit (CAP_SYS_RESOURCE)")
    ((found, severity, _, typed_),) = typed(tmp_path, scenario, "watcher", of)["found"][1]
    assert (of, "warning") == (found, severity)
    assert command in typed_


def test_root_is_given_a_user(tmp_path):
    """A daemon that would run as root is advised of a user, who owns the stores afterwards."""
    ((of, severity, _, command),) = typed(tmp_path, "of_root", "root", "user")["found"][1]
    assert ("user", "advice", True) == (of, severity, "useradd --system" in command)
