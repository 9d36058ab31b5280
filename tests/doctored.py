"""A machine with faults, and the doctor's commands typed on it: root, own mounts, nothing real.

Run as a program in a mount namespace of its own: `doctored.py FOLDER SCENARIO USER`. /etc is an
overlay, /srv a file system in memory, `watcher` and `alice` users of that /etc. The scenario makes
its fault; the doctor looks, what it prints is typed, and it looks again. All that is printed.
"""

import json
import os
import pwd
import resource
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from faults.faultfs import Faulty

SRV = Path("/srv")
CONFIG = SRV / "etc" / "watcher.toml"
WATCHES = "/proc/sys/fs/inotify/max_user_watches"
TEXT = """
[storage]
root = "/srv/imaging"
reserve = "1MiB"
[[drop]]
path = "/srv/drop/mri"
settle = "100ms"
[log]
file = "/srv/log/watcher.jsonl"
"""
SHIMS = {
    "sudo": '[ "$1" = -e ] && { shift; exec "$EDITOR" "$@"; }\nexec "$@"',
    "editor": 'exec sh -c "$EDIT" editor "$@"',
    "systemctl": "exit 0",
}


def shell(command, **environment):
    """Type something, as root."""
    path = f"{SRV}/shims:{os.environ['PATH']}:/usr/sbin:/sbin"
    environment = {**os.environ, "PATH": path, "EDITOR": f"{SRV}/shims/editor", **environment}
    done = subprocess.run(["sh", "-c", command], env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{command}: {done.stderr}")
    return done.stdout


def prepare(folder):
    """The machine: what is written below `folder` is all that stays of it."""
    overlay(folder, "/etc")
    shell("mount -t tmpfs -o mode=755 none /srv")
    tops = (sys.prefix, sys.base_prefix, __file__)
    for top in {above for each in tops for above in Path(each).parents}:
        if not top.stat().st_mode & 0o001:  # others can't come to the program: here they can
            overlay(folder, top)
            top.chmod(0o755)
    shell(f"echo 524288 >/srv/plenty && mount --bind /srv/plenty {WATCHES}")  # as on a large one
    (SRV / "shims").mkdir()
    for name, text in SHIMS.items():
        script = SRV / "shims" / name
        script.write_text(f"#!/bin/sh\n{text}\n")
        script.chmod(0o755)
    for name in ("watcher", "alice"):
        shell(f"getent passwd {name} || useradd --system --user-group {name}")
    shell("groupadd --force senders")
    CONFIG.parent.mkdir()
    CONFIG.write_text(TEXT)
    shell("install -d -o watcher -g watcher -m 2770 /srv/imaging /srv/drop/mri /srv/log")


def overlay(folder, top):
    """What is changed at `top` is not."""
    mine = Path(folder, str(top).strip("/").replace("/", "-"))
    for name in ("upper", "work"):
        (mine / name).mkdir(parents=True)
    options = f"lowerdir={top},upperdir={mine}/upper,workdir={mine}/work"
    shell(f"mount -t overlay overlay -o {options} {top}")


def run():
    """The daemon's first run."""
    watcher = Path(sys.prefix) / "bin" / "watcher"
    shell(f"setpriv --reuid=watcher --regid=watcher --init-groups {watcher} run --once"
          f" --config {CONFIG}")  # fmt: skip


def looked(who, more):
    """What the doctor says to this user; in a process of its own, as it becomes another."""
    from mending import faulty, machine

    out, into = os.pipe()
    if os.fork() == 0:
        os.close(out)
        if who != "root":
            entry = pwd.getpwnam(who)
            os.initgroups(who, entry.pw_gid)
            os.setgid(entry.pw_gid)
            os.setuid(entry.pw_uid)
        code, lines = faulty(CONFIG)
        lines += machine(CONFIG, more)
        said = [[line.of, line.severity, line.code, line.command] for line in lines]
        os.write(into, json.dumps([code, said]).encode())
        os._exit(0)
    os.close(into)
    with os.fdopen(out, "rb") as pipe:
        said = json.loads(pipe.read())
    os.wait()
    return said


# -- what is wrong ---------------------------------------------------------------------------------


def closed_way():
    shell("install -d -m 700 /srv/share && mv /srv/drop /srv/share/")
    CONFIG.write_text(TEXT.replace("/srv/drop", "/srv/share/drop"))


def closed_drop():
    shell("chown root:senders /srv/drop/mri")


def drop_of_others():
    shell("chown alice:alice /srv/drop/mri && chmod 755 /srv/drop/mri")


def sticky_drop():
    shell("chown root:root /srv/drop/mri && chmod 1777 /srv/drop/mri")


def folders_of_others():
    shell("install -d -o alice -g alice -m 755 /srv/drop/mri/visit")


def own_drop():
    shell("chmod 0 /srv/drop/mri")


def kept_drop():
    CONFIG.write_text(TEXT.replace("settle", 'after = "keep"\nsettle'))
    shell("chown alice:alice /srv/drop/mri && chmod 700 /srv/drop/mri")


def no_drop():
    shell("rm -r /srv/drop")


def readonly_drop():
    shell("mount -t tmpfs -o ro,mode=777 none /srv/drop/mri")


def no_root():
    shell("rm -r /srv/imaging")


def closed_root():
    shell("chown root:root /srv/imaging && chmod 755 /srv/imaging")


def closed_stores():
    """Root reads them, and the daemon does not come to them."""
    run()
    shell("install -d -m 700 /srv/share && mv /srv/imaging /srv/share/")
    CONFIG.write_text(TEXT.replace("/srv/imaging", "/srv/share/imaging"))


def ledger_of_root():
    run()
    shell("chown root:root /srv/imaging/state/ledger.sqlite")


def closed_store():
    run()
    shell("chown root:root /srv/imaging/archive && chmod 755 /srv/imaging/archive")


def own_store():
    run()
    shell("chmod u-w /srv/imaging/history")


def readonly_store():
    shell("mkdir /srv/fast && mount -t tmpfs none /srv/fast && chown watcher /srv/fast")
    CONFIG.write_text(TEXT.replace("reserve", 'archive = "/srv/fast/archive"\nreserve'))
    run()
    shell("mount -o remount,ro /srv/fast")


def group_lost():
    run()
    shell("chgrp senders /srv/imaging && chmod g+s /srv/imaging")


def log_folder_of_root():
    shell("chown root:root /srv/log && chmod 755 /srv/log && touch /srv/log/watcher.jsonl")


def no_log():
    shell("rm -r /srv/log")


def log_among_others():
    shell("chown root:root /srv/log && chmod 755 /srv/log && touch /srv/log/syslog")


def log_of_root():
    shell("install -m 600 /dev/null /srv/log/watcher.jsonl")


def closed_configuration():
    shell(f"chmod 600 {CONFIG}")


def named_mount():
    shell("echo 'none /srv/drop/mri tmpfs mode=777' >>/etc/fstab")


def lost_mount():
    shell("mount -t tmpfs -o mode=777 share /srv/drop/mri")
    run()
    shell("umount /srv/drop/mri && chmod 777 /srv/drop/mri")


def lost_state():
    """Root's --accept makes it: it is not root's."""
    run()
    shell("rm -r /srv/imaging/state")


def shut_out():
    folder = Path("/etc/systemd/system")
    folder.mkdir(parents=True, exist_ok=True)
    for name in folder.glob("watcher*"):
        shutil.rmtree(name) if name.is_dir() else name.unlink()
    (folder / "watcher.service").write_text(
        f"[Service]\nUser=watcher\nProtectSystem=strict\n"
        f"ExecStart=/opt/watcher/bin/watcher run --config {CONFIG}\n"
    )


LOG = '[ -w "$1" ] && sed -i "s|/srv/log/|/srv/log/watcher/|" "$1"'


def few_watches():
    for name in ("max_user_watches", "max_user_instances"):
        shell(f"echo 100 >/srv/{name} && mount --bind /srv/{name} /proc/sys/fs/inotify/{name}")


def few_files():
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, most))


