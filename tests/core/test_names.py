"""Names follow XNAT, are never a path, and never make one of two."""

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.core import names
from watcher.core.file import Header
from watcher.core.tags import TAGS


def header(**values):
    return Header({TAGS[word]: value for word, value in values.items()})


def instance(study, series, number, sop_class, sop):
    return header(
        StudyInstanceUID=study,
        SeriesNumber=series,
        InstanceNumber=number,
        SOPClassUID=sop_class,
        SOPInstanceUID=sop,
    )


TEXT = st.text() | st.text(alphabet=st.sampled_from("aAzZ09_-. /\\^é\udcfc"), max_size=80)


@pytest.mark.parametrize(
    ("expected", "given_header"),
    [
        (
            "1.2.3-4-5-14o7axy.dcm",
            instance("1.2.3", "4", "5", "1.2.840.10008.5.1.4.1.1.4", "1.2.3.4.5"),
        ),
        (
            "1.2.840.113654.2.45.2.108105-3-17-2y4zpv.dcm",
            instance(
                "1.2.840.113654.2.45.2.108105",
                "3",
                "17",
                "1.2.840.10008.5.1.4.1.1.2",
                "1.2.840.113654.2.45.2.108106",
            ),
        ),
    ],
)
def test_file_name_is_xnats(expected, given_header):
    """An instance is called as XNAT's template calls it, byte for byte."""
    assert expected == names.file_name(given_header)


def test_file_name_says_what_is_missing():
    """A missing or blank attribute stands as XNAT's `no-value-for-<Keyword>`."""
    expected = "1.2-no-value-for-SeriesNumber-no-value-for-InstanceNumber-"
    assert names.file_name(header(StudyInstanceUID="1.2", SeriesNumber=" ")).startswith(expected)


def test_file_name_takes_nothing_that_is_no_name():
    """Slashes and the like become `_`; leading dots go."""
    name = names.file_name(instance("../../etc", "4\\5", "ä", "1", "2"))
    assert re.fullmatch(r"_\.\._etc-4_5-_-[0-9a-z]+\.dcm", name)


def test_file_name_hashes_utf16_units():
    """Java hashes UTF-16 units: a character beyond the BMP counts as two."""
    pair = names._java_list_hash("\U0001f600", "")
    units = 31 * 0xD83D + 0xDE00
    assert (31 * (31 + units)) & 0xFFFFFFFF == pair


def test_base36_of_small_numbers():
    """One digit below 36, two from then on, lower case."""
    assert [names._base36(number) for number in (0, 35, 36)] == ["0", "z", "10"]


@given(TEXT, TEXT, TEXT, TEXT)
def test_file_name_is_always_one_short_name(study, series, number, sop):
    """Whatever the header says: one ASCII name of at most 255 bytes with the hash at its end."""
    name = names.file_name(instance(study * 9, series, number * 9, "1.2", sop))
    assert re.fullmatch(r"[\w.-]*-[0-9a-z]{1,7}\.dcm", name, re.ASCII)
    assert not name.startswith(".")
    assert len(name.encode()) <= 255


def test_suffixed():
    """Other content under a taken name gets eight digits of its digest, within 255 bytes."""
    assert names.suffixed("a-1-2-x.dcm", "0123abcdef") == "a-1-2-x-0123abcd.dcm"
    long = names.suffixed("a" * 251 + ".dcm", "0123abcdef")
    assert (len(long), long.endswith("a-0123abcd.dcm")) == (255, True)


@pytest.mark.parametrize(
    ("expected", "raw"),
    [
        ("DOE_JOHN", "DOE^JOHN"),
        ("S001_MR1", "S001_MR1"),
        ("a-b_c", "a-b c"),
        ("___", "^^^"),
        ("_", ""),
        ("__", ".."),
        ("x" * 64, "x" * 64),
    ],
)
def test_label_without_a_mark(expected, raw):
    """What holds no foreign letter and fits keeps XNAT's plain label."""
    assert expected == names.label(raw)


@pytest.mark.parametrize(
    ("start", "raw"),
    [
        ("M_ller-", "Müller"),
        ("Mu_ller-", "Mu\u0308ller"),
        ("M_ller-", "M\udcfcller"),
        ("__-", "山田"),
        ("_-", "²"),
        ("x" * 57 + "-", "x" * 65),
    ],
)
def test_label_with_a_mark(start, raw):
    """Where a letter was lost or the label cut, six hex digits tell it from its like."""
    text = names.label(raw)
    assert re.fullmatch(re.escape(start) + "[0-9a-f]{6}", text)


