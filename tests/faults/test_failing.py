"""Disks and shares that fail: the real daemon on a file system that answers as it is told to.

Every fault has a session of its own, and meets only what belongs to that; all of them last at the
same time. The drop `mri` lies on a disk that is well, and what comes by it is archived meanwhile.
"""

import contextlib
import os
import re
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from faults.faultfs import Faulty
from faults.waiting import wait_until
from makers import make_dicom
from world import World, md5

pytestmark = [pytest.mark.faults, pytest.mark.campaign, pytest.mark.timeout(3000)]
DEADLINE = 420.0
LOOKS = 1200.0  # seconds until the next full look at a drop is over
END = 60.0  # seconds: five are promised for a program that hangs, the rest is for a busy machine
SENDER = 65534  # a user's number: what others own is copied, never linked
IDLE = 0.5  # of a processor, for a program that waits for a disk
PAIRS = {
    "drop.unavailable": "drop.available",
    "drop.degraded": "drop.restored",
    "drop.readonly": "drop.writable",
    "storage.unavailable": "storage.available",
    "storage.low": "storage.recovered",
    "file.stuck": "file.released",
}
PLACES = {
    "drop": "^share/{}/",
    "folder": "^share/{}$",
    "prearchive": "^prearchive/P1/[^/]+/.?{}",
    "archive": "^archive/P1/arc001/.?{}",
    "filed": "^prearchive/P1/[^/]+/{}/.*dcm$",
    "quarantine": "^quarantine/share/.*/{}",
}


@dataclass(frozen=True)
class Case:
    """One fault, and the folder and session it is met by."""

    number: int
    place: str
    op: str
    error: str

    @property
    def label(self):
        return f"S{self.number:02}"

    def rule(self, **how):
        path = PLACES[self.place].format(self.label)
        return {"op": self.op, "error": self.error, "path": path} | how

    def __str__(self):
        return f"{self.error} on {self.op}, {self.place}"


CASES = [
    Case(number, place, op, error)
    for number, (place, op, error) in enumerate(
        [
            *(("drop", "open", error) for error in ("EIO", "ESTALE", "EACCES", "EPERM", "ENODEV")),
            *(("drop", "read", error) for error in ("EIO", "ENOTCONN", "ETIMEDOUT")),
            *(("drop", "unlink", error) for error in ("EIO", "EROFS")),
            *(
                (store, op, "EIO")
                for store in ("prearchive", "archive")
                for op in ("mkdir", "link", "fsync", "syncdir", "create", "write", "close")
            ),
            *((store, "rename", "EIO") for store in ("prearchive", "archive")),
            *((store, "stat", "EIO") for store in ("prearchive", "archive")),
            ("filed", "fsync", "EIO"),
            ("prearchive", "unlink", "EIO"),
            ("archive", "link", "EACCES"),
            ("archive", "mkdir", "EROFS"),
            ("archive", "create", "EMFILE"),
            ("archive", "rename", "ENFILE"),
            *(("quarantine", op, "EIO") for op in ("mkdir", "create", "write", "fsync", "close")),
            ("quarantine", "link", "EIO"),
        ],
        1,
    )
]


