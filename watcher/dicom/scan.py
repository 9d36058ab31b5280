"""A scan as an element of the session XML (xnat:scan, xnat-facts 4.4)."""

from collections.abc import Iterable, Sequence
from typing import Final

from lxml import etree

from watcher.core import names
from watcher.core.session import Instance, Scan, ScanResource
from watcher.dicom import values
from watcher.dicom.markup import LONGEST, NAMESPACES, XNAT, XSI_TYPE, Element, add, clean
from watcher.dicom.parameters import parameters
from watcher.dicom.values import Look

ORDER: Final = (
    "sharing",
    "image_session_ID",
    "note",
    "quality",
    "condition",
    "series_description",
    "series_class",
    "documentation",
    "scanner",
    "modality",
    "frames",
    "operator",
    "file",
    "validation",
    "startTime",
    "start_date",
    "requestedProcedureDescription",
    "protocolName",
    "bodyPartExamined",
)

_SHORT: Final = 255  # maxLength in the schema
_MOST_FRAMES: Final = 2**31 - 1  # NumberOfFrames is an IS


def scan_element(scan: Scan) -> Element:
    """The whole xnat:scan of a new scan; quality is XNAT's default, `usable`."""
    look = Look(scan.instances)
    names_ = {prefix: NAMESPACES[prefix] for prefix in ("xnat", "xsi")}
    element = etree.Element(f"{XNAT}scan", nsmap=names_)
    element.set("ID", clean(scan.id))
    if description := clean(look("SeriesDescription")):
        element.set("type", description)
    element.set("UID", clean(scan.uid))
    element.set(XSI_TYPE, scan.type)
    _text(element, "note", clean(scan.note or ""))
    _text(element, "quality", "usable")
    _text(element, "series_description", description)
    scanner(element, look, [look("StationName")], software=clean(look("SoftwareVersions")))
    _text(element, "modality", scan.modality)
    _text(element, "frames", _frames(scan))
    _text(element, "operator", clean(look("OperatorsName"), _SHORT))
    element.extend(file_element(scan.id, resource) for resource in scan.resources)
    _text(element, "startTime", values.time(look("SeriesTime")))
    _text(element, "start_date", values.date(look("SeriesDate")))
    _text(element, "requestedProcedureDescription", clean(look("RequestedProcedureDescription")))
    _text(element, "protocolName", clean(look("ProtocolName")))
    _text(element, "bodyPartExamined", clean(look("BodyPartExamined")))
    if scan.type == "xnat:mrScanData":
        _text(element, "fieldStrength", field_strength(look))
    parameters(element, scan.type, look)
    return element


def file_element(scan_id: str, resource: ScanResource) -> Element:
    """The xnat:file of a resource; its URI is relative to the session's folder (spec 8)."""
    names_ = {prefix: NAMESPACES[prefix] for prefix in ("xnat", "xsi")}
    element = etree.Element(f"{XNAT}file", nsmap=names_)
    said = {
        "label": resource.label,
        "file_count": str(len(resource.instances)),
        "file_size": str(sum(instance.size for instance in resource.instances)),
        "URI": names.catalog_path(scan_id, resource.label),
        "format": "DICOM",
        "content": "RAW" if resource.label == "DICOM" else "secondary",
        XSI_TYPE: "xnat:resourceCatalog",
    }
    for name, value in said.items():
        element.set(name, value)
    return element


def scanner(parent: Element, look: Look, stations: Iterable[str], *, software: str = "") -> None:
    """Adds xnat:scanner, unless nothing is known of it."""
    station = clean(",".join(filter(None, stations)))
    manufacturer, model = clean(look("Manufacturer")), clean(look("ManufacturerModelName"))
    if station or manufacturer or model:
        said = {"manufacturer": manufacturer, "model": model, "softwareVersion": software}
        add(parent, f"{XNAT}scanner", station, **said)


def field_strength(look: Look) -> str:
    """MagneticFieldStrength in tesla, as text: `3.0`."""
    return values.number(look("MagneticFieldStrength"))


def frames_of(instance: Instance) -> int:
    """NumberOfFrames; 1 where it is missing or no sensible number."""
    text = values.whole(instance.header["NumberOfFrames"])
    return min(max(1, int(text or 1)), _MOST_FRAMES)


def dimensions_of(instances: Sequence[Instance]) -> tuple[int, int, int] | None:
    """Columns, rows and frames of the images of a catalog; None where the first has no size."""
    for first in instances[:1]:
        x, y = (int(values.whole(first.header[word]) or 0) for word in ("Columns", "Rows"))
        if x and y:
            return x, y, sum(map(frames_of, instances))
    return None


def _frames(scan: Scan) -> str:
    main = [resource for resource in scan.resources if resource.label == "DICOM"]
    return str(sum(frames_of(i) for resource in main or scan.resources for i in resource.instances))


def _text(parent: Element, name: str, text: str) -> None:
    if text:
        add(parent, XNAT + name, text[:LONGEST])
