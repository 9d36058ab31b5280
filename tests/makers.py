"""Builders of real DICOM files, and the real ones that ship with pydicom."""

import os
import warnings
from functools import cache
from pathlib import Path

import pydicom
from pydicom import config
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, MRImageStorage

CT = CTImageStorage
MR = MRImageStorage
_SAMPLES = Path(pydicom.__file__).parent / "data" / "test_files"


def make_dicom(
    path,
    *,
    study="1.2.3",
    series="1.2.3.1",
    sop="1.2.3.1.1",
    sop_class=CT,
    modality="CT",
    number=1,
    instance=1,
    patient_id="P1",
    patient_name="DOE^JOHN",
    description="",
    comments=None,
    rows=16,
    columns=16,
    transfer_syntax=ExplicitVRLittleEndian,
    **keywords,
):
    """Write one whole file and give its path back.

    A keyword whose value is None is left out of the file; any other sets that DICOM attribute
    (`StudyDate="20260619"`). Missing folders are made. The pixels follow from the SOP UID.
    """
    values = {
        "SOPClassUID": sop_class,
        "SOPInstanceUID": sop,
        "StudyDate": "20260619",
        "Modality": modality,
        "StudyDescription": description or None,
        "PatientName": patient_name,
        "PatientID": patient_id,
        "StudyInstanceUID": study,
        "SeriesInstanceUID": series,
        "SeriesNumber": number,
        "InstanceNumber": instance,
        "PatientComments": comments,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": rows,
        "Columns": columns,
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 0,
        "PixelData": _pixels(f"{sop}", rows * columns * 2),
        **keywords,
    }
    with config.disable_value_validation():
        return _write(path, values, UID(transfer_syntax))


def _pixels(seed, count):
    return (seed.encode() * (count // max(1, len(seed)) + 1))[:count]


def _write(path, values, syntax):
    dataset = Dataset()
    for keyword, value in values.items():
        if value is not None:
            setattr(dataset, keyword, value)
    if syntax.is_compressed and not syntax.is_deflated and "PixelData" in dataset:
        dataset.PixelData = encapsulate([dataset.PixelData])
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = values["SOPClassUID"] or "1.2.3"
    dataset.file_meta.MediaStorageSOPInstanceUID = values["SOPInstanceUID"] or "1.2.3"
    dataset.file_meta.TransferSyntaxUID = syntax
    folder = os.path.dirname(path)
    if folder:
        os.makedirs(folder, exist_ok=True)
    with open(path, "wb") as file:
        dataset.save_as(file, enforce_file_format=True)
    return path


_UNFIT = {
    "MR_truncated.dcm",  # cut in its pixel data
    "rtplan_truncated.dcm",
}
_FOUR = ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"]


@cache
def pydicom_samples():
    """Pydicom's samples that are whole and well-formed, with preamble and their four UIDs."""
    return tuple(
        path
        for path in sorted(_SAMPLES.iterdir())
        if path.is_file() and path.name not in _UNFIT and _is_dicom(path) and _has_uids(path)
    )


@cache
def dicomdir_patients():
    """The instance files listed by pydicom's sample DICOMDIRs."""
    return tuple(
        path
        for path in sorted((_SAMPLES / "dicomdirtests").rglob("*"))
        if path.is_file() and _is_dicom(path) and _has_uids(path)
    )


def _is_dicom(path):
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _has_uids(path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            dataset = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_FOUR)
        except UserWarning:  # its encoding is not the one it declares
            return False
    return all(dataset.get(keyword) for keyword in _FOUR)
