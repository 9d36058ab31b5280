"""The rules about files and scans (spec 10). A finding that holds anything holds its scan only.

What is not held goes in, so each says which files it means and which scan they are in.
"""

import shlex
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from watcher.core.case import FEW, Case, counted
from watcher.core.case import finding as new
from watcher.core.match import Comparison
from watcher.core.names import FOLDERS
from watcher.core.session import Finding, Policy, Severity

UID_CONFLICT: Final = "UID conflict detected during archiving"
TAGS: Final = 20  # attributes named in a finding
OUTCOMES: Final[Mapping[tuple[str, Policy], str]] = {
    ("instance-differs", "overwrite"): "the newcomers replace them, which go to the history",
    ("instance-differs", "keep"): "the archived ones stay, the newcomers go to the history",
    ("duplicate-in-session", "overwrite"): "the latest stay, the others go to the history",
    ("duplicate-in-session", "keep"): "the first stay, the others go to the history",
}


def _same_instance(case: Case) -> Iterator[Finding]:
    if files := [same.source for same in case.merge.same]:
        text = (
            f"{counted(files, 'file')} held already: what is held stays, the newcomers are dropped"
        )
        yield _listing(new("same-instance", Severity.INFO, text), files)


def _instance_differs(case: Case) -> Iterator[Finding]:
    found: _Clashes = defaultdict(list)
    for each in case.merge.differs:
        found[each.scan, each.policy].append((each.source, each.target, each.comparison))
    yield from _clashes(case, "instance-differs", found)


def _duplicate(case: Case) -> Iterator[Finding]:
    """Where the two are in different scans, each is held: neither may go in before the other."""
    found: _Clashes = defaultdict(list)
    for each in case.merge.duplicates:
        clash = (each.second.place.path, each.first.place.path, each.comparison)
        for scan in dict.fromkeys(each.scans[1:] if each.policy else reversed(each.scans)):
            found[scan, each.policy].append(clash)
    yield from _clashes(case, "duplicate-in-session", found)


_Clash = tuple[str, str, Comparison]  # the newcomer, what it disagrees with, and how
_Clashes = defaultdict[tuple[str, Policy], list[_Clash]]  # by scan, and by what was decided


def _clashes(case: Case, code: str, found: _Clashes) -> Iterator[Finding]:
    for (scan, policy), clashes in found.items():
        yield _clash(case, code, scan, policy, clashes)


def _clash(case: Case, code: str, scan: str, policy: Policy, clashes: Sequence[_Clash]) -> Finding:
    files = [newcomer for newcomer, _, _ in clashes]
    text = UID_CONFLICT
    if code == "duplicate-in-session":
        text = f"{counted(files, 'file')} with the UIDs of another in this session"
    text += _uncompared(clashes)
    if policy:
        outcome = f"{text}: {OUTCOMES[code, policy]}"
        finding = new(code, Severity.WARN, outcome, scope=f"scan {scan}")
    else:
        commands = _ways_out(case, scan)
        finding = new(code, Severity.CONFLICT, text, *commands, scope=f"scan {scan}")
    listed = _listing(finding, files, [other for _, other, _ in clashes])
    return replace(listed, evidence={**listed.evidence, **_compared(clashes)})


def _uncompared(clashes: Sequence[_Clash]) -> str:
    """How many pairs the readers could not get through, and why; they count as differing."""
    why = [comparison.text for _, _, comparison in clashes if comparison.text]
    return f" ({counted(why, 'pair')} could not be compared: {why[0]})" if why else ""


def _ways_out(case: Case, scan: str) -> Iterator[str]:
    yield case.command('archive --overwrite --reason "..."')
    yield case.command('archive --keep --reason "..."')
    yield case.command(f'delete{_only(case, scan)} --reason "..."')


def _only(case: Case, scan: str) -> str:
    return f" --scan {shlex.quote(scan)}" if len(case.scans) > 1 else ""


def _compared(clashes: Sequence[_Clash]) -> dict[str, object]:
    """Whether the pixels are the same, and which attributes differ, over all pairs."""
    pixels = {comparison.same_pixels for _, _, comparison in clashes}
    words = {True: "same", False: "differs", None: "unknown"}
    mixed = "same in some" if True in pixels else "differs in some"
    tags = sorted({tag for _, _, comparison in clashes for tag in comparison.tags})
    return {
        "pixels": words[pixels.pop()] if len(pixels) == 1 else mixed,
        "differing_tags": tags[:TAGS],
    }


def _other_class(case: Case) -> Iterator[Finding]:
    if files := {other.source: other.target for other in case.merge.other_class}:
        text = f"Ignored: {counted(files, 'file')} with the SOP UID of another class"
        show = "watcher quarantine list --code other-class"
        finding = new("instance-other-class", Severity.WARN, text, show)
        yield _listing(finding, files, files.values())


def _number_taken(case: Case) -> Iterator[Finding]:
    for series, (old, final) in case.merge.renamed.items():
        text = (
            f"Session already contains a scan ({old}) with the same number, but a different UID."
            f" - New scan will be renamed during archive: {final}"
        )
        yield _moved(new("scan-number-taken", Severity.INFO, text), series, old, final)


def _uid_elsewhere(case: Case) -> Iterator[Finding]:
    for series, (old, final) in case.merge.joined.items():
        text = (
            "Session already contains a scan with the same UID, but a different number"
            f" ({old}): it joins scan {final}"
        )
        yield _moved(new("scan-uid-elsewhere", Severity.INFO, text), series, old, final)


def _moved(finding: Finding, series: str, old: str, final: str) -> Finding:
    incoming = {"scan": old, "series": series}
    return replace(finding, scope=f"scan {old}", incoming=incoming, archived={"scan": final})


def _stray(case: Case) -> Iterator[Finding]:
    if strays := case.seen.strays:
        text = f"{counted(strays, 'file')} in scan folders that are no instances: to quarantine"
        show = "watcher quarantine list --code stray-file"
        yield _listing(new("stray-file", Severity.WARN, text, show), strays)


def _catalog_missing(case: Case) -> Iterator[Finding]:
    old = case.archived
    for scan in old.scans if old else ():
        for resource in scan.resources:
            if resource.fault:
                label = resource.label if resource.label in FOLDERS else "another resource"
                text = (
                    f"The catalog of archived scan {scan.id}, {label}, {resource.fault}:"
                    f" it is made again from {counted(resource.entries, 'file')} first"
                )
                finding = new("catalog-missing", Severity.WARN, text, scope=f"scan {scan.id}")
                yield replace(finding, archived={"scan": scan.id, "catalog": resource.catalog})


def _unreadable(case: Case) -> Iterator[Finding]:
    for scan, files in case.seen.unreadable.items():
        text = f"{counted(files, 'filed file')} can't be read any more"
        resolve = case.command(f'delete{_only(case, scan)} --reason "..."')
        finding = new("unreadable-file", Severity.FAIL, text, resolve, scope=f"scan {scan}")
        yield _listing(finding, files)


def _listing(finding: Finding, files: Collection[str], against: Iterable[str] = ()) -> Finding:
    """The finding with the number of files and the first few, and of those they stand against."""
    there = list(dict.fromkeys(against))
    return replace(
        finding,
        incoming={"files": list(files)[:FEW]},
        archived={"files": there[:FEW]} if there else {},
        evidence={"count": len(files)},
    )


FILE_RULES: Final[tuple[Callable[[Case], Iterator[Finding]], ...]] = (
    _same_instance,
    _instance_differs,
    _other_class,
    _duplicate,
    _number_taken,
    _uid_elsewhere,
    _stray,
    _catalog_missing,
    _unreadable,
)
