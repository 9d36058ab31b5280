"""A session to session XML and back."""

import dataclasses

import pytest
from filed import CT, MR, PET, SC, SR, made, sample, schema_faults, session
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from watcher.core import sop
from watcher.core.archived import ArchivedResource
from watcher.core.errors import DocumentError
from watcher.core.scans import arrange
from watcher.core.tags import TAGS
from watcher.dicom import document, markup, values
from watcher.dicom.scan import frames_of

NS = {"x": "http://nrg.wustl.edu/xnat"}
XSI = "{http://www.w3.org/2001/XMLSchema-instance}type"
ROOT = (
    'xmlns:xnat="http://nrg.wustl.edu/xnat" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
)
HOSTILE = [
    "\x00\x1b[31m\x85\ufffe",
    "a" * 10_000,
    "\U0001f600" * 300,
    "\ud800\udfff",
    "]]><!--&lt;x/>",
    "1e400",
    "-1e-30",
    "-5\\-6\\7",
    "inf",
    "nan\\nan",
    "20240231",
    "\u0661\u0662",  # digits, but not DICOM's
]


@pytest.fixture(scope="module")
def xsd_faults(xnat_schema):
    return schema_faults(xnat_schema, "xnat.xsd")


def composed(instances, *, known=None, accepted=(), **changes):
    scans = arrange(instances, known=known or {})
    return document.compose(
        session(**changes), scans, experiment_id="W_E0123456789ab", accepted=accepted
    )


def merged(existing, instances, counts=None, *, known=None, **more):
    scans = arrange(instances, known=known or {})
    return document.merge(existing, session(), scans, counts or {}, **more)


def one(data, path):
    return etree.fromstring(data).xpath(f"string({path})", namespaces=NS)


def scan_ids(data):
    return etree.fromstring(data).xpath("//x:scan/@ID", namespaces=NS)


def everything(text, sop_class=MR):
    """Every attribute says the same, but for the UIDs that make paths."""
    words = {keyword: text for keyword in TAGS if not keyword.endswith("UID")}
    return made(sop=sop_class, **{k: v for k, v in words.items() if k != "SeriesNumber"})


PERSONS = f"""<?xml version="1.0"?><!-- by hand --><xnat:CTSession {ROOT} ID="E1" project="OLD"
 label="L" UID="1.2.3.4" modality="CT"><xnat:note>mine</xnat:note>
 <xnat:subject_ID>S9</xnat:subject_ID><xnat:scanner>THEIRS</xnat:scanner><xnat:scans>
  <xnat:scan ID="10" UID="1.10" type="odd" xsi:type="xnat:ctScanData"><xnat:note>see</xnat:note>
   <xnat:quality>unusable</xnat:quality><xnat:modality>CT</xnat:modality>
   <xnat:frames>2</xnat:frames><xnat:file label="DICOM" file_count="2" file_size="20"
    URI="/data/archive/OLD/arc001/L/SCANS/10/DICOM/scan_10_catalog.xml"
    xsi:type="xnat:resourceCatalog"/><xnat:startTime>01:02:03</xnat:startTime></xnat:scan>
  <!-- between --><xnat:scan ID="2" UID="1.2"/></xnat:scans></xnat:CTSession>""".encode()


def test_a_real_mr_session():
    """The fields of a real MR image stand where XNAT has them."""
    instance = sample("MR_small.dcm", MagneticFieldStrength="1.5", ContrastBolusAgent="Gd")
    data = composed([instance], study=instance.header.study)
    expected = {
        "name(/*)": "xnat:MRSession",
        "/*/@UID": instance.header.study,
        "/*/@modality": "MR",
        "/*/x:date": "2004-08-26",
        "/*/x:time": "18:50:59",
        "/*/x:subject_ID": "S001",
        "/*/x:dcmPatientId": "4MR1",
        "/*/x:fieldStrength": "1.5",
        "//x:scan/@UID": instance.header.series,
        "//x:scan/x:quality": "usable",
        "//x:scan/x:fieldStrength": "1.5",
        "//x:file/@URI": "SCANS/1/DICOM/scan_1_catalog.xml",
        "//x:file/@file_size": "1000",
        "//x:parameters/x:voxelRes/@x": "0.3125",
        "//x:parameters/x:voxelRes/@z": "0.8",
        "//x:parameters/x:fov/@x": "20",
        "//x:parameters/x:orientation": "Tra",
        "//x:parameters/x:tr": "4000.0",
        "//x:parameters/x:te": "240.0",
        "//x:parameters/x:addParam[@name='ContrastBolusAgent']": "Gd",
    }
    assert expected == {path: one(data, path) for path in expected}


