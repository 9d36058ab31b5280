"""deploy/senders/README.md: each recipe typed as it stands ends archived, whole, once.

The senders are real programs and users of their own; the daemon is another user. Where a recipe is
cut off, at a call of the program or at a byte of a file, it is typed again.
"""

import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from faults.machine import needs
from world import files_below, until

from deploy.senders import PATIENCE, SENDERS, Archive, Machine, Study, blocks

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(900)]
DONE = "all here, nothing left to do"
PROGRAMS = ("unshare", "nsenter", "setpriv", "ip", "useradd", "bash", "prlimit", "strace")
CUT = ("prlimit", "--fsize=100000", "--core=0")  # bytes: whoever writes more to a file is killed
RECEIVED = {"names": ("CT.X.",), "receipt": "????-??-??"}  # how storescp calls what it receives
SIZED = Path(__file__).with_name("sized.py")
SSHD = "/usr/sbin/sshd -D -o UsePAM=no"  # PAM wants the accounts of a whole machine
PASSWORD = "a sender's"


@pytest.fixture(scope="module")
def machine():
    """A machine of its own; below /var/tmp, as pytest's folders are root's alone."""
    needs(*PROGRAMS)
    base = Path(tempfile.mkdtemp(prefix="watcher-senders-", dir="/var/tmp"))
    base.chmod(0o755)
    made = Machine(base)
    try:
        made.variables |= {"GROUP": "senders", "SENDER": "scanner", "HOST": "127.0.0.1"}
        made.variables["PASSWORD"] = PASSWORD
        yield made
    finally:
        made.stop()
        shutil.rmtree(base)


@pytest.fixture(scope="module")
def place(machine):
    """The drop as the page makes it."""
    made = Archive(machine, machine.base / "world", settle="500ms", inactivity="500ms")
    for block in blocks("The drop"):
        machine.type(block)
    return made


@pytest.fixture(scope="module")
def daemon(place):
    with place.daemon() as running:
        yield running


@pytest.fixture(scope="module")
def ssh(machine, place):
    """A server of the machine's, and the key and known hosts of its sender."""
    needs("sshd", "ssh-keygen", "scp", "sftp")
    machine.type("ssh-keygen -A")
    for block in blocks("scp and sftp")[:1]:
        machine.type(block)
    machine.type(
        """mkdir -p -m 700 ~/.ssh && ssh-keygen -q -t ed25519 -N "" -f ~/.ssh/id_ed25519
        cat ~/.ssh/id_ed25519.pub >~/.ssh/authorized_keys
        cd ~/.ssh; sed "s|^|$HOST |" /etc/ssh/ssh_host_*_key.pub >known_hosts""",
        "scanner",
    )
    machine.serve(SSHD, 22)


@pytest.fixture(scope="module")
def mirror(machine, ssh):
    """An account whose key is held to rsync; `key.pub` lies where the recipe is typed."""
    needs("rsync", "rrsync")
    machine.type(
        """useradd --create-home --home-dir "$HOMES/mirror" --shell /bin/bash --password "*" mirror
        usermod --append --groups "$GROUP" mirror; cd ~scanner; cp .ssh/id_ed25519.pub key.pub"""
    )
    machine.type(f"cd ~scanner\n{blocks('rsync')[1]}", SENDER="mirror")


@pytest.fixture(scope="module")
def storescp(machine, place):
    """What the unit starts, as it starts it."""
    needs("storescp", "storescu")
    machine.type(f"mkdir -p /etc/systemd/system\n{blocks('storescp')[0]}")
    receives(machine, 11112)


def receives(machine, port, *before):
    """What the unit starts, as it starts it, at this port; `before` are words put before it."""
    unit = machine.type("cat /etc/systemd/system/storescp.service")
    (command,) = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    (umask,) = re.findall(r"^UMask=(.*)$", unit, re.MULTILINE)
    (group,) = re.findall(r"^SupplementaryGroups=(.*)$", unit, re.MULTILINE)
    someone = f"setpriv --reuid=60999 --regid=60999 --groups={group}"
    command = shlex.join([*before, *command.replace("11112", str(port)).split()])
    machine.serve(f"sh -c 'umask {umask}; exec {someone} {command}'", port)


@pytest.fixture(scope="module")
def samba(machine, place):
    """Debian's server with our share."""
    needs("smbd", "smbclient", "testparm", "smbpasswd")
    for block in blocks("Samba")[:2]:
        machine.type(block)
    machine.serve("smbd --foreground --no-process-group --debug-stdout", 445)


def merged(daemon, study):
    """How many files of it were there already, at each merge."""
    return [
        each["same"]
        for each in list(daemon.events)
        if each["event"] == "session.merged" and each["label"] == study.label
    ]


def elsewhere(machine, study):
    """Its folder, on another file system than the drop."""
    machine.type('chmod 1777 /run && mv "$SOURCE" /run/ && chown -R scanner: "/run/$NAME"')
    return f"/run/{study.label}"


