"""A bare Debian 12 in a directory, made once on this machine; and copies of it to work in.

`tree()` is debootstrap's, with systemd and without Python; `tree("python")` has Python as well.
Both lie below /var/tmp, are shared by every run and both pytest workers, and are only ever read:
`Debian(base)` is a copy by overlay. Package sources, apt's and pip's settings are this machine's.
"""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from faults.machine import needs

SUITE = "bookworm"
MIRROR = "http://deb.debian.org/debian"
CACHE = Path(os.environ.get("WATCHER_DEBIAN", "/var/tmp/watcher-debian"))
BARE = "ca-certificates,dbus,iproute2,kmod,logrotate,procps,systemd,systemd-sysv,udev"
PYTHON = ("python3-venv",)
# Fetched and not installed: what the page installs need not come from far each time.
FETCHED = (*PYTHON, "rsyslog", "prometheus-alertmanager", "exim4-daemon-light")
PATIENT = ('Acquire::Languages "none";', 'Acquire::Retries "5";')
APT = ("Acquire::Check-Valid-Until", "Acquire::Check-Date", "Acquire::http::Proxy")
PIP = ("index-url", "proxy", "trusted-host", "timeout", "default-timeout")
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
HOME = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}
QUIET = {"DEBIAN_FRONTEND": "noninteractive", "APT_LISTCHANGES_FRONTEND": "none"}

# The mounts live as long as the shell does: nothing is left behind, whoever is killed.
ENTER = """
set -eu
if [ -n "$2" ]; then mount -t overlay overlay -o "$2" "$1"; else mount --bind "$1" "$1"; fi
cd "$1"
mount -t proc proc proc
mount --rbind /sys sys
mount --rbind /dev dev
mount -t tmpfs tmpfs run
shift 2
while [ "$1" != -- ]; do
    [ -d "$1" ] && mkdir -p ".$2" || { mkdir -p ".$(dirname "$2")"; touch ".$2"; }
    mount --rbind "$1" ".$2"
    [ "$3" = rw ] || mount -o remount,bind,ro ".$2"
    shift 3
done
shift
exec chroot . "$@"
"""


def tree(kind="bare"):
    """The directory of a tree, "bare" or "python"; made now where this machine has none yet.

    Skips the test where it can't be made: without root, debootstrap, overlays or the network.
    """
    needs("debootstrap", "unshare", "setpriv", "mount", "chroot")
    CACHE.mkdir(parents=True, exist_ok=True)
    with _alone():
        bare = _made("bare", _bootstrap)
        return bare if kind == "bare" else _made(kind, _with_python)