def fewest_files():
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))


def of_root():
    shell("chown root:root /srv/imaging && gpasswd -d watcher senders || true")
    names = "/etc/passwd /etc/shadow /etc/group /etc/gshadow"
    shell(f"sed -i '/^watcher:/d' {names}")  # userdel looks at this machine's processes
    shell("chown -R root:root /srv/drop /srv/log && chmod 755 /srv/log")


def hanging_drop():
    share = stack.enter_context(Faulty("/srv/drop/mri", "/srv/behind"))
    share.hang("readdir")


def in_this_shell(command):
    """What is typed for the shell itself, `$$`, is for this process."""
    limit = command.replace("$$", str(os.getpid()))
    if limit.startswith("ulimit"):
        number = int(limit.split()[-1])
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (number, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        )
        return "true"
    return limit


def main(folder, scenario, who, more):
    """Make the fault, look, type, look."""
    prepare(folder)
    before = looked(who, more) if who != "root" or not more else [0, []]
    globals()[scenario]()
    found = looked(who, more)
    after = found
    for _ in range(ROUNDS.get(scenario, 1)):
        for command in dict.fromkeys(command for *_, command in after[1]):
            shell(in_this_shell(command), EDIT=LOG)
        shell(NEW.get(scenario, "true"))
        after = looked(who, more)
    owners = {str(path): path.owner() for path in SRV.glob("imaging/*")}
    print(json.dumps({"before": before, "found": found, "after": after, "owners": owners}))


NEW = {
    "lost_mount": "chmod 777 /srv/drop/mri",  # a new file system in memory is sticky
}
ROUNDS = {"of_root": 2}  # the new user may not do what root did: that is found then
stack = ExitStack()

if __name__ == "__main__":
    with stack:
        main(*sys.argv[1:])
