"""What a header says, against pydicom's own reading; and the verdict on a walked file."""

import logging
import struct
from encodings.aliases import aliases
from pathlib import Path

import makers
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.data import get_charset_files
from pydicom.multival import MultiValue

from watcher.core.file import Header, Refusal, RefusalCode
from watcher.core.tags import TAGS
from watcher.dicom.header import header_of, judge
from watcher.dicom.structure import Raw, Walk, walk

WANTED = frozenset(TAGS.values())
CHARSETS = sorted(map(Path, get_charset_files("*.dcm")))


def read(path):
    data = Path(path).read_bytes()
    walked = walk(data, len(data), WANTED)
    return walked, *header_of(walked)


def said(**raws):
    """The header of raw (VR, bytes) by keyword, under explicit little endian."""
    raw = {TAGS[keyword]: Raw(*pair) for keyword, pair in raws.items()}
    return header_of(Walk(is_dicom=True, raw=raw, implicit=False))


def as_text(value):
    """Pydicom's value as header_of gives it."""
    if isinstance(value, MultiValue):
        return "\\".join(as_text(each) for each in value)
    if hasattr(value, "original_string") and not isinstance(value, pydicom.valuerep.PersonName):
        return value.original_string.strip()
    return str(value if value is not None else "").strip()


@pytest.mark.parametrize("path", CHARSETS, ids=lambda path: path.stem)
def test_character_sets(path):
    """A patient's name is what pydicom reads, in every character set it has a sample of."""
    expected = str(pydicom.dcmread(path).get("PatientName", ""))
    _walked, header, unread = read(path)
    assert header["PatientName"] == expected
    assert unread == ()


def test_character_set_samples_are_there():
    """The samples compared above are not nothing."""
    assert len(CHARSETS) > 15


# badVR.dcm has an IS of "1A", which pydicom refuses and we give as it stands.
SAMPLES = [path for path in makers.pydicom_samples() if path.name != "badVR.dcm"]


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_samples(path):
    """Every attribute of core.tags is what pydicom reads."""
    dataset = pydicom.dcmread(path)
    expected = {tag: as_text(dataset[tag].value) for tag in WANTED if tag in dataset}
    _walked, header, unread = read(path)
    assert unread == ()
    wanted = {tag: header.values.get(tag, "") for tag in expected}
    assert wanted == expected


@pytest.mark.parametrize(
    ("vr", "raw", "text"),
    [
        ("US", struct.pack("<H", 512), "512"),
        ("SS", struct.pack("<h", -3), "-3"),
        ("US", struct.pack("<HH", 1, 2), "1\\2"),
        ("UL", struct.pack("<I", 2**32 - 1), "4294967295"),
        ("FD", struct.pack("<d", 0.1), "0.1"),
        ("FD", struct.pack("<d", 3.0), "3"),
        ("FD", struct.pack("<d", 1e-7), "0.0000001"),
        ("FD", struct.pack("<d", 1e22), "10000000000000000000000"),
        ("FL", struct.pack("<f", 1.5), "1.5"),
        ("FD", struct.pack("<d", float("nan")), "NaN"),
    ],
)
def test_numbers(vr, raw, text):
    """Binary numbers are plain decimal text, several joined by a backslash."""
    assert said(MagneticFieldStrength=(vr, raw))[0]["MagneticFieldStrength"] == text


def test_big_endian_numbers():
    """Numbers follow the byte order of the data set."""
    walked = Walk(is_dicom=True, raw={TAGS["Rows"]: Raw("US", b"\2\0")}, little_endian=False)
    assert header_of(walked)[0]["Rows"] == "512"


@pytest.mark.parametrize(
    ("keyword", "vr", "raw", "text"),
    [
        ("EchoTime", "DS", b" 1.50 ", "1.50"),
        ("InstanceNumber", "IS", b"+7 ", "+7"),
        ("ImageType", "CS", b"ORIGINAL\\PRIMARY \\M ", "ORIGINAL\\PRIMARY\\M"),
        ("StudyInstanceUID", "UI", b"1.2.3\0", "1.2.3"),
        ("PatientID", "LO", b" P1 \0", "P1"),
        ("PatientComments", "LT", b"  Project: A\r\n ", "  Project: A\r\n"),
        ("PatientComments", "UC", b" a \\b ", " a\\b"),
        ("PatientName", "PN", b"=DOE^JOHN==", "=DOE^JOHN"),
        ("StudyDescription", "UN", b"as the dictionary", "as the dictionary"),
        ("StudyDescription", None, b"as the dictionary", "as the dictionary"),
    ],
)
def test_padding(keyword, vr, raw, text):
    """Padding goes (PS3.5 table 6.2-1); the text is otherwise that of the file."""
    assert said(**{keyword: (vr, raw)})[0][keyword] == text


def test_empty_is_absent():
    """An attribute without value is not in the header, nor is it unread."""
    header, unread = said(PatientID=("LO", b"  "), Rows=("US", b""))
    assert (dict(header.values), unread) == ({}, ())


def test_unread():
    """A value that can't be decoded is left out, and its tag told."""
    raw = {
        0x00280010: Raw("US", b"\1"),
        0x00091001: Raw(None, b"abc"),
        0x7FE00011: Raw("OB", b"abc"),
        0x00020002: Raw("UI", b"1.2"),
    }
    header, unread = header_of(Walk(is_dicom=True, raw=raw))
    assert dict(header.values) == {}
    assert unread == (0x00280010, 0x00091001, 0x7FE00011)