def test_label_tells_lost_letters_apart():
    """Two names that differ in a lost letter do not become one label."""
    assert len({names.label(raw) for raw in ("Müller", "Möller", "M_ller")}) == 3


def test_label_minds_case():
    """A label that differs from a taken one only in case is marked; its own text is itself."""
    assert names.label("Smith", {"Smith", "smith"}) == "Smith"
    assert names.label("Smith", ["Jones"]) == "Smith"
    assert re.fullmatch("Smith-[0-9a-f]{6}", names.label("Smith", {"SMITH"}))


@given(TEXT, st.lists(TEXT, max_size=3))
def test_label_is_never_a_path(raw, taken):
    """Any text gives 1 to 64 characters of XNAT's alphabet, and a label is its own label."""
    text = names.label(raw, taken)
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", text)
    assert text == names.label(text)


@given(st.lists(TEXT, min_size=2, max_size=6, unique=True))
def test_labels_taken_in_turn_differ_by_more_than_case(raws):
    """Labels given in turn are equal or differ in more than case."""
    taken = []
    for raw in raws:
        taken.append(names.label(raw, taken))
    assert len({text.lower() for text in taken}) == len(set(taken))


@pytest.mark.parametrize(
    ("expected", "number", "series"),
    [
        ("7", "7", "1.2"),
        ("-1", "-1", "1.2"),
        ("1.2", "1.2", "9"),
        ("1_2", ".5", "1.2"),
        ("1_2", "", "1.2"),
        ("1_2", "1/2", "1.2"),
        ("1_2", "9" * 65, "1.2"),
        ("1_2", "٣", "1.2"),
        ("1_2", "7\n", "1.2"),
        ("NA", "", ""),
    ],
)
def test_scan_folder(expected, number, series):
    """A scan's folder is its number where that is a plain name, else its series UID."""
    assert expected == names.scan_folder(header(SeriesNumber=number, SeriesInstanceUID=series))


def test_catalog_name():
    """Catalogs are called as XNAT's builder calls them."""
    assert names.catalog_name("7", "DICOM") == "scan_7_catalog.xml"
    assert names.catalog_name("7", "secondary") == "scan_7_secondary_catalog.xml"
    assert names.catalog_path("7", "secondary") == "SCANS/7/secondary/scan_7_secondary_catalog.xml"


def test_experiment_id():
    """`W_E` and twelve hex of SHA-256; the parts can't be confused."""
    assert names.experiment_id("PROJ1", "S001_MR1") == "W_Ea7f61e10b024"
    assert names.experiment_id("A", "B_C") != names.experiment_id("A_B", "C")


def test_timestamp():
    """Milliseconds, cut and padded, as XNAT's `yyyyMMdd_HHmmssSSS`."""
    moment = datetime(2026, 6, 19, 9, 14, 25, 7999, tzinfo=UTC)
    assert names.timestamp(moment) == "20260619_091425007"


def test_next_timestamp_carries():
    """One millisecond after the last of a year is the first of the next."""
    assert names.next_timestamp("20261231_235959999") == "20270101_000000000"


@given(st.datetimes(min_value=datetime(1000, 1, 1), max_value=datetime(9999, 1, 1)))  # noqa: DTZ001  text only
def test_next_timestamp_grows(moment):
    """The next one is later and of the same shape, so that a search for a free one ends."""
    text = names.timestamp(moment)
    later = names.next_timestamp(text)
    assert text < later
    assert names.is_timestamp(later)


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        (True, "20240619_091425123"),
        (True, "20240619_091425"),
        (False, "20240619_0914251"),
        (False, "x20240619_091425123"),
        (False, "20240619_091425123\n"),
        (False, "٢٠٢٤٠٦١٩_091425"),
    ],
)
def test_is_timestamp(expected, text):
    """XNAT's two shapes and nothing else."""
    assert expected == names.is_timestamp(text)


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        (True, "20260619_091425123"),
        (True, "20260619_091425"),
        (True, "20240229_235959999"),
        (False, "20260229_091425123"),
        (False, "20261319_091425"),
        (False, "20260619_241425"),
        (False, "20260619_0914251"),
        (False, "monday"),
    ],
)
def test_is_moment(expected, text):
    """A session id that a person names has the shape of one, and is a day and time there is."""
    assert expected == names.is_moment(text)
