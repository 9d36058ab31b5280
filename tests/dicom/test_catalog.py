"""A scan's files to catalog XML and back."""

import time

import pytest
from filed import made, schema_faults
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from watcher.core.errors import DocumentError
from watcher.core.model import Entry
from watcher.dicom import catalog

NS = (
    'xmlns:cat="http://nrg.wustl.edu/catalog" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
)
PERSONS = f"""<cat:DCMCatalog {NS} UID="1.2.3" name="kept" ID="c">
  <cat:tags><cat:tag>mine</cat:tag></cat:tags>
  <cat:sets><cat:entrySet ID="s"><cat:entries>
    <cat:entry URI="deep%20er/a.dcm" UID="1" digest="AA" xsi:type="cat:dcmEntry"/>
  </cat:entries></cat:entrySet></cat:sets>
  <cat:entries>
    <cat:entry URI="b.dcm" name="b.dcm" cachePath="b.dcm" createdBy="ann"><cat:metaFields>
      <cat:metaField name="AUDIT">x</cat:metaField></cat:metaFields></cat:entry>
    <cat:entry URI="c.dcm" UID="3" digest="cc" instanceNumber="junk"><cat:tags/></cat:entry>
  </cat:entries>
  <cat:dimensions x="2" y="3" z="30"/><cat:voxelRes x="1"/>
</cat:DCMCatalog>""".encode()


BLANK = f"<cat:DCMCatalog {NS}><cat:orientation>Tra</cat:orientation></cat:DCMCatalog>".encode()


@pytest.fixture(scope="module")
def xsd_faults(xnat_schema):
    return schema_faults(xnat_schema, "catalog.xsd")


def entry(n, **changes):
    values = {
        "uri": f"{n}.dcm",
        "uid": f"1.2.{n}",
        "digest": f"{n:032x}",
        "size": n,
        "class_uid": "1.2.840.10008.5.1.4.1.1.4",
        "instance_number": n,
        "id": f"{n}.dcm",
        "created": "2024-06-19T09:19:25Z",
    }
    return Entry(**(values | changes))


def composed(entries, **more):
    return catalog.compose("1.2.3", entries, **({"dimensions": (256, 128, len(entries))} | more))


def uris(data):
    return [e.uri for e in catalog.read(data)[1]]


def frames(data):
    return etree.fromstring(data).find("{*}dimensions").get("z")


def test_entry_of():
    """An entry has the digest in lower case, the arrival in UTC, InstanceNumber 1 if missing."""
    instance = made("1.2.3.9", InstanceNumber="")
    expected = Entry(
        uri="x.dcm",
        uid="1.2.3.9",
        digest=instance.digest,
        size=1000,
        class_uid="1.2.840.10008.5.1.4.1.1.4",
        instance_number=1,
        id="x.dcm",
        created="2024-06-19T09:19:25Z",
    )
    assert expected == catalog.entry_of(instance, "x.dcm")
    assert catalog.entry_of(made(InstanceNumber="-3"), "x").instance_number == -3


def test_round_trip():
    """What is composed is read again, sorted by instance number, then name."""
    entries = [entry(3), entry(1), entry(2, instance_number=None), entry(5, instance_number=1)]
    expected = ("1.2.3", (entries[1], entries[3], entries[0], entries[2]))
    data = composed(entries, catalog_id="DICOM", project="PROJ1")
    assert expected == catalog.read(data)
    assert data == composed(list(reversed(entries)), catalog_id="DICOM", project="PROJ1")


@pytest.mark.parametrize(
    "data",
    [
        composed([entry(1), entry(2, size=None)], project="P"),
        composed([], dimensions=None),
        catalog.merge(PERSONS, [entry(9), entry(8)], drop=["c.dcm"]),
        catalog.merge(PERSONS, [], replace={"b.dcm": entry(7), "c.dcm": entry(6)}),
        catalog.merge(BLANK, [entry(1)]),
    ],
)
def test_valid(xsd_faults, data):
    """XNAT's schema takes what is composed and what is merged."""
    expected = []
    assert expected == xsd_faults(data)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=30), st.text(max_size=30))
def test_hostile_text(text, other):
    """No text makes a catalog that can't be read, or that the schema refuses."""
    hostile = entry(1, uid=text, digest=other, class_uid=text, id=other, created=text)
    data = composed([hostile], catalog_id=text, project=other)
    (read,) = catalog.read(data)[1]
    assert read.uri == "1.dcm"


