"""Whether two files say the same, and which tags differ."""

import copy
import io
import struct
import warnings

import makers
import pydicom
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    RLELossless,
)
from pydicom.valuerep import STR_VR

from watcher.dicom.compare import Compared, Source, compare

NATIVE = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian)
EQUAL = Compared(True, True)
UNTOLD = Compared(None)


def source(data):
    return Source(lambda at, count: data[at : at + count], len(data))


def compared(one, other):
    return compare(source(one), source(other))


def dataset(**keywords):
    found = Dataset()
    found.SOPClassUID = makers.CT
    found.SOPInstanceUID = "1.2.3"
    found.PatientName = "DOE^JOHN"
    found.Rows, found.Columns, found.BitsAllocated, found.SamplesPerPixel = 4, 4, 16, 1
    found.FrameIncrementPointer = 0x00181063
    found.add_new(0x00189087, "FD", 1.25)
    found.add_new(0x00090010, "LO", "ACME 1")
    found.add_new(0x00091001, "LO", "odd")
    found.add_new(0x00091002, "UL", [1, 2, 3])
    item = Dataset()
    item.CodeValue, item.CodeMeaning = "T-1", "odd"
    item.ReferencedFrameNumber = 7
    inner = Dataset()
    inner.Rows = 77
    item.ConceptCodeSequence = Sequence([inner])
    found.ProcedureCodeSequence = Sequence([item, copy.deepcopy(item)])
    found.add_new(0x7FE00010, "OW", bytes(range(32)))
    for keyword, value in keywords.items():
        setattr(found, keyword, value)
    return found


def written(data, syntax=ExplicitVRLittleEndian, *, undefined=False, fresh=True):
    data = copy.deepcopy(data)
    implicit, little = syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian
    if not little:
        data["PixelData"].value = turned(data.PixelData)
    if undefined:
        for sequence in data.iterall():
            if sequence.VR == "SQ":
                sequence.is_undefined_length = True
                for item in sequence.value:
                    item.is_undefined_length_sequence_item = True
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = syntax
    data.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4" if fresh else "1.2.3"
    data.file_meta.MediaStorageSOPClassUID = makers.CT
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data.save_as(out, implicit_vr=implicit, little_endian=little, enforce_file_format=True)
    return out.getvalue()


def turned(data):
    return b"".join(struct.pack(">H", word) for (word,) in struct.iter_unpack("<H", data))


ENCODED = [(s, u) for s in NATIVE for u in (False, True)]


@pytest.mark.parametrize(("syntax", "undefined"), ENCODED)
@pytest.mark.parametrize(("syntax2", "undefined2"), ENCODED)
def test_every_encoding(syntax, undefined, syntax2, undefined2):
    """A data set is the same in every native encoding, sequences delimited or not."""
    one = written(dataset(), syntax, undefined=undefined)
    other = written(dataset(), syntax2, undefined=undefined2, fresh=False)
    assert compared(one, other) == EQUAL


CHANGES = {
    "PatientName": {"PatientName": "DOE^JANE"},
    "Columns": {"Columns": 3},
    "PixelData": {"PixelData": bytes(32)},
    "PatientID": {"PatientID": "new"},
}


@pytest.mark.parametrize("syntax", NATIVE)
@pytest.mark.parametrize("name", CHANGES)
def test_differs(name, syntax):
    """What differs is named, in whatever encoding; and whether the pixels do."""
    other = dataset(**CHANGES[name])
    expected = Compared(False, name != "PixelData", (name,))
    assert expected == compared(written(dataset()), written(other, syntax))
    assert expected == compared(written(other, syntax), written(dataset()))


def with_nested(change):
    found = dataset()
    change(found)
    return found


@pytest.mark.parametrize("syntax", NATIVE)
@pytest.mark.parametrize(
    ("change", "tag"),
    [
        (
            lambda d: setattr(d.ProcedureCodeSequence[1].ConceptCodeSequence[0], "Rows", 78),
            "ProcedureCodeSequence",
        ),
        (lambda d: d.ProcedureCodeSequence.pop(), "ProcedureCodeSequence"),
        (lambda d: setattr(d[0x00091001], "value", "od2"), "(0009,1001)"),
        (lambda d: setattr(d[0x00091002], "value", [1, 2, 4]), "(0009,1002)"),
        (lambda d: setattr(d[0x00091002], "value", [1, 2]), "(0009,1002)"),
        (lambda d: d.__delitem__(0x00091002), "(0009,1002)"),
    ],
)
def test_one_tag(change, tag, syntax):
    """A private element and a sequence with all it holds are one tag each."""
    expected = Compared(False, True, (tag,))
    assert expected == compared(written(dataset()), written(with_nested(change), syntax))


