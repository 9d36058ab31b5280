"""Filing's transactions: find or create (spec 6), names, duplicates, what is in hand."""

import hashlib
from dataclasses import replace
from itertools import count

import another
import pytest
from filed import header, session
from sqlalchemy import event

from watcher.core import names
from watcher.core.file import Candidate, Examined, Fingerprint
from watcher.core.find import Bound, Fate
from watcher.core.life import Event
from watcher.core.session import Identity, SessionKey, Status
from watcher.io.desk import Hand, Incoming
from watcher.io.ledger import Ledger
from watcher.io.receiving import Receiving
from watcher.io.registry import Registry, Shelf

ODD = b"caf\xe9/\xff\xfe.dcm"  # no UTF-8
STAMP = "20260619_091425123"
STUDY = "1.2.3.4"
inodes = count(1)


@pytest.fixture
def ledger(tmp_path):
    opened = Ledger.open(str(tmp_path))
    yield opened
    opened.close()


@pytest.fixture
def desk(ledger):
    """Reserves a batch at second 1000, every new session in the same millisecond."""
    receiving = Receiving(ledger)

    def reserve(*batch, now=1000.0):
        return receiving.reserve(batch, now, lambda: STAMP)

    return reserve


@pytest.fixture
def file(ledger, desk):
    """Reserves and records a batch; gives the reservations."""

    def filed(*batch, now=1000.0):
        reserved, _, _ = desk(*batch, now=now)
        Receiving(ledger).record([each for each in reserved if each.instance], {})
        return reserved

    return filed


def incoming(
    sop="1.2.3.4.1.1",
    *,
    content="",
    path=b"a.dcm",
    project="P1",
    study=STUDY,
    label="A",
    series="1.2.3.4.1",
    inactivity=300.0,
    origin="PatientID",
    drop="mri",
    **values,
):
    head = header(
        SOPClassUID="1.2.840.10008.5.1.4.1.1.4",
        SOPInstanceUID=sop,
        StudyInstanceUID=study,
        SeriesInstanceUID=series,
        **({"SeriesNumber": "7", "InstanceNumber": "1"} | values),
    )
    print_ = Fingerprint(1, next(inodes), 1000, 5, 6)
    digest = content if len(content) == 32 else hashlib.md5((sop + content).encode()).hexdigest()
    identity = Identity(SessionKey(project, study, label), "S1", None, {"session": origin})
    candidate = Candidate(drop, path, print_)
    return Incoming(candidate, Examined(print_, digest, head), identity, inactivity)


def ids(reserved):
    return [each.session.id for each in reserved]


def statuses(ledger):
    return {each.id: each.status for each in ledger.sessions()}


# -- find or create ----------------------------------------------------------------------------


def test_create(ledger, desk):
    """The first file opens a RECEIVING session that says when, whence and how long it rests."""
    [found], opened, reopened = desk(incoming(inactivity=60.0))
    row = ledger.session(STAMP)
    assert ([row], [], Fate.FILE, False) == (opened, reopened, found.fate, found.by_decision)
    assert (row.status, row.project, row.subject, row.label, row.study) == (
        Status.RECEIVING,
        "P1",
        "S1",
        "A",
        STUDY,
    )
    assert (row.opened, row.receiving_since, row.last_arrival) == (1000.0, 1000.0, 1000.0)
    assert (row.inactivity, row.generation, row.drops) == (60.0, 1, ("mri",))


@pytest.mark.parametrize("key", [{"study": "9.9"}, {"project": "P2"}, {"project": None}])
def test_other_key(desk, key):
    """Another project, or study, is another session; two in one millisecond have two ids."""
    reserved, opened, _ = desk(incoming("1.1"), incoming("1.2", **key))
    assert ids(reserved) == [STAMP, "20260619_091425124"]
    assert len(opened) == 2


def test_unassigned(desk):
    """Files without a project find their session too: NULL is a key like others."""
    first, _, _ = desk(incoming("1.1", project=None))
    second, opened, _ = desk(incoming("1.2", project=None))
    assert (ids(first), []) == (ids(second), opened)


def test_one_batch_one_session(ledger, desk):
    """A batch of one key is one session, counted file by file."""
    reserved, opened, _ = desk(*(incoming(f"1.{n}") for n in range(5)))
    assert ids(reserved) == [STAMP] * 5
    assert (1, 5) == (len(opened), ledger.session(STAMP).generation)