def test_ct_and_pet():
    """CT parameters in mm, PET's in cm, as the schema wants them."""
    plain = {"PixelSpacing": "2.5\\5", "Rows": "10", "Columns": "20", "SpacingBetweenSlices": "30"}
    told = {"ContrastBolusAgent": "I", "KVP": "120", "ExposureTime": "-1", **plain}
    data = composed(
        [
            made("1.1", series="1.1", sop=CT, Modality="CT", **told),
            made("1.2", series="1.2", number="2", sop=PET, Modality="PT", **plain),
        ]
    )
    expected = {
        "name(/*)": "xnat:PETSession",
        "//x:scan[1]//x:kvp": "120.0",
        "//x:scan[1]//x:exposureTime": "",
        "//x:scan[1]//x:fov/@x": "100",
        "//x:scan[1]//x:contrastBolus/x:agent": "I",
        "//x:scan[2]//x:pixelSize/@x": "0.5",
        "//x:scan[2]//x:pixelSize/@z": "3.0",
        "//x:scan[2]//x:planeSeparation": "3.0",
        "//x:scan[2]//x:dimensions/@y": "10",
    }
    assert expected == {path: one(data, path) for path in expected}


def test_secondary_and_frames():
    """A resource for each label; frames are counted over the images."""
    instances = [made("1.1", NumberOfFrames="7"), made("1.2"), made("1.3", sop=SC)]
    data = composed(instances)
    expected = ["scan_1_catalog.xml", "scan_1_secondary_catalog.xml"]
    files = etree.fromstring(data).xpath("//x:file", namespaces=NS)
    assert expected == [file.get("URI").rpartition("/")[2] for file in files]
    assert [file.get("content") for file in files] == ["RAW", "secondary"]
    assert one(data, "//x:frames") == "8"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", 1), ("0", 1), ("-4", 1), ("x", 1), ("12", 12), ("9" * 12, 2**31 - 1)],
)
def test_frames_of(text, expected):
    """A NumberOfFrames that makes no sense counts as one image."""
    assert expected == frames_of(made(NumberOfFrames=text))


def test_round_trip():
    """What a session XML tells is what it was made of; evidence is in DICOM's forms."""
    said = {
        "PatientID": "P1",
        "PatientName": "DOE^JOHN",
        "PatientBirthDate": "19700203",
        "PatientSex": "M",
        "StudyID": "77",
        "StudyDate": "2024.06.19",
        "StudyTime": "091425.123",
        "StationName": "ST1",
    }
    other = made("2.1", series="2.1", StudyInstanceUID="9.9", StationName="ST2")
    instances = [made("1.1", **said), made("1.2", StationName="ST3", PatientID=""), other]
    found = document.read(composed(instances, accepted=["9.9", "1.2.3.4", "9.9"], project=None))
    archived = dataclasses.replace(found, scans=())
    expected = {**said, "StudyDate": "20240619", "StudyTime": "091425", "StationName": "ST1,ST3"}
    assert expected == archived.fields
    expected = ("", "S001_MR1", "S001", "W_E0123456789ab", "1.2.3.4", ("9.9",), "MRSession")
    assert expected == dataclasses.astuple(archived)[:7]
    first, _ = found.scans
    expected = ("1-MR1", "1.2.3.4.1", "xnat:mrScanData", "MR")
    assert expected == dataclasses.astuple(first)[:4]
    expected = (ArchivedResource("DICOM", "SCANS/1-MR1/DICOM/scan_1-MR1_catalog.xml"),)
    assert expected == first.resources


