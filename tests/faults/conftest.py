"""The campaign's record: each case tells what became of its files; the table is made of that."""

import os
from pathlib import Path

import pytest
from faults.table import Row, drawn

ROWS = pytest.StashKey[list]()


def pytest_configure(config):
    config.stash.setdefault(ROWS, [])


@pytest.fixture
def row(request):
    """A line of the table of faults: `row(fault=..., how=...)`, then counted; see `table.Row`."""
    rows = request.config.stash.setdefault(ROWS, [])

    def begun(fault, how):
        made = Row(fault, how)
        rows.append(made)
        return made

    return begun


def pytest_terminal_summary(terminalreporter, config):
    rows = config.stash.get(ROWS, [])
    if not rows:
        return
    text = drawn(rows)
    terminalreporter.section("faults")
    terminalreporter.write(text)
    if path := os.environ.get("WATCHER_FAULT_TABLE"):
        Path(path).write_text(text, encoding="utf-8")
