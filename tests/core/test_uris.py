"""Which file of a session a catalog's URI may mean."""

import os
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from watcher.core.uris import candidates

HERE = "SCANS/7/DICOM"


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("a.dcm", [f"{HERE}/a.dcm"]),
        ("deep/a.dcm", [f"{HERE}/deep/a.dcm"]),
        ("a%20b.dcm", [f"{HERE}/a%20b.dcm", f"{HERE}/a b.dcm"]),
        ("./x//../a.dcm", [f"{HERE}/a.dcm"]),
        ("../secondary/a.dcm", ["SCANS/7/secondary/a.dcm"]),
        ("/data/P/arc001/L/SCANS/8/DICOM/a.dcm", ["SCANS/8/DICOM/a.dcm", f"{HERE}/a.dcm"]),
        ("/SCANS/arc001/L/SCANS/8/DICOM/a.dcm", ["SCANS/8/DICOM/a.dcm", f"{HERE}/a.dcm"]),
        ("file:///P/L/SCANS/8/D/a.dcm", ["SCANS/8/D/a.dcm", f"{HERE}/a.dcm"]),
        ("file:/P/L/a%2Eb", [f"{HERE}/a%2Eb", f"{HERE}/a.b"]),
        ("http://x/data/a.dcm", [f"{HERE}/a.dcm"]),
        ("/a.dcm", [f"{HERE}/a.dcm"]),
        ("a%2Fb", [f"{HERE}/a%2Fb", f"{HERE}/a/b"]),
        ("%ff", [f"{HERE}/%ff", f"{HERE}/\udcff"]),
        ("../../../../a.dcm", []),
        ("%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc", [f"{HERE}/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc"]),
        ("/x/SCANS/../../../etc/passwd", [f"{HERE}/passwd"]),
        ("", []),
        (".", []),
        ("..", []),
        ("a/", []),
        ("/", []),
        ("a%00b", [f"{HERE}/a%00b"]),
        ("a\0b", []),
        ("x" * 256, []),
        ("é" * 128, []),
        ("\ud800", []),
    ],
)
def test_candidates(uri, expected):
    """Raw comes before decoded, the place it names before its bare name; nothing outside."""
    assert expected == list(candidates(uri, HERE))


def test_no_folder():
    """A URI of the session XML is relative to the session's folder."""
    expected = ("SCANS/7/DICOM/scan_7_catalog.xml",)
    assert expected == candidates("SCANS/7/DICOM/scan_7_catalog.xml", "")
    assert candidates("/data/P/arc001/L/SCANS/7/DICOM/scan_7_catalog.xml", "")[0] == expected[0]


PARTS = st.sampled_from(["..", ".", "", "a", "%2e%2e", "%2F", "SCANS", "file:", "\0", "é", "%"])
HOSTILE = st.one_of(st.text(max_size=40), st.lists(PARTS, max_size=12).map("/".join))


@given(HOSTILE, HOSTILE)
@example("..", "/..")
def test_never_leaves(uri, folder):
    """No URI and no folder, whatever they say, lead out of the session or to the session itself."""
    for path in candidates(uri, folder):
        assert not os.path.isabs(path)
        assert os.path.normpath(path) == path
        assert path.split("/")[0] not in {"..", ".", ""}
        assert b"\0" not in os.fsencode(path)


@given(st.from_regex(r"[A-Za-z0-9_. é%-]{1,40}", fullmatch=True).filter(lambda n: n.strip(".")))
def test_a_name_is_found(name):
    """A file is among what its name means, written raw or percent-encoded."""
    for uri in (name, quote(name), f"file:///gone/{quote(name)}", f"/gone/{name}"):
        assert f"{HERE}/{name}" in candidates(uri, HERE)
