"""The words: what they say of themselves."""

import os
from dataclasses import replace

import pytest
from filed import header, made, session

from watcher.core.file import QUARANTINED, Fingerprint, RefusalCode
from watcher.core.session import Finding, Place, Scan, ScanResource, SessionKey, Severity
from watcher.core.tags import KEYWORDS, TAGS

PRINT = Fingerprint(1, 2, 3, 4, 5)


def test_fingerprint_of(tmp_path):
    """A fingerprint is device, inode, size, mtime and ctime of a file."""
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    found = os.stat(path)
    expected = (found.st_dev, found.st_ino, 3, found.st_mtime_ns, found.st_ctime_ns)
    print_ = Fingerprint.of(found)
    assert expected == (
        print_.device,
        print_.inode,
        print_.size,
        print_.mtime_ns,
        print_.ctime_ns,
    )


@pytest.mark.parametrize("field", ["device", "inode", "size", "mtime_ns"])
def test_other_content(field):
    """Another device, inode, size or mtime is another content."""
    assert not PRINT.same_content(replace(PRINT, **{field: 99}))


def test_same_content():
    """A link made, an owner or mode changed moves only ctime: the content is the same."""
    assert PRINT.same_content(replace(PRINT, ctime_ns=99))


def test_header():
    """A header answers by keyword, empty where the file says nothing; unknown words are a bug."""
    head = header(SOPClassUID="1", SOPInstanceUID="2", StudyInstanceUID="3", SeriesInstanceUID="4")
    assert ("1", "2", "3", "4") == (head.sop_class, head.sop_instance, head.study, head.series)
    assert head["PatientID"] == ""
    with pytest.raises(KeyError):
        head["NoSuchKeyword"]


def test_refusals():
    """A torn, busy, changed or vanished file never goes to quarantine (spec 5)."""
    waits = {"empty", "torn", "busy", "unleased", "hollow", "changed", "gone", "denied", "unit"}
    stays = {"not-regular", "dicomdir"}
    assert waits | stays == {each.value for each in RefusalCode if each not in QUARANTINED}


def test_place():
    """A place is a path below the session's folder (spec 8)."""
    assert Place("7", "secondary", "a.dcm").path == "SCANS/7/secondary/a.dcm"


@pytest.mark.parametrize("severity", Severity)
def test_blocks(severity):
    """CONFLICT and FAIL end in status CONFLICT; the others let the session pass (spec 10)."""
    blocks = severity in {Severity.CONFLICT, Severity.FAIL}
    assert blocks == Finding("x", (), severity, "", "session").blocks


def test_session_names():
    """A session is shown as PROJECT/TIMESTAMP/LABEL and lies so; Unassigned has no project level.

    (Spec 2 and 8.)
    """
    row = session(id="T", project="P", label="L", study="1.2")
    lost = replace(row, project=None)
    assert SessionKey("P", "1.2", "L") == row.key
    assert ("P/T/L", "P/T/L") == (row.shown, row.folder)
    assert ("Unassigned/T/L", "T/L") == (lost.shown, lost.folder)


def test_scan_instances():
    """A scan's files are those of its resources, in their order."""
    one, two = made("1.1"), made("1.2", folder="secondary")
    resources = (ScanResource("DICOM", (one,)), ScanResource("secondary", (two,)))
    assert [one, two] == Scan("1", "1.2.3", "xnat:mrScanData", "MR", resources).instances


def test_keywords():
    """Every attribute has one tag, and every tag one keyword."""
    assert dict(TAGS) == {word: tag for tag, word in KEYWORDS.items()}