@pytest.mark.parametrize(
    "charset",
    [
        *(b"ISO_IR 999", b"\xff\\\\ISO 2022 IR 87", b"utf8", b""),
        *(b"ISO_IR\x00100", b"zip", b"unicode_escape", b"idna\\ISO 2022 IR 87", b"9" * 9999),
    ],
)
def test_wrong_character_set(charset, caplog):
    """An unknown character set gives some text, no warning and no log line: they show values."""
    caplog.set_level(logging.DEBUG)
    header, _unread = said(
        SpecificCharacterSet=("CS", charset), PatientName=("PN", b"M\xfcller^\x1b$B\xff")
    )
    assert header["PatientName"].encode("utf-8").startswith(b"M")
    assert caplog.text == ""
    assert not logging.getLogger("pydicom").disabled


@pytest.mark.parametrize("charset", ["utf-8", "ISO IR 192", "ISO-IR 192"])
def test_a_character_set_as_files_in_the_wild_name_it(charset):
    """Python's name, and common misspellings, are understood."""
    given = ("PN", "Müller^Çiçek".encode())
    header, _unread = said(SpecificCharacterSet=("CS", charset.encode()), PatientName=given)
    assert header["PatientName"] == "Müller^Çiçek"


def test_backslash_inside_a_character():
    """The second byte of a GB18030 character may be a backslash: it parts no values."""
    raw = "\u8a95 x".encode("gb18030")
    header, _unread = said(
        SpecificCharacterSet=("CS", b"GB18030"), StudyDescription=("LO", raw + b" ")
    )
    assert header["StudyDescription"] == "\u8a95 x"


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=40),
    st.sampled_from([b"", b"ISO_IR 100", b"ISO_IR 192", b"\\ISO 2022 IR 87", b"GB18030"])
    | st.sampled_from(sorted(set(aliases.values()))).map(str.encode)
    | st.binary(max_size=20),
    st.sampled_from(["PN", "LO", "LT", "UI", "DS", "US", "FD", "OB", "UN", None]),
)
def test_any_bytes(value, charset, vr):
    """Any bytes are text or unread; none raises or warns."""
    header, unread = said(SpecificCharacterSet=("CS", charset), PatientName=(vr, value))
    assert ("PatientName" in unread) <= ("PatientName" not in header.values)


# -- the verdict ------------------------------------------------------------------------------

FOUR = {"SOPClassUID": "1.2", "SOPInstanceUID": "1.3", "StudyInstanceUID": "1.4"} | {
    "SeriesInstanceUID": "1.5"
}


def header(**values):
    return Header({TAGS[keyword]: text for keyword, text in (FOUR | values).items() if text})


def code(walked, **values):
    refusal = judge(walked, header(**values))
    return refusal and refusal.code


def test_good():
    """A whole file with its four UIDs is not refused."""
    assert judge(Walk(is_dicom=True), header()) is None


def test_codes():
    """Each fault has its code; the first of the order stands."""
    whole = Walk(is_dicom=True)
    assert code(Walk(is_dicom=False)) == RefusalCode.NOT_DICOM
    assert code(Walk(is_dicom=True, torn="x")) == RefusalCode.TORN
    assert code(Walk(is_dicom=True, hostile="x", torn="y")) == RefusalCode.UNREADABLE
    assert code(whole, SOPClassUID="1.2.840.10008.1.3.10") == RefusalCode.DICOMDIR
    assert code(whole, SeriesInstanceUID="") == RefusalCode.MISSING_UID


@pytest.mark.parametrize("uid", ["1.2\n", "1" * 65, "1.2a", "../../etc", "\u0661.2", "1.2\\1.3"])
def test_bad_uid(uid):
    """A UID outside [0-9.]{1,64} is refused, by keyword and without its value."""
    expected = Refusal(
        RefusalCode.BAD_UID,
        "Not a UID: StudyInstanceUID.",
        "A UID has digits and dots only, at most 64 characters.",
        header().sop_instance,
    )
    assert judge(Walk(is_dicom=True), header(StudyInstanceUID=uid)) == expected


def test_missing_uids_are_named():
    """All missing UIDs are told at once."""
    refusal = judge(Walk(is_dicom=True), Header({}))
    names = "SOPClassUID, SOPInstanceUID, StudyInstanceUID, SeriesInstanceUID"
    assert (refusal.code, refusal.text) == (RefusalCode.MISSING_UID, f"It has no {names}.")


def test_dicomdirs():
    """Every DICOMDIR pydicom ships is one, torn or not."""
    folder = Path(pydicom.__file__).parent / "data" / "test_files"
    paths = [path for path in folder.rglob("DICOMDIR*") if path.is_file()]
    assert len(paths) > 5
    found = {path.name: judge(*read(path)[:2]).code for path in paths}
    assert set(found.values()) == {RefusalCode.DICOMDIR}
    data = paths[0].read_bytes()[:-9]
    cut = walk(data, len(data), WANTED)
    assert judge(cut, header_of(cut)[0]).code == RefusalCode.DICOMDIR


def test_refusals_show_no_values(tmp_path):
    """A refusal's text has nothing of the patient."""
    path = makers.make_dicom(tmp_path / "a", patient_name="SECRET^NAME", study="SECRET", sop=None)
    walked, said_by_it, _unread = read(path)
    refusal = judge(walked, said_by_it)
    assert "SECRET" not in refusal.text + refusal.hint