@pytest.mark.parametrize("status", [Status.BUILDING, Status.READY, Status.CONFLICT, Status.ERROR])
def test_reopened(ledger, desk, status):
    """A late file brings a session back to RECEIVING, and max_open counts from then."""
    old = session(id="20260101_000000000", project="P1", label="A", status=status, hold_auto=True)
    ledger.add(old)
    [found], opened, reopened = desk(incoming())
    row = ledger.session(old.id)
    assert (old.id, [], [row]) == (found.session.id, opened, reopened)
    assert (row.status, row.receiving_since, row.generation) == (Status.RECEIVING, 1000.0, 1)
    assert (row.revision, row.hold_auto) == (old.revision + 1, False)


def test_receiving_not_reopened(ledger, desk):
    """A file for a RECEIVING session renews its timer, not its max_open nor its record."""
    old = session(id="20260101_000000000", project="P1", label="A", status=Status.RECEIVING)
    ledger.add(old)
    _, opened, reopened = desk(incoming())
    row = ledger.session(old.id)
    assert ([], []) == (opened, reopened)
    assert (row.last_arrival, row.receiving_since, row.revision) == (1000.0, 0.0, 0)


@pytest.mark.parametrize(
    "status",
    [Status.ARCHIVING, Status.MOVING, Status.DELETING, Status.ARCHIVED, Status.DELETED],
)
def test_new_beside(ledger, desk, status):
    """While a session is archived, moved or deleted a new one takes the file; merged later."""
    old = session(id="20260101_000000000", project="P1", label="A", status=status)
    ledger.add(old)
    reserved, opened, _ = desk(incoming())
    assert (ids(reserved), 1) == ([STAMP], len(opened))
    assert ledger.session(old.id) == old


def test_receiving_first(ledger, desk):
    """Of several with the key the RECEIVING one takes it, else the newest that may."""
    for number, status in enumerate([Status.READY, Status.RECEIVING, Status.READY]):
        ledger.add(session(id=f"20260101_00000000{number}", project="P1", label="A", status=status))
    reserved, _, _ = desk(incoming("1.1"))
    assert ids(reserved) == ["20260101_000000001"]
    ledger.forget("20260101_000000001")
    reserved, _, _ = desk(incoming("1.2"))
    assert ids(reserved) == ["20260101_000000002"]


def test_layout(ledger, desk):
    """With a layout the named session takes the file whatever its study; else the study tells."""
    ledger.add(session(id="20260101_000000000", project="P1", label="A", status=Status.READY))
    reserved, _, _ = desk(incoming("1.1", study="9.9", origin="layout"))
    assert ids(reserved) == ["20260101_000000000"]
    reserved, _, _ = desk(incoming("1.2", study="9.9"))
    assert ids(reserved) == [STAMP]


def test_layout_one_batch(desk):
    """Two studies in one named session are one new session, in one batch too."""
    batch = [incoming(f"1.{n}", study=f"9.{n}", origin="layout") for n in range(2)]
    reserved, opened, _ = desk(*batch)
    assert (ids(reserved), 1) == ([STAMP, STAMP], len(opened))


def test_drops(ledger, desk):
    """A session knows every drop that fed it, once, and rests as the last one says."""
    desk(incoming("1.1", drop="mri"), incoming("1.2", drop="ct"), incoming("1.3", drop="mri"))
    desk(incoming("1.4", drop="mri", inactivity=7.0))
    assert (("mri", "ct"), 7.0) == (ledger.session(STAMP).drops, ledger.session(STAMP).inactivity)


# -- labels --------------------------------------------------------------------------------------


def test_label_case(ledger, desk):
    """Labels equal but for case are told apart, the same way every time."""
    desk(incoming("1.1", label="scan"))
    apart, _, _ = desk(incoming("1.2", label="SCAN"), incoming("1.3", label="SCAN", study="9.9"))
    label = names.label("SCAN", ["scan"])
    assert label.startswith("SCAN-")
    assert [label, label] == [each.session.label for each in apart]
    again, opened, _ = desk(incoming("1.4", label="SCAN"))
    assert (ids(apart)[:1], []) == (ids(again), opened)
    assert ids(desk(incoming("1.5", label="scan"))[0]) == [STAMP]


def test_label_case_one_batch(desk):
    """In one batch as well; another project is no neighbour."""
    batch = [("scan", "P1"), ("SCAN", "P1"), ("SCAN", "P2"), ("SCAN", None)]
    reserved, _, _ = desk(
        *(incoming(f"1.{n}", label=label, project=p) for n, (label, p) in enumerate(batch))
    )
    marked = names.label("SCAN", ["scan"])
    assert ["scan", marked, "SCAN", "SCAN"] == [each.session.label for each in reserved]


