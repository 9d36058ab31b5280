"""Our folder in a drop: what others put there is theirs, what we put there goes, and no more."""

import os
import sys
from dataclasses import replace

import pytest
from mortal import mode
from receipted import at_noon, names, receipt, told, waits

from watcher.core.file import Refusal, RefusalCode
from watcher.core.life import Event
from watcher.core.receipt import Pending
from watcher.io import receipts
from watcher.io.receipt_index import ReceiptIndex
from watcher.stages.archive import archive
from watcher.stages.handing import Handing, Handings
from watcher.stages.quarantine import put_aside
from watcher.stages.rebuild import build
from watcher.stages.receipts import CHECK, STEP, Receipts

DAY = 86400.0
DONE = "all here, nothing left to do"


@pytest.fixture
def bench(bench):
    return at_noon(bench)


def archived(bench, name, **values):
    """One study that came and is archived."""
    bench.put(name, 1, **values)
    (outcome,) = bench.file(name)
    build(bench.parts, outcome.session, Event.IDLE)
    archive(bench.parts, outcome.session)
    return outcome.session


def aside(bench, name):
    """A file that is no DICOM, set aside: its receipt is settled at once."""
    bench.put(name, 1)
    plain = Refusal(RefusalCode.NOT_DICOM, "It is no DICOM.")
    put_aside(bench.parts, bench.drop, bench.candidate(name), plain)


@pytest.mark.parametrize("theirs", ["study.txt", "study.json", "STUDY.txt"])
def test_what_somebody_put_there_is_never_written_over(bench, theirs):
    """A folder RECEIPTS of a sender's own: their file stays, ours has another name; it ages out
    alone.
    """
    os.mkdir(bench.path("RECEIPTS"))
    with open(bench.path(f"RECEIPTS/{theirs}"), "w") as file:
        file.write("paid")
    keeper = Receipts(bench.parts, bench.drop, keep=1.0)
    aside(bench, "study/1")
    assert 1 == keeper.write(Pending(), None)
    assert 3 == len(names(bench))
    bench.parts.clock.ahead += CHECK + 2
    assert 1 == keeper.write(Pending(), None)
    with open(bench.path(f"RECEIPTS/{theirs}")) as file:
        assert ([theirs], "paid") == (names(bench), file.read())


def test_who_wants_the_folder_closer_may_have_it(bench):
    """It is made for everybody to read; what an administrator made of that stays."""
    keeper = Receipts(bench.parts, bench.drop)
    told(bench, waits(bench, "study/1"), keeper=keeper)
    os.chmod(bench.path("RECEIPTS"), 0o750)
    told(bench, waits(bench, "study/1"), waits(bench, "study/2"), keeper=keeper)
    assert (2, 0o750) == (
        receipt(bench)["pending"],
        os.stat(bench.path("RECEIPTS")).st_mode & 0o777,
    )


def test_what_a_crash_left_half_written_goes(bench):
    """Also where the next that is done there is to remove a receipt, or the empty folder."""
    keeper = Receipts(bench.parts, bench.drop)
    told(bench, waits(bench, "study/1"), keeper=keeper)
    with open(bench.path(f"RECEIPTS/{receipts.TEMP}"), "w") as file:
        file.write("half")
    told(bench, waits(bench, "study/1"), waits(bench, "study/2"), keeper=keeper)
    assert ["study.json", "study.txt"] == names(bench)
    with open(bench.path(f"RECEIPTS/{receipts.TEMP}"), "w") as file:
        file.write("half")
    keeper.write(Pending(), None)
    assert [] == names(bench)


def test_it_ages_from_its_last_word(bench):
    """A conflict that was settled after forty days: its sender has thirty days to read that."""
    keeper = Receipts(bench.parts, bench.drop, keep=30 * DAY)
    archived(bench, "study/1")
    bench.parts.clock.ahead += 40 * DAY
    assert DONE == told(bench, keeper=keeper)
    bench.parts.clock.ahead += 29 * DAY
    keeper.write(Pending(), None)
    assert ["study.json", "study.txt"] == names(bench)
    bench.parts.clock.ahead += 1 * DAY + CHECK
    keeper.write(Pending(), None)
    assert not os.path.exists(bench.path("RECEIPTS"))


def test_what_comes_while_one_is_removed_is_counted(bench):
    """A receipt of which nothing was known any more, and then something came."""
    index = ReceiptIndex(bench.parts.ledger)
    index.want("mri", [b"study"], 1.0)
    (known,) = index.open("mri")
    bench.put("study/1", 1)
    bench.file("study/1")
    index.forget("mri", [known])
    ((arrival,),) = index.of("mri").values()
    assert 1 == arrival.filed
    index.forget("mri", index.open("mri"))
    assert ([], {}) == (index.open("mri"), index.of("mri"))


