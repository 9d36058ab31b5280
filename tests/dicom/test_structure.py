"""A file is whole or it is not: the walk against real files, cuts, damage and bombs."""

import random
import struct
import time
import zlib
from pathlib import Path

import makers
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
)

from watcher.core.tags import TAGS
from watcher.dicom import stream, structure
from watcher.dicom.structure import Walk, looks_dicom, walk

WANTED = frozenset(TAGS.values())
DATA = Path(pydicom.__file__).parent / "data"
SYNTAXES = [
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    JPEGBaseline8Bit,
]
LONGER = "an element is longer than what is left of the file"
NO_BEAMS = "the plan has no beams"
NO_PIXELS = "the image has no pixel data"
NO_ITEM_END = "an item has no delimiter"
PREAMBLE = bytes(128) + b"DICM"


def walked(data, **limits):
    """The walk of bytes; also made through a narrow window, which must find the same."""
    data = bytes(data)
    result = walk(data, len(data), WANTED, **limits)
    assert result == walk(lambda at, count: data[at : at + count], len(data), WANTED, **limits)
    return result


def element(tag, vr, value, *, length=None):
    """One explicit little-endian element."""
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr
    size = len(value) if length is None else length
    if vr in {b"OB", b"OW", b"SQ", b"UN", b"UT", b"OF", b"OD"}:
        return head + struct.pack("<HI", 0, size) + value
    return head + struct.pack("<H", size) + value


def item(tag, length):
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, length)


def file_of(*elements, syntax="1.2.840.10008.1.2.1"):
    uid = syntax.encode() + b"\0" * (len(syntax) % 2)
    return PREAMBLE + element(0x00020010, b"UI", uid) + b"".join(elements)


OPEN = 0xFFFFFFFF
PATIENT = element(0x00100010, b"PN", b"DOE^JOHN")
ITEM, ITEM_END, SEQUENCE_END = item(0xFFFEE000, OPEN), item(0xFFFEE00D, 0), item(0xFFFEE0DD, 0)


def image(*pixels, rows=4, columns=4, frames=b"", photometric=b"", samples=1, bits=8):
    """An MR image of the given geometry, with the given pixel elements."""
    return file_of(
        element(0x00080016, b"UI", b"1.2.840.10008.5.1.4.1.1.4\0"),
        element(0x00280002, b"US", struct.pack("<H", samples)),
        element(0x00280004, b"CS", photometric),
        element(0x00280008, b"IS", frames),
        element(0x00280010, b"US", struct.pack("<H", rows)),
        element(0x00280011, b"US", struct.pack("<H", columns)),
        element(0x00280100, b"US", struct.pack("<H", bits)),
        *pixels,
    )


def native(count, tag=0x7FE00010, vr=b"OW"):
    return element(tag, vr, bytes(count))


# -- real files -------------------------------------------------------------------------------

EXCEPTIONS = {
    "MR_truncated.dcm": LONGER,  # shipped by pydicom as truncated
    "rtplan_truncated.dcm": LONGER,
    # Computed radiographs with geometry from which somebody took the pixel data.
    "chrJapMulti.dcm": NO_PIXELS,
    "chrJapMultiExplicitIR6.dcm": NO_PIXELS,
    "chrKoreanMulti.dcm": NO_PIXELS,
    # A plan of seven elements.
    "ExplVR_BigEndNoMeta.dcm": NO_BEAMS,
    "ExplVR_LitEndNoMeta.dcm": NO_BEAMS,
}
NOT_DICOM = {"no_meta.dcm", "crayons.icc"}  # the first begins with a blank before its data set


