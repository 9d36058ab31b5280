"""What a DICOMDIR lists, as pydicom and the files themselves say; and hostile ones."""

import random
import warnings
from pathlib import Path

import media
import pydicom
import pytest

from watcher.core.listed import Listed
from watcher.dicom import dicomdir

SAMPLES = Path(pydicom.__file__).parent / "data" / "test_files" / "dicomdirtests"
LISTS = sorted(path for path in SAMPLES.rglob("DICOMDIR*") if "empty" not in path.name)
ONE = Listed("1.2", "1.2.1", "1.2.1.1", ("DICOM", "IM1"))


def read(data):
    """What a DICOMDIR in memory lists."""
    return dicomdir.read(lambda at, count: bytes(data[at : at + count]), len(data))


def one_file(**changes):
    """The records of one file, its own changed."""
    return [
        media.record("PATIENT"),
        media.record("STUDY", study="1.2"),
        media.record("SERIES", series="1.2.1"),
        media.record(**{"sop": "1.2.1.1", "file": "DICOM\\IM1", **changes}),
    ]


@pytest.mark.parametrize("path", LISTS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_real_media(path):
    """Every layout of records gives the files pydicom finds, each with the UIDs it has itself."""
    found = read(path.read_bytes())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        records = pydicom.dcmread(path).DirectoryRecordSequence
    images = [each for each in records if "ReferencedFileID" in each]
    expected = {(each.ReferencedSOPInstanceUIDInFile, *each.ReferencedFileID) for each in images}
    assert expected == {(each.sop, *each.file) for each in found}
    there = [each for each in found if path.parent.joinpath(*each.file).is_file()]
    for each in there:
        data = pydicom.dcmread(path.parent.joinpath(*each.file), stop_before_pixels=True)
        uids = (data.StudyInstanceUID, data.SeriesInstanceUID, data.SOPInstanceUID)
        assert uids == (each.study, each.series, each.sop)
    assert len(there) > 20


def test_an_empty_medium():
    """A DICOMDIR without records lists nothing, and is one."""
    assert [] == read((SAMPLES / "DICOMDIR-empty.dcm").read_bytes())


@pytest.mark.parametrize("open_end", [False, True])
def test_lengths(open_end):
    """Sequence and items may say their length, or end with a delimiter."""
    assert [ONE] == read(media.dicomdir(one_file(), open_end=open_end))


def test_offsets_decide():
    """Records stand in any order: the offsets say what is below what."""
    lists = [media.record("SERIES", series="1.2.1"), media.record("STUDY", study="1.2")]
    image = media.record(sop="1.2.1.1", file="DICOM\\IM1")
    other = media.record("STUDY", study="9.9")
    start = len(media.dicomdir([]))
    at = [start]
    for each in (image, other, *lists):
        at.append(at[-1] + len(media.item(each)))
    lists = [
        media.record("SERIES", series="1.2.1", lower=at[0]),
        media.record("STUDY", study="1.2", lower=at[2]),
    ]
    assert [ONE] == read(media.dicomdir([image, other, *lists]))


def test_offsets_that_lead_in_circles():
    """Hostile offsets end: each record is met once, and what has no study is left out."""
    start = len(media.dicomdir([]))
    size = len(media.item(media.record(sop="1.2.1.1", file="A")))
    names = "ABC"
    records = [
        media.record(sop=f"1.{n}", file=names[n], following=start, lower=start + (n + 1) % 3 * size)
        for n in range(3)
    ]
    assert [] == read(media.dicomdir(records))


@pytest.mark.parametrize(
    "changes",
    [
        {"used": 0},
        {"file": ""},
        {"file": "..\\..\\etc\\passwd"},
        {"file": "A\\..\\..\\B"},
        {"file": "A\0B"},
        {"file": "A" * 1500},
        {"sop": ""},
        {"sop": "1.2.x"},
        {"sop": "1" * 65},
    ],
    ids=str,
)
def test_left_out(changes):
    """Inactive records, and those without a file inside or a sound UID, list nothing."""
    assert [] == read(media.dicomdir(one_file(**changes)))


@pytest.mark.parametrize("records", [one_file()[2:], [*one_file()[:2], one_file()[3]]])
def test_no_study_or_series_above(records):
    """A file of no known study or series is not awaited by any session."""
    assert [] == read(media.dicomdir(records))


def test_a_leading_separator():
    """Some writers begin a file ID with a separator: it still lies below the DICOMDIR."""
    assert [ONE] == read(media.dicomdir(one_file(file="\\DICOM\\IM1")))


@pytest.mark.parametrize("open_end", [False, True])
def test_every_cut(open_end):
    """A DICOMDIR that is not whole is no list: half of it would miss nothing."""
    data = media.dicomdir(one_file(), open_end=open_end)
    assert [None] * len(data) == [read(data[:count]) for count in range(len(data))]


def test_mutated():
    """No bytes raise anything, and what is listed never leads outside."""
    data = (SAMPLES / "DICOMDIR").read_bytes()
    dice = random.Random(5)
    for _ in range(150):
        mutant = bytearray(data)
        for _ in range(dice.randrange(1, 6)):
            mutant[dice.randrange(len(mutant))] = dice.randrange(256)
        for each in read(mutant) or ():
            assert {"", ".", ".."}.isdisjoint(each.file)


def test_too_many_records(monkeypatch):
    """A list without end is refused, within its limit; one of as many as that is read."""
    monkeypatch.setattr(dicomdir, "RECORDS", 1000)
    head = media.dicomdir([])[:-4]
    for number, expected in ((1000, []), (1001, None)):
        many = media.item(b"") * number
        assert expected == read(head + len(many).to_bytes(4, "little") + many)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no DICOM at all",
        media.dicomdir(one_file(), syntax="1.2.840.10008.1.2.1.99"),
        media.dicomdir([])[:-12],
        media.dicomdir([])[:-4] + (8).to_bytes(4, "little") + media.element(8, 8, "CS", "")[:8],
    ],
    ids=["empty", "text", "deflated", "no records", "no item"],
)
def test_no_list(data):
    """Whatever has no directory records, or has them deflated, is no list."""
    assert read(data) is None
