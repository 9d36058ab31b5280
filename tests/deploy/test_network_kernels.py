"""The whole job on NFS and SMB as a Linux kernel speaks them, server and client in one guest."""

import json
import re
import shlex
import sys
from pathlib import Path

import pytest
from faults.machine import needs

from deploy import kernel, shares

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(1800)]

# A file system in memory has no number of its own: fsid. The mounts are those of deploy/storage.md.
NFS = """
modprobe -a nfsd nfs nfsv3 nfsv4
mount -t nfsd nfsd /proc/fs/nfsd
mkdir /mnt/served /mnt/nfs42 /mnt/nfs3
mount -t tmpfs tmpfs /mnt/served
mkdir /mnt/served/v42 /mnt/served/v3
mkdir /var/lib/nfs/sm /var/lib/nfs/sm.bak
touch /var/lib/nfs/etab /var/lib/nfs/rmtab
rpcbind
exportfs -i -o rw,sync,no_root_squash,no_subtree_check,fsid=0,insecure 127.0.0.1:/mnt/served
rpc.nfsd 2
echo Y >/proc/fs/nfsd/v4_end_grace
rpc.mountd
rpc.statd --no-notify
mount -t nfs -o {nfs42} 127.0.0.1:/v42 /mnt/nfs42
mount -t nfs -o {nfs3} 127.0.0.1:/mnt/served/v3 /mnt/nfs3
grep /mnt/nfs /proc/self/mounts
"""
SMB = """
modprobe -a cifs cmac hmac md5 sha256 sha512 gcm ccm aes ecb || modprobe cifs
mkdir /mnt/served /mnt/smb /mnt/samba
mount -t tmpfs tmpfs /mnt/served
printf '[global]\\n{globals}\\n[share]\\n{share}\\n' >/mnt/samba/smb.conf
smbd -D -s /mnt/samba/smb.conf
# with `nofail` mount.cifs ends with 0 also where nobody listens yet
until mount -t cifs -o {smb} //127.0.0.1/share /mnt/smb && grep /mnt/smb /proc/self/mounts
do sleep 0.2; done
"""
GLOBALS = (
    *("server role = standalone server", "map to guest = bad user", "disable netbios = yes"),
    *("smb ports = 445", "interfaces = lo", "bind interfaces only = yes", "load printers = no"),
    *("server min protocol = SMB3", "server signing = auto", "lock directory = /mnt/samba"),
    *("state directory = /mnt/samba", "cache directory = /mnt/samba", "private dir = /mnt/samba"),
    *("pid directory = /mnt/samba", "ncalrpc dir = /mnt/samba/rpc", "log file = /mnt/samba/log"),
)
SHARE = ("path = /mnt/served", "read only = no", "guest ok = yes", "force user = root")
PAGE = Path(__file__).parents[2] / "deploy" / "storage.md"
JOB = "PYTHONPATH={tests} {python} {program} /mnt/local {result} {shares}"


def test_nfs(tmp_path):
    """NFS 4.2 and NFS 3."""
    needs("rpc.nfsd", "mount.nfs", "rpcbind")
    text = NFS.format(nfs42=options("nfs", "vers=4.2,"), nfs3=options("nfs", "vers=3,"))
    given = {"nfs42": ("/mnt/nfs42", "/mnt/served/v42"), "nfs3": ("/mnt/nfs3", "/mnt/served/v3")}
    assert expected(*given) == run(tmp_path, text, **given)


def test_smb(tmp_path):
    """SMB 3.1.1."""
    needs("smbd", "mount.cifs")
    globals_, share = "\\n".join(GLOBALS), "\\n".join(SHARE)
    text = SMB.format(globals=globals_, share=share, smb=options("cifs", "vers=3.1.1,"))
    assert expected("smb") == run(tmp_path, text, smb=("/mnt/smb", "/mnt/served"))


def options(kind, version):
    """Those of a drop's mount in the page, without its user and its unit."""
    lines = [line.split() for line in PAGE.read_text().splitlines()]
    drops = (each for each in lines if each[2:3] == [kind] and "/drop/" in each[1])
    (found,) = {each[3] for each in drops if each[3].startswith(version)}
    found = found.replace("=watcher", "=0").replace(",x-systemd.automount", "")
    return re.sub(r"credentials=[^,]*", "guest", found)


def layouts(name):
    """Of the older NFS one: a minute of a slow kernel each."""
    return ("both",) if name == "nfs3" else shares.LAYOUTS


def expected(*names):
    return {f"{name} {layout}": shares.WELL for name in names for layout in layouts(name)}


def run(base, text, **given):
    words = [f"{n}={there}={behind}={','.join(layouts(n))}" for n, (there, behind) in given.items()]
    line = JOB.format(
        tests=shlex.quote(str(Path(__file__).parents[1])),
        python=sys.executable,
        program=shlex.quote(shares.__file__),
        result=shlex.quote(str(base / "result")),
        shares=" ".join(words),
    )
    kernel.run(base, f"{text}\n{line}")
    return json.loads((base / "result").read_text())