def shipped():
    """What pydicom ships as DICOM: with preamble, or by its name."""
    for path in sorted(DATA.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            if data[128:132] == b"DICM" or path.suffix == ".dcm":
                yield path.name, data


def test_shipped_files():
    """Every sample of pydicom is whole, malformed encodings too, but for those known to be cut."""
    found = {name: walked(data) for name, data in shipped()}
    assert len(found) > 90
    faults = {name: w.torn or w.lacking for name, w in found.items()}
    assert {name: fault for name, fault in faults.items() if fault} == EXCEPTIONS
    assert [name for name, w in found.items() if w.hostile] == []
    assert {name for name, w in found.items() if not w.is_dicom} == NOT_DICOM - {"crayons.icc"}


def test_other_files_are_not_dicom():
    """Text, archives, colour profiles and images are not taken for DICOM."""
    others = [
        path for path in DATA.rglob("*") if path.suffix in {".gz", ".icc", ".json", ".md", ".txt"}
    ]
    assert len(others) > 5
    assert [path.name for path in others if walked(path.read_bytes()).is_dicom] == []


def test_declared_encoding_wrong():
    """A data set in another encoding than declared is walked in its own, as pydicom reads it."""
    files = dict(shipped())
    jpeg, missing = walked(files["SC_rgb_jpeg.dcm"]), walked(files["meta_missing_tsyntax.dcm"])
    assert (jpeg.transfer_syntax, jpeg.implicit) == ("1.2.840.10008.1.2.4.50", True)
    assert (missing.transfer_syntax, missing.torn) == ("", "")


def test_declared_encoding_wrong_far_on():
    """The second encoding starts anew, however far the first one came: here 676 KiB."""
    charset = element(0x00080005, b"CS", b"ISO_IR 100")
    pixels = element(0x7FE00010, b"OW", b"\xff" * 2_000_000)
    result = walked(file_of(charset, PATIENT, pixels, syntax="1.2.840.10008.1.2"))
    assert (result.torn, result.implicit) == ("", False)
    assert result.raw[0x00100010].value == b"DOE^JOHN"


def test_without_preamble():
    """A data set that begins at the first byte is DICOM too, in each byte order."""
    files = dict(shipped())
    little, big = walked(files["ExplVR_LitEndNoMeta.dcm"]), walked(files["ExplVR_BigEndNoMeta.dcm"])
    assert (little.little_endian, little.implicit, little.torn) == (True, False, "")
    assert (big.little_endian, big.implicit, big.torn) == (False, False, "")
    assert walked(files["rtstruct.dcm"]).implicit
    meta = file_of(PATIENT)[132:]
    assert walked(meta).raw[0x00100010].value == b"DOE^JOHN"


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda uid: uid.name)
def test_made_files_are_whole(tmp_path, syntax):
    """A file is whole in every transfer syntax, and its wanted values come along."""
    data = Path(makers.make_dicom(tmp_path / "a.dcm", transfer_syntax=syntax)).read_bytes()
    result = walked(data)
    assert ("", "", str(syntax)) == (result.torn, result.hostile, result.transfer_syntax)
    assert result.raw[TAGS["PatientName"]].value == b"DOE^JOHN"
    assert walk(bytearray(data), len(data), WANTED) == result


# -- cuts -------------------------------------------------------------------------------------


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda uid: uid.name)
def test_every_cut_is_torn(tmp_path, syntax):
    """No cut of an image passes for whole, but on element boundaries before its geometry."""
    path = makers.make_dicom(tmp_path / "a.dcm", transfer_syntax=syntax, rows=8, columns=8)
    data = Path(path).read_bytes()
    passed = [cut for cut in range(1, len(data)) if not fault(data[:cut])]
    # a byte of padding makes the length of a deflated one even, and is not missed
    if syntax.is_deflated:
        assert passed in ([], [len(data) - 1])
    else:
        assert passed == headers(data, syntax)


def headers(data, syntax):
    """Offsets after each top-level element of the data set before those of group 0028."""
    dataset = pydicom.dcmread(pydicom.filebase.DicomBytesIO(data))
    ends, at = [], walk(data, len(data), WANTED).start
    for each in dataset:
        if each.tag.group == 0x0028:
            break
        part = Dataset()
        part.add(each)
        out = pydicom.filebase.DicomBytesIO()
        out.is_implicit_VR, out.is_little_endian = syntax.is_implicit_VR, syntax.is_little_endian
        pydicom.filewriter.write_dataset(out, part)
        at += len(out.getvalue())
        ends.append(at)
    return ends


