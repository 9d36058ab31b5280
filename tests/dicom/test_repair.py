"""`dicom.repair`: every resource that a session XML names."""

import pytest
from filed import made, session

from watcher.core.errors import DocumentError
from watcher.core.scans import arrange
from watcher.dicom import document
from watcher.dicom.repair import Named, named


def test_resources_of_scans_and_others():
    """Those of scans with ID and series, others without; counts where they are numbers."""
    scans = arrange([made(), made("1.2.3.4.1.2")], known={})
    text = document.compose(session(), scans, experiment_id="W_E1").decode()
    one = '<xnat:resource label="N" URI="R/n.xml" file_count="x"/>'
    more = f"<xnat:resources>{one}</xnat:resources><xnat:subject_ID"
    found = named(text.replace("<xnat:subject_ID", more).encode())
    assert (
        Named("R/n.xml", "N"),
        Named("SCANS/1/DICOM/scan_1_catalog.xml", "DICOM", "1", "1.2.3.4.1", 2, 2000),
    ) == found


@pytest.mark.parametrize("data", [b"", b"<a/>", b"<xnat"])
def test_what_is_no_session_xml(data):
    """DocumentError."""
    with pytest.raises(DocumentError):
        named(data)
