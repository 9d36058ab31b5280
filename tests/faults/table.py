"""The table of faults: what was done to the program, how often, and what became of the files."""

import os
import platform
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

FAULT = "fault"  # the property of a test's report that carries its rows, from any process
HEAD = ("fault", "how it is injected", "runs", "lost", "torn", "duplicated", "recovered")
STORES = ("prearchive", "archive", "quarantine", "history")


@dataclass
class Row:
    """One fault: `runs` times; files lost, torn, duplicated; runs after which all was well again.

    Rows of the same fault and way are added up.
    """

    fault: str
    how: str
    runs: int = 0
    lost: int = 0
    torn: int = 0
    duplicated: int = 0
    recovered: int = 0

    def ran(self, *, lost=0, torn=0, duplicated=0, recovered=True):
        """One run more, and how many files it lost, tore or doubled (fails where it did)."""
        self.add(lost=lost, torn=torn, duplicated=duplicated, recovered=recovered)
        assert (0, 0, 0, True) == (lost, torn, duplicated, bool(recovered))

    def add(self, *, lost=0, torn=0, duplicated=0, recovered=True):
        """The same for a test that says itself what was wrong."""
        self.runs += 1
        self.lost += lost
        self.torn += torn
        self.duplicated += duplicated
        self.recovered += bool(recovered)

    def judge(self, sent, root, drops, digest):
        """One run more, judged by the files: all that was sent is archived once, byte for byte.

        `sent`: the digests of the whole files given (each a file of its own); `root`: the folder
        of the stores; `drops`: the folders of the drops; `digest`: of the file at a path.
        """
        kept = {s: Counter(map(digest, instances(root / s))) for s in STORES}
        waiting = {digest(path) for drop in drops for path in drop.rglob("*") if path.is_file()}
        everywhere = set().union(*kept.values()) | waiting
        archived, staged = kept["archive"], kept["prearchive"]
        self.ran(
            lost=len(set(sent) - everywhere),
            torn=len((set(archived) | set(staged)) - set(sent)),
            duplicated=sum(count - 1 for count in archived.values()),
            recovered=set(sent) == set(archived) and not staged,
        )


def instances(store):
    """The files of a store that are no documents of ours."""
    return [
        path
        for path in store.rglob("*")
        if path.is_file()
        and not path.name.startswith(".")
        and path.suffix not in {".xml", ".json", ".jsonl"}
    ]


def drawn(rows):
    """The table as text, in the order the faults were first met, alike rows added up."""
    added = {}
    for row in rows:
        into = added.setdefault((row.fault, row.how), Row(row.fault, row.how))
        for name in ("runs", "lost", "torn", "duplicated", "recovered"):
            setattr(into, name, getattr(into, name) + getattr(row, name))
    lines = [HEAD] + [
        (r.fault, r.how, *map(str, (r.runs, r.lost, r.torn, r.duplicated, r.recovered)))
        for r in sorted(added.values(), key=lambda r: (r.fault, r.how))
        if r.runs
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = ["  ".join(_cells(line, widths)).rstrip() for line in lines]
    text.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join([*_preface(), *text, ""])


def _cells(line, widths):
    for number, (cell, width) in enumerate(zip(line, widths, strict=True)):
        yield cell.rjust(width) if number > 1 else cell.ljust(width)


def _preface():
    return (
        "What the fault campaign did to the program, and what became of the files.",
        "",
        "Made by the run itself (tests/faults/table.py):",
        "",
        "    WATCHER_FAULT_TABLE=tests/faults/README .venv/bin/pytest -m 'faults and not soak'",
        "",
        "runs: how often the fault was met. lost, torn, duplicated: files, over all runs.",
        "recovered: runs after which everything sent stood archived, once and byte for byte, or",
        "where it belongs, without a person's help.",
        "",
        f"This one: Python {platform.python_version()}, {platform.system()} {platform.release()}.",
        "",
    )


def told(terminalreporter):
    """Print the table of a run that is over, and write it to $WATCHER_FAULT_TABLE."""
    if hasattr(terminalreporter.config, "workerinput"):
        return  # the process that leads this one tells
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
