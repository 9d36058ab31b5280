"""Rows of the ledger become the values they were."""

from dataclasses import replace

from filed import made, session
from hypothesis import given
from hypothesis import strategies as st

from watcher.core.file import Header
from watcher.core.session import Place
from watcher.io import tables

headers = st.builds(
    Header, st.dictionaries(st.integers(0, 0xFFFFFFFF), st.text(max_size=9), max_size=4)
)


@given(headers)
def test_header(head):
    """A header is kept whole, whatever characters its texts hold."""
    assert head == tables.header_of(tables.header_text(head))


@given(headers, st.binary(max_size=20))
def test_instance(head, source):
    """A filed file is kept whole; its source is bytes of any kind."""
    row = replace(made(), header=head, source=source, place=Place("7", "secondary", "a.dcm"))
    columns = tables.instance_columns("T", row, in_hand=True)
    assert row == tables.instance_row(columns)
    assert ("T", True) == (columns["session"], columns["in_hand"])
    assert set(columns) == {column.name for column in tables.instance.columns}


def test_session():
    """A session is kept whole; the columns for listings alone are not its business."""
    row = session(target=("P", "L", "S"), scan_ids={"1": "2"})
    columns = tables.session_columns(row)
    assert row == tables.session_row({**columns, "files": 1, "bytes": 2, "scans": 3})
    counted = {"files", "bytes", "scans"}
    assert set(columns) | counted == {column.name for column in tables.session.columns}
