"""Whole files of every common kind and encoding: pydicom's own, and made ones for the rest."""

import io
import warnings
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pydicom
from makers import make_dicom, pydicom_samples
from pydicom.dataset import Dataset
from pydicom.uid import UID

STORAGE = "1.2.840.10008.5.1.4.1.1."
IMPLICIT, EXPLICIT, BIG, DEFLATED, JPEG, JPEG_2000, RLE = (
    f"1.2.840.10008.1.2{end}" for end in ("", ".1", ".2", ".1.99", ".4.50", ".4.90", ".5")
)
GEOMETRY = 0x00280002  # the first element that announces pixels
PIXELS = 0x7FE00010
MADE = "1.2.3.4."  # SOP instances of the made ones, of one study
NO_PIXELS = dict.fromkeys(
    [
        *("SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns", "BitsAllocated"),
        *("BitsStored", "HighBit", "PixelRepresentation", "PixelData"),
    ]
)


class Whole(NamedTuple):
    """A whole file. `kind`: "image", or the name of its SOP class; `starts`: (offset, tag)."""

    name: str
    kind: str
    sop: str
    data: bytes
    starts: tuple[tuple[int, int], ...]  # of its top-level elements; empty if it is deflated


def items(*values):
    """A sequence of so many items, each with these attributes."""
    made = []
    for each in values:
        item = Dataset()
        for keyword, value in each.items():
            setattr(item, keyword, value)
        made.append(item)
    return made


CODE = {"CodeValue": "121071", "CodingSchemeDesignator": "DCM", "CodeMeaning": "Finding"}
TEXT = {"RelationshipType": "CONTAINS", "ValueType": "TEXT", "TextValue": "nothing seen " * 9}
REPORT = {
    "CompletionFlag": "COMPLETE",
    "ValueType": "CONTAINER",
    "ContinuityOfContent": "SEPARATE",
    "ContentSequence": items(
        TEXT, {**TEXT, "ConceptNameCodeSequence": items(CODE), "ContentSequence": items(TEXT, TEXT)}
    ),
}
FRAMES = {
    "NumberOfFrames": 4,
    "PixelData": bytes(range(256)) * 8,
    "SharedFunctionalGroupsSequence": items({"FrameAnatomySequence": items(CODE)}),
    "PerFrameFunctionalGroupsSequence": items(*[{"FrameContentSequence": items(CODE)}] * 4),
}
BEAM = {"BeamNumber": 1, "BeamName": "AP", "BeamType": "STATIC"}
# class below Storage: what makes an object of it
OBJECTS = {
    "4.2": {"DataPointRows": 1, "DataPointColumns": 64, "SpectroscopyData": bytes(512)},
    "9.1.3": {"WaveformSequence": items({"WaveformBitsAllocated": 8, "WaveformData": b"ab" * 99})},
    "11.1": {
        "DisplayedAreaSelectionSequence": items({"PresentationSizeMode": "SCALE TO FIT"}),
        "ContentLabel": "WINDOW",
        "PresentationLUTShape": "IDENTITY",
    },
    "66": {"ContentLabel": "RAW", "ContentDescription": "what only its maker can read"},
    "66.1": {"RegistrationSequence": items({"FrameOfReferenceUID": "1.2.3"})},
    "66.3": {"DeformableRegistrationSequence": items({"SourceFrameOfReferenceUID": "1.2.3"})},
    "66.5": {"SurfaceSequence": items({"SurfaceNumber": 1})},
    "88.33": REPORT,
    "88.59": REPORT,
    "88.67": REPORT,
    "104.1": {
        "DocumentTitle": "letter",
        "EncapsulatedDocument": b"%PDF-1.4 " * 40,
        "MIMETypeOfEncapsulatedDocument": "application/pdf",
    },
    "481.3": {
        "StructureSetLabel": "PLAN",
        "StructureSetROISequence": items({"ROINumber": 1, "ROIName": "PTV"}),
        "ROIContourSequence": items({"ReferencedROINumber": 1}),
        "RTROIObservationsSequence": items({"ObservationNumber": 1}),
    },
    "481.4": {"TreatmentSessionBeamSequence": items(BEAM), "TreatmentDate": "20260619"},
    "481.5": {
        "RTPlanLabel": "PLAN",
        "FractionGroupSequence": items({"FractionGroupNumber": 1, "NumberOfBeams": 1}),
        "BeamSequence": items(BEAM),
        "ReferencedStructureSetSequence": items({"ReferencedSOPInstanceUID": "1.2.3"}),
        "ApprovalStatus": "UNAPPROVED",
    },
    "481.8": {"RTPlanLabel": "PLAN", "IonBeamSequence": items(BEAM)},
}


@cache
def corpus(folder):
    """All of them; made ones are written to `folder` on the way."""
    plans = {
        **{
            f"{UID(syntax).name}": {"transfer_syntax": syntax}
            for syntax in (IMPLICIT, EXPLICIT, BIG, DEFLATED, JPEG, JPEG_2000, RLE)
        },
        **{
            f"enhanced MR, {UID(syntax).name}": {
                "sop_class": f"{STORAGE}4.1",
                "transfer_syntax": syntax,
                **FRAMES,
            }
            for syntax in (IMPLICIT, EXPLICIT, BIG, DEFLATED)
        },
        "segmentation": {"sop_class": f"{STORAGE}66.4", **FRAMES},
        **{
            f"{UID(STORAGE + end).name}, {UID(syntax).name}": {
                "sop_class": STORAGE + end,
                "transfer_syntax": syntax,
                **NO_PIXELS,
                **values,
            }
            for end, values in OBJECTS.items()
            for syntax in (IMPLICIT, EXPLICIT, BIG, DEFLATED)
        },
    }
    made = [
        whole(name, make_dicom(f"{folder}/{number}", sop=f"{MADE}{number}", **plan))
        for number, (name, plan) in enumerate(plans.items())
    ]
    return (*made, *(whole(path.name, path) for path in pydicom_samples() if fit(path)))


def fit(path):
    """Of pydicom's samples, the whole ones of moderate size; headers of images are no files."""
    return path.stat().st_size < 400_000 and not path.name.startswith(("IM0000", "chr"))


def whole(name, path):
    data = Path(path).read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(io.BytesIO(data))
    uid = dataset.SOPClassUID
    kind = "image" if "PixelData" in dataset or "FloatPixelData" in dataset else uid.name
    deflated = dataset.file_meta.TransferSyntaxUID == DEFLATED
    return Whole(
        name, kind, dataset.SOPInstanceUID, data, () if deflated else tuple(starts(dataset, data))
    )


def starts(dataset, data):
    """Where each top-level element begins, as pydicom met them."""
    for tag in sorted(dataset.keys()):
        element = dataset.get_item(tag)
        told = getattr(element, "value_tell", None) or getattr(element, "file_tell", None)
        order = "little" if dataset.original_encoding[1] else "big"
        name = tag.group.to_bytes(2, order) + tag.element.to_bytes(2, order)
        yield told - (8 if data[told - 8 : told - 4] == name else 12), int(tag)