def test_every_session_type_is_valid(xsd_faults):
    """Each SOP class makes a document that XNAT's schema takes, alone and all together."""
    expected = []
    alone = [[made(f"1.{n}", sop=uid, Modality="")] for n, uid in enumerate(sop.KINDS)]
    together = [
        made(f"1.{n}", sop=uid, series=f"1.{n}", number="") for n, uid in enumerate(sop.KINDS)
    ]
    for instances in (*alone, together, []):
        assert expected == xsd_faults(composed(instances))


@pytest.mark.parametrize(
    "name",
    [
        "MR_small.dcm",
        "CT_small.dcm",
        "rtplan.dcm",
        "liver_1frame.dcm",
        "rtdose_1frame.dcm",
        "test-SR.dcm",
        "waveform_ecg.dcm",
    ],
)
def test_real_files_are_valid(xsd_faults, name):
    """Pydicom's own samples make documents that XNAT's schema takes."""
    expected = []
    data = composed([sample(name)])
    assert expected == xsd_faults(data)


@pytest.mark.parametrize("sop_class", [MR, CT, PET, SR])
@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_valid(xsd_faults, text, sop_class):
    """The same hostile text in every attribute: cut, replaced or left out, never refused."""
    expected = []
    data = composed([everything(text, sop_class)], subject=text, label=text)
    assert expected == xsd_faults(data)
    assert document.read(data).id


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=20), st.sampled_from([MR, CT, PET]))
def test_any_text_can_be_read_again(text, sop_class):
    """No text makes a document that can't be read."""
    data = composed([everything(text, sop_class)], subject=text)
    assert document.read(data).type in {"MRSession", "CTSession", "PETSession"}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<xnat:MRSession",
        b"<MRSession/>",
        f"<xnat:Subject {ROOT}/>".encode(),
        f"<!DOCTYPE x><xnat:MRSession {ROOT}/>".encode(),
        composed([made()]).replace(b"SCANS/1/DICOM", b"SCANS/../../x"),
    ],
)
def test_refused(data):
    """Empty, torn, foreign, with a document type, or pointing outside the session."""
    with pytest.raises(DocumentError):
        document.read(data)


def test_reads_what_others_wrote():
    """Absolute URIs become relative; what is missing is empty; a resourceSeries is no resource."""
    data = PERSONS.replace(
        b"<xnat:startTime>", b'<xnat:file path="x" pattern="y"/><xnat:startTime>'
    )
    first, second = document.read(data).scans
    expected = (ArchivedResource("DICOM", "SCANS/10/DICOM/scan_10_catalog.xml"),)
    assert expected == first.resources
    assert second.type == "xnat:imageScanData"
    assert not second.modality


def test_merge_keeps_what_a_person_wrote():
    """Notes, quality, types, comments and identity stay; scans go to their sorted place."""
    told = {"StationName": "OURS", "InstitutionName": "H", "MagneticFieldStrength": "3"}
    instances = [made("5.1", series="5.1", number="5", **told)]
    data = merged(PERSONS, instances, {("10", "DICOM"): (3, 33)}, accepted=["7.7"])
    expected = {
        "name(/*)": "xnat:CTSession",
        "/*/@ID": "E1",
        "/*/@project": "OLD",
        "/*/@label": "L",
        "/*/@modality": "CT",
        "/*/x:subject_ID": "S9",
        "/*/x:note": "mine",
        "/*/x:scanner": "THEIRS",
        "/*/x:acquisition_site": "H",
        "/*/x:fieldStrength": "",
        "//x:scan[@ID='10']/@type": "odd",
        "//x:scan[@ID='10']/x:note": "see",
        "//x:scan[@ID='10']/x:quality": "unusable",
        "//x:scan[@ID='10']/x:frames": "3",
        "//x:scan[@ID='10']/x:file/@file_count": "3",
        "//x:scan[@ID='10']/x:file/@file_size": "33",
        "//x:field[@name='accepted_study_uids']": "7.7",
    }
    assert expected == {path: one(data, path) for path in expected}
    expected = ["5", "10", "2"]
    assert expected == scan_ids(data)
    assert b"<!-- by hand -->" in data
    assert b"<!-- between -->" in data


