"""The campaign's record: each case tells what became of its files; see `table.told`."""

from dataclasses import astuple

import pytest
from faults.table import FAULT, Row
from faults.trials import Driver


@pytest.fixture(scope="module")
def drivers():
    """Two at a time."""
    with Driver() as one, Driver() as other:
        yield [one, other]


@pytest.fixture
def row(request):
    """A line of the table of faults: `row(fault=..., how=...)`, then counted; see `table.Row`."""
    rows = []

    def begun(fault, how):
        rows.append(Row(fault, how))
        return rows[-1]

    yield begun
    request.node.user_properties.extend((FAULT, astuple(each)) for each in rows)