class Ward:
    """An installation whose drop `share`, prearchive, archive and quarantine lie on one mount."""

    def __init__(self, base, **more):
        self.faulty = Faulty(base / "mount", base / "behind")
        stores = ("prearchive", "archive", "quarantine")
        lines = [f'{store} = "{self.faulty.point / store}"' for store in stores]
        self.share = self.faulty.behind / "share"  # as the sender sees it
        extra = f'[[drop]]\npath = "{self.faulty.point}/share"\nname = "share"\nproject = "P1"\n'
        extra += 'settle = "100ms"\ninactivity = "1s"\nrescan_interval = "1s"\n'
        self.world = World(base / "world", storage_lines=lines, extra=extra, **more)
        self.sent = {}
        self.mounted = None

    def __enter__(self):
        self.faulty.__enter__()
        self.share.mkdir()
        return self

    def __exit__(self, *how):
        self.faulty.__exit__(*how)

    def send(self, label, drop, **more):
        """One file for a session, in a folder of its name, whole at once; of another `owner`."""
        os.rename(*self.lay(label, drop, **more))

    def lay(self, label, drop, *, dicom=True, owner=-1, **more):
        """The same, but for its name: gives the name it has, which is passed by, and that name."""
        number = len(self.sent) + 1
        made = self.world.base / "made" / f"{number}"
        made.parent.mkdir(exist_ok=True)
        study = f"1.2.{number}"
        if dicom:
            make_dicom(
                made, study=study, series=f"{study}.1", sop=f"{study}.2", patient_id=label, **more
            )
        else:
            made.write_text(label)
        self.sent[md5(made)] = label
        part = drop / label / f".{number}.part"
        part.parent.mkdir(exist_ok=True)
        part.write_bytes(made.read_bytes())
        os.chown(part, owner, -1)
        return part, part.with_name(f"{number}")

    def kept(self, store):
        """The digests of the files that stand in a store, how often each."""
        found = Counter()
        for folder, _, names in os.walk(self.faulty.behind / store):
            for name in names:
                with contextlib.suppress(FileNotFoundError):  # it went on since
                    found[md5(os.path.join(folder, name))] += 1
        return found

    def here(self, label):
        """Whether a session stands archived, or a file that is no DICOM is set aside, and all done.

        Done: it has left the prearchive, and the drop.
        """
        return label not in self.under_way()

    def under_way(self):
        """The sessions that are not there yet."""
        there = self.kept("archive") + self.kept("quarantine")
        left = self.kept("prearchive") + self.kept("share")
        return {name for each, name in self.sent.items() if not there[each] or left[each]}

    def goes_on(self):
        """What is well is archived although the faults last."""
        label = f"WELL{len(self.sent)}"
        self.send(label, self.world.drop)
        wait_until(lambda: self.here(label))

    def judge(self, row):
        """All that was sent stands in the archive, or aside, once."""
        kept = self.kept("archive") + self.kept("quarantine")
        staged = {each: n for each, n in self.kept("prearchive").items() if each in self.sent}
        row.ran(
            lost=len(self.sent.keys() - kept.keys() - staged.keys()),
            duplicated=sum(max(0, kept[digest] - 1) for digest in self.sent),
            recovered=not staged and all(kept[digest] for digest in self.sent),
        )


@pytest.fixture
def ward(tmp_path):
    with Ward(tmp_path) as ward:
        yield ward


def said(daemon, *events):
    """How often each condition was raised, or cleared: by event and key."""
    return Counter((e["event"], e["key"]) for e in list(daemon.events) if e["event"] in events)


