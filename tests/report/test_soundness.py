"""What `verify` says of each finding: what settles it, truthfully."""

import pytest

from watcher.core.soundness import Checked, Flaw
from watcher.report.soundness import record

REFRESH = "watcher refresh P/L"
ACCEPT = f'{REFRESH} --accept-changed --reason "..."'


@pytest.mark.parametrize(
    ("code", "path", "remedy"),
    [
        ("missing", "SCANS/1/DICOM/a.dcm", f"restore it from backup, or {ACCEPT}"),
        ("torn", "SCANS/1/DICOM/a.dcm", f"restore it from backup, or {ACCEPT}"),
        ("torn", "SCANS/1/DICOM/scan_1_catalog.xml", REFRESH),
        ("missing", "L.xml", REFRESH),
        ("extra", "SCANS/1/DICOM/foreign.xml", "move it away by hand"),
        ("unlisted", "a.dcm", f"{REFRESH}; an image of another series: move it away by hand"),
        ("unlisted", "SCANS/1/DICOM/scan_1_catalog.xml.gz", REFRESH),
        ("twice-listed", "a.dcm", REFRESH),
        ("count", "L.xml", f"{REFRESH}; where files are gone: restore them, or {ACCEPT}"),
        ("schema", "L.xml", "correct by hand what it names"),
    ],
)
def test_what_settles_a_finding(code, path, remedy):
    """Documents are made again from the files; bytes are restored or accepted; the rest by hand."""
    (found,) = record(Checked("P", "L", 1, 1, (Flaw(path, code, ""),)))["findings"]
    assert remedy == found["remedy"]