def test_twenty_tags_sorted():
    """At most twenty tags are told, sorted, and no value among them."""
    kinds = {"LO", "LT", "SH", "ST"}
    words = [w for w in pydicom.datadict.keyword_dict if w.endswith(("Description", "Comments"))]
    text = sorted(w for w in words if pydicom.datadict.dictionary_VR(w) in kinds)
    assert len(text) > 20
    other = dataset(**dict.fromkeys(text, "SECRET"))
    found = compared(written(dataset()), written(other))
    assert found.tags == tuple(text[:20])


def test_padding():
    """Trailing padding of text, of the data set, and group lengths mean nothing."""
    one = written(dataset(PatientID="A"))
    assert one.count(b"PN\x08\x00DOE^JOHN") == 1
    padded = one.replace(b"PN\x08\x00DOE^JOHN", b"PN\x0a\x00DOE^JOHN \0")
    length = b"\x08\0\0\0UL\x04\0\x10\0\0\0"
    at = padded.index(b"\x08\0\x16\0UI")
    with_length = padded[:at] + length + padded[at:] + b"\xfc\xff\xfc\xffOB\0\0\2\0\0\0\0\0"
    assert compared(one, with_length) == EQUAL
    assert compared(one, one.replace(b"DOE^JOHN", b" OE^JOHN")) == Compared(
        False, True, ("PatientName",)
    )


def encapsulated(frames, syntax=JPEGBaseline8Bit, *, table=True, **keywords):
    found = dataset(**keywords)
    found.PixelData = encapsulate(frames, has_bot=table)
    found["PixelData"].VR = "OB"
    found["PixelData"].is_undefined_length = True
    return written(found, syntax)


def test_encapsulated():
    """Compressed pixels are the same where every fragment is; the offset table may differ."""
    frames = [b"\xff\xd8one!", b"\xff\xd8two!"]
    one = encapsulated(frames)
    assert compared(one, encapsulated(frames, table=False)) == EQUAL
    other = [frames[0], b"\xff\xd8tow!"]
    longer = [*frames, b"\xff\xd8"]
    for each in (other, longer, frames[:1], [b"".join(frames)]):
        assert compared(one, encapsulated(each)) == Compared(False, False, ("PixelData",))


def test_compressed_in_another_way():
    """Of pixels in another compression it can't be told; of the rest it can."""
    frames = [b"\xff\xd8one!"]
    one = encapsulated(frames)
    assert compared(one, encapsulated(frames, RLELossless)) == UNTOLD
    assert compared(one, written(dataset())) == UNTOLD
    head = b"\0" * 128 + b"DICM" + UID
    plain, fragments = (
        head + b"\xe0\x7f\x10\0OB\0\0" + b for b in (b"\0\0\0\0", b"\xff" * 4 + STOP)
    )
    assert compared(plain, fragments) == UNTOLD
    renamed = encapsulated(frames, RLELossless, PatientName="DOE^JANE")
    assert compared(one, renamed) == Compared(False, None, ("PatientName",))


def test_no_pixels():
    """Without pixels on either side nothing is said of them; on one side they differ."""
    bare = dataset()
    del bare.PixelData, bare.Rows
    assert compared(written(bare), written(bare)) == Compared(True, None)
    assert compared(written(bare), written(dataset())) == Compared(
        False, False, ("PixelData", "Rows")
    )


def test_unknown_vr():
    """UN is compared byte by byte; turned round or read as a sequence it can't be told."""
    one, other = dataset(), dataset()
    one.add_new(0x00091003, "UN", b"\1\2\3\4")
    other.add_new(0x00091003, "UN", b"\1\2\4\3")
    assert compared(written(one), written(one, ExplicitVRBigEndian)) == EQUAL
    assert compared(written(one), written(other)) == Compared(False, True, ("(0009,1003)",))
    assert compared(written(one), written(other, ExplicitVRBigEndian)) == Compared(None, True)


