"""The container, built and run: deploy/container/README.md typed as it stands, and its promises.

No image can be fetched here. What the Containerfile begins with, `python:3.11-slim-bookworm`, is
stood in for by a debootstrapped Debian 12, whose Python is 3.11 as well; `docker compose` by
Debian's docker-compose, which talks to Podman.
"""

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from deploy.containerfile import HERE, Stage, stages
from deploy.debian import Debian, clone, tree
from deploy.engine import Engine
from faults import faultfs
from faults.machine import needs
from makers import make_dicom
from world import files_below, md5, until

from deploy.senders import blocks

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(3600)]
PAGE = "../container/README.md"
IMAGE = "prearchive-watcher"
USER, SENDERS = 10001, 10002
GRACE = "120"  # seconds; whatever needs them was not ended by its signal
KILLED, ENDED = 128 + 9, 128 + 15
SOON = ('name = "mri"', 'name = "mri"\nsettle = "100ms"\ninactivity = "1s"\nrescan_interval = "1s"')
OFTEN = '\n[log]\nheartbeat = "5s"\n'
LOOK = """
for p in /proc/[0-9]*; do
  echo "${p#/proc/} $(cut -d' ' -f3 $p/stat) $(tr '\\0' ' ' <$p/cmdline)"
done
"""
# `docker compose`, which Debian 12 has as a program of its own
DOCKER = '#!/bin/sh\n[ "$1" = compose ] || exec podman "$@"\nshift && exec docker-compose "$@"\n'


def test_the_steps_need_no_engine(tmp_path):
    """Carried out one by one in two bare Debians they give a program that archives, as its user."""
    context = clone(tmp_path / "clone")
    done = {}
    for number, (_, name, steps) in enumerate(stages((HERE / "Containerfile").read_text())):
        debian = Debian(tmp_path / str(number), "python")
        done[name] = Stage(debian, steps, context, done)
    image = done[""]
    folders = {name: tmp_path / name for name in ("imaging", "drop")}
    for name, folder in folders.items():
        (folder / "mri").mkdir(parents=True)
        _give(folder)
        image.debian.bind(folder, f"/srv/{name}", "rw")
    image.debian.bind(HERE / "watcher.toml", "/etc/watcher/watcher.toml")
    sent = _study(folders["drop"] / "mri", files=2)
    _give(folders["drop"])
    entry = json.loads(image.given["ENTRYPOINT"])
    user, _, group = image.given["USER"].partition(":")
    drop = ("setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups")
    code = image.debian.run(*drop, *entry, *json.loads(image.given["CMD"]), "--once").returncode
    assert (0, sent) == (code, _archived(folders["imaging"]))


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """A machine with an engine that has the image; the clone it was built in is `engine.clone`."""
    needs("docker-compose")
    base = tree("python")
    with Engine() as engine:
        engine.clone = clone(engine.base / "clone")
        config = engine.clone / "deploy/container/watcher.toml"
        config.write_text(config.read_text().replace(*SOON) + OFTEN)
        tools = engine.base / "tools"
        tools.mkdir()
        (tools / "docker").write_text(DOCKER)
        (tools / "docker").chmod(0o755)
        engine.path = f"{tools}:{os.environ['PATH']}"
        _have_image(engine, base, tmp_path_factory.getbasetemp().parent)
        yield engine


