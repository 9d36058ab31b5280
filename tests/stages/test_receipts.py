"""The receipts of a drop: what was dropped is told where it was dropped, and nothing is lost."""

import os
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from media import medium
from mortal import mode
from receipted import at_noon, names, receipt, told, waits

from watcher.core.file import Fingerprint, Refusal, RefusalCode
from watcher.core.life import Event
from watcher.core.listed import Listed
from watcher.core.notation import format_duration
from watcher.core.receipt import Pending
from watcher.core.session import Status
from watcher.io.arrivals import day_of
from watcher.io.ledger import NAME
from watcher.io.listing import reply_to
from watcher.io.lists import Lists
from watcher.io.receipt_index import ReceiptIndex
from watcher.stages.archive import archive
from watcher.stages.handing import Handings
from watcher.stages.quarantine import put_aside
from watcher.stages.rebuild import build
from watcher.stages.receipts import CHECK, Receipts

DAY = 86400.0


@pytest.fixture
def bench(bench):
    return at_noon(bench)


def test_from_arriving_to_archived(bench):
    """The first line follows a study through; at its end it says where it lies."""
    keeper = Receipts(bench.parts, bench.drop)
    bench.put("study/1", 1)
    assert "still arriving" == told(bench, waits(bench, "study/1"), keeper=keeper)
    (outcome,) = bench.file("study/1")
    rest = format_duration(bench.parts.ledger.session(outcome.session).inactivity)
    assert f"all here, waiting {rest} for more" == told(bench, keeper=keeper)
    build(bench.parts, outcome.session, Event.IDLE)
    assert "all here, on its way into the archive" == told(bench, keeper=keeper)
    archive(bench.parts, outcome.session)
    assert "all here, nothing left to do" == told(bench, keeper=keeper)
    (session,) = receipt(bench)["sessions"]
    assert ("ARCHIVED", 1) == (session["status"], session["files"])
    assert bench.shelf(session["label"]).endswith(session["place"])
    with open(bench.path("RECEIPTS/study.txt")) as file:
        assert "all here, nothing left to do\n" == file.readline()
    assert 0 == keeper.write(Pending(), None)


def test_a_conflict_names_whom_and_which(bench):
    """Somebody has to decide: the line says whom to tell which number, and what holds it."""
    first = bench.archived(1)
    bench.put("study/1", 1, ImageComments="another")
    (outcome,) = bench.file("study/1")
    build(bench.parts, outcome.session, Event.IDLE)
    expected = f"waiting for a decision: tell the desk the number {outcome.session}"
    assert expected == told(bench)
    (session,) = receipt(bench)["sessions"]
    assert ["UID conflict detected during archiving"] == session["findings"]
    assert first.id != outcome.session


def test_only_what_changed_is_written(bench):
    """A receipt that would say the same is not rewritten; of a restart's each is, once."""
    bench.put("study/1", 1)
    bench.file("study/1")
    keeper = Receipts(bench.parts, bench.drop)
    assert [1, 0, 0] == [keeper.write(Pending(), None) for _ in range(3)]
    assert [1, 0] == [
        Receipts(bench.parts, bench.drop).write(Pending(), None),
        keeper.write(Pending(), None),
    ]


def test_duplicates_are_counted_apart(bench):
    """The same bytes once more are no more files, and are told."""
    bench.put("study/1", 1)
    bench.file("study/1")
    bench.put("study/1", 1)
    bench.file("study/1")
    told(bench)
    assert (1, 1) == (receipt(bench)["files"], receipt(bench)["duplicates"])


def test_what_a_crash_left_in_hand_is_counted_once(bench):
    """Counted in the commit that records a file: a batch cut off before it is not counted."""
    bench.put("study/1", 1)
    now, stamp = bench.parts.clock.now(), bench.parts.clock.stamp
    reserved, _, _ = bench.parts.receiving.reserve([bench.incoming("study/1")], now, stamp)
    assert {} == ReceiptIndex(bench.parts.ledger).of("mri")
    bench.parts.receiving.release(reserved)
    bench.file("study/1")
    ((arrival,),) = ReceiptIndex(bench.parts.ledger).of("mri").values()
    assert (1, 0) == (arrival.filed, arrival.duplicates)