def test_merge_twice():
    """Carrying the same plan out again changes nothing."""
    (gained,) = arrange([made("8.1", series="1.2", sop=SC)], known={"1.2": "2"})
    change = {
        "counts": {("10", "DICOM"): (5, 50), ("2", "DICOM"): (1, 9)},
        "new_resources": [("2", gained)],
        "accepted": ["7.7", "1.2.3.4"],
        "element": "MRSession",
    }
    once = merged(PERSONS, [made("5.1", series="5.1", number="5")], **change)
    assert once == merged(once, [made("5.1", series="5.1", number="5")], **change)
    expected = ("7.7", "8.8")
    assert expected == document.read(merged(once, [], accepted=["8.8"])).accepted


def test_merge_changes_the_type():
    """CT becomes PET: another root, another modality, the rest stays."""
    pet = made("5.1", series="5.1", number="5", sop=PET, Modality="PT")
    data = merged(PERSONS, [pet], element="PETSession")
    expected = ("PETSession", "PT", "mine")
    actual = (document.read(data).type, one(data, "/*/@modality"), one(data, "/*/x:note"))
    assert expected == actual


def test_merge_loses_nothing_of_the_old_type():
    """What only the old type could hold becomes a field; MR to PETMR keeps it as it is."""
    mr = composed([made(MagneticFieldStrength="3")])
    kept = merged(mr, [], element="PETMRSession")
    assert one(kept, "/*/x:fieldStrength") == "3.0"
    moved = merged(mr, [], element="CTSession")
    assert one(moved, "//x:field[@name='fieldStrength']") == "3.0"
    assert not one(moved, "/*/x:fieldStrength")


def test_merge_fills_in_only_from_the_same_study():
    """Another study's date and site are not those of this session."""
    told = {"InstitutionName": "H", "StudyInstanceUID": "9.9"}
    data = merged(PERSONS, [made("5.1", series="5.1", number="5", **told)])
    assert not one(data, "/*/x:acquisition_site")
    blank = PERSONS.replace(b'UID="1.2.3.4"', b'UID=""')
    data = merged(blank, [made("5.1", series="5.1", number="5", **told)])
    expected = ("9.9", "H")
    assert expected == (one(data, "/*/@UID"), one(data, "/*/x:acquisition_site"))


def test_merge_into_a_session_without_scans():
    """A session that never had scans gets them in the schema's place."""
    start, end = PERSONS.index(b"<xnat:scans>"), PERSONS.index(b"</xnat:CTSession>")
    bare = PERSONS[:start] + b"<xnat:dcmPatientId>P</xnat:dcmPatientId>" + PERSONS[end:]
    data = merged(bare, [made()])
    expected = ["note", "subject_ID", "scanner", "scans", "dcmPatientId"]
    assert expected == [markup.local(child) for child in etree.fromstring(data)]


@pytest.mark.parametrize(
    ("instances", "change"),
    [
        ([made("5.1", series="5.1", number="10")], {}),
        ([], {"counts": {("3", "DICOM"): (1, 1)}}),
        ([], {"counts": {("10", "secondary"): (1, 1)}}),
    ],
)
def test_merge_refuses(instances, change):
    """An ID of another series, or a count for what is not there, is an error, not an accident."""
    with pytest.raises(DocumentError):
        merged(PERSONS, instances, **change)


GAP = "Maybe incomplete: InstanceNumber 3 (4 files expected)"