def _have_image(engine, base, shared):
    """Built by the page's block, by the first of two workers; the other loads what it saved."""
    saved = shared / "prearchive-watcher.image"
    with open(shared / "prearchive-watcher.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if saved.exists():
            engine.podman("load", "--input", saved)
            saved.unlink()  # there are no more than two
            return
        engine.take_base(base)
        _type(engine, "The image")
        if "PYTEST_XDIST_WORKER" in os.environ:
            engine.podman("save", "--output", saved, IMAGE)


@pytest.fixture
def host(engine):
    """It, with the folders that the page makes; containers of others are gone."""
    for each in engine.podman("ps", "--all", "--quiet").stdout.split():
        engine.podman("rm", "--force", "--time", "0", each)
    engine.podman("volume", "prune", "--force")
    engine.run("groupdel", "senders", check=False)
    for name in ("imaging", "drop"):
        engine.run("rm", "-rf", f"/srv/{name}")
    _type(engine, "Folders of the host")
    return engine


def test_it_runs_by_the_compose_file(host):
    """Typed for Docker: what a sender drops is archived, by a process that may do nothing else."""
    with host.service() as service:
        _type(host, "Docker", DOCKER_HOST=service)
        host.ready("watcher")
        checked = _type(host, "Docker", 1).stdout
        assert "error" not in checked
        assert "a process that reads files can be started" in checked
        _is_archived(host, _sent(host))
        assert {"CapEff": "0000000000000000", "NoNewPrivs": "1", "Seccomp": "2"} == _confined(host)
        root = ("--user", "0", "watcher")  # who has the right to, but for the mount
        for path in ("/made", "/etc/watcher/made", "/opt/watcher/made"):
            assert host.podman("exec", *root, "touch", path, check=False).returncode != 0
        assert "watcher\n" == host.podman("exec", "watcher", "hostname").stdout
        _sees_what_is_mounted_later(host)
        _buries_orphans(host)
        down = "docker compose -f deploy/container/compose.yaml down"
        host.sh(down, host.clone, PATH=host.path, DOCKER_HOST=service)


def test_it_runs_by_podman(host):
    """Typed for Podman; its health is that of the daemon, and a stop is its end in good order."""
    _type(host, "Podman")
    host.ready("watcher")
    _is_archived(host, _sent(host))
    _health(host, lambda code: code == 0)
    pid = _pid(host, "watcher run")
    host.podman("exec", "watcher", "sh", "-c", f"kill -STOP {pid}")
    _health(host, bool)
    host.podman("exec", "watcher", "sh", "-c", f"kill -CONT {pid}")
    _health(host, lambda code: code == 0)
    said = _type(host, "Day by day").stdout
    assert "the daemon is running" in said
    assert 0 == host.exit_code("watcher")
    assert ["daemon.stopped", "SIGTERM"] == [_last(host)[key] for key in ("event", "reason")]


def test_every_line_for_the_eye_is_the_log_s(host):
    """Standard output holds the log's lines and nothing else."""
    _run(host, "one")
    host.ready("one")
    host.podman("stop", "--time", GRACE, "one")
    assert {"daemon.started", "daemon.ready", "daemon.stopped"} <= {
        json.loads(line)["event"] for line in host.log("one").splitlines()
    }


def test_the_first_process_heeds_its_signal(host):
    """Without `--init` too: SIGTERM ends a daemon in good order, and one whose start waits."""
    _run(host, "one")
    host.ready("one")
    host.podman("stop", "--time", GRACE, "one")
    assert 0 == host.exit_code("one")
    _run(host, "two", imaging="/srv/imaging:/srv/imaging:ro")
    until(lambda: host.log("two"), lambda log: "storage.unavailable" in log, 300.0, 0.3)
    host.podman("stop", "--time", GRACE, "two")
    assert ENDED == host.exit_code("two")


def test_another_owner_is_named(host):
    """A folder that is not 10001's is refused with the command that mends it."""
    host.run("chown", "-R", "root:root", "/srv/imaging")
    host.run("chmod", "700", "/srv/imaging")
    checked = _run(host, "one", "check", check=False)
    assert 2 == checked.returncode
    assert "can't make /srv/imaging/archive: /srv/imaging is closed to it" in checked.stdout
    assert "sudo chown watcher:watcher /srv/imaging\n" in checked.stdout
    assert 2 == host.exit_code("one")


def test_what_is_not_mounted_refuses(host):
    """Nothing is archived into the container's own layer, be it writable."""
    config = host.clone / "deploy/container/watcher.toml"
    volume = ("--volume", f"{config}:/etc/watcher/watcher.toml:ro")
    ended = host.podman("run", "--network", "none", *volume, IMAGE, check=False)
    assert 2 <= ended.returncode < 128, ended.stdout
    assert "daemon.ready" not in ended.stdout


def test_a_new_container_is_no_other_host(host, tmp_path):
    """On a network's stores: after a stop the next goes on, by whatever name; a dead one's expire.

    The stores lie on a FUSE file system, which the program takes for a network's.
    """
    with _share(host, tmp_path) as share:
        mount = f"{share}:/srv/imaging"
        for name in ("one", "two"):
            _run(host, name, imaging=mount)
            host.ready(name)
            if name == "one":
                host.podman("stop", "--time", GRACE, name)
        assert "taken over" not in host.log("two")
        host.podman("kill", "--signal", "KILL", "two")
        assert KILLED == int(host.podman("wait", "two").stdout)
        _run(host, "three", imaging=mount)
        told = until(lambda: host.log("three"), lambda log: "taken over" in log, 300.0, 0.5)
        assert "taken over from process 1 on two" in told
        host.ready("three")
        host.podman("rm", "--force", "--time", GRACE, "three")


# -- what they are made of ------------------------------------------------------------------------


def _type(host, heading, number=0, **environment):
    """A block of the page below this heading."""
    return host.sh(blocks(heading, PAGE)[number], host.clone, PATH=host.path, **environment)


def _run(host, name, *words, imaging="/srv/imaging:/srv/imaging", check=True):
    """A container by hand, of that host name, with what the page mounts, and no `--init`."""
    config = host.clone / "deploy/container/watcher.toml"
    volumes = (
        f"{config}:/etc/watcher/watcher.toml:ro",
        "watcher-state:/var/lib/watcher",
        imaging,
        "/srv/drop:/srv/drop:rslave",
    )
    given = [word for volume in volumes for word in ("--volume", volume)]
    own = ("--name", name, "--hostname", name, "--network", "none", "--read-only")
    how = () if words else ("--detach",)
    return host.podman("run", *how, *own, *given, IMAGE, *words, check=check)


def _study(folder, files):
    """That many files of one study; their digests."""
    for number in range(1, files + 1):
        make_dicom(Path(folder, str(number)), sop=f"1.2.3.1.{number}", instance=number)
    return sorted(md5(Path(folder, str(number))) for number in range(1, files + 1))


def _sent(host):
    """What a sender drops, who is neither root nor the daemon: the digests of a folder's files."""
    made = host.srv / "scanner/visit"
    shutil.rmtree(made, ignore_errors=True)
    digests = _study(made, files=3)
    who = ("setpriv", "--reuid=4711", "--regid=4711", f"--groups={SENDERS}")
    copied = "umask 0007; mkdir /srv/drop/mri/visit; cp /srv/scanner/visit/* /srv/drop/mri/visit/"
    host.run(*who, "sh", "-euc", copied)
    return digests


def _archived(imaging):
    base = Path(imaging, "archive")
    with suppress(FileNotFoundError):  # what is listed may move before it is read
        return sorted(md5(base / each) for each in files_below(base) if each.endswith(".dcm"))
    return []


def _is_archived(host, digests):
    """Whole, once, gone from the drop, and as the catalogs say."""
    until(lambda: _archived(host.srv / "imaging"), lambda found: found == digests, 300.0, 0.3)
    drop = host.srv / "drop/mri"
    until(lambda: [each for each in files_below(drop) if each[-1].isdigit()], _is_empty, 300.0)

    def sound():
        return host.podman("exec", "watcher", "watcher", "verify", check=False).returncode

    assert 0 == until(sound, lambda code: code == 0, 300.0, 1.0)


def _is_empty(found):
    return not found


def _give(folder):
    for path in (folder, *folder.rglob("*")):
        os.chown(path, USER, USER)


def _last(host):
    return json.loads(host.log("watcher").splitlines()[-1])


def _health(host, holds):
    def asked():
        return host.podman("healthcheck", "run", "watcher", check=False).returncode

    until(asked, holds, 300.0, 0.5)


def _processes(host):
    """Those of the container, by id: state (proc(5)) and command line."""
    said = host.podman("exec", "watcher", "sh", "-c", LOOK).stdout
    found = re.findall(r"^(\d+) ([A-Za-z]) (.*)$", said, re.MULTILINE)
    return {int(pid): (state, line) for pid, state, line in found}


def _pid(host, command):
    found = [pid for pid, (_, line) in _processes(host).items() if command in line]
    return max(found)  # the first is the init's


def _confined(host):
    status = host.podman("exec", "watcher", "cat", "/proc/self/status").stdout
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    return {name: fields[name] for name in ("CapEff", "NoNewPrivs", "Seccomp")}


def _sees_what_is_mounted_later(host):
    """A share that comes late is mounted on the host, and seen inside."""
    host.run(
        "sh",
        "-euc",
        "mkdir /srv/drop/late; mount -t tmpfs late /srv/drop/late; touch /srv/drop/late/it",
    )
    assert "it\n" == host.podman("exec", "watcher", "ls", "/srv/drop/late").stdout
    host.run("umount", "/srv/drop/late")


def _buries_orphans(host):
    """What a command leaves behind is waited for by the first process."""
    host.podman("exec", "watcher", "sh", "-c", "(sh -c 'exec true' &) ; exec true")
    until(lambda: {state for state, _ in _processes(host).values()}, lambda seen: "Z" not in seen)


@contextmanager
def _share(host, behind):
    """A FUSE file system where the engine is; its folder."""
    point = host.base / "share"
    point.mkdir()
    os.chown(behind, USER, USER)
    words = host.inside("env", f"PYTHONPATH={Path(__file__).parents[1]}", sys.executable)
    given = [str(each) for each in (faultfs.__file__, behind, point)]
    with subprocess.Popen(
        [*words, *given], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    ) as fuse:
        try:
            mounted = ("mountpoint", "--quiet", str(point))
            until(lambda: host.run(*mounted, check=False).returncode, lambda code: code == 0)
            yield point
        finally:
            host.run("umount", "--lazy", str(point), check=False)
            fuse.stdin.close()
