"""The campaign's record: each case tells what became of its files; the table is made of that."""

import os
from dataclasses import astuple
from pathlib import Path

import pytest
from faults.table import Row, drawn

FAULT = "fault"  # the property of a test's report that carries its rows, from any process


@pytest.fixture
def row(request):
    """A line of the table of faults: `row(fault=..., how=...)`, then counted; see `table.Row`."""
    rows = []

    def begun(fault, how):
        rows.append(Row(fault, how))
        return rows[-1]

    yield begun
    request.node.user_properties.extend((FAULT, astuple(each)) for each in rows)


def pytest_terminal_summary(terminalreporter):
    done = {
        report.nodeid: report
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", "") == "teardown"
    }
    rows = [
        Row(*values)
        for report in done.values()
        for name, values in report.user_properties
        if name == FAULT
    ]
    if not rows:
        return
    text = drawn(rows)
    terminalreporter.section("faults")
    terminalreporter.write(text)
    if path := os.environ.get("WATCHER_FAULT_TABLE"):
        Path(path).write_text(text, encoding="utf-8")
