"""Two hosts on one share whose locks end at the host: one has the stores, whoever sleeps or wakes.

The two are two mounts of one folder: the kernel's locks on one are not seen on the other.
"""

import json
import os
import signal
import threading
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from faults import aftermath, machine
from faults.faultfs import Faulty
from faults.waiting import wait_until
from makers import make_dicom
from world import World

from watcher.io.lease import is_locked
from watcher.io.stores import KINDS
from watcher.io.tenure import EXPIRY, LOOK

pytestmark = pytest.mark.faults
RUNNING = 11
OWNER, MARKER = ".watcher-owner", ".watcher-store"
LONG = 8 * EXPIRY  # seconds for what lasts one expiry


class Host:
    """An installation with state and drop of its own; its other stores lie on a share."""

    def __init__(self, base, behind, name):
        machine.needs("unshare", "hostname")
        self.name, self.share = name, Faulty(base / "mount", behind)
        lines = [f'{k} = "{self.share.point / k}"' for k in KINDS if k != "state"]
        self.world = World(base, storage_lines=lines)

    def daemon(self):
        named = f'hostname {self.name} && exec "$@"'
        return self.world.daemon("unshare", "--uts", "sh", "-c", named, "sh")

    def put(self, number, study):
        values = {"study": study, "series": f"{study}.1", "sop": f"{study}.1.{number}"}
        values["patient_id"] = f"P{study}"  # a session of its own
        part = self.world.drop / f"{study}-{number}.part"
        make_dicom(part, instance=number, **values)
        digest = aftermath.md5(part)  # before a daemon has taken it
        os.rename(part, part.with_suffix(""))
        return digest


@pytest.fixture
def hosts(tmp_path):
    """Two of them, named a and b, and the folder behind their share."""
    behind = tmp_path / "behind"
    both = [Host(tmp_path / name, behind, name) for name in ("a", "b")]
    with ExitStack() as stack:
        for each in both:
            stack.enter_context(each.share)
        yield (*both, behind)


def ended(daemon, timeout=LONG):
    """Its code and what it said, once it ends by itself."""
    code = daemon.process.wait(timeout)
    daemon._reader.join(timeout)
    errors = daemon.process.stderr.read()
    assert "Traceback" not in errors, errors
    return code, errors


def wait_for_rest(behind):
    """Until what was archived is cleared away, its folders too."""
    wait_until(lambda: is_at_rest(behind))


def is_at_rest(behind):
    with suppress(FileNotFoundError):  # it goes just now
        folders = [each for each in (behind / "prearchive").iterdir() if each.name[0] != "."]
        return not any(map(os.listdir, folders))
    return False


def stop_at_rest(daemon, behind):
    """SIGSTOP, when nothing is under way: not between a check and its effect.

    Nor between the two of a renewal: all stores were renewed just now, and soon will not be.
    """
    wait_for_rest(behind)
    stores = [each for each in KINDS if each != "state"]
    before = {store: owner(behind, store)["beat"] for store in stores}
    wait_until(lambda: all(owner(behind, each)["beat"] > before[each] for each in stores))
    daemon.process.send_signal(signal.SIGSTOP)
    stat = Path(f"/proc/{daemon.process.pid}/stat")
    wait_until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T")


def owner(behind, store="archive"):
    return json.loads((behind / store / OWNER).read_text())


def tree(behind):
    """Every file with its inode, but for the owner's files, and what it tells of itself."""
    return {
        str(path): path.stat().st_ino
        for path in behind.rglob("*")
        if path.is_file() and OWNER not in path.name and path.parent.name != "status"
    }


@pytest.mark.campaign
@pytest.mark.timeout(900)
def test_another_host_is_refused(hosts, row):
    """While one host has the stores another ends with 11 and its name, having touched nothing."""
    a, b, behind = hosts
    with a.daemon() as one:
        assert not is_locked(str(b.share.point / "archive" / MARKER)), "the locks end at the mount"
        before = tree(behind)
        b.put(1, "1.2.9")
        other = b.daemon()
        try:
            code, errors = ended(other)
        finally:
            other.__exit__()
        assert (RUNNING, True) == (code, f"process {one.process.pid} on a" in errors), errors
        assert (before, ["1.2.9-1"]) == (tree(behind), b.world.left())
        sent = [a.put(1, "1.2.3")]
        one.wait_for("session.archived")
        assert 0 == one.stop()[0], one.errors
    assert {0} == {owner(behind, store)["pid"] for store in KINDS if store != "state"}
    judge(row("two hosts, one share", "a second daemon starts"), behind, sent)


@pytest.mark.campaign
@pytest.mark.timeout(900)
def test_a_host_that_lost_its_stores(hosts, row):
    """A daemon that finds another in its stores ends with 11 and one error line; what came
    meanwhile lies where it lay.
    """
    a, _, behind = hosts
    with a.daemon() as one:
        sent = [a.put(1, "1.2.3")]
        one.wait_for("session.archived")
        stop_at_rest(one, behind)
        before = tree(behind)
        for store in (each for each in KINDS if each != "state"):
            taken = {**owner(behind, store), "host": "b", "pid": 8, "epoch": 2}
            new = behind / store / "new"
            new.write_text(json.dumps(taken))
            new.rename(behind / store / OWNER)
        a.put(2, "1.2.4")
        threading.Event().wait(LOOK)  # no host takes over sooner
        one.process.send_signal(signal.SIGCONT)
        code, errors = ended(one)
    assert (RUNNING, True) == (code, "process 8 on b" in errors), errors
    said = [each["event"] for each in one.events if each["level"] == "error"]
    assert ["daemon.stopped"] == said
    assert (before, ["1.2.4-2"]) == (tree(behind), a.world.left())
    assert ("b", 2) == (owner(behind)["host"], owner(behind)["epoch"])
    judge(row("two hosts, one share", "another took the stores"), behind, sent)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_a_stopped_host_is_followed_by_another(hosts, row):
    """An owner that is stopped for an expiry is followed by another host, which says so and goes
    on; when the first wakes it ends with 11 and touches nothing.
    """
    a, b, behind = hosts
    with a.daemon() as one:
        sent = [a.put(1, "1.2.3")]
        one.wait_for("session.archived")
        stop_at_rest(one, behind)
        late = a.put(2, "1.2.4")
        with ExitStack() as stack:
            other = b.daemon()
            stack.callback(other.__exit__)
            other.wait_for("daemon.recovered", outcome="taken over", timeout=LONG)
            sent.append(b.put(1, "1.2.9"))
            other.wait_for("session.archived", timeout=LONG)
            wait_for_rest(behind)
            before = tree(behind)
            one.process.send_signal(signal.SIGCONT)
            code, errors = ended(one)
            assert (RUNNING, True) == (code, f"process {other.process.pid} on b" in errors), errors
            assert (before, ["1.2.4-2"]) == (tree(behind), a.world.left())
            assert 0 == other.stop()[0], other.errors
    assert late not in sent
    judge(row("two hosts, one share", "SIGSTOP, taken over, SIGCONT"), behind, sent)


def judge(counted, behind, sent):
    """Each file that was sent is in the archive, once."""
    found = [aftermath.md5(path) for path in (behind / "archive").rglob("*.dcm")]
    counted.ran(
        lost=len(set(sent) - set(found)),
        torn=len(set(found) - set(sent)),
        duplicated=len(found) - len(set(found)),
    )
