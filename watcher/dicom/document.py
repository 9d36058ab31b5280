"""A session ⇄ its session XML, XNAT's `xnat:MRSession` and its kin (xnat-facts 4)."""

import shlex
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from lxml import etree

from watcher.core import sop
from watcher.core.archived import Archived, ArchivedResource, ArchivedScan
from watcher.core.complete import PREFIX
from watcher.core.errors import DocumentError
from watcher.core.scans import scan_order
from watcher.core.session import Scan, Session
from watcher.dicom import scan as scans_
from watcher.dicom.entry import counted
from watcher.dicom.markup import XNAT, XSI_TYPE, Element, clean, local, parse, put, serialise
from watcher.dicom.session import (
    ACCEPTED,
    COMMON,
    SEX,
    SUBTYPES,
    accept,
    field,
    session_element,
    set_field,
)

WHAT: Final = "the session XML"
MOST: Final = (1 << 63) - 1  # what a database takes for a number

_SCANS: Final = f"{XNAT}scans"
_SCAN: Final = f"{XNAT}scan"
_FILE: Final = f"{XNAT}file"
_NOTE: Final = f"{XNAT}note"
_BARE_SCAN: Final = "xnat:imageScanData"
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})

# Evidence (spec 10) by DICOM keyword: the child that holds it; dates and times go back to DA, TM.
_EVIDENCE: Final = (
    ("PatientID", "dcmPatientId"),
    ("PatientName", "dcmPatientName"),
    ("PatientBirthDate", "dcmPatientBirthDate"),
    ("AccessionNumber", "dcmAccessionNumber"),
    ("StationName", "scanner"),
    ("StudyDate", "date"),
    ("StudyTime", "time"),
)
_COMPACT: Final = str.maketrans("", "", "-:")


def compose(
    session: Session,
    scans: Sequence[Scan],
    *,
    experiment_id: str,
    prearchive_path: str = "",
    accepted: Sequence[str] = (),
) -> bytes:
    """The whole XML of a session, valid against xnat.xsd."""
    root = session_element(
        session, scans, experiment_id=experiment_id, prearchive_path=prearchive_path
    )
    accept(root, accepted)
    return serialise(root)


def read(data: bytes) -> Archived:
    """What a session XML tells; the resources' entries are in their catalogs.

    `fields` are by DICOM keyword and in DICOM's forms, those that are there. Raises DocumentError.
    """
    root = _root(data)
    return Archived(
        project=root.get("project", ""),
        label=root.get("label", ""),
        subject=root.findtext(f"{XNAT}subject_ID") or "",
        id=root.get("ID", ""),
        study=root.get("UID", ""),
        accepted=tuple(field(root, ACCEPTED).split()),
        type=local(root),
        scans=tuple(_scan(element) for element in root.iterfind(f"{_SCANS}/{_SCAN}")),
        fields=_evidence(root),
    )


def merge(
    existing: bytes,
    session: Session,
    scans_new: Sequence[Scan],
    counts: Mapping[tuple[str, str], tuple[int, int]],
    *,
    new_resources: Sequence[tuple[str, Scan]] = (),
    accepted: Sequence[str] = (),
    element: str | None = None,
    notes: Mapping[str, str] = _NOTHING,
) -> bytes:
    """The existing XML with new scans, resources and counts; what a person wrote stays.

    `counts`: file count and bytes by scan ID and resource label. `new_resources`: an existing
    scan's ID, and the resources it gains. `element`: the root's new name, where the type of all
    scans together is another. `notes`: what seems missing, by scan ID; empty takes our note away,
    and a person's stays. Existing values win; what is missing is filled in only from the same
    study. Doing it again changes nothing. Raises DocumentError.
    """
    root = _root(existing)
    fresh = session_element(session, scans_new)
    if element is not None and element != local(root):
        _retype(root, element)
    if root.get("UID", "") in {"", fresh.get("UID", "")}:
        _fill(root, fresh)
    accept(root, accepted)
    _append(root, list(fresh.iterfind(f"{_SCANS}/{_SCAN}")))
    for scan_id, scan in new_resources:
        _extend(_find(root, scan_id), scan_id, scan)
    for (scan_id, label), (files, size) in counts.items():
        _count(_find(root, scan_id), label, files, size)
    for scan_id, note in notes.items():
        _note(_find(root, scan_id), note)
    if element is not None:
        _set_modality(root)
    return serialise(root)


def _root(data: bytes) -> Element:
    root = parse(data, WHAT)
    name = etree.QName(root)
    if f"{{{name.namespace}}}" != XNAT or not name.localname.endswith("Session"):
        raise DocumentError(f"{WHAT} has another root element than it should")
    return root


def _scan(element: Element) -> ArchivedScan:
    kind = element.get(XSI_TYPE, _BARE_SCAN).rpartition(":")[2]
    files = element.iterfind(_FILE)
    return ArchivedScan(
        id=element.get("ID", ""),
        uid=element.get("UID", ""),
        type=f"xnat:{kind}",
        modality=element.findtext(f"{XNAT}modality") or "",
        resources=tuple(
            ArchivedResource(_label(file), _relative(file.get("URI", "")))
            for file in files
            if file.get("URI")  # a resourceSeries has none, and no catalog either
        ),
    )


def _label(file: Element) -> str:
    """A resource's label; one without is called as its folder, which XNAT names after the label."""
    match _relative(file.get("URI", "")).split("/"):
        case ["SCANS", _, folder, _]:
            return file.get("label") or folder
        case _:
            return file.get("label", "")


