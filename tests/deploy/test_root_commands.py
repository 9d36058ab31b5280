"""What only root may type of the doctor's commands, on a machine with real systemd and mount(8)."""

import pytest
from deploy.booted import Booted

from watcher.core.shares import Wish
from watcher.report.mending import Mender

MEND = Mender("watcher", "/etc/watcher.toml", "nobody", "nogroup", is_root=True)
LACKING = (Wish("nr_inodes=77", "it has more than it needs"),)
UNIT = "[Mount]\nWhat=share\nWhere=/mnt/of-unit\nType=tmpfs\nOptions=mode=700\n"
EDITOR = '#!/bin/sh\nfor file; do sed -i "s/^Options=.*/&,nr_inodes=77/" "$file"; done\n'

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def box(tmp_path_factory):
    """A machine with one share that a mount unit names, and one that the fstab names."""
    machine = Booted(tmp_path_factory.mktemp("rooted"))
    machine.put("/etc/systemd/system/mnt-of\\x2dunit.mount", UNIT)
    machine.put("/usr/local/bin/typist", EDITOR, 0o755)
    machine.put("/etc/fstab", "share /mnt/of-fstab tmpfs mode=700,noauto 0 0\n")
    with machine:
        machine.run("mkdir", "-p", "/mnt/of-fstab")
        yield machine


@pytest.mark.parametrize("by", ["unit", "fstab"])
def test_a_share_is_mounted_and_mounted_anew(box, by):
    """By what names it: with its own options first, and then with the one more beside them."""
    point = f"/mnt/of-{by}"
    how = ("findmnt", "--noheadings", "--output", "OPTIONS", "--mountpoint", point)
    assert 1 == box.run(*how, check=False).returncode
    box.sh(MEND.mount(point, by=by))
    before = box.run(*how).stdout
    assert (True, False) == ("mode=700" in before, "nr_inodes=77" in before)
    again = MEND.remount(point, LACKING, by=by)
    terminal = ("script", "--quiet", "--return", "--command", again, "/dev/null")
    box.run(*terminal, env={"SYSTEMD_EDITOR": "/usr/local/bin/typist"})
    after = box.run(*how).stdout
    assert (True, True) == ("mode=700" in after, "nr_inodes=77" in after)


def test_folders_that_can_not_be_emptied_are_shown(box):
    """As the daemon's user finds them, though root asks."""
    box.sh("mkdir -p -m 777 /srv/asked/open && mkdir -m 755 /srv/asked/closed && chmod 777 /srv/a*")
    assert "/srv/asked/closed\n" == box.sh(MEND.closed_in("/srv/asked")).stdout