def fault(data):
    found = walk(data, len(data), WANTED)
    return found.torn or found.lacking


def test_cuts_of_real_files():
    """Of random cuts of real images at least 98 in 100 are seen; pydicom itself sees 13."""
    chance = random.Random(20260619)
    files = [data for name, data in shipped() if name not in EXCEPTIONS and len(data) < 300_000]
    files = chance.sample(files, 50)
    seen = total = 0
    for data in files:
        if not walk(data, len(data), WANTED).is_dicom:
            continue
        for cut in (chance.randrange(140, len(data)) for _ in range(20)):
            total += 1
            seen += bool(fault(data[:cut]))
    assert total > 800
    assert seen / total > 0.98


@pytest.mark.parametrize("cut", [1, 60, 128, 130, 131])
def test_cut_preamble(cut):
    """A file that ends inside a preamble of zeros is torn, not something else than DICOM."""
    result = walked(file_of(PATIENT)[:cut])
    assert (result.is_dicom, result.torn) == (True, "there are zeros where the file should begin")


@pytest.mark.parametrize("size", [100, 132, 5000])
def test_laid_out_in_advance(size):
    """A file of zeros only may be filled yet: torn."""
    assert walked(bytes(size)).torn


@pytest.mark.parametrize("tail", [1, 7, 8, 9, 512, 100_000])
@pytest.mark.parametrize("implicit", [False, True])
def test_zero_tail(tail, implicit):
    """Zeros after the last element: a file laid out in advance and not yet filled."""
    if implicit:
        name = struct.pack("<HHI", 0x0010, 0x0010, 8) + b"DOE^JOHN"
        data = file_of(name, syntax="1.2.840.10008.1.2")
    else:
        data = file_of(PATIENT)
    assert walked(data).torn == ""
    assert walked(data + bytes(tail)).torn


def test_trailing_padding():
    """DataSetTrailingPadding is part of a whole file (PS3.10 section 7.2)."""
    padding = element(0xFFFCFFFC, b"OB", bytes(1000))
    assert walked(file_of(PATIENT, padding)).torn == ""


@pytest.mark.parametrize(
    ("data", "torn"),
    [
        (file_of(), "there is no data set"),
        (file_of(PATIENT + b"\x10\0\x20"), "the file ends inside an element header"),
        (file_of(PATIENT + b"\x10\0\x20\0OB\0\0\0\0"), "the file ends inside an element header"),
        (file_of(element(0x00100010, b"PN", b"DOE", length=4)), LONGER),
        (file_of(element(0x00100010, b"UT", b"DOE", length=2**31)), LONGER),
        (file_of(PATIENT, b"\x10\0\x20\0\x01\x02\0\0"), "bytes that make no element header follow"),
        (
            PREAMBLE + element(0x00020010, b"UI", b"1.2", length=4),
            "the file ends inside its file meta information",
        ),
        (PREAMBLE + b"\x02\0\x10", "the file ends inside an element header"),
    ],
)
def test_torn_elements(data, torn):
    """A length past the end, or bytes that make no header, is torn; the text has no values."""
    assert torn == walked(data).torn


# -- sequences --------------------------------------------------------------------------------

SEQUENCE = element(0x00081115, b"SQ", b"", length=OPEN)


@pytest.mark.parametrize(
    ("body", "torn"),
    [
        (SEQUENCE_END, ""),
        (ITEM + PATIENT + ITEM_END + SEQUENCE_END, ""),
        (item(0xFFFEE000, len(PATIENT)) + PATIENT + SEQUENCE_END, ""),
        (ITEM + SEQUENCE + ITEM + ITEM_END + SEQUENCE_END + ITEM_END + SEQUENCE_END, ""),
        (ITEM + PATIENT + ITEM_END, "the file ends inside an element header"),
        (ITEM + PATIENT, NO_ITEM_END),
        (item(0xFFFEE000, 100) + PATIENT, "the file ends inside an element header"),
        (ITEM + PATIENT + ITEM_END + PATIENT, "a sequence has no delimiter"),
    ],
)
def test_sequences(body, torn):
    """Items and sequences of undefined length must be delimited, to the end."""
    assert torn == walked(file_of(SEQUENCE, body)).torn