def test_label_archived(ledger, desk):
    """An archived label counts: the archive may lie on a file system that ignores case."""
    numbers = {"files": 1, "bytes": 1, "scans": 1, "xml_size": 1, "xml_mtime_ns": 1}
    Registry(ledger).shelve(
        Shelf("P1", "scan", "T", "W", "S", "9", accepted=(), changed=0.0, **numbers)
    )
    reserved, _, _ = desk(incoming("1.1", label="SCAN"), incoming("1.2", label="scan", study="8"))
    assert [names.label("SCAN", ["scan"]), "scan"] == [each.session.label for each in reserved]


# -- duplicates ----------------------------------------------------------------------------------


def test_duplicate(ledger, file, desk):
    """The same bytes again are a duplicate: nothing is reserved, the timer starts anew."""
    file(incoming())
    [found], opened, reopened = desk(incoming(path=b"again.dcm", inactivity=9.0), now=2000.0)
    row = ledger.session(STAMP)
    assert (Fate.DUPLICATE, None, [], []) == (found.fate, found.instance, opened, reopened)
    assert (row.last_arrival, row.inactivity, row.generation) == (2000.0, 9.0, 1)
    assert len(ledger.instances(STAMP)) == 1


@pytest.mark.parametrize("event", [Event.BUILT, Event.CONFLICTED])
def test_duplicate_changes_no_status(ledger, file, desk, event):
    """A duplicate changes no status but renews RECEIVING: the row stays as it is."""
    file(incoming())
    ledger.move(STAMP, Event.IDLE)
    before = ledger.move(STAMP, event)
    [found], _, reopened = desk(incoming(), now=2000.0)
    assert (Fate.DUPLICATE, []) == (found.fate, reopened)
    assert before == ledger.session(STAMP)


def test_twin_in_hand(ledger, desk):
    """A twin that is not durable yet can't be relied on: the second waits, in a batch and after."""
    reserved, _, _ = desk(incoming(), incoming(path=b"b.dcm"))
    assert [each.fate for each in reserved] == [Fate.FILE, Fate.LATER]
    [later], _, _ = desk(incoming(path=b"b.dcm"), now=2000.0)
    assert (Fate.LATER, None) == (later.fate, later.instance)
    assert (1000.0, 1) == (ledger.session(STAMP).last_arrival, ledger.session(STAMP).generation)


def test_other_bytes(ledger, file):
    """The same instance with other bytes is filed side by side, under the suffixed name."""
    first, second = file(incoming(content="a"), incoming(content="b"))
    name = first.instance.place.name
    assert [Fate.FILE, Fate.FILE] == [first.fate, second.fate]
    assert second.instance.place.name == names.suffixed(name, second.instance.digest)
    assert len(ledger.instances(STAMP)) == 2
    [third] = file(incoming(content="b", path=b"c.dcm"))
    assert third.fate is Fate.DUPLICATE


def test_suffixed_taken(ledger, file):
    """Digests alike in their first eight digits still find a name each: nothing fails or is lost.

    (MD5 with a wanted beginning is made in minutes.)
    """
    digests = [f"deadbeef{number:024x}" for number in range(5)]
    reserved = file(*(incoming(content=each) for each in digests[:3]))
    reserved += file(*(incoming(content=each) for each in digests[3:]))
    assert [each.fate for each in reserved] == [Fate.FILE] * 5
    places = {each.instance.place for each in reserved}
    assert (5, places) == (len(places), {each.place for each in ledger.instances(STAMP)})


def test_suffixed_taken_long(file):
    """So do files whose name is as long as a name may be."""
    more = {"InstanceNumber": "9" * 300}
    reserved = file(*(incoming(content=f"deadbeef{n:024x}", **more) for n in range(4)))
    found = [each.instance.place.name for each in reserved]
    assert (4, 255) == (len(set(found)), max(map(len, found)))


def test_other_class_is_no_twin(file):
    """The same UID under another SOP class is no duplicate, whatever the bytes (spec 10)."""
    one = incoming(content="d" * 32)
    values = {**one.examined.header.values, 0x00080016: "1.2.840.10008.5.1.4.1.1.2"}
    other = replace(one, examined=replace(one.examined, header=type(one.examined.header)(values)))
    assert [Fate.FILE, Fate.FILE] == [each.fate for each in file(one, other)]