def arrives(study, daemon, *, left=()):
    """Everything of it gets archived, whole and once, and nothing is left but this in the drop."""
    place = study.place
    daemon.wait_until(lambda: len(study.archived()) >= len(study.sent))
    daemon.wait_until(lambda: [*left] == study.in_drop())
    daemon.wait_until(lambda: not [each for each in place.prearchive() if study.label in each])
    assert study.sent == study.archived()
    assert 0 == place.watcher("verify", f"P1/{study.label}")[0]
    assert [] == files_below(place.root / "quarantine")[1:]  # but for its marker


def settles(study, daemon, **more):
    """The same, and the sender is told so."""
    arrives(study, daemon, **more)
    until(study.receipt, DONE.__eq__)


# -- the recipes -----------------------------------------------------------------------------------


def test_storescp(machine, place, daemon, storescp):
    """Two studies by two associations at the same time, and both are whole."""
    typed = blocks("storescp")[1]
    studies = [each := Study(place, f"by-storescp-{n}", **RECEIVED) for n in (1, 2)]
    sources = [str(each.folder) for each in studies]
    both = [machine.start(typed, "scanner", SOURCE=source) for source in sources]
    said = [each.communicate(timeout=PATIENCE) for each in both]
    assert [0, 0] == [each.returncode for each in both], said
    for each in studies:
        settles(each, daemon)


def test_rsync(machine, place, daemon):
    """Into a drop of this machine; the sources are gone with it."""
    study = Study(place, "by-rsync")
    machine.type(blocks("rsync")[0], "scanner")
    settles(study, daemon)
    assert [] == files_below(study.folder)


def test_rsync_by_ssh(machine, place, daemon, mirror):
    """By a key that may do nothing else; names appear at the end."""
    study = Study(place, "by-rrsync", folder="deep/deeper")
    machine.type(blocks("rsync")[2], "scanner", SENDER="mirror")
    settles(study, daemon)
    machine.type("ssh mirror@$HOST id", "scanner", fails=True)


def test_rsync_that_keeps_its_sources(machine, place, daemon):
    """Each run sends again what was filed meanwhile: all of it is there, and nothing is twice."""
    study = Study(place, "by-rsync-again")
    typed = blocks("rsync")[0].replace(" --remove-source-files", "")
    machine.type(typed, "scanner")
    settles(study, daemon)
    machine.type(typed, "scanner")
    daemon.wait_until(lambda: len(study.sent) == sum(merged(daemon, study)))
    settles(study, daemon)


def test_samba(machine, place, daemon, samba):
    """By a client of Samba's, a folder with its files."""
    study = Study(place, "by-samba", folder="deep")
    machine.type(blocks("Samba")[2], "scanner")
    settles(study, daemon)


def test_samba_that_sets_the_size_first(machine, place, daemon, samba):
    """As a Windows does: all files are made, sized, and filled when the daemon has seen them."""
    study = Study(place, "by-size")
    filling = machine.start(f"{sys.executable} {SIZED}", "scanner", feed=True)
    assert "sized\n" == filling.stdout.readline()
    study.waits(daemon)
    assert [] == study.archived()
    said, _ = filling.communicate("fill\n", timeout=PATIENCE)
    assert (0, "") == (filling.returncode, said)
    settles(study, daemon)


def test_scp(machine, place, daemon, ssh):
    """By an account that may do nothing else."""
    study = Study(place, "by-scp", folder="deep")
    machine.type(blocks("scp and sftp")[1], "scanner")
    settles(study, daemon)
    machine.type("ssh $SENDER@$HOST id", "scanner", fails=True)


def test_scp_of_one_archive(machine, place, daemon, ssh):
    """As one file, which is a unit."""
    study = Study(place, "by-tar", receipt="by-tar.tar.gz")
    machine.type(f"cd ~\n{blocks('scp and sftp')[2]}", "scanner")
    settles(study, daemon)


def test_cp(machine, place, daemon):
    """On this machine, from folders that nobody may write to."""
    study = Study(place, "by-cp", folder="deep")
    machine.type('chmod -R a-w "$SOURCE"', "scanner")
    machine.type(blocks("cp and mv")[0], "scanner")
    settles(study, daemon)


def test_mv(machine, place, daemon):
    """From another file system, with another group."""
    study = Study(place, "by-mv")
    machine.type(blocks("cp and mv")[1], "scanner", SOURCE=elsewhere(machine, study))
    settles(study, daemon)


def test_a_medium(machine, place, daemon):
    """A medium as dcmtk writes one, read-only; its list is not archived."""
    needs("dcmmkdir")
    study = Study(place, "by-medium", folder="DICOM")
    machine.type('cd "$SOURCE" && dcmmkdir +r +id . DICOM && chmod -R a-w .', "scanner")
    machine.type(blocks("cp and mv")[0], "scanner")
    settles(study, daemon, left=["by-medium/DICOMDIR"])


def test_curl(machine, place, daemon):
    """By URLs, to what is mounted."""
    needs("curl")
    study = Study(place, "by-curl")
    machine.type(blocks("curl")[0], "scanner")
    settles(study, daemon)