def test_unknown_sequence_is_implicit():
    """UN of undefined length holds implicit items (PS3.5 section 6.2.2, note 4)."""
    inner = struct.pack("<HHI", 0x0010, 0x0010, 8) + b"DOE^JOHN"
    unknown = element(0x00091001, b"UN", b"", length=OPEN)
    data = file_of(unknown, ITEM, inner, ITEM_END, SEQUENCE_END, PATIENT)
    result = walked(data)
    assert (result.torn, result.implicit) == ("", False)
    assert result.raw[0x00100010].value == b"DOE^JOHN"


def test_nested_values_are_not_gathered():
    """A wanted attribute inside a sequence is not the file's own."""
    data = file_of(SEQUENCE, ITEM, PATIENT, ITEM_END, SEQUENCE_END)
    assert 0x00100010 not in walked(data).raw


def test_stray_delimiter():
    """A delimiter that closes nothing lacks nothing."""
    assert walked(file_of(PATIENT, SEQUENCE_END, ITEM_END)).torn == ""


def test_unknown_vr_has_a_long_length():
    """A VR not of table 7.1-2 has a length of 32 bits (PS3.5 section 7.1.2)."""
    unknown = b"\x09\0\x01\x10ZZ\0\0" + struct.pack("<I", 4) + b"abcd"
    assert walked(file_of(unknown, PATIENT)).torn == ""


def test_long_values_are_not_gathered():
    """A value beyond any header text is stepped over."""
    comments = element(0x00104000, b"UT", b"x" * 70_000)
    result = walked(file_of(comments, PATIENT))
    assert (result.torn, 0x00104000 in result.raw) == ("", False)


# -- pixels -----------------------------------------------------------------------------------

SHORT = "the pixel data is shorter than the image"


@pytest.mark.parametrize(
    ("data", "torn"),
    [
        (image(native(16)), ""),
        (image(native(14)), SHORT),
        (image(native(32), frames=b"2 "), ""),
        (image(native(30), frames=b"2 "), SHORT),
        (image(native(16), frames=b"x "), ""),
        (image(native(48), samples=3), ""),
        (image(native(46), samples=3), SHORT),
        (image(native(32), samples=3, photometric=b"YBR_FULL_422"), ""),
        (image(native(30), samples=3, photometric=b"YBR_FULL_422"), SHORT),
        (image(native(32), samples=3, photometric=b"YBR_PARTIAL_422 "), ""),
        (image(native(2), bits=1), ""),
        (image(native(2), bits=1, rows=3, columns=3), ""),
        (image(native(1), bits=1, rows=3, columns=3), SHORT),
        (image(native(64, 0x7FE00008, b"OF"), bits=32), ""),
        (image(native(60, 0x7FE00008, b"OF"), bits=32), SHORT),
        (image(native(128, 0x7FE00009, b"OD"), bits=64), ""),
        (image(native(120, 0x7FE00009, b"OD"), bits=64), SHORT),
        (image(), NO_PIXELS),
        (image(element(0x00287FE0, b"UT", b"http://x")), ""),
    ],
)
def test_native_pixels(data, torn):
    """Native pixel data has at least ceil(rows, columns, samples, bits, frames / 8) bytes."""
    assert torn == (walked(data).torn or walked(data).lacking)


STORAGE = "1.2.840.10008.5.1.4.1.1."
KINDS = [
    ("481.2", 0x30040050, "the dose has neither grid nor histogram"),
    ("4.2", 0x56000020, "the spectroscopy has no data"),
    ("9.1.1", 0x54000100, "there is no waveform"),
    ("11.1", 0x0070005A, "the presentation state shows nothing"),
    ("66.1", 0x00700308, "the registration has no transformation"),
    ("66.2", 0x0070031C, "there are no fiducials"),
    ("66.3", 0x00640002, "the registration has no transformation"),
    ("66.5", 0x00660002, "there are no surfaces"),
    ("66.6", 0x00660101, "there are no tracks"),
    ("88.59", 0x0040A730, "the report has no content"),
    ("104.1", 0x00420011, "the document is not there"),
    ("481.3", 0x30060039, "the structure set has no contours"),
    ("481.5", 0x300A0230, "the plan has no beams"),
    ("481.8", 0x300A03A2, "the plan has no beams"),
    ("481.4", 0x30080020, "the record has no treatment"),
]


