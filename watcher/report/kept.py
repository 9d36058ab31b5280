"""Entries of the history and of the quarantine, as people see them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from watcher.core.notation import format_size
from watcher.report.text import worded

HISTORY: Final = ("ENTRY", "KIND", "FILES", "SIZE", "WHEN", "WHO", "REASON")
FILES: Final = ("FILE", "SIZE")
REASONS: Final = ("MEMBER", "CODE", "WHY")
MANY: Final = 50  # reasons that are told to people; `--json` gives all


def rows(records: Sequence[Mapping[str, Any]]) -> list[Sequence[object]]:
    """A row for each entry of the history."""
    return [
        (
            *(each["id"], each["kind"], each["files"], format_size(each["bytes"])),
            *(each["when"], each["who"], each["reason"]),
        )
        for each in records
    ]


def lines(record: Mapping[str, Any]) -> list[str]:
    """What is known of one entry, a line each; what is empty or a list of its own is left out."""
    told = {name: worded(value) for name, value in record.items() if not isinstance(value, list)}
    return [f"{name.replace('_', ' ')}: {value}" for name, value in told.items() if value]


def reason_rows(reasons: Sequence[Mapping[str, Any]]) -> list[Sequence[object]]:
    """A row for each reason a unit was refused for, and one for those that are too many."""
    found: list[Sequence[object]] = [
        (each["member"], each["code"], each["text"]) for each in reasons[:MANY]
    ]
    left = len(reasons) - len(found)
    return [*found, ("...", "", f"{left} more: --json tells them")] if left else found


def file_rows(paths: Sequence[Mapping[str, Any]]) -> list[Sequence[object]]:
    """A row for each file of an entry."""
    return [(each["path"], format_size(each["bytes"])) for each in paths]