def test_a_split_takes_its_files_along(bench):
    """Files that another session has now are told as that one's."""
    bench.put("study/1", 1)
    bench.put("study/2", 2)
    (one, two) = bench.file("study/1", "study/2")
    assert one.session == two.session
    places = [each.place for each in bench.parts.ledger.instances(one.session)]
    new = replace(bench.parts.ledger.session(one.session), study="1.2.4")
    new = bench.parts.receiving.open_apart(new, bench.parts.clock.stamp)
    for _ in range(2):
        bench.parts.receiving.hand_over(one.session, new.id, places[:1])
    told(bench)
    found = {each["session"]: each["files"] for each in receipt(bench)["sessions"]}
    assert {one.session: 1, new.id: 1} == found
    bench.parts.receiving.hand_over(one.session, new.id, places[1:])
    told(bench)
    assert {new.id: 2} == {e["session"]: e["files"] for e in receipt(bench)["sessions"]}


def test_refused_files_are_told_until_somebody_saw_to_them(bench):
    """A refusal stands with its reason until its entry is closed; no DICOM waits for nobody."""
    bench.put("study/1", 1)
    refusal = Refusal(RefusalCode.MISSING_UID, "It has no SOPInstanceUID.")
    put_aside(bench.parts, bench.drop, bench.candidate("study/1"), refusal)
    assert "1 file refused: tell the desk" == told(bench)
    (shown,) = receipt(bench)["refused"]
    assert ("study/1", "It has no SOPInstanceUID.") == (shown["path"], shown["why"])
    bench.parts.registry.close(shown["entry"])
    bench.put("other/n.txt", 2)
    plain = Refusal(RefusalCode.NOT_DICOM, "It is no DICOM.")
    put_aside(bench.parts, bench.drop, bench.candidate("other/n.txt"), plain)
    assert "all here, nothing left to do" == told(bench, name="other")
    assert 1 == receipt(bench, "other")["set_aside"]
    assert not os.path.exists(bench.path("RECEIPTS/study.txt"))


def test_loose_files_share_the_receipt_of_their_day(bench):
    """Files at the top of a drop are told by day; an archive file has a receipt of its own."""
    bench.put("loose", 1)
    bench.file("loose")
    day = day_of(bench.parts.clock.now())
    Receipts(bench.parts, bench.drop).write(
        Pending([waits(bench, "sent.zip"), waits(bench, "b")]), None
    )
    stems = {name.rpartition(".")[0] for name in names(bench)}
    assert {"sent.zip", day} == stems
    assert 1 == receipt(bench, day)["files"]


def test_two_names_that_collide_have_two_receipts(bench):
    """`MRI` and `mri` are one name on many shares: each has a receipt, and keeps its name."""
    both = [waits(bench, "MRI/1"), waits(bench, "mri/1")]
    Receipts(bench.parts, bench.drop).write(Pending(both), None)
    before = names(bench)
    assert 4 == len(before) == len({name.casefold() for name in before})
    Receipts(bench.parts, bench.drop).write(Pending(both[::-1]), None)
    assert before == names(bench)


def test_what_was_taken_away_again_has_no_receipt(bench):
    """A folder that its sender removed before it was taken leaves none, also over a restart."""
    Receipts(bench.parts, bench.drop).write(Pending([waits(bench, "study/1")]), None)
    assert ["study.json", "study.txt"] == names(bench)
    Receipts(bench.parts, bench.drop).write(Pending(), None)
    assert [] == names(bench)
    assert [] == ReceiptIndex(bench.parts.ledger).open("mri")


def test_settled_receipts_age_out_and_others_never(bench):
    """After `retention.receipts` the settled ones go, and the empty folder; what is open stays."""
    keeper = Receipts(bench.parts, bench.drop, keep=30 * DAY)
    bench.put("open/1", 9, study="1.2.9")
    bench.file("open/1")
    bench.put("study/1", 1)
    (outcome,) = bench.file("study/1")
    build(bench.parts, outcome.session, Event.IDLE)
    archive(bench.parts, outcome.session)
    told(bench, keeper=keeper)
    bench.parts.clock.ahead += 29 * DAY
    keeper.write(Pending(), None)
    assert 4 == len(names(bench))
    bench.parts.clock.ahead += 1 * DAY + CHECK
    keeper.write(Pending(), None)
    assert ["open.json", "open.txt"] == names(bench)
    open_, _ = (each for each in bench.parts.ledger.sessions(tuple(Status)))
    assert open_.id == receipt(bench, "open")["sessions"][0]["session"]


