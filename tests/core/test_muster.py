"""What the answers on a unit's members come to."""

import pytest

from watcher.core.errors import StorageError
from watcher.core.file import Refusal, RefusalCode
from watcher.core.muster import REASONS, WAITING, Muster, Part, part_of
from watcher.core.unit import Reason


def told(code):
    return Refusal(RefusalCode(code), f"It is {code}.")


@pytest.mark.parametrize("strict", [False, True])
def test_each_code_has_its_part(strict):
    """What is not whole waits; what has no UIDs is refused; only DICOM is filed (spec 7)."""
    found = {code.value: part_of(told(code), strict=strict) for code in RefusalCode}
    refused = ("missing-uid", "bad-uid", "unreadable", "crashed-reader", "archive-file")
    assert {Part.WAITS} == {found[code] for code in WAITING}
    assert {Part.REFUSED} == {found[code] for code in refused}
    assert Part.LIST is found["dicomdir"]
    assert (Part.REFUSED if strict else Part.STRAY) is found["not-dicom"]
    assert Part.INSTANCE is part_of(None, strict=strict)


def test_whole_instances_and_strays_go():
    """A unit without a fault goes; its parts are counted."""
    muster = Muster(strict=False)
    answers = {b"a": None, b"b": None, b"n.txt": told("not-dicom"), b"DICOMDIR": told("dicomdir")}
    for path, answer in answers.items():
        muster.take(path, b"u/" + path, answer)
    assert "goes" == muster.verdict
    assert {Part.INSTANCE: 2, Part.STRAY: 1, Part.LIST: 1} == muster.counts


def test_what_waits_is_not_judged_yet():
    """One member that is not whole lets the unit wait, whatever the others are."""
    muster = Muster(strict=True)
    muster.take(b"a", b"u/a", told("missing-uid"))
    assert "refused" == muster.verdict
    muster.take(b"b", b"u/b", told("torn"))
    assert "waits" == muster.verdict
    assert {b"u/b": told("torn")} == muster.held


def test_a_fault_of_the_machine_waits():
    """What the machine failed on is no fault of the unit's."""
    muster = Muster(strict=False)
    error = StorageError("no", number=5)
    assert Part.WAITS is muster.fail(b"u/a", error)
    muster.fail(b"u/a", StorageError("again", number=5))
    assert ("waits", {b"u/a": error}) == (muster.verdict, muster.errors)


def test_of_one_source_the_first_member_that_waits_is_told():
    """All members of an archive have one source: it is said once why that waits."""
    muster = Muster(strict=False)
    for code in ("torn", "empty"):
        muster.take(code.encode(), b"x.zip", told(code))
    assert {b"x.zip": told("torn")} == muster.held


def test_every_reason_is_listed_up_to_a_bound():
    """A refused unit has the list of its reasons, by member; it does not grow without end."""
    muster = Muster(strict=False)
    for number in range(REASONS + 5):
        muster.take(b"%d" % number, b"u/%d" % number, told("bad-uid"))
    assert REASONS == len(muster.reasons)
    assert Reason(RefusalCode.BAD_UID, b"0", "It is bad-uid.") == muster.reasons[0]
