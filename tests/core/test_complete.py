"""How people are told of what seems missing."""

from dataclasses import replace

from filed import made

from watcher.core import complete
from watcher.core.archived import ArchivedResource, ArchivedScan, Entry
from watcher.core.scans import arrange


def scans(**numbers):
    """A scan for each series: `s7=(1, 2, 4)` has ID 7 and these InstanceNumbers."""
    images = [
        made(f"1.{name[1:]}.{n}", series=f"1.{name[1:]}", number=name[1:], InstanceNumber=f"{n}")
        for name, held in numbers.items()
        for n in held
    ]
    return arrange(images, known={})


def archived(*numbers):
    entries = tuple(Entry(f"{n}.dcm", f"9.{n}", "d", 1, "", n) for n in numbers)
    held = (ArchivedResource("DICOM", "c.xml", entries),)
    return ArchivedScan("7", "1.7", "xnat:mrScanData", "MR", held)


def test_a_gap():
    """One for each scan that seems to lack something, with the reason and the numbers."""
    (gap,) = complete.look(scans(s7=(1, 2, 3, 5, 6, 10), s8=(1, 2)))[0]
    expected = complete.Gap(
        *("7", "1.7", ("InstanceNumber",), 4, 10),
        "InstanceNumber 4, 7-9 (10 files expected)",
    )
    assert expected == gap


def test_several_reasons_are_one_gap():
    """All that suggests it stands in one text."""
    images = [made("1.1", InstanceNumber="2", ImagesInAcquisition="3")]
    (gap,) = complete.look(arrange(images, known={}))[0]
    assert ("InstanceNumber", "ImagesInAcquisition") == gap.reasons
    expected = "InstanceNumber 1, 3; ImagesInAcquisition 3, 1 there (3 files expected)"
    assert expected == gap.text


def test_expected():
    """The number of files in all; None where nothing says."""
    whole, holed = scans(s7=(1, 2, 3), s8=(1, 2, 4))
    assert (None, 4) == (complete.expected(whole), complete.expected(holed))
    declared = arrange([made("1.1", ImagesInAcquisition="1")], known={})[0]
    assert 1 == complete.expected(declared)


def test_one_sentence_for_all():
    """It names the scans, five at most."""
    gaps = complete.look(scans(s7=(1, 3)))[0]
    expected = "Images seem to be missing in scan 7: InstanceNumber 2 (3 files expected)"
    assert expected == complete.text(gaps)
    many = [replace(gaps[0], scan=f"{n}") for n in range(8)]
    told = complete.text(many)
    assert (5, True) == (told.count("InstanceNumber"), told.endswith("; 3 more"))


def test_notes():
    """Of a scan with a gap what is missing; of a whole one nothing, so that an old note goes."""
    notes = complete.look(scans(s7=(1, 2, 4), s8=(1, 2)))[1]
    expected = {"7": "Maybe incomplete: InstanceNumber 3 (4 files expected)", "8": ""}
    assert expected == notes
    assert {"7": ""} == complete.look(scans(s7=(1, 2, 4)), {"7": archived(3)})[1]


def test_no_note_where_it_cannot_be_told():
    """A scan of which the catalog tells too little keeps the note it has."""
    assert {} == complete.look(scans(s7=(4,)), {"7": archived(1, 1, 2)})[1]


def test_a_note_is_read_back():
    """Ours tells what is missing and how many are expected; a person's tells nothing."""
    words = complete.look(scans(s7=(1, 2, 4)))[1]["7"]
    missing = complete.noted(words)
    assert "InstanceNumber 3 (4 files expected)" == missing
    assert 4 == complete.expected_in(missing)
    assert "" == complete.noted("see the radiologist")
    assert complete.expected_in("") is None