def test_a_folder_without_receipts_goes(bench):
    """When the last receipt aged out the drop is as it was."""
    keeper = Receipts(bench.parts, bench.drop, keep=1.0)
    bench.put("study/n.txt", 1)
    plain = Refusal(RefusalCode.NOT_DICOM, "It is no DICOM.")
    put_aside(bench.parts, bench.drop, bench.candidate("study/n.txt"), plain)
    told(bench, keeper=keeper)
    bench.parts.clock.ahead += CHECK + 2
    keeper.write(Pending(), None)
    assert not os.path.exists(bench.path("RECEIPTS"))


def test_a_drop_that_cannot_be_written_to_is_said_once(bench):
    """No receipts there, one line, and one when they can be written again; files are not held."""
    bench.put("study/1", 1)
    bench.file("study/1")
    keeper = Receipts(bench.parts, bench.drop)
    with mode(bench.drop.path, 0o555):
        assert [0, 0] == [keeper.write(Pending(), None) for _ in range(2)]
    (said,) = bench.events("drop.readonly")
    assert ("mri", "RECEIPTS") == (said["drop"], said["path"])
    assert 1 == keeper.write(Pending(), None)
    assert 1 == len(bench.events("drop.writable"))


def test_a_drop_whose_sources_stay_is_said_to_be_readonly_already(bench):
    """One line for a read-only drop; its receipts are missed without another."""
    bench.put("study/1", 1)
    with mode(bench.drop.path, 0o555), mode(bench.path("study"), 0o555):
        bench.file("study/1")
        Receipts(bench.parts, bench.drop).write(Pending(), None)
    (said,) = bench.events("drop.readonly")
    assert b"study" == said["path"]


def test_a_planted_link_is_said_and_never_followed(bench, tmp_path):
    """RECEIPTS that leads elsewhere gets nothing, and what lies elsewhere stays."""
    (tmp_path / "elsewhere").mkdir()
    os.symlink(tmp_path / "elsewhere", bench.path("RECEIPTS"))
    Receipts(bench.parts, bench.drop).write(Pending([waits(bench, "study/1")]), None)
    assert ([], 1) == (os.listdir(tmp_path / "elsewhere"), len(bench.events("drop.readonly")))


def test_one_that_is_hindered_hinders_no_other(bench):
    """A folder that took the name of a receipt: the others are written, and so is it later."""
    keeper = Receipts(bench.parts, bench.drop)
    told(bench, waits(bench, "a/1"), keeper=keeper, name="a")
    os.remove(bench.path("RECEIPTS/a.txt"))
    os.mkdir(bench.path("RECEIPTS/a.txt"))
    both = Pending([waits(bench, "a/1"), waits(bench, "a/2"), waits(bench, "b/1")])
    assert [1, 0] == [keeper.write(both, None) for _ in range(2)]
    assert (["mri"], []) == (
        [e["drop"] for e in bench.events("drop.readonly")],
        bench.events("drop.writable"),
    )
    assert ["a.json", "a.txt", "b.json", "b.txt"] == names(bench)
    os.rmdir(bench.path("RECEIPTS/a.txt"))
    assert (1, 1) == (keeper.write(both, None), len(bench.events("drop.writable")))


def test_a_session_nobody_knows_is_over(bench):
    """One that was removed from stores and ledger: its receipt says so, and can age out."""
    bench.put("study/1", 1)
    (outcome,) = bench.file("study/1")
    bench.parts.ledger.forget(outcome.session)
    assert "all here, nothing left to do" == told(bench)
    assert "not known any more" == receipt(bench)["sessions"][0]["meaning"]


def test_what_comes_while_it_is_written_is_not_settled(bench):
    """A receipt is settled as it was read: what came since is told the next time."""
    bench.put("study/1", 1)
    (outcome,) = bench.file("study/1")
    arrivals = ReceiptIndex(bench.parts.ledger)
    (known,) = arrivals.open("mri")
    bench.put("study/2", 2)
    bench.file("study/2")
    arrivals.settle("mri", [known], 0.0)
    (still,) = arrivals.open("mri")
    arrivals.settle("mri", [still], 0.0)
    assert (known.name, []) == (still.name, arrivals.open("mri"))
    assert outcome.session


def test_of_drops_without_receipts_nothing_is_kept(bench):
    """What was counted for a drop that wants none goes; the others' stays."""
    for number, name in enumerate(("mri", "ct"), 1):
        bench.put("study/1", number)
        bench.file("study/1", drop=replace(bench.drop, name=name))
    arrivals = ReceiptIndex(bench.parts.ledger)
    arrivals.forget_all(["ct"])
    assert ([], 1) == (arrivals.open("mri"), len(arrivals.open("ct")))


