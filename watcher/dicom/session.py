"""A session as the root element of its XML, in the schema's order (xnat-facts 4.3, 4.4)."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from lxml import etree

from watcher.core.scans import modality_of, session_type, study_of
from watcher.core.session import Scan, Session
from watcher.dicom import values
from watcher.dicom.markup import NAMESPACES, XNAT, Element, add, clean, put
from watcher.dicom.scan import field_strength, scan_element, scanner
from watcher.dicom.values import Look

ACCEPTED: Final = "accepted_study_uids"
SEX: Final = "dcmPatientSex"  # the schema has no place for it, and it is evidence (spec 10)

COMMON: Final = (
    "sharing",
    "date",
    "time",
    "duration",
    "delay",
    "note",
    "investigator",
    "validation",
    "resources",
    "fields",
    "acquisition_site",
    "custom_fields",
    "subject_ID",
    "age",
    "regions",
    "scanner",
    "operator",
    "prearchivePath",
    "scans",
    "reconstructions",
    "assessors",
    "dcmAccessionNumber",
    "dcmPatientId",
    "dcmPatientName",
    "dcmPatientBirthDate",
    "dcmPatientWeight",
)
_MR: Final = ("coil", "fieldStrength", "marker", "stabilization")
_PET: Final = (
    "studyType",
    "patientID",
    "patientName",
    "tracer",
    "start_time",
    "start_time_scan",
    "start_time_injection",
    "blood_glucose",
    "blood_glucose_units",
    "blood_glucose_time",
)
SUBTYPES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "MRSession": _MR,
        "PETSession": ("stabilization", *_PET),
        "PETMRSession": (*_MR, *_PET),
        "EEGSession": ("dataFormatVersion", "numberOfChannels", "samplingRate", "samplingInterval"),
    }
)

_SHORT: Final = 255  # maxLength in the schema


def session_element(
    session: Session, scans: Sequence[Scan], *, experiment_id: str = "", prearchive_path: str = ""
) -> Element:
    """The whole tree. It carries the study of most instances (spec 9, *Build*)."""
    instances = [instance for scan in scans for instance in scan.instances]
    study = study_of(instances) or session.study
    look = Look(instance for instance in instances if instance.header.study == study)
    kind = session_type(scans)
    names = {prefix: NAMESPACES[prefix] for prefix in ("xnat", "xsi")}
    root = etree.Element(XNAT + kind, nsmap=names)
    root.set("ID", clean(experiment_id))
    _attributes(root, session, scans, study, look)
    _head(root, session, look)
    if prearchive_path and len(prearchive_path) <= _SHORT:  # a path that is cut leads elsewhere
        _text(root, "prearchivePath", clean(prearchive_path))
    add(root, f"{XNAT}scans").extend(scan_element(scan) for scan in scans)
    _patient(root, look)
    if "fieldStrength" in SUBTYPES.get(kind, ()):
        _text(root, "fieldStrength", field_strength(look))
    return root


def field(root: Element, name: str) -> str:
    """The text of xnat:fields/xnat:field[@name]; empty where there is none."""
    found = _field(root, name)
    return "" if found is None else found.text or ""


def set_field(root: Element, name: str, text: str) -> None:
    """Writes xnat:fields/xnat:field[@name]."""
    element = _field(root, name)
    if element is None:
        fields = root.find(f"{XNAT}fields")
        if fields is None:
            fields = etree.Element(f"{XNAT}fields")
            put(root, fields, COMMON)
        element = add(fields, f"{XNAT}field", name=name)
    element.text = clean(text)


def accept(root: Element, studies: Sequence[str]) -> None:
    """Adds studies a person let in; the session's own is none of them."""
    known = field(root, ACCEPTED).split()
    wanted = [study for study in dict.fromkeys((*known, *studies)) if study != root.get("UID")]
    if wanted and wanted != known:
        set_field(root, ACCEPTED, " ".join(wanted))


def _field(root: Element, name: str) -> Element | None:
    found = root.iterfind(f"{XNAT}fields/{XNAT}field")
    return next((element for element in found if element.get("name") == name), None)


def _attributes(
    root: Element, session: Session, scans: Sequence[Scan], study: str, look: Look
) -> None:
    said = {
        "project": session.project or "",
        "label": session.label,
        "UID": study,
        "session_type": look("StudyDescription"),
        "modality": modality_of(scans),
        "study_id": look("StudyID"),
    }
    for name, value in said.items():
        if value:
            root.set(name, clean(value))


def _head(root: Element, session: Session, look: Look) -> None:
    _text(root, "date", values.date(look("StudyDate")))
    _text(root, "time", values.time(look("StudyTime")))
    for name, keyword in (("studyComments", "StudyComments"), (SEX, "PatientSex")):
        if text := look(keyword):
            set_field(root, name, text)
    _text(root, "acquisition_site", clean(look("InstitutionName")))
    add(root, f"{XNAT}subject_ID", clean(session.subject))
    scanner(root, look, dict.fromkeys(look.each("StationName")))
    _text(root, "operator", clean(look("OperatorsName"), _SHORT))


def _patient(root: Element, look: Look) -> None:
    _text(root, "dcmAccessionNumber", clean(look("AccessionNumber")))
    _text(root, "dcmPatientId", clean(look("PatientID")))
    _text(root, "dcmPatientName", clean(look("PatientName")))
    _text(root, "dcmPatientBirthDate", values.date(look("PatientBirthDate")))
    _text(root, "dcmPatientWeight", values.number(look("PatientWeight")))


def _text(parent: Element, name: str, text: str) -> None:
    if text:
        add(parent, XNAT + name, text)