def test_name_taken_beside(ledger, file, desk):
    """A name that a secondary object of the scan has is taken too: a build may join them."""
    [first] = file(incoming(content="a"))
    place = first.instance.place
    ledger.relocate(STAMP, {place: replace(place, folder="secondary")})
    [second], _, _ = desk(incoming(content="b"))
    assert names.suffixed(place.name, second.instance.digest) == second.instance.place.name


def statements(ledger, work):
    """What SQLite is told, in order, while some work is done."""
    told = []

    def note(_connection, _cursor, statement, values, _context, _many):
        told.append((statement, values))

    event.listen(ledger.engine, "before_cursor_execute", note)
    try:
        work()
    finally:
        event.remove(ledger.engine, "before_cursor_execute", note)
    return told


def batch(number, *, of):
    """So many files of three series."""
    made = range(number)
    return [incoming(f"{of}.{each}", series=f"1.2.3.4.{each % 3}") for each in made]


def test_a_batch_asks_once(ledger, file, desk):
    """A large batch takes as many statements as a small one: the cost of a file does not grow."""
    file(*batch(9, of=1))
    few = statements(ledger, lambda: file(*batch(3, of=2)))
    many = statements(ledger, lambda: file(*batch(60, of=3)))
    assert len(few) == len(many)


def test_no_question_reads_the_session(ledger, file, desk):
    """What filing asks of `instance` is found by a key, however many files the session has."""
    file(*batch(9, of=1))
    told = statements(ledger, lambda: file(*batch(9, of=2), *batch(9, of=1)))
    asked = [each for each in told if each[0].startswith("SELECT instance.")]
    assert 3 == len(asked)  # twins, series, names
    with ledger.read() as tx:
        for statement, values in asked:
            plan = tx.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
            (step,) = (each.detail for each in plan if "instance" in each.detail)
            assert "AND" in step, step  # SEARCH ... (session=? AND ...)


# -- scans ---------------------------------------------------------------------------------------


def test_scan_folder(desk):
    """Before the build a file lies under its series number, else its series."""
    reserved, _, _ = desk(
        incoming("1.1"), incoming("1.2", series="1.9", SeriesNumber=""), incoming("1.3")
    )
    assert [each.instance.place.scan for each in reserved] == ["7", "1_9", "7"]


def test_scan_id_kept(ledger, file, desk):
    """A series that has an ID keeps it: a late file goes where the others were moved."""
    file(incoming("1.1"))
    ledger.edit(STAMP, scan_ids={"1.2.3.4.1": "7-MR1"})
    [late], _, _ = desk(incoming("1.2"))
    assert late.instance.place.scan == "7-MR1"


def test_all_scans_known(ledger, file):
    """A batch in which every series has an ID already asks for none."""
    file(incoming("1.1"))
    ledger.edit(STAMP, scan_ids={"1.2.3.4.1": "7"})
    [late] = file(incoming("1.2"))
    assert late.instance.place.scan == "7"


def test_scan_of_series(ledger, file, desk):
    """Files of one series lie in one folder, though their numbers disagree."""
    file(incoming("1.1"))
    [late], _, _ = desk(incoming("1.2", SeriesNumber="8"))
    assert late.instance.place.scan == "7"


# -- in hand -------------------------------------------------------------------------------------


def test_in_hand_until_recorded(ledger, desk):
    """A reserved file is in hand, not filed; its session may not be built until it is recorded."""
    reserved, _, _ = desk(incoming(path=ODD))
    receiving = Receiving(ledger)
    assert {STAMP: [reserved[0].instance]} == receiving.reserved()
    assert ([], {}) == (ledger.instances(STAMP), ledger.sizes())
    assert ledger.move(STAMP, Event.IDLE) is None
    receiving.record(reserved, {})
    assert ({}, [reserved[0].instance]) == (receiving.reserved(), ledger.instances(STAMP))
    assert ledger.instances(STAMP)[0].source == ODD
    assert ledger.move(STAMP, Event.IDLE).status is Status.BUILDING


def test_file_during_build(ledger, file, desk):
    """A file that comes during a build makes the build void: no READY without it (spec 6)."""
    file(incoming("1.1"))
    building = ledger.move(STAMP, Event.IDLE)
    desk(incoming("1.2"))
    assert ledger.move(STAMP, Event.BUILT, generation=building.generation) is None
    assert ledger.session(STAMP).status is Status.RECEIVING