def test_all_that_changed_is_written_in_one_go(bench):
    """However many: nobody waits for the next."""
    many = [waits(bench, f"study{number}/1") for number in range(STEP + 1)]
    assert STEP + 1 == Receipts(bench.parts, bench.drop).write(Pending(many), None)
    assert 2 * (STEP + 1) == len(names(bench))


def test_the_work_grows_with_the_number_and_no_faster(bench):
    """Six times as many receipts cost six times as many steps: naming, writing, removing."""

    def steps(number, keeper):
        """Calls of functions, ours or another's; of one thread, whatever the machine does."""
        counted = [0]

        def count(_frame, event, _given):
            counted[0] += event == "call"

        many = [waits(bench, f"{number}-{each}/1") for each in range(2 * number)]
        before = sys.getprofile()
        sys.setprofile(count)
        try:
            keeper.write(Pending(many[:number]), None)
            keeper.write(Pending(many), None)
            keeper.write(Pending(), None)
        finally:
            sys.setprofile(before)
        return counted[0]

    numbers = (10, 50, 300)  # the first fills what is compiled once
    _, few, many = (steps(number, Receipts(bench.parts, bench.drop)) for number in numbers)
    assert [] == names(bench)
    assert many < 7 * few


def test_files_left_for_a_later_look_are_still_arriving(bench):
    """Where too much lies in a drop at once, a folder is not all here before all was seen."""
    archived(bench, "study/1")
    keeper = Receipts(bench.parts, bench.drop)
    keeper.write(Pending(later={b"study/deep", b""}), None)
    assert "still arriving" == receipt(bench)["status"]
    with open(bench.path("RECEIPTS/study.txt")) as file:
        assert "Lying in the drop, not taken yet: 0 files and more\n" in file.readlines()
    assert DONE == told(bench, keeper=keeper)


def test_a_folder_that_cannot_be_read_is_told(bench):
    """What lies there is not known: it is not all here, and its sender is not left to guess."""
    keeper = Receipts(bench.parts, bench.drop)
    keeper.write(Pending(closed=[b"study/locked"]), None)
    said = receipt(bench)
    assert ("1 folder can't be read: tell the desk", 1) == (
        said["status"],
        said["folders_not_read"],
    )
    assert [{"path": "study/locked", "why": "This folder can't be read."}] == said["waiting"]


def test_an_end_of_the_program_proves_nothing(bench):
    """What was refused is said to be over once it is done, not where it was not tried."""
    bench.put("study/1", 1)
    bench.file("study/1")
    keeper = Receipts(bench.parts, bench.drop)
    with mode(bench.drop.path, 0o555):
        keeper.write(Pending(), None)
    bench.parts.stopping.set()
    keeper.write(Pending(), None)
    assert (1, []) == (len(bench.events("drop.readonly")), bench.events("drop.writable"))


async def test_of_a_drop_that_wants_none_nothing_is_refused(bench):
    """`receipts = false` ends what was said of them; should it be true again, they go on."""
    keeper = Receipts(bench.parts, bench.drop)
    aside(bench, "study/1")
    keeper.write(Pending(), None)
    with mode(bench.path("RECEIPTS"), 0o555):
        keeper.write(Pending([waits(bench, "other/1")]), None)
    assert 1 == len(bench.events("drop.readonly"))
    await Handings(bench.parts, []).finish()
    assert 1 == len(bench.events("drop.writable"))
    Receipts(bench.parts, bench.drop, keep=1.0).write(Pending(), None)
    bench.parts.clock.ahead += CHECK + 2
    Receipts(bench.parts, bench.drop, keep=1.0).write(Pending(), None)
    assert [] == names(bench)


async def test_at_the_end_of_a_run_every_drop_has_its_own(bench, tmp_path):
    """One drop after the other or at once: what one refuses is not the other's."""
    other = replace(bench.drop, name="ct", path=str(tmp_path / "ct"))
    os.mkdir(other.path)
    bench.put("study/1", 1)
    bench.file("study/1")
    each = []
    for drop in (bench.drop, other):
        intake = replace(bench, drop=drop).intake(None)
        await intake.looker.look_fully()
        each.append(Handing(intake, Receipts(bench.parts, drop)))
    await Handings(bench.parts, each).finish()
    assert ["study.json", "study.txt"] == names(bench)
    assert [] == os.listdir(other.path)