@pytest.mark.parametrize(
    "text",
    ["\x00\x1b[31m", "a" * 20_000, "\U0001f600\ud800", "2024-02-31T00:00:00Z", "1e9", "\ufffe"],
)
def test_hostile_text_is_valid(xsd_faults, text):
    """Control characters, lone surrogates and moments that never were stay schema-valid."""
    hostile = entry(1, uid=text, digest=text, class_uid=text, id=text, created=text)
    data = composed([hostile], catalog_id=text, project=text)
    expected = []
    assert expected == xsd_faults(data)
    assert not catalog.read(data)[1][0].created


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<cat:DCMCatalog",
        b"\xff\xfe",
        b"<x/>",
        f"<!DOCTYPE x><cat:DCMCatalog {NS}/>".encode(),
        f'<!DOCTYPE x [<!ENTITY e SYSTEM "/x">]><cat:Catalog {NS}>&e;</cat:Catalog>'.encode(),
    ],
)
def test_refused(data):
    """Empty, torn, foreign, or with a document type: never an empty catalog (xnat-facts 5.6)."""
    with pytest.raises(DocumentError):
        catalog.read(data)
    with pytest.raises(DocumentError):
        catalog.merge(data, [entry(1)])


def test_reads_what_others_wrote():
    """Nested sets are flattened, URIs stay raw, missing UIDs and bad numbers are tolerated."""
    expected = (
        "1.2.3",
        (
            Entry("deep%20er/a.dcm", "1", "aa", None),
            Entry("b.dcm", "", "", None),
            Entry("c.dcm", "3", "cc", None),
        ),
    )
    assert expected == catalog.read(PERSONS)


def test_merge_keeps():
    """Unknown attributes, metaFields, tags and sets stay; the frame count follows the files."""
    merged = catalog.merge(PERSONS, [entry(9), entry(8)], drop=["c.dcm", "not-there.dcm"])
    root = etree.fromstring(merged)
    expected = ["deep%20er/a.dcm", "b.dcm", "8.dcm", "9.dcm"]
    assert expected == uris(merged)
    assert [root.get("name"), root.findtext("{*}tags/{*}tag")] == ["kept", "mine"]
    assert root.xpath("//@createdBy") == ["ann"]
    assert frames(merged) == "31"


def test_merge_replaces():
    """A replaced entry gets our values, and keeps those of others."""
    merged = catalog.merge(PERSONS, [], replace={"b.dcm": entry(7), "c.dcm": entry(6)})
    found = etree.fromstring(merged).xpath("//*[@createdBy]")[0]
    expected = {"URI": "7.dcm", "name": "7.dcm", "cachePath": "7.dcm", "createdBy": "ann"}
    assert expected == {name: found.get(name) for name in expected}
    assert [field.text for field in found.iter("{*}metaField")][:2] == ["x", "7"]
    assert (entry(7), entry(6)) == catalog.read(merged)[1][1:]
    assert frames(merged) == "30"
    twice = catalog.merge(merged, [], replace={"7.dcm": entry(7, size=70)})
    assert catalog.read(twice)[1][1].size == 70


def test_merge_twice():
    """Carrying the same plan out again changes nothing."""
    first = composed([entry(n) for n in range(1, 5)])
    change = {"replace": {"2.dcm": entry(22)}, "drop": ["3.dcm"]}
    once = catalog.merge(first, [entry(6), entry(5)], **change)
    expected = ["1.dcm", "22.dcm", "4.dcm", "5.dcm", "6.dcm"]
    assert expected == uris(once)
    assert frames(once) == "5"
    assert once == catalog.merge(once, [entry(6), entry(5)], **change)


@pytest.mark.parametrize(
    "change",
    [
        {"add": [entry(1, digest="f" * 32)]},
        {"add": [], "replace": {"9.dcm": entry(8)}},
        {"add": [], "replace": {"9.dcm": entry(1, digest="f" * 32)}},
    ],
)
def test_merge_never_changes_what_a_name_means(change):
    """A listed name with other content, or a replacement of nothing, is refused."""
    with pytest.raises(DocumentError):
        catalog.merge(composed([entry(1)]), **change)


def test_merge_into_an_empty_catalog():
    """A blank catalog, as XNAT makes them, gets entries in the schema's place; no dimensions."""
    merged = catalog.merge(BLANK, [entry(1)])
    assert uris(merged) == ["1.dcm"]
    assert etree.fromstring(merged)[-1].text == "Tra"
    assert catalog.merge(BLANK, []).count(b"<") == BLANK.count(b"<") + 1  # its XML declaration


def test_a_dropped_name_can_be_added():
    """A name that is dropped and added in one merge is listed once, with its new content."""
    again = entry(1, digest="e" * 32)
    merged = catalog.merge(composed([entry(1)]), [again], drop=["1.dcm"])
    assert (again,) == catalog.read(merged)[1]


def test_many():
    """Twenty thousand entries are written and read in a few seconds even on a busy machine."""
    entries = [entry(n) for n in range(20_000)]
    start = time.process_time()
    data = composed(entries)
    assert len(catalog.read(data)[1]) == len(entries)
    assert time.process_time() - start < 4
