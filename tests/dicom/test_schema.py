"""XNAT's schemas, shipped with the package, and what may be said of a document they refuse."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from lxml import etree

from watcher.dicom import schema

XNAT = (
    'xmlns:xnat="http://nrg.wustl.edu/xnat" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
)
CAT = (
    'xmlns:cat="http://nrg.wustl.edu/catalog" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
)
MINE = os.path.join(os.path.dirname(schema.__file__), "schemas")
SHARED = os.path.join(os.path.dirname(__file__), "../../../shared/xnat-schema")


def session(inside="", more="", root="MRSession"):
    return f'<xnat:{root} {XNAT} ID="W_E1" {more}>{inside}</xnat:{root}>'.encode()


def listing(inside):
    return f"<cat:DCMCatalog {CAT}><cat:entries>{inside}</cat:entries></cat:DCMCatalog>".encode()


@pytest.mark.skipif(not os.path.isdir(SHARED), reason="the originals are not here")
def test_byte_for_byte():
    """The schemas shipped are XNAT's, to the byte."""
    names = [name for name in os.listdir(SHARED) if name.endswith(".xsd")]
    assert sorted(names) == sorted(os.listdir(MINE))
    for name in names:
        with open(os.path.join(SHARED, name), "rb") as theirs:
            expected = theirs.read()
        with open(os.path.join(MINE, name), "rb") as ours:
            assert expected == ours.read()


def test_valid():
    """A valid document has no faults."""
    assert schema.session_faults(session(root="Subject")) == ()
    assert schema.catalog_faults(listing('<cat:entry URI="a"/>')) == ()


def test_only_what_was_added():
    """Faults of the document it was made from are not given again, wherever they stand now."""
    old, more = "<xnat:date>DOE</xnat:date>", "<xnat:zz/>"
    before = session(old)
    assert () == schema.session_faults(before, before)
    assert () == schema.session_faults(session(f"\n{old}<xnat:note>x</xnat:note>"), before)
    assert ["zz"] == [
        text.split(": ")[1] for text in schema.session_faults(session(old + more), before)
    ]
    assert 1 == len(schema.session_faults(session(more="xsi:type='x'"), session()))


SCAN = '<xnat:scans><xnat:scan ID="1" xsi:type="xnat:mrScanData">{}</xnat:scan></xnat:scans>'


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (
            session("<xnat:date>DOE's day' is not</xnat:date>"),
            "line 1: date: has a value that is no xs:date",
        ),
        (session(more='DOB="x"'), "line 1: DOB of MRSession: is not allowed"),
        (session(root="Nobody"), "line 1: Nobody: can't be the root"),
        (
            session("<xnat:zz>DOE</xnat:zz>"),
            "line 1: zz: is not expected here, or an element before it is missing",
        ),
        (session("DOE"), "line 1: MRSession: text is not allowed here"),
        (session("<xnat:sharing/>"), "line 1: MRSession: an element in it is missing"),
        (
            session(
                '<xnat:demographics xsi:type="xnat:demographicData">'
                "<xnat:gender>DOE, 'x'</xnat:gender></xnat:demographics>",
                root="Subject",
            ),
            "line 1: gender: has a value that is not in the list",
        ),
        (
            session('<xnat:demographics xsi:type="xnat:doeData"/>', root="Subject"),
            "line 1: type of demographics: breaks cvc-elt-4-2",
        ),
        (b"<DOE", "the session XML can't be read as XML (line 1)"),
        (b"<DOE/>", "line 1: DOE: can't be the root"),
    ],
)
def test_told(data, expected):
    """A fault says where and which rule."""
    assert expected == schema.session_faults(data)[0]


def test_no_value_passes():
    """No value of a document gets into what is said of it."""
    values = ("SECRET", "SEC'RET", "{SECRET}", "[facet 'SECRET']", "x' is no type 'SECRET'.")
    for value in values:
        inside = (
            f"<xnat:date>{value}</xnat:date>{SCAN.format(f'<xnat:frames>{value}</xnat:frames>')}"
        )
        faults = schema.session_faults(session(inside, 'xsi:nil="SECRET"'))
        assert faults
        assert "SEC" not in "".join(faults)
        told = schema.catalog_faults(listing(f'<cat:entry createdTime="{value}" DOE="{value}"/>'))
        assert len(told) == 3
        assert "SEC" not in "".join(told)


def test_ten_at_most():
    """Of many faults the first ten are told."""
    faults = schema.catalog_faults(listing("\n<cat:entry/>" * 30))
    expected = [f"line {n}: entry: the attribute URI is missing" for n in range(2, 12)]
    assert expected == list(faults)


def test_threads():
    """Documents examined at once do not get each other's faults."""
    many = '<cat:entry URI="a"/>' * 3000
    documents = [listing(many), listing(f'{many}<cat:entry URI="a" digset="x"/>')] * 20
    alone = [schema.catalog_faults(data) for data in documents]
    with ThreadPoolExecutor(4) as pool:
        assert alone == list(pool.map(schema.catalog_faults, documents))


def test_the_schemas_are_what_lxml_reads(xnat_schema):
    """The folder that other tests are given holds both schemas, usable as they lie there."""
    for name in ("xnat.xsd", "catalog.xsd"):
        etree.XMLSchema(etree.parse(os.path.join(xnat_schema, name)))