def test_sequence_in_un():
    """A sequence that a writer hid in UN (PS3.5 6.2.2) is the sequence it was."""
    one, other = dataset(), dataset()
    item = Dataset()
    item.CodeValue = "T-1"
    one.add_new(0x00091004, "SQ", Sequence([item]))
    plain = b"\x08\0\0\1\4\0\0\0T-1 "
    hidden = b"\xfe\xff\0\xe0" + struct.pack("<I", len(plain)) + plain
    other.add_new(0x00091004, "UN", hidden)
    assert compared(written(one), written(other)) == EQUAL
    other[0x00091004].value = hidden.replace(b"T-1", b"T-2")
    assert compared(written(one), written(other)) == Compared(False, True, ("(0009,1004)",))
    other[0x00091004].value = hidden[:-1] + b" \0\0"
    assert compared(written(one), written(other)) == Compared(None, True)


def raw(tag, vr, value, long=True):
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr
    return (
        head
        + (struct.pack("<HI", 0, len(value)) if long else struct.pack("<H", len(value)))
        + value
    )


def item(*parts, undefined=False):
    body = b"".join(parts)
    if undefined:
        return b"\xfe\xff\0\xe0\xff\xff\xff\xff" + body + b"\xfe\xff\x0d\xe0\0\0\0\0"
    return b"\xfe\xff\0\xe0" + struct.pack("<I", len(body)) + body


ROW = raw(0x00280010, b"US", b"\1\0", long=False)
ROW2 = raw(0x00280010, b"US", b"\2\0", long=False)
COLUMN = raw(0x00280011, b"US", b"\1\0", long=False)
STOP = b"\xfe\xff\xdd\xe0\0\0\0\0"
ITEM_STOP = b"\xfe\xff\x0d\xe0\0\0\0\0"
UID = raw(0x00080018, b"UI", b"1.2.", long=False)


def nested(body):
    return b"\0" * 128 + b"DICM" + UID + raw(0x00081032, b"SQ", body)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (item(ROW), item(ROW, undefined=True), True),
        (item(ROW), item(ROW2, undefined=True), False),
        (item(ROW), item(ROW, ITEM_STOP, COLUMN), False),
        (item(ROW), item(ROW) + STOP, True),
        (item(ROW), item(ROW) + STOP + item(ROW2), None),
        (item(ROW), item(ROW, ROW), None),
        (item(ROW), item(ROW)[:-2], None),
        (item(ROW), item(ROW).replace(b"\x0a", b"\x0c", 1), None),
        (item(ROW), item(ROW).replace(b"\2\0\1", b"\4\0\1", 1), None),
        (item(ROW), b"rubbish!" + ROW, None),
        (item(ROW), b"", False),
    ],
)
def test_odd_sequences(one, other, expected):
    """What hides behind delimiters, or makes no sequence, is never taken for the same."""
    found = compared(nested(one), nested(other))
    assert expected == found.same
    assert found.tags == (("ProcedureCodeSequence",) if expected is False else ())


def test_nested_too_deep():
    """Sequences nested beyond the limit can't be told, and it says so."""
    body, body2 = ROW, ROW2
    for _ in range(40):
        body, body2 = (raw(0x00081032, b"SQ", item(each)) for each in (body, body2))
    head = b"\0" * 128 + b"DICM" + UID
    told = Compared(None, text="its sequences are nested deeper than the limit")
    assert compared(head + body, head + body2) == told
    assert compared(head + body, head + body) == Compared(True)


def test_twice():
    """A tag that is there twice says nothing."""
    head = b"\0" * 128 + b"DICM" + UID
    assert compared(head + ROW + ROW, head + ROW + ROW) == UNTOLD


@pytest.mark.parametrize(
    ("vr", "vr2", "expected"),
    [
        (b"OB", b"OW", True),
        (b"LO", b"SH", True),
        (b"UL", b"UN", True),
        (b"UL", b"FL", None),
        (b"ZZ", b"OB", None),
        (b"ZZ", b"ZZ", True),
    ],
)
def test_other_vr(vr, vr2, expected):
    """The same bytes are the same value only where the VRs say so."""
    head = b"\0" * 128 + b"DICM" + UID
    files = [
        head + raw(0x00091001, each, b"abcd", long=each not in {b"LO", b"SH", b"UL", b"FL"})
        for each in (vr, vr2)
    ]
    assert compared(*files) == Compared(expected)