@pytest.mark.parametrize(("kind", "tag", "text"), KINDS)
def test_essence(kind, tag, text):
    """An object without the element its kind is nothing without lacks it; with it, nothing."""
    uid = (STORAGE + kind).encode()
    head = element(0x00080016, b"UI", uid + b"\0" * (len(uid) % 2))
    assert ("", text) == (walked(file_of(head)).torn, walked(file_of(head)).lacking)
    assert walked(file_of(head, element(tag, b"OB", b""))).lacking == ""


@pytest.mark.parametrize(("kind", "tag"), [("4", 0x00287FE0), ("481.2", 0x7FE00010)])
def test_pixels_announced(kind, tag):
    """Any word of its geometry announces an image's pixels, or where to get them."""
    uid = (STORAGE + kind).encode()
    head = element(0x00080016, b"UI", uid + b"\0" * (len(uid) % 2))
    samples = element(0x00280002, b"US", b"\1\0")
    histogram = element(0x30040050, b"SQ", b"")
    assert walked(file_of(head, samples, histogram)).lacking == NO_PIXELS
    assert walked(file_of(head, samples, element(tag, b"OB", b""))).lacking == ""


def test_headers_of_images():
    """An image without geometry and pixels lacks nothing: such studies are shared."""
    uid = element(0x00080016, b"UI", (STORAGE + "4\0").encode())
    assert walked(file_of(uid, PATIENT)).lacking == ""


def test_kind_of_a_file_cut_before_it_is_told():
    """Group 0002 tells the kind where the data set ends before it does; and others need nothing."""
    meta = element(0x00020002, b"UI", (STORAGE + "88.11").encode())
    name = element(0x00080005, b"CS", b"ISO_IR 100")
    data = PREAMBLE + meta + element(0x00020010, b"UI", b"1.2.840.10008.1.2.1\0") + name
    assert walked(data).lacking == "the report has no content"
    assert walked(file_of(name)).lacking == ""
    raw = element(0x00080016, b"UI", (STORAGE + "66").encode() + b"\0")
    assert walked(file_of(raw)).lacking == ""


PIXELS = element(0x7FE00010, b"OB", b"", length=OPEN)
TABLE = item(0xFFFEE000, 0)


@pytest.mark.parametrize(
    ("body", "torn"),
    [
        (TABLE + item(0xFFFEE000, 4) + b"abcd" + SEQUENCE_END, ""),
        (TABLE + item(0xFFFEE000, 4) + b"abcd", "the file ends inside an element header"),
        (TABLE + item(0xFFFEE000, 9) + b"abcd", "the file ends inside an element header"),
        (TABLE + b"abcdefgh", "encapsulated pixel data has no delimiter"),
        (TABLE + ITEM, "encapsulated pixel data has no delimiter"),
    ],
)
def test_fragments(body, torn):
    """Encapsulated pixel data goes fragment by fragment to its delimiter (PS3.5 annex A.4)."""
    assert torn == walked(image(PIXELS, body)).torn


# -- deflated ---------------------------------------------------------------------------------


def deflated(data):
    pressed = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return file_of(pressed.compress(data) + pressed.flush(), syntax=DeflatedExplicitVRLittleEndian)


def test_deflated_padding():
    """A deflated data set may be followed by one byte of padding."""
    assert walked(deflated(PATIENT) + b"\0").torn == ""


def test_deflated_damage():
    """A damaged or endless deflated data set is torn."""
    data = deflated(PATIENT * 100)
    assert walked(data[:-3]).torn == "the deflated data set has no end"
    start = walked(data).start
    assert walked(data[:start] + b"\xff" * 9).torn == "the deflated data set is damaged"