async def test_what_the_ledger_refuses_is_over_once_it_is_done(bench):
    """Where no drop wants receipts nothing is kept; a ledger that refuses that is told of, and no
    longer than it refuses.
    """
    bench.put("study/1", 1)
    bench.file("study/1")
    handings, clock = Handings(bench.parts, []), bench.parts.clock
    with bench.parts.ledger.write() as tx:
        tx.exec_driver_sql("PRAGMA busy_timeout=0")
    other = sqlite3.connect(f"{bench.parts.storage.stores.state}/{NAME}", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    await handings.finish()
    met = bench.parts.failing.open(clock.monotonic())
    assert ["state"] == [each.store for each in met.values()]
    other.execute("ROLLBACK")
    other.close()
    await handings.finish()
    assert {} == bench.parts.failing.open(clock.monotonic())
    assert {} == ReceiptIndex(bench.parts.ledger).of("mri")


class TestListed:
    """What DICOMDIRs list of a dropped thing."""

    @pytest.fixture(autouse=True)
    def _listed(self, bench):
        """A list of three files, one of another study, of which one is filed."""
        studies = {"1.2.3": {"1.2.3.1": dict.fromkeys(("1.2.3.9.1", "1.2.3.9.2"), "IM\\A")}}
        studies |= {"1.2.4": {"1.2.4.1": {"1.2.4.9.3": "IM\\C"}}}
        os.makedirs(bench.path("study"))
        Path(bench.path("study/DICOMDIR")).write_bytes(medium(studies))
        self.take(bench, "study/DICOMDIR")
        bench.put("study/IM/A", 1)
        (outcome,) = bench.file("study/IM/A")
        build(bench.parts, outcome.session, Event.IDLE)
        self.session = outcome.session

    def take(self, bench, name):
        found = reply_to({"root": bench.drop.path, "path": name})["listed"]
        files = [
            Listed(study, series, sop, tuple(file))
            for study, some in found.items()
            for series, each in some.items()
            for sop, file in each
        ]
        seen = Fingerprint(1, 2, 3, 4, 5)
        Lists(bench.parts.ledger).keep(bench.drop.name, os.fsencode(name), seen, files)

    def test_not_all_is_here(self, bench):
        """Files that have not come are told, before and after the others are archived."""
        absent = "2 files listed in DICOMDIR have not come"
        assert f"still arriving: {absent}" == told(bench)
        archive(bench.parts, self.session)
        assert f"{absent}: copy them" == told(bench)
        found = receipt(bench)
        assert (2, ["study/IM/A", "study/IM/C"]) == (found["listed_missing"], found["missing"])

    def test_until_they_come(self, bench):
        """Filed, of whatever study, they have come; archived, too."""
        bench.put("study/IM/B", 2)
        bench.put("study/IM/C", 3, study="1.2.4", patient_id="another")
        filed = {each.session for each in bench.file("study/IM/B", "study/IM/C")}
        assert "still arriving" not in told(bench)
        for each in sorted({self.session, *filed}):
            build(bench.parts, each, Event.IDLE)
            archive(bench.parts, each)
        assert "all here, nothing left to do" == told(bench)

    def test_of_this_thing_only(self, bench):
        """What another dropped thing lacks is not told of this one."""
        bench.put("other/1", 5, study="1.2.5")
        (outcome,) = bench.file("other/1")
        build(bench.parts, outcome.session, Event.IDLE)
        archive(bench.parts, outcome.session)
        assert "all here, nothing left to do" == told(bench, name="other")

    def test_a_list_at_the_top(self, bench):
        """A DICOMDIR beside its folder tells what that folder lacks, in whatever case it came."""
        bench.put("images/1", 7, study="1.2.7")
        (outcome,) = bench.file("images/1")
        build(bench.parts, outcome.session, Event.IDLE)
        archive(bench.parts, outcome.session)
        listed = {"1.2.7": {"1.2.7.1": {"1.2.7.9.7": "IMAGES\\1", "1.2.7.9.8": "IMAGES\\2"}}}
        Path(bench.path("DICOMDIR")).write_bytes(medium(listed))
        self.take(bench, "DICOMDIR")
        assert "1 file listed in DICOMDIR has not come: copy it" == told(bench, name="images")

    def test_nothing_follows_from_a_store_that_is_away(self, bench):
        """Where the archive can't be asked, nothing is said to be missing."""
        os.rename(bench.parts.storage.path("archive"), f"{bench.parts.storage.path('archive')}-")
        assert "listed" not in told(bench)