@contextlib.contextmanager
def _alone():
    """One at a time makes trees: the other worker waits, and finds them made."""
    with open(CACHE / "lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _made(kind, make):
    """The tree of this recipe, made by `make` unless it was made whole before."""
    recipe = repr((SUITE, _mirror(), BARE, PYTHON, FETCHED, PATIENT, APT, PIP))
    path = CACHE / f"{kind}-{hashlib.sha256(recipe.encode()).hexdigest()[:8]}"
    stamp = path.with_suffix(".stamp")
    if not stamp.exists():  # else it was cut off
        shutil.rmtree(path, ignore_errors=True)
        make(path)
        stamp.write_text(recipe)
    return path


def _bootstrap(path):
    made = subprocess.run(
        [
            *("setpriv", "--pdeathsig", "KILL"),  # a rest that goes on would spoil the next try
            *("unshare", "--mount", "--pid", "--fork", "--kill-child"),
            *("debootstrap", "--variant=minbase", f"--include={BARE}"),
            *(SUITE, str(path), _mirror()),
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": HOME["PATH"]},
    )
    if made.returncode != 0:
        pytest.skip(f"debootstrap: {made.stdout[-2000:]} {made.stderr[-2000:]}")
    _as_here(path)
    _run([str(path), "", "--", "apt-get", "update", "-q"])
    _run([str(path), "", "--", "apt-get", "install", "-q", "-y", "--download-only", *FETCHED])


def _with_python(path):
    subprocess.run(
        ["cp", "-a", "--reflink=auto", str(_made("bare", _bootstrap)), str(path)], check=True
    )
    install = ("apt-get", "install", "-q", "-y", "--no-install-recommends", *PYTHON)
    _run([str(path), "", "--", *install])


def _mirror():
    """Where this machine takes Debian from."""
    texts = (path.read_text() for path in Path("/etc/apt").rglob("*.[sl]*") if path.is_file())
    found = re.findall(r"^(?:URIs:|deb) .*?(http\S+/debian)/?\s", "\n".join(texts), re.MULTILINE)
    return found[0] if found else MIRROR


def _as_here(path):
    """This machine's settings for packages: what lets it reach them lets the tree reach them."""
    mirror, security = _mirror(), f"{_mirror()}-security"
    lines = [
        *(f"deb {mirror} {suite} main" for suite in (SUITE, f"{SUITE}-updates")),
        f"deb {security} {SUITE}-security main",
    ]
    (path / "etc/apt/sources.list").write_text("\n".join(lines) + "\n")
    said = subprocess.run(["apt-config", "dump", "Acquire"], capture_output=True, text=True).stdout
    kept = [line for line in said.splitlines() if line.startswith(APT) and '""' not in line]
    (path / "etc/apt/apt.conf.d/90this-machine").write_text("\n".join([*kept, *PATIENT]) + "\n")
    (path / "etc/pip.conf").write_text("\n".join(["[global]", *_pip()]) + "\n")
    if os.path.exists(CERTIFICATES):
        shutil.copyfile(CERTIFICATES, path / CERTIFICATES[1:])


def _pip():
    """Of pip's settings here what holds there as well: no local directories."""
    said = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True)
    for name, value in re.findall(r"^\S+?\.([a-z-]+)='(.*)'$", said.stdout.decode(), re.MULTILINE):
        if name in PIP:
            yield f"{name.removeprefix('default-')} = {value}"
    yield f"cert = {CERTIFICATES}"
    yield "disable-pip-version-check = true"
    yield "root-user-action = ignore"


def clone(target):
    """What the repository holds, as a clone has it: the package, `deploy/` and what builds it."""
    here = Path(__file__).parents[2]
    Path(target).mkdir(parents=True)
    for name in ("watcher", "deploy"):
        skipped = shutil.ignore_patterns("__pycache__", ".*")
        shutil.copytree(here / name, Path(target, name), ignore=skipped)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(here / name, target)
    return Path(target)


class Debian:
    """A copy of a tree in an empty directory of the caller's: what is written stays in `upper`.

    Each `run` mounts it anew, in namespaces that end with it; so one `run` at a time.
    """

    def __init__(self, base, kind="bare", lower=None):
        self.base, self.lower = Path(base), Path(lower or tree(kind))
        for name in ("upper", "work", "root"):
            (self.base / name).mkdir(parents=True, exist_ok=True)
        self.upper = self.base / "upper"
        self._binds = []

    def bind(self, source, target, mode="ro"):
        """Show a file or directory of this machine in it, "ro" or "rw"."""
        self._binds += [str(source), str(target), mode]

    def run(self, *words, check=True, user=None, env=(), input=None):  # noqa: A002  as subprocess
        """A command in it as root, or `user`; a CompletedProcess with text.

        The network is the machine's. Fails with what was said where `check` and it exits not 0.
        """
        become = ["runuser", "-u", user, "--"] if user else []
        layers = f"lowerdir={self.lower},upperdir={self.upper},workdir={self.base / 'work'}"
        given = ["/etc/resolv.conf", "/etc/resolv.conf", "ro", *self._binds]
        asked = [str(self.base / "root"), layers, *given, "--", *become, *map(str, words)]
        return _run(asked, check=check, input=input, env=dict(env))


def _run(words, *, check=True, env=(), **options):
    """ENTER, with its words, in namespaces that end with the caller."""
    done = subprocess.run(
        [
            *("setpriv", "--pdeathsig", "KILL"),
            *("unshare", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child"),
            *("sh", "-c", ENTER, "sh", *words),
        ],
        capture_output=True,
        text=True,
        env={**HOME, **QUIET, **dict(env)},
        **options,
    )
    if done.returncode != 0 and done.stderr.startswith(("mount: ", "unshare: ")):
        pytest.skip(f"this machine lends no namespaces or overlays: {done.stderr.strip()}")
    assert not check or done.returncode == 0, f"{words}: {done.stdout}\n{done.stderr}"
    return done