def check_said(daemon, most=1):
    """Each condition was raised once and cleared once; no session is an administrator's.

    `most`: that often, by turns, where many faults of one store end one after the other.
    """
    turns = {}
    for each in daemon.events:
        if each["event"] in {*PAIRS, *PAIRS.values()}:
            turns.setdefault(each["key"], []).append(each["event"] in PAIRS)
    assert {} == {key: by for key, by in turns.items() if by != [True, False] * (len(by) // 2)}
    raised, cleared = said(daemon, *PAIRS), said(daemon, *PAIRS.values())
    assert most >= max((*raised.values(), *cleared.values()), default=0), (raised, cleared)
    assert {(PAIRS[event], key) for event, key in raised} == set(cleared)
    assert [] == [each for each in daemon.events if each["event"] == "session.error"]


def check_once_each(daemon):
    """What waits is said when it begins, not at each try."""
    waits = Counter(
        (each["path"], each["text"]) for each in daemon.events if each["event"] == "file.waiting"
    )
    assert max(waits.values(), default=0) <= 2, waits.most_common(3)


def cpu(pid):
    """Seconds of processor time a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def check_fsync(faulty):
    """No file whose fsync or close failed is tried again: a new one takes its place."""
    spoilt = set()
    for each in faulty.seen("fsync", "close", "made"):
        if each["op"] == "made":
            spoilt.discard(each["inode"])
        elif each["what"]:
            spoilt.add(each["inode"])
        else:
            assert each["op"] == "close" or each["inode"] not in spoilt, each


def met(ward, case):
    """How often a fault was met."""
    path = PLACES[case.place].format(case.label)
    return ward.faulty.met(case.op, path=path)


def send_all(ward):
    """All are laid before any is named: no inode that a fault spoilt is a sender's again."""
    for names in [ward.lay(c.label, ward.share, dicom=c.place != "quarantine") for c in CASES]:
        os.rename(*names)


def judge_all(ward, row, how):
    for case in CASES:
        assert met(ward, case), case
        ward.judge(row(f"failing disk: {case}", how))


@pytest.mark.timeout(3000)
def test_until_it_is_switched_off(ward, row):
    """Every fault lasts, the rest goes on; once it is over all is archived, said once each.

    A source that stays is tried with each full look: one that took a busy machine half a minute is
    followed by the next after ten.
    """
    with ward.world.daemon() as daemon:
        ward.faulty.rules(*(case.rule() for case in CASES))
        send_all(ward)
        ward.goes_on()
        wait_until(lambda: not unmet(ward), LOOKS, lambda: unmet(ward))
        began, used = time.monotonic(), cpu(daemon.process.pid)
        ward.goes_on()
        wait_until(lambda: time.monotonic() - began > 5)
        assert (cpu(daemon.process.pid) - used) / (time.monotonic() - began) < IDLE
        ward.faulty.rules()
        wait_until(lambda: not ward.under_way(), LOOKS, ward.under_way)
        wait_until(lambda: said(daemon, *PAIRS).total() == said(daemon, *PAIRS.values()).total())
        check_said(daemon)
        check_once_each(daemon)
    check_fsync(ward.faulty)
    judge_all(ward, row, "FUSE, until switched off")


def unmet(ward):
    hits = Counter((op, label_of(path)) for op, path, _, _ in ward.faulty.hits())
    return [str(case) for case in CASES if hits[case.op, case.label] < 2]


def label_of(path):
    return re.search(r"S\d\d|$", path)[0]


@pytest.mark.parametrize(
    ("place", "op", "error"),
    [("drop", "stat", "EIO"), ("folder", "readdir", "EIO"), ("folder", "readdir", "ESTALE")],
)
def test_what_a_look_can_not_see(place, op, error, ward, row):
    """The drop's sessions rest only when all of it was seen; other drops' go on meanwhile."""
    case = Case(1, place, op, error)
    with ward.world.daemon() as daemon:
        ward.faulty.rules(case.rule())
        ward.send(case.label, ward.share)
        ward.send("SEEN", ward.share)
        ward.goes_on()
        daemon.wait_for("drop.degraded", timeout=DEADLINE, drop="share")
        wait_until(lambda: ward.kept("prearchive").keys() & ward.sent.keys())
        ward.faulty.rules()
        wait_until(lambda: ward.here(case.label) and ward.here("SEEN"))
        daemon.wait_for("drop.restored", timeout=DEADLINE, drop="share")
        check_said(daemon)
    ward.judge(row(f"failing disk: {case}", "FUSE, until switched off"))


@pytest.mark.parametrize("times", [1, 3])
def test_for_a_moment(times, ward, row):
    """A fault that passes is nobody's business: all is archived, and no session is in ERROR."""
    with ward.world.daemon() as daemon:
        ward.faulty.rules(*(case.rule(times=times) for case in CASES))
        send_all(ward)
        ward.goes_on()
        wait_until(lambda: not ward.under_way(), tell=ward.under_way)
        wait_until(lambda: said(daemon, *PAIRS).total() == said(daemon, *PAIRS.values()).total())
        check_said(daemon, most=len(CASES))  # a slow machine meets one after the other
    check_fsync(ward.faulty)
    judge_all(ward, row, {1: "FUSE, once", 3: "FUSE, three times"}[times])


class TestCopies:
    """Copies on their way into a store, which belong to no session yet."""

    @pytest.mark.parametrize(
        ("op", "how"),
        [
            ("create", {"error": "EIO"}),
            ("write", {"error": "EIO"}),
            ("write", {"short": 7}),
            ("close", {"error": "EIO"}),
            ("utimens", {"error": "EIO"}),
        ],
        ids=str,
    )
    def test_a_copy_that_fails_is_made_anew(self, op, how, ward, row):
        """A copy that can't be made whole is dropped, and the file copied again; or it goes on."""
        with ward.world.daemon():
            ward.faulty.rules({"op": op, "path": r"\.part$", "times": 3} | how)
            ward.goes_on()
        assert ward.faulty.met()
        check_fsync(ward.faulty)
        ward.judge(row(f"failing disk: {' '.join(map(str, how.values()))} on {op}, copy", "FUSE"))

    def test_short_reads_are_no_end_of_a_file(self, ward, row):
        """A share that gives less than it was asked for: no file is torn, none is set aside."""
        with ward.world.daemon() as daemon:
            ward.faulty.rules({"op": "read", "path": "^share/", "short": 99_999})
            ward.send("SHORT", ward.share)
            ward.send("LARGE", ward.share, rows=6000, columns=6000)  # walked where it lies
            wait_until(lambda: not ward.under_way())
            assert [] == [e for e in daemon.events if e["event"] == "file.quarantined"]
        ward.judge(row("failing disk: short reads, drop", "FUSE"))

    def test_stale_attributes_tear_nothing(self, ward, row):
        """A share that shows the attributes of a minute ago: what grew is filed as it is now."""
        with ward.world.daemon() as daemon:
            make_dicom(ward.world.base / "made" / "whole", patient_id="STALE")
            whole = (ward.world.base / "made" / "whole").read_bytes()
            ward.faulty.rules({"op": "stat", "path": "^share/grows$", "stale": True})
            (ward.share / "grows").write_bytes(whole[: len(whole) // 2])
            daemon.wait_for("file.waiting", timeout=DEADLINE)
            (ward.share / "grows").write_bytes(whole)
            ward.sent[md5(ward.world.base / "made" / "whole")] = "STALE"
            ward.goes_on()
            assert not ward.here("STALE")
            ward.faulty.rules()
            wait_until(lambda: ward.here("STALE"))
        ward.judge(row("failing disk: stale attributes, drop", "FUSE"))


class TestHangs:
    """A share that does not answer: what hangs there stops nobody else."""

    # A lookup that hangs holds the folder above, where the stores of this rig lie as well: now and
    # then they hang too, so that this one is no part of every run.
    @pytest.mark.parametrize("op", [pytest.param("stat", marks=pytest.mark.soak), "readdir"])
    def test_a_drop_that_does_not_answer_is_not_there(self, op, ward, row):
        """It is said once, the rest goes on, and so does the drop when it answers again."""
        with ward.world.daemon() as daemon:
            ward.faulty.hang(op, "^share")
            ward.send("HANG", ward.share)
            ward.goes_on()
            daemon.wait_for("drop.unavailable", timeout=DEADLINE, drop="share")
            ward.goes_on()
            ward.faulty.rules()
            daemon.wait_for("drop.available", timeout=DEADLINE, drop="share")
            wait_until(lambda: ward.here("HANG"))
            check_said(daemon)
        ward.judge(row(f"hanging share: {op}", "FUSE, until released"))

    @pytest.mark.parametrize("op", ["open", "read"])
    def test_a_file_that_does_not_answer_is_no_hostile_one(self, op, ward, row):
        """Its reader stalls again and again; the others go on, and so does it in the end."""
        with ward.world.daemon() as daemon:
            ward.faulty.hang(op, "^share/")
            for number in range(3):
                ward.send(f"HANG{number}", ward.share)
            wait_until(lambda: ward.faulty.seen(op, path="^share/"))
            ward.goes_on()
            daemon.wait_for("file.waiting", 2, timeout=DEADLINE, code="machine")
            ward.goes_on()
            ward.faulty.rules()
            wait_until(lambda: all(ward.here(f"HANG{number}") for number in range(3)))
            assert [] == [e for e in daemon.events if e["event"] == "file.quarantined"]
            check_once_each(daemon)
        ward.judge(row(f"hanging share: {op}", "FUSE, until released"))

    def test_a_source_that_can_not_be_removed_now_stops_nobody(self, ward, row):
        """The share dies between the copying of a file and its removal: filed, and it goes later.

        The drop is said not to be there, as for a look that hangs.
        """
        with ward.world.daemon() as daemon:
            ward.faulty.hang("unlink", "^share/")
            ward.send("HANG", ward.share, owner=SENDER)
            wait_until(lambda: ward.faulty.seen("unlink", path="^share/"))
            daemon.wait_for("file.filed", timeout=DEADLINE, drop="share")
            ward.goes_on()
            daemon.wait_for("drop.unavailable", timeout=DEADLINE, drop="share")
            ward.faulty.rules()
            wait_until(lambda: ward.here("HANG"))
            daemon.wait_for("drop.available", timeout=DEADLINE, drop="share")
            check_said(daemon)
        ward.judge(row("hanging share: unlink", "FUSE, until released"))

    def test_a_drop_that_hangs_before_the_start(self, ward, row):
        """The start waits for none: the others are archived, and it is when it answers."""
        assert 0 == ward.world.once()[0]  # makes the stores: a hang in a folder holds that too
        ward.faulty.hang("stat", "^share")
        ward.send("HANG", ward.share)
        with ward.world.daemon() as daemon:
            ward.goes_on()
            daemon.wait_for("drop.unavailable", timeout=DEADLINE, drop="share")
            ward.faulty.rules()
            daemon.wait_for("drop.available", timeout=DEADLINE, drop="share")
            wait_until(lambda: ward.here("HANG"))
            check_said(daemon)
        ward.judge(row("hanging share: stat", "FUSE, from before the start"))

    @pytest.mark.parametrize("op", ["readdir", "read"])
    def test_sigterm_ends_it_all_the_same(self, op, ward, row):
        """A thread or a reader that hangs is left behind; the next start goes on."""
        with ward.world.daemon() as daemon:
            ward.faulty.hang(op, "^share")
            ward.send("HANG", ward.share)
            wait_until(lambda: ward.faulty.seen(op, path="^share") and ward.faulty.met())
            code, took = daemon.stop(timeout=DEADLINE)
        assert (0, True) == (code, took < END), (code, took, daemon.errors)
        ward.faulty.rules()
        with ward.world.daemon():
            wait_until(lambda: ward.here("HANG"))
        ward.judge(row(f"hanging share: {op}", "FUSE, SIGTERM meanwhile"))