def test_release_new(ledger, desk):
    """A session none of whose files could be filed is gone again, and told."""
    reserved, _, _ = desk(incoming("1.1"), incoming("1.2"))
    left = Receiving(ledger).release(reserved)
    assert ([STAMP], {}) == ([each.id for each in left], statuses(ledger))


def test_release_one(ledger, desk):
    """One that failed is let go; the session stays with the others, and its name is free."""
    receiving = Receiving(ledger)
    reserved, _, _ = desk(incoming("1.1"), incoming("1.2"))
    assert receiving.release(reserved[:1]) == []
    receiving.record(reserved[1:], {})
    assert [reserved[1].instance] == ledger.instances(STAMP)
    [again], _, _ = desk(incoming("1.1"))
    assert reserved[0].instance.place == again.instance.place


def test_release_nothing(ledger, file, desk):
    """Releasing a duplicate, or what is released, takes nothing from anybody."""
    file(incoming("1.1"))
    duplicates, _, _ = desk(incoming("1.1"))
    receiving = Receiving(ledger)
    lost = receiving.reserve([incoming("2.1", study="9.9")], 1.0, lambda: STAMP)[0]
    receiving.release(lost)
    assert receiving.release([*duplicates, *lost, Hand(lost[0].session, None)]) == []
    assert ({STAMP: Status.RECEIVING}, 1) == (statuses(ledger), len(ledger.instances(STAMP)))


def test_release_of_worked_on(ledger):
    """A session that somebody works on is not forgotten for want of files."""
    row = session(status=Status.CONFLICT)
    ledger.add(row, [])
    [hand], _, _ = Receiving(ledger).reserve(
        [incoming(project="PROJ1", label="S001_MR1")], 1.0, lambda: STAMP
    )
    ledger.edit(row.id, status=Status.DELETING)
    assert Receiving(ledger).release([hand]) == []
    assert {row.id: Status.DELETING} == statuses(ledger)


# -- sources and decisions -----------------------------------------------------------------------


def test_taken(ledger, desk):
    """A source whose content is filed is remembered by drop and bytes until it is gone."""
    receiving = Receiving(ledger)
    one = incoming(path=ODD)
    two = incoming("1.2", path=b"b", drop="ct")
    reserved, _, _ = desk(one, two)
    sources = {each.candidate: each.candidate.print for each in (one, two)}
    receiving.record(reserved, sources)
    receiving.record([], {one.candidate: replace(one.candidate.print, size=9)})
    assert {ODD: replace(one.candidate.print, size=9)} == receiving.taken("mri")
    receiving.forget_taken("mri", [ODD, b"never"])
    assert ({}, [b"b"]) == (receiving.taken("mri"), list(receiving.taken("ct")))


def test_binding(ledger, desk):
    """Files of a study that a person relabelled follow the decision, and say so."""
    receiving = Receiving(ledger)
    receiving.bind(SessionKey("P1", STUDY, "A"), Bound("P1", "B", "S9"))
    receiving.bind(SessionKey(None, STUDY, "A"), Bound("P2", "C", "S8"))
    reserved, _, _ = desk(
        incoming("1.1"), incoming("1.2", project=None), incoming("1.3", study="9.9")
    )
    found = [
        (e.session.project, e.session.label, e.session.subject, e.by_decision) for e in reserved
    ]
    assert [("P1", "B", "S9", True), ("P2", "C", "S8", True), ("P1", "A", "S1", False)] == found


def test_binding_changed(ledger, desk):
    """The last decision on a key counts; Unassigned is a place to go, too."""
    receiving = Receiving(ledger)
    for to in (Bound("P1", "B", "S9"), Bound(None, "D", "S7")):
        receiving.bind(SessionKey("P1", STUDY, "A"), to)
    [found], _, _ = desk(incoming())
    assert (None, "D") == (found.session.project, found.session.label)


def test_binding_to_itself(ledger, desk):
    """A study kept where it is (split) has a session of its own, whatever a layout names."""
    ledger.add(session(id="20260101_000000000", project="P1", label="A", study="9.9"))
    Receiving(ledger).bind(SessionKey("P1", STUDY, "A"), Bound("P1", "A", "S9"))
    [own], opened, _ = desk(incoming("1.1", origin="layout"))
    assert (STAMP, STUDY, "S9", True) == (
        own.session.id,
        own.session.study,
        own.session.subject,
        own.by_decision,
    )
    assert 1 == len(opened)
    [other], _, _ = desk(incoming("1.2", origin="layout", study="8.8"))
    assert STAMP == other.session.id  # the RECEIVING one that the layout names