def _relative(uri: str) -> str:
    """A catalog's path inside the session's folder; XNAT's own archives hold absolute ones."""
    inside = f"SCANS/{uri.rpartition('/SCANS/')[2]}" if uri.startswith("/") else uri
    if ".." in inside.split("/"):
        raise DocumentError(f"{WHAT} names a catalog outside the session")
    return inside


def _evidence(root: Element) -> Mapping[str, str]:
    found = {keyword: root.findtext(XNAT + child) or "" for keyword, child in _EVIDENCE}
    for keyword in ("PatientBirthDate", "StudyDate", "StudyTime"):
        found[keyword] = found[keyword].translate(_COMPACT)
    found |= {
        "StudyID": root.get("study_id", ""),
        "StudyDescription": root.get("session_type", ""),
        "PatientSex": field(root, SEX),
    }
    return {keyword: text for keyword, text in found.items() if text}


def _retype(root: Element, element: str) -> None:
    """Another root element. What only the old type could hold becomes a field."""
    root.tag = XNAT + element
    root.attrib.pop(XSI_TYPE, "")
    allowed = {*COMMON, *SUBTYPES.get(element, ()), ""}
    for child in [child for child in root if local(child) not in allowed]:
        root.remove(child)
        set_field(root, local(child), " ".join(map(str, child.itertext())))


def _set_modality(root: Element) -> None:
    found = (scan.findtext(f"{XNAT}modality") or "" for scan in root.iterfind(f"{_SCANS}/{_SCAN}"))
    root.set("modality", sop.lead(found, sop.MODALITY_ORDER, sop.OTHER_MODALITY))


def _fill(root: Element, fresh: Element) -> None:
    for name in ("UID", "session_type", "modality", "study_id"):
        if not root.get(name) and fresh.get(name):
            root.set(name, fresh.get(name, ""))
    order = (*COMMON, *SUBTYPES.get(local(root), ()))
    for child in [child for child in fresh if local(child) in order and child.tag != _SCANS]:
        if root.find(child.tag) is None:
            put(root, child, order)


def _append(root: Element, scans: Sequence[Element]) -> None:
    """Each in its sorted place; one that is there already (same ID, same series) is left alone.

    DocumentError where a new one's catalog is named already.
    """
    held = root.find(_SCANS)
    if held is None:
        held = etree.Element(_SCANS)
        put(root, held, COMMON)
    known = {scan.get("ID", ""): scan.get("UID", "") for scan in held.iterchildren(_SCAN)}
    for scan in scans:
        scan_id = scan.get("ID", "")
        if scan_id not in known:
            _check_new(root, scan)
            _insert(held, scan)
        elif known[scan_id] != scan.get("UID"):
            raise DocumentError(f"{WHAT} has a scan {shlex.quote(scan_id)} of another series")


def _insert(held: Element, scan: Element) -> None:
    own = scan_order(scan.get("ID", ""))
    for other in held.iterchildren(_SCAN):
        if scan_order(other.get("ID", "")) > own:
            other.addprevious(scan)
            return
    held.append(scan)


def _find(root: Element, scan_id: str) -> Element:
    for scan in root.iterfind(f"{_SCANS}/{_SCAN}"):
        if scan.get("ID") == scan_id:
            return scan
    raise DocumentError(f"{WHAT} has no scan {shlex.quote(scan_id)}")


def _extend(element: Element, scan_id: str, scan: Scan) -> None:
    labels = {_label(file) for file in element.iterchildren(_FILE)}
    for resource in scan.resources:
        if resource.label not in labels:
            new = scans_.file_element(scan_id, resource)
            _check_new(element.getroottree().getroot(), new)
            put(element, new, scans_.ORDER)


def _check_new(root: Element, new: Element) -> None:
    """No catalog is two resources': DocumentError where another one is named already."""
    named = {_relative(uri) for file in root.iter(_FILE) if (uri := file.get("URI"))}
    if any(file.get("URI") in named for file in new.iter(_FILE)):
        raise DocumentError(f"{WHAT} names the catalog of a new resource for another one already")


def _count(scan: Element, label: str, files: int, size: int) -> None:
    file = next((f for f in scan.iterchildren(_FILE) if _label(f) == label), None)
    if file is None:
        raise DocumentError(
            f"{WHAT} has no such resource in scan {shlex.quote(scan.get('ID', ''))}"
        )
    frames = scan.find(f"{XNAT}frames")
    if frames is not None and label == "DICOM" and frames.text == file.get("file_count"):
        frames.text = str(files)  # one frame a file: the frames go with the files
    file.set("file_count", str(files))
    file.set("file_size", str(size))


def _note(scan: Element, text: str) -> None:
    """Our note of what seems missing; one that a person wrote is left alone."""
    note = scan.find(_NOTE)
    if note is None:
        note = etree.Element(_NOTE)
        put(scan, note, scans_.ORDER)
    said = "".join(map(str, note.itertext()))
    if not said.strip() or said.startswith(PREFIX):
        note.text = clean(text)
        if not text:
            scan.remove(note)


def totals(data: bytes) -> tuple[int, int]:
    """Files and bytes of all resources, as the XML counts them. Raises DocumentError."""
    found = list(_root(data).iter(_FILE))
    files, size = (
        sum(counted(each.get(name, "")) or 0 for each in found)
        for name in ("file_count", "file_size")
    )
    return min(files, MOST), min(size, MOST)