def test_curl_from_a_server(machine, place, daemon):
    """Fetched from a server."""
    needs("curl")
    study = Study(place, "by-fetching", files=1)
    machine.serve("/usr/bin/python3 -m http.server --directory $SOURCE 8000", 8000, "scanner")
    machine.type(blocks("curl")[1], "scanner", URL="http://127.0.0.1:8000/IM1")
    settles(study, daemon)


# -- cut off, and sent again -----------------------------------------------------------------------


def killed(call, number):
    """What is put before a sender so that one of its processes is killed at this call of it."""
    inject = f"inject={call}:signal=KILL:when={number}"
    return ("strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject)


def test_curl_cut_off(machine, place, daemon):
    """Ended within a file: that waits as it is, and is whole with the next."""
    study = Study(place, "cut-curl")
    machine.type(blocks("curl")[0], "scanner", before=CUT, fails=True)
    study.waits(daemon)
    machine.type(blocks("curl")[0], "scanner")
    arrives(study, daemon)


@pytest.mark.parametrize("number", [0, 1], ids=["cp", "mv"])
def test_a_copy_cut_off(machine, place, daemon, number):
    """Ended within a file: nothing of it is looked at. What is left is copied over it."""
    study = Study(place, f"cut-copy-{number}", folder="deep")
    source = elsewhere(machine, study)
    machine.type(blocks("cp and mv")[number], "scanner", before=CUT, fails=True, SOURCE=source)
    assert study.hidden()
    machine.type(blocks("cp and mv")[0], "scanner", SOURCE=source)
    arrives(study, daemon)


def test_a_plain_copy_cut_off(machine, place, daemon):
    """What came is archived, once. It is removed when its folder lets the daemon."""
    study = Study(place, "cut-plain")
    plain = 'umask 0007; cp -r --no-preserve=mode "$SOURCE" "$DROP/"'
    machine.type(plain, "scanner", before=CUT, fails=True)
    machine.type(plain, "scanner")
    daemon.wait_for("drop.readonly", path=study.label)
    daemon.wait_until(lambda: len(study.archived()) == len(study.sent))
    machine.type('chmod -R g+rwX "$DROP/$NAME"', "scanner")
    arrives(study, daemon)


def test_rsync_cut_off(machine, place, daemon):
    """Killed when a file is written and has not its name: nobody looks at what lies there."""
    study = Study(place, "cut-rsync")
    machine.type(blocks("rsync")[0], "scanner", before=killed("fsync", 2), fails=True)
    assert study.hidden()
    machine.type(blocks("rsync")[0], "scanner")
    arrives(study, daemon)


def test_scp_cut_off(machine, place, daemon, ssh):
    """The server's end goes within a file, which waits."""
    study = Study(place, "cut-scp")
    typed = blocks("scp and sftp")[1]
    machine.serve(f"{shlex.join(CUT)} {SSHD} -p 2222", 2222)
    other = "scp -P 2222 -o HostKeyAlias=$HOST -r"
    machine.type(typed.replace("scp -r", other), "scanner", fails=True)
    study.waits(daemon)
    machine.type(typed, "scanner")
    arrives(study, daemon)


def test_samba_cut_off(machine, place, daemon, samba):
    """Killed before its files are filled, which wait."""
    study = Study(place, "cut-samba")
    filling = machine.start(f"{sys.executable} {SIZED}", "scanner", feed=True)
    assert "sized\n" == filling.stdout.readline()
    filling.kill()
    filling.communicate(timeout=PATIENCE)
    study.waits(daemon)
    machine.type(blocks("Samba")[2], "scanner")
    arrives(study, daemon)


def test_storescu_cut_off(machine, place, daemon, storescp):
    """A sender killed within its second object; all are sent again."""
    study = Study(place, "cut-storescu", **RECEIVED)
    machine.type(blocks("storescp")[1], "scanner", before=killed("write", 30), fails=True)
    until(study.in_drop, lambda lying: len(lying) <= 1)
    machine.type(blocks("storescp")[1], "scanner")
    arrives(study, daemon)


def test_storescp_killed(machine, place, daemon, storescp):
    """What it leaves is torn: it is never filed, and a person removes it."""
    study = Study(place, "cut-storescp", **RECEIVED)
    receives(machine, 11113, *CUT)
    typed = blocks("storescp")[1]
    machine.type(typed.replace("11112", "11113"), "scanner", fails=True)
    study.waits(daemon)
    (torn,) = study.in_drop()
    machine.type(typed, "scanner")
    until(study.in_drop, [torn].__eq__)
    (place.drop / torn).unlink()
    arrives(study, daemon)


# -- what is shipped -------------------------------------------------------------------------------


def test_the_unit(machine, tmp_path):
    """Systemd finds no fault in storescp's unit, and little that it might do beside."""
    needs("systemd-analyze", "storescp")
    unit = str(SENDERS / "storescp.service")
    said = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)
    assert ([], 0) == ([each for each in said.stderr.splitlines() if unit in each], said.returncode)
    words = ["systemd-analyze", "security", "--offline=true", "--threshold=15", unit]
    said = subprocess.run(words, capture_output=True, text=True)
    assert 0 == said.returncode, said.stdout
