"""The `parameters` of a scan: MR, CT and PET, in the order of xnat.xsd (xnat-facts 4.4)."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from watcher.dicom import values
from watcher.dicom.markup import XNAT, Element, add, clean
from watcher.dicom.values import Look

Value = str | Mapping[str, str]  # text, or attributes; empty: left out
Rule = tuple[str, Callable[[Look], Value]]

_SHORT: Final = 255  # maxLength in the schema


def parameters(scan: Element, kind: str, look: Look) -> None:
    """Adds `parameters` for an xsi:type that has them, unless it would be empty."""
    found = [(name, value) for name, rule in _RULES.get(kind, ()) if (value := rule(look))]
    agent = clean(look("ContrastBolusAgent")) if kind in _AGENT else ""
    if not found and not agent:
        return
    element = add(scan, f"{XNAT}parameters")
    for name, value in found:
        _add(element, name, value)
    if agent:
        _AGENT[kind](element, agent)


def _add(parent: Element, name: str, value: Value) -> None:
    if isinstance(value, str):
        add(parent, XNAT + name, value)
    else:
        add(parent, XNAT + name, **value)


def _text(name: str, keyword: str, limit: int = 1000) -> Rule:
    return name, lambda look: clean(look(keyword), limit)


def _number(name: str, keyword: str) -> Rule:
    return name, lambda look: values.number(look(keyword))


def _spacing(look: Look) -> tuple[float, ...]:
    """Column and row distance, and slice thickness, in mm; PixelSpacing has rows first."""
    plane = values.numbers(look("PixelSpacing"))
    depth = values.numbers(look("SliceThickness")) or values.numbers(look("SpacingBetweenSlices"))
    return (plane[1], plane[0], *depth[:1]) if len(plane) == 2 else ()


def _axes(lengths: Sequence[float]) -> Mapping[str, str]:
    return {axis: values.decimal(length) for axis, length in zip("xyz", lengths, strict=False)}


def _voxel(look: Look) -> Value:
    spacing = _axes(_spacing(look))
    return {**spacing, "units": "mm"} if spacing else ""


def _matrix(look: Look) -> Value:
    x, y = values.whole(look("Columns")), values.whole(look("Rows"))
    return {"x": x, "y": y} if x and y else ""


def _field_of_view(look: Look) -> Value:
    """Width and height of the image in mm (the schema wants integers)."""
    spacing, size = _spacing(look), values.numbers(look("Columns")) + values.numbers(look("Rows"))
    if len(size) != 2 or not spacing:
        return ""
    return {"x": str(round(size[0] * spacing[0])), "y": str(round(size[1] * spacing[1]))}


def _pixel(look: Look) -> Value:
    """In cm, as xnat.xsd has it for PET."""
    return _axes([round(length / 10, 6) for length in _spacing(look)])


def _plane_separation(look: Look) -> Value:
    """In cm, as xnat.xsd has it for PET."""
    found = values.numbers(look("SpacingBetweenSlices"))
    return values.decimal(round(found[0] / 10, 6)) if found else ""


_ORIENTATION: Final[Rule] = (
    "orientation",
    lambda look: values.orientation(look("ImageOrientationPatient")),
)

_RULES: Final[Mapping[str, Sequence[Rule]]] = MappingProxyType(
    {
        "xnat:mrScanData": (
            ("voxelRes", _voxel),
            _ORIENTATION,
            ("fov", _field_of_view),
            _number("tr", "RepetitionTime"),
            _number("te", "EchoTime"),
            _number("ti", "InversionTime"),
            _number("flip", "FlipAngle"),
            _text("sequence", "SequenceName", _SHORT),
            _text("imageType", "ImageType"),
            _text("scanSequence", "ScanningSequence"),
            _text("seqVariant", "SequenceVariant"),
            _text("scanOptions", "ScanOptions"),
            _text("acqType", "MRAcquisitionType"),
            _text("coil", "ReceiveCoilName", _SHORT),
            _number("pixelBandwidth", "PixelBandwidth"),
        ),
        "xnat:ctScanData": (
            ("voxelRes", _voxel),
            _ORIENTATION,
            ("fov", _field_of_view),
            _number("kvp", "KVP"),
            ("acquisitionNumber", lambda look: values.whole(look("AcquisitionNumber"))),
            _text("imageType", "ImageType"),
            _text("options", "ScanOptions"),
            _number("gantryTilt", "GantryDetectorTilt"),
            ("exposureTime", lambda look: values.number(look("ExposureTime"), least=0)),
            _number("xrayTubeCurrent", "XRayTubeCurrent"),
            _number("exposure", "Exposure"),
            _text("convolutionKernel", "ConvolutionKernel"),
        ),
        "xnat:petScanData": (
            _text("facility", "InstitutionName"),
            ("planeSeparation", _plane_separation),
            ("dimensions", _matrix),
            ("pixelSize", _pixel),
        ),
    }
)


def _agent_of_ct(element: Element, agent: str) -> None:
    add(add(element, f"{XNAT}contrastBolus"), f"{XNAT}agent", agent)


def _agent_of_mr(element: Element, agent: str) -> None:
    """The schema has no contrast for MR, so it is an additional parameter."""
    add(element, f"{XNAT}addParam", agent, name="ContrastBolusAgent")


_AGENT: Final[Mapping[str, Callable[[Element, str], None]]] = MappingProxyType(
    {"xnat:ctScanData": _agent_of_ct, "xnat:mrScanData": _agent_of_mr}
)
