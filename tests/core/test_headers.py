"""Headers of many files, that share what is the same in them."""

from hypothesis import given
from hypothesis import strategies as st

from watcher.core.file import Header, Headers
from watcher.core.session import Place

_SAID = st.dictionaries(
    st.sampled_from(["00080018", "00100010", "00200013", "0020000e"]),
    st.text(min_size=1, max_size=12),
)


def plain(said):
    return Header({int(tag, 16): text for tag, text in said.items()})


@given(st.lists(st.tuples(st.sampled_from("ab"), _SAID)))
def test_each_says_what_it_said(files):
    """Whatever the others of its series say, or lack."""
    headers = Headers()
    for (_, said), header in [(each, headers.header(*each)) for each in files]:
        expected = plain(said)
        assert expected == header
        assert expected.values == dict(header.values.items())
        assert len(expected.values) == len(header.values)
        for keyword in ("SOPInstanceUID", "PatientName", "InstanceNumber", "StudyDate"):
            assert expected[keyword] == header[keyword]


def test_what_one_lacks_it_has_not():
    """Neither by name nor with a default of the asker's."""
    headers = Headers()
    headers.header("1", {"00100010": "DOE"})
    values = headers.header("1", {"00200013": "1"}).values
    assert (None, "x", False) == (values.get(0x00100010), values.get(0x00100010, "x"), 3 in values)
    assert ["1"] == list(values.values())


def test_what_is_alike_is_kept_once():
    """The texts of the first of a series, and numbers that any file has."""
    headers = Headers()
    name, uid = "D" * 40, "1.2.3.4.5.6.7.8.9"
    one, other = (
        headers.header(
            "1", {"00100010": f"{name}", "00200013": number, "00080018": f"{uid}{number}"}
        )
        for number in ("1", "2")
    )
    again = headers.header("2", {"00200013": "0"}), headers.header("2", {"00200013": str(1 + 1)})
    assert one["PatientName"] is other["PatientName"]
    assert other["InstanceNumber"] is again[1]["InstanceNumber"]


def test_a_place_of_a_path():
    """The path it has, and no other, is read back."""
    place = Place("4-MR1", "secondary", "a.dcm")
    assert place == Place.of(place.path)
    for path in ("SCANS/1/DICOM", "SCANS/1/OTHER/a.dcm", "SCANS/1/DICOM/a/b", "X/1/DICOM/a", ""):
        assert Place.of(path) is None