# -- bombs ------------------------------------------------------------------------------------


def timed(data, **limits):
    begun = time.thread_time()
    result = walk(data, len(data), WANTED, **limits)
    return result.hostile, time.thread_time() - begun


def test_deflate_bomb():
    """A bomb stops at the limit, not in memory."""
    hostile, took = timed(deflated(bytes(64 << 20)), inflate=1 << 20)
    assert hostile == "it inflates to more bytes than the limit"
    assert took < 2


@pytest.mark.parametrize("depth", [33, 100_000])
def test_deep_nesting(depth):
    """Sequences nested deeper than the limit are hostile; at the limit they are not."""
    hostile, took = timed(file_of((SEQUENCE + ITEM) * depth))
    assert hostile == "its sequences are nested deeper than the limit"
    assert took < 2
    closed = (SEQUENCE + ITEM) * 32 + (ITEM_END + SEQUENCE_END) * 32
    assert (walked(file_of(closed)).torn, walked(file_of(closed)).hostile) == ("", "")


@pytest.mark.parametrize(
    ("head", "each", "count"),
    [
        (SEQUENCE, item(0xFFFEE000, 0), 2_000_000),
        (b"", element(0x00091001, b"SH", b""), 300_000),
    ],
)
def test_many_elements(head, each, count):
    """Items and elements are counted on all levels; beyond the limit the file is hostile."""
    hostile, took = timed(file_of(head, each * count))
    assert hostile == "it has more elements than the limit"
    hostile, tenth = timed(file_of(head, each * 30_000), elements=20_000)
    assert hostile == "it has more elements than the limit"
    assert took < max(3, 50 * tenth)  # the second where the machine is slow, or coverage measures


def test_many_elements_implicit():
    """The limit holds for implicit VR too."""
    body = struct.pack("<HHI", 9, 0x1001, 0) * 20
    data = file_of(body, syntax="1.2.840.10008.1.2")
    assert walked(data, elements=19).hostile == "it has more elements than the limit"
    assert walked(data, elements=20).hostile == ""


def test_many_fragments(monkeypatch):
    """Fragments have a limit of their own."""
    monkeypatch.setattr(stream, "FRAGMENTS", 10)
    body = TABLE * 11 + SEQUENCE_END
    hostile = walked(image(PIXELS, body)).hostile
    assert hostile == "its pixel data has more fragments than the limit"


def test_many_meta_elements():
    """A file meta information without end is hostile."""
    data = PREAMBLE + element(0x00020002, b"UI", b"") * 10_001
    assert walked(data).hostile == "it has more elements than the limit"


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400), st.sampled_from(["1.2.840.10008.1.2", "1.2.840.10008.1.2.1"]))
def test_any_bytes(tail, syntax):
    """Any bytes give a Walk."""
    assert isinstance(walked(file_of(tail, syntax=syntax)), Walk)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_mutations(data):
    """A file with any byte changed gives a Walk, in every encoding."""
    whole = bytearray(image(SEQUENCE, ITEM, PATIENT, ITEM_END, SEQUENCE_END, native(16)))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] = data.draw(st.integers(0, 255))
    assert isinstance(walked(whole), Walk)


def test_shrinking_file():
    """A file that became shorter than its size said is torn."""
    data = file_of(PATIENT)
    result = walk(lambda at, count: data[at : at + count], len(data) + 100, WANTED)
    assert result.torn == "the file became shorter while it was read"


def test_large_file_through_window():
    """A large file is walked by its headers: its pixels are not fetched."""
    data = image(native(4_000_000), rows=2000, columns=2000)
    asked = 0

    def fetch(at, count):
        nonlocal asked
        asked += len(data[at : at + count])
        return data[at : at + count]

    assert walk(fetch, len(data), WANTED).torn == ""
    assert asked < 3 * stream.WINDOW


def test_empty_is_not_dicom():
    """No bytes are no DICOM."""
    assert not looks_dicom(b"")
    assert not structure.preface(b"", 0).is_dicom
