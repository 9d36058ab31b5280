"""A Linux kernel of our own, for file systems that this machine's kernel may not mount.

User-mode Linux (Debian: user-mode-linux) boots in seconds as a process like any other, its root
this machine's files, which it can only read. What is mounted there is seen by nobody else and goes
with it; what is written below `base` stays. Its time runs as ours, and its work takes three
times as long.
"""

import os
import shlex
import signal
import subprocess
from pathlib import Path

from faults.machine import needs

MEMORY = "2G"  # of its own, in a file that is gone at once
MODULES = "/usr/lib/uml/modules"
PATIENCE = 1500.0  # seconds until it must have switched itself off

# Nothing of this machine can be written to; where programs must, there is a folder in memory.
INIT = """#!/bin/bash
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/mnt LANG=C.UTF-8
trap 'exec /usr/bin/python3 -c "import ctypes; ctypes.CDLL(None).reboot(0x4321FEDC)"' EXIT
mount -t hostfs -o {base} none {base} || exit
exec >{base}/console 2>&1
set -eux
mount -t proc proc /proc
mount -t sysfs sysfs /sys
for folder in /run /mnt /dev/shm /var/lib/nfs /var/lib/samba /var/cache/samba /var/log; do
  test ! -d $folder || mount -t tmpfs tmpfs $folder
done
mkdir -p /mnt/kernel/lib /mnt/local
ln -s {modules} /mnt/kernel/lib/modules
printf '#!/bin/sh\nexec modprobe -d /mnt/kernel "$@"\n' >/mnt/kernel/modprobe
chmod +x /mnt/kernel/modprobe
echo /mnt/kernel/modprobe >/proc/sys/kernel/modprobe
modprobe() {{ /mnt/kernel/modprobe "$@"; }}
ip link set lo up
{job}
echo done >{base}/done
"""


def run(base, job):
    """Boot, run the lines of a shell script as root, switch off; fails where one of them does."""
    needs("linux.uml", "modprobe")
    base = Path(base)
    init = base / "init"
    init.write_text(INIT.format(job=job, base=shlex.quote(str(base)), modules=MODULES))
    init.chmod(0o755)
    words = ["mem=" + MEMORY, "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro"]
    words += [f"init={init}", "quiet", "con=null", "con0=null,fd:1", "panic=-1"]
    with open(base / "kernel", "wb") as said:
        kernel = subprocess.Popen(
            ["linux.uml", *words],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
            env={**os.environ, "TMPDIR": "/dev/shm"},
        )
        try:
            kernel.wait(PATIENCE)
        finally:
            if kernel.poll() is None:
                os.killpg(kernel.pid, signal.SIGKILL)
                kernel.wait()
    assert (base / "done").exists(), _said(base)


def _said(base):
    """The last lines of its kernel and of its script."""
    paths = [base / "kernel", base / "console"]
    texts = [path.read_text(errors="replace")[-4000:] for path in paths if path.exists()]
    return "\n".join(texts)