def test_bytes_are_not_turned():
    """Pixels of OB lie alike in both byte orders, though the other side says OW (PS3.5 8.2)."""
    little = b"\0" * 128 + b"DICM" + raw(0x00020010, b"UI", b"1.2.840.10008.1.2.1\0", long=False)
    big = little.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.2\0")
    one = little + b"\xe0\x7f\x10\0OW\0\0\4\0\0\0abcd"
    other = big + b"\x7f\xe0\0\x10OB\0\0\0\0\0\4abcd"
    assert compared(one, other) == EQUAL
    assert compared(other, one) == EQUAL
    assert compared(one, other[:-4] + b"badc") == Compared(False, False, ("PixelData",))
    assert compared(one, other[:-4].replace(b"OB", b"OW") + b"badc") == EQUAL
    assert compared(one, other.replace(b"OB", b"UN")) == EQUAL


def test_odd_words():
    """A value that is no whole number of words is not turned round."""
    little = b"\0" * 128 + b"DICM" + raw(0x00020010, b"UI", b"1.2.840.10008.1.2.1\0", long=False)
    big = little.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.2\0")
    one = little + b"\x28\0\x10\0US\3\0\1\0\2"
    other = big + b"\0\x28\0\x10US\0\3\0\1\2"
    assert compared(one, other) == Compared(False, None, ("Rows",))


def test_long_text():
    """Text too long to be taken whole is compared as it lies."""
    one, other = (dataset(TextValue="x" * 70_000 + end) for end in ("ab", "ac"))
    assert compared(written(one), written(one, ImplicitVRLittleEndian)) == EQUAL
    assert compared(written(one), written(other)) == Compared(False, True, ("TextValue",))


def test_blocks(tmp_path):
    """Large pixel data is read by blocks, never whole."""
    pixels = bytes(5 << 20)
    sizes = []

    def counting(data):
        def fetch(at, count):
            sizes.append(count)
            return data[at : at + count]

        return Source(fetch, len(data))

    one = written(dataset(PixelData=pixels))
    other = written(dataset(PixelData=pixels[:-2] + b"\1\1"), ImplicitVRLittleEndian)
    expected = Compared(False, False, ("PixelData",))
    assert expected == compare(counting(one), counting(other))
    assert max(sizes) <= 1 << 20


def test_shrinking():
    """Of a file that becomes shorter while it is read it can't be told."""
    one = written(dataset())  # its sequence has 144 bytes

    def fetch(at, count):
        return one[at : at + count] if count != 144 else b""

    assert compare(source(one), Source(fetch, len(one))) == UNTOLD


def test_not_readable():
    """What is no DICOM, torn, or deflated to other bytes can't be told."""
    one = written(dataset())
    for other in (b"", b"hello", one[:140], one[:-1], bytes(200)):
        assert compared(one, other) == UNTOLD
        assert compared(other, one) == UNTOLD
    deflated = written(dataset(), DeflatedExplicitVRLittleEndian)
    assert compared(deflated, written(dataset(), DeflatedExplicitVRLittleEndian)) == Compared(True)
    assert compared(deflated, one) == UNTOLD


def decoded(data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = pydicom.dcmread(io.BytesIO(data))
        found["PixelData"].VR = "OW"  # the same bytes, whatever the other VR
        return values(found)


def values(found):
    """What pydicom reads, by tag. Text under another VR of text says the same."""
    return {
        each.tag: [values(item) for item in each.value]
        if each.VR == "SQ"
        else ("text", str(each.value))
        if each.VR in STR_VR
        else (each.VR, each.value)
        for each in found
    }


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2000), st.integers(1, 255), st.booleans())
@example(73, ord("H") ^ ord("T"), False)  # SH becomes ST
@example(96, ord("I") ^ ord("D"), True)  # IS becomes DS
def test_one_changed_byte(at, by, undefined):
    """No changed byte that pydicom can see in a value is taken for the same."""
    one = written(dataset(), undefined=undefined)
    start = one.index(b"\x08\0\x16\0UI")
    at = start + at % (len(one) - start)
    other = one[:at] + bytes([one[at] ^ by]) + one[at + 1 :]
    if compared(one, other).same:
        assert decoded(one) == decoded(other)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200), st.binary(max_size=200))
def test_hostile(one, other):
    """No bytes make it fail."""
    head = b"\0" * 128 + b"DICM" + UID
    assert compared(head + one, head + other).same in {True, False, None}


@pytest.mark.parametrize("path", makers.pydicom_samples(), ids=lambda path: path.name)
def test_real_files(path):
    """Every real file is the same as itself with another preamble, if it can be told at all."""
    data = path.read_bytes()
    found = compared(data, b"\1" * 128 + data[128:])
    assert found.same is not False
    assert found.tags == ()
