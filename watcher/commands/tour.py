"""What the demo prints: the archive as a tree, sessions, what was left, and a conflict."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from watcher.commands.output import console, print_table
from watcher.core.case import counted
from watcher.report.tree import Branch, draw

HEAD: Final = ("ID", "STATUS", "PROJECT", "SUBJECT", "LABEL", "SCANS", "FILES", "FINDINGS")
Told = dict[str, Any]


def tell(told: Told) -> None:
    """The document of the demo, for people."""
    print(f"{told['dropped']} real DICOM files, dropped and drained in {told['seconds']} s.")
    _head(f"The archive: {told['directory']}/store/archive")
    for line in _tree(told["archive"]):
        print(line)
    _head("Every session")
    rows = [
        [*(one[name.lower()] for name in HEAD[:-1]), ", ".join(one["findings"])]
        for one in told["sessions"]
    ]
    print_table(HEAD, rows, nothing="none")
    _head("Not filed")
    for one in told["left"]:
        print(f"{one['where']}: {one['path']}\n    {one['why']}")
    _tell_conflict(told["conflict"])
    _head("Look further")
    read = [f"less {told['receipt']}", f"less {told['log']}"]
    print("\n".join([*told["further"], *read, f"For a browser: file://{told['page']}"]))


def _tree(archive: Sequence[Told]) -> Iterator[str]:
    for project in dict.fromkeys(one["project"] for one in archive):
        sessions = [_branch(one) for one in archive if one["project"] == project]
        yield from draw(Branch(f"{project}: {len(sessions)} sessions", sessions))


def _branch(one: Told) -> Branch:
    scans = [
        Branch(f"scan {scan['id']}: {scan['modality']}, {counted(scan['files'])}")
        for scan in one["scans"]
    ]
    total = counted(sum(scan["files"] for scan in one["scans"]))
    return Branch(f"{one['label']}: {one['type']} of {one['subject']}, {total}", scans)


def _tell_conflict(conflict: Told) -> None:
    finding = conflict["finding"]
    _head(f"One conflict: {conflict['project']}/{conflict['id']}/{conflict['label']}")
    print(f"{finding['code']}: {finding['text']}")
    print(f"Two studies go by the label {conflict['label']}:")
    print(f"  waits     {finding['incoming']['study']}")
    print(f"  archived  {finding['archived']['study']}")
    rows = [
        (name, value, finding["archived"].get(name, ""), finding["evidence"].get(name, ""))
        for name, value in finding["incoming"].items()
        if value and name != "study"  # a table would cut the UIDs where they differ
    ]
    print_table(("", "WAITS", "ARCHIVED", ""), rows, nothing="")
    print(f"It looks like: {finding['evidence']['looks_like']}")
    for way in conflict["settle"]:
        _head(way["when"])
        print(way["command"])


def _head(text: str) -> None:
    console().print(f"\n{text}", style="bold", markup=False, emoji=False)
