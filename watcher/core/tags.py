"""The DICOM attributes this program reads, by keyword.

A tag is one integer, group in the upper sixteen bits, as in DICOM PS3.6.
Rules and templates of the configuration may name others; `settings.py` resolves those.
"""

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final

TAGS: Final[Mapping[str, int]] = MappingProxyType(
    {
        "SpecificCharacterSet": 0x00080005,
        "ImageType": 0x00080008,
        "SOPClassUID": 0x00080016,
        "SOPInstanceUID": 0x00080018,
        "StudyDate": 0x00080020,
        "SeriesDate": 0x00080021,
        "AcquisitionDate": 0x00080022,
        "StudyTime": 0x00080030,
        "SeriesTime": 0x00080031,
        "AccessionNumber": 0x00080050,
        "Modality": 0x00080060,
        "Manufacturer": 0x00080070,
        "InstitutionName": 0x00080080,
        "StationName": 0x00081010,
        "StudyDescription": 0x00081030,
        "SeriesDescription": 0x0008103E,
        "OperatorsName": 0x00081070,
        "ManufacturerModelName": 0x00081090,
        "PatientName": 0x00100010,
        "PatientID": 0x00100020,
        "PatientBirthDate": 0x00100030,
        "PatientSex": 0x00100040,
        "PatientWeight": 0x00101030,
        "AdditionalPatientHistory": 0x001021B0,
        "PatientComments": 0x00104000,
        "ContrastBolusAgent": 0x00180010,
        "BodyPartExamined": 0x00180015,
        "ScanningSequence": 0x00180020,
        "SequenceVariant": 0x00180021,
        "ScanOptions": 0x00180022,
        "MRAcquisitionType": 0x00180023,
        "SequenceName": 0x00180024,
        "SliceThickness": 0x00180050,
        "KVP": 0x00180060,
        "RepetitionTime": 0x00180080,
        "EchoTime": 0x00180081,
        "InversionTime": 0x00180082,
        "EchoNumbers": 0x00180086,
        "MagneticFieldStrength": 0x00180087,
        "SpacingBetweenSlices": 0x00180088,
        "PixelBandwidth": 0x00180095,
        "SoftwareVersions": 0x00181020,
        "ProtocolName": 0x00181030,
        "GantryDetectorTilt": 0x00181120,
        "ExposureTime": 0x00181150,
        "XRayTubeCurrent": 0x00181151,
        "Exposure": 0x00181152,
        "ConvolutionKernel": 0x00181210,
        "ReceiveCoilName": 0x00181250,
        "FlipAngle": 0x00181314,
        "StudyInstanceUID": 0x0020000D,
        "SeriesInstanceUID": 0x0020000E,
        "StudyID": 0x00200010,
        "SeriesNumber": 0x00200011,
        "AcquisitionNumber": 0x00200012,
        "InstanceNumber": 0x00200013,
        "ImageOrientationPatient": 0x00200037,
        "TemporalPositionIdentifier": 0x00200100,
        "NumberOfTemporalPositions": 0x00200105,
        "ImagesInAcquisition": 0x00201002,
        "ConcatenationUID": 0x00209161,
        "InConcatenationNumber": 0x00209162,
        "InConcatenationTotalNumber": 0x00209163,
        "SamplesPerPixel": 0x00280002,
        "PhotometricInterpretation": 0x00280004,
        "NumberOfFrames": 0x00280008,
        "Rows": 0x00280010,
        "Columns": 0x00280011,
        "PixelSpacing": 0x00280030,
        "BitsAllocated": 0x00280100,
        "RequestedProcedureDescription": 0x00321060,
        "StudyComments": 0x00324000,
    }
)

KEYWORDS: Final[Mapping[int, str]] = MappingProxyType({tag: word for word, tag in TAGS.items()})


@lru_cache(maxsize=4096)
def written(tag: int) -> str:
    """A tag as our JSON has it: eight hexadecimal digits."""
    return f"{tag:08x}"


@lru_cache(maxsize=4096)
def tag_of(text: str) -> int:
    """The tag that is written so; ValueError where none is."""
    return int(text, 16)
