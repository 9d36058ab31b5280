"""Checked and refreshed sessions as `watcher verify` and `watcher refresh` give them (spec 4)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from watcher.core.notation import format_size
from watcher.core.soundness import DAMAGE, Change, Checked, Code, Flaw

HEAD: Final = ("PROJECT", "LABEL", "FILES", "SIZE", "VERDICT", "FINDINGS")
FLAW_HEAD: Final = ("PROJECT", "LABEL", "FINDING", "PATH", "TEXT", "WHAT SETTLES IT")
_BY_HAND: Final[Mapping[Code, str]] = {
    "extra": "move it away by hand",
    "schema": "correct by hand what it names",  # what a person wrote stays
    "pending": "nothing to do: it is listed once no more files come",
}


def record(checked: Checked) -> dict[str, Any]:
    """A checked session; size in bytes."""
    return {
        "project": checked.project,
        "label": checked.label,
        "files": checked.files,
        "bytes": checked.bytes,
        "verdict": checked.verdict,
        "findings": findings(checked),
    }


def refreshed(checked: Checked, changed: Iterable[Change]) -> dict[str, Any]:
    """A refreshed session: what was changed, and what is still wrong."""
    return {
        "project": checked.project,
        "label": checked.label,
        "changed": [{"path": each.path, "what": each.what} for each in changed],
        "findings": findings(checked),
    }


def findings(checked: Checked) -> list[dict[str, str]]:
    """Its findings, each with the session it is of."""
    return [_finding(checked, flaw) for flaw in checked.flaws]


def _finding(checked: Checked, flaw: Flaw) -> dict[str, str]:
    return {
        "code": flaw.code,
        "project": checked.project,
        "label": checked.label,
        "path": flaw.path,
        "text": flaw.text,
        "remedy": remedy(checked, flaw),
    }


def remedy(checked: Checked, flaw: Flaw) -> str:
    """What settles a finding: `refresh`, where it mends such; else what a person does by hand."""
    refresh = f"watcher refresh {checked.project}/{checked.label}"
    accepting = f'{refresh} --accept-changed --reason "..."'
    is_document = flaw.path.endswith((".xml", ".xml.gz"))
    if flaw.code in _BY_HAND:
        return _BY_HAND[flaw.code]
    if flaw.code in DAMAGE and not is_document:  # a document is made anew from the files
        return f"restore it from backup, or {accepting}"
    if flaw.code == "count":
        return f"{refresh}; where files are gone: restore them, or {accepting}"
    if flaw.code == "unlisted" and not is_document:
        return f"{refresh}; an image of another series: {_BY_HAND['extra']}"
    return refresh


def rows(found: Iterable[Checked]) -> list[Sequence[object]]:
    """A row for each session."""
    return [
        (
            each.project,
            each.label,
            each.files,
            format_size(each.bytes),
            each.verdict,
            len(each.flaws) or "",
        )
        for each in found
    ]


def flaw_rows(found: Iterable[Checked]) -> list[Sequence[object]]:
    """A row for each finding."""
    return [
        (each.project, each.label, flaw.code, flaw.path, flaw.text, remedy(each, flaw))
        for each in found
        for flaw in each.flaws
    ]