def test_binding_of_a_layout(ledger, desk):
    """A named session that was relabelled takes its files whatever their study, as before."""
    ledger.add(session(id="20260101_000000000", project="P1", label="B", study="9.9"))
    Receiving(ledger).bind(SessionKey("P1", STUDY, "A"), Bound("P1", "B", "S9"))
    [found], _, _ = desk(incoming("1.1", origin="layout"))
    assert ("20260101_000000000", True) == (found.session.id, found.by_decision)


def test_binding_of_a_label_told_apart(ledger, desk):
    """A decision on a session whose label was told apart by case holds for the label as it came."""
    desk(incoming("1.1", label="scan", study="9.9"))
    [apart], _, _ = desk(incoming("1.2", label="SCAN"))
    Receiving(ledger).bind(apart.session.key, Bound("P2", "C", "S8"))
    [found], _, _ = desk(incoming("1.3", label="SCAN"))
    assert ("P2", "C", True) == (found.session.project, found.session.label, found.by_decision)


def test_open_apart(ledger, desk):
    """A session that no file opened has an id nobody has, and a file finds it by its key."""
    ledger.add(session(id=STAMP))
    new = session(project="P1", label="A", study=STUDY, status=Status.RECEIVING)
    opened = Receiving(ledger).open_apart(new, lambda: STAMP)
    assert opened.id == names.next_timestamp(STAMP)
    assert replace(new, id=opened.id) == opened == ledger.session(opened.id)
    assert [opened.id] == ids(desk(incoming("1.1"))[0])


def test_hand_over(ledger, file):
    """Files change their session under the same names; again, or half done, ends the same."""
    one, two = file(incoming("1.1"), incoming("1.2", InstanceNumber="2"))
    receiving = Receiving(ledger)
    ledger.add(session(id="20260101_000000000"), [one.instance])  # a crash left it in both
    for _ in range(2):
        receiving.hand_over(STAMP, "20260101_000000000", [one.instance.place])
        assert [one.instance] == ledger.instances("20260101_000000000")
        assert [two.instance] == ledger.instances(STAMP)


# -- processes -----------------------------------------------------------------------------------

FILER = """
import sys
sys.path[:0] = sys.argv[3:]
import test_receiving as t
from sqlalchemy import text
from watcher.io.ledger import Ledger
ledger = Ledger.open(sys.argv[1])
with ledger.read() as tx:  # SQLite's waiting writers have no turn: a slow disk keeps one for long
    tx.execute(text("PRAGMA busy_timeout = 250000"))
receiving = t.Receiving(ledger)
print("there", flush=True)
sys.stdin.readline()
for n in range(30):
    batch = [t.incoming(f"1.{sys.argv[2]}.{n}"), t.incoming(f"2.{sys.argv[2]}.{n}", study=f"9.{n}")]
    reserved, _, _ = receiving.reserve(batch, 1000.0, lambda: t.STAMP)
    receiving.record(reserved, {})
ledger.close()
print("done", flush=True)
"""


def test_two_processes(tmp_path, ledger, request):
    """Two processes that file at once share sessions and lose no file."""
    paths = [request.path.parent, request.path.parent.parent]
    with (
        another.process(FILER, tmp_path, 1, *paths) as one,
        another.process(FILER, tmp_path, 2, *paths) as two,
    ):
        for child in (one, two):
            child.stdin.write("go\n")
            child.stdin.flush()
        assert [child.stdout.readline() for child in (one, two)] == ["done\n", "done\n"]
    keys = [each.key for each in ledger.sessions()]
    assert (31, 31) == (len(keys), len(set(keys)))
    assert sum(files for _, files, _ in ledger.sizes().values()) == 120


HOLDER = """
import sys
sys.path[:0] = sys.argv[2:]
import test_receiving as t
from watcher.io.ledger import Ledger
t.Receiving(Ledger.open(sys.argv[1])).reserve([t.incoming()], 1000.0, lambda: t.STAMP)
print("there", flush=True)
sys.stdin.readline()
"""


def test_killed_in_hand(tmp_path, ledger, request):
    """What a killed process reserved stays in hand until somebody settles it."""
    with another.process(HOLDER, tmp_path, request.path.parent, request.path.parent.parent):
        pass
    [(owner, [instance])] = Receiving(ledger).reserved().items()
    assert ledger.move(owner, Event.IDLE) is None
    [row] = Receiving(ledger).release([Hand(ledger.session(owner), instance)])
    assert (owner, {}) == (row.id, statuses(ledger))
