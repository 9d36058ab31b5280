"""Entries of the history and the quarantine, as rows and lines."""

from watcher.report import kept


def test_what_is_empty_or_a_list_of_its_own_is_left_out():
    """A line for each thing that is known."""
    record = {"id": "P/L/1", "who": "", "files": 0, "set_aside": "now", "paths": [1], "open": True}
    assert ["id: P/L/1", "files: 0", "set aside: now", "open: yes"] == kept.lines(record)
    assert [] == kept.lines({"project": None})


def test_sizes_are_those_people_read():
    """Rows for the tables, with as many cells as heads."""
    record = dict.fromkeys(("id", "kind", "when", "who", "reason"), "x") | {
        "files": 2,
        "bytes": 2048,
    }
    (row,) = kept.rows([record])
    assert (len(kept.HISTORY), "2 KiB") == (len(row), row[3])
    assert [("a", "1 KiB")] == kept.file_rows([{"path": "a", "bytes": 1024}])


def test_many_reasons_are_cut_short_for_people():
    """A row for each, and one that says how many more there are."""
    reasons = [{"member": str(at), "code": "bad-uid", "text": "x"} for at in range(kept.MANY + 2)]
    rows = kept.reason_rows(reasons)
    assert (kept.MANY + 1, "2 more: --json tells them") == (len(rows), rows[-1][2])
    assert rows[: kept.MANY] == kept.reason_rows(reasons[: kept.MANY])