def test_a_scan_has_its_note(xsd_faults):
    """What seems missing stands in the scan's note, where the schema has it."""
    scans = [dataclasses.replace(scan, note=GAP) for scan in arrange([made()], known={})]
    data = document.compose(session(), scans, experiment_id="W_E0123456789ab")
    assert one(data, "//x:scan/*[1][self::x:note]") == GAP
    assert [] == xsd_faults(data)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("", GAP, GAP),
        (GAP, "Maybe incomplete: more", "Maybe incomplete: more"),
        (GAP, "", ""),
        ("", "", ""),
        ("<xnat:note/>", GAP, GAP),
        ("looks fine", GAP, "looks fine"),
        ("looks fine", "", "looks fine"),
        ("<xnat:note><!-- asked Ann -->fine</xnat:note>", GAP, "fine"),
    ],
)
def test_merge_keeps_the_note_up_to_date(xsd_faults, before, after, expected):
    """Our note is set, replaced or taken away; a person's is never touched."""
    note = before if before.startswith("<") or not before else f"<xnat:note>{before}</xnat:note>"
    data = composed([made()]).replace(b"<xnat:quality>", note.encode() + b"<xnat:quality>")
    result = merged(data, [], notes={"1": after})
    assert expected == one(result, "//x:scan/x:note").strip()
    assert bool(expected) == bool(etree.fromstring(result).xpath("//x:scan/x:note", namespaces=NS))
    assert [] == xsd_faults(result)
    assert result == merged(result, [], notes={"1": after})
    assert result == merged(result, [])


def test_merged_documents_are_valid(xsd_faults):
    """XNAT's schema takes what is merged, whatever the types."""
    expected = []
    valid = PERSONS.replace(b'<xnat:scan ID="2"', b'<xnat:scan xsi:type="xnat:scScanData" ID="2"')
    (gained,) = arrange(
        [made("8.1", series="1.10", sop=SC, folder="secondary")], known={"1.10": "10"}
    )
    for element in [None, *sop.SESSION_ELEMENTS.values(), "PETMRSession", "OtherDicomSession"]:
        data = merged(
            valid,
            [everything("x\x00")],
            {("10", "secondary"): (2, 2)},
            new_resources=[("10", gained)],
            accepted=["7.7"],
            element=element,
        )
        assert expected == xsd_faults(data)
        again = merged(data, [], element="CTSession")
        assert expected == xsd_faults(again)


def test_prearchive_path():
    """It stands in the XML of a staged session; one the schema can't hold is left out."""
    for path, expected in (("/p/a", "/p/a"), ("/" + "p" * 255, "")):
        data = document.compose(session(), (), experiment_id="", prearchive_path=path)
        assert expected == one(data, "/*/x:prearchivePath")


@pytest.mark.parametrize(
    ("convert", "text", "expected"),
    [
        (values.date, "20240229", "2024-02-29"),
        (values.date, "20230229", ""),
        (values.date, "2024.02.29", "2024-02-29"),
        (values.date, "2024.0229", ""),
        (values.date, "00000101", ""),
        (values.time, "0914", "09:14:00"),
        (values.time, "09:14:25", "09:14:25"),
        (values.time, "235960.5", "23:59:59"),
        (values.time, "24", ""),
        (values.time, "9", ""),
        (values.number, "1e-7", "0.0000001"),
        (values.number, "1E-40", "0.0"),
        (values.number, "+.5\\7", "0.5"),
        (values.number, "1e20", ""),
        (values.number, "1_0", ""),
        (values.number, "1\\x", ""),
        (values.whole, "007\\8", "7"),
        (values.whole, "1.0", ""),
        (values.orientation, "1\\0\\0\\0\\1\\0", "Tra"),
        (values.orientation, "1\\0\\0\\0\\0\\-1", "Cor"),
        (values.orientation, "0\\1\\0\\0\\0\\-1", "Sag"),
        (values.orientation, "0\\0\\0\\0\\0\\0", ""),
        (values.orientation, "1\\0\\0", ""),
    ],
)
def test_forms(convert, text, expected):
    """DICOM's forms become the schema's; what is malformed is left out."""
    assert expected == convert(text)


def test_many():
    """A session of twenty thousand images is written within a few seconds of a busy machine."""
    data = composed([made(f"1.{n}") for n in range(20_000)])
    assert one(data, "//x:frames") == "20000"
