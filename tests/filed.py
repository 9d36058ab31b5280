"""Builders of filed instances, for the tests of scans and of the XML."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pydicom
from lxml import etree
from pydicom.data import get_testdata_file

from watcher.core import names
from watcher.core.file import Header
from watcher.core.session import Instance, Place, Session, Status
from watcher.core.tags import TAGS

MR = "1.2.840.10008.5.1.4.1.1.4"
CT = "1.2.840.10008.5.1.4.1.1.2"
PET = "1.2.840.10008.5.1.4.1.1.128"
SC = "1.2.840.10008.5.1.4.1.1.7"
SR = "1.2.840.10008.5.1.4.1.1.88.22"
PRIVATE = "1.3.46.670589.2.4.1.1"


def header(**values: str) -> Header:
    return Header({TAGS[keyword]: text for keyword, text in values.items() if text})


def filed(head: Header, *, folder="DICOM", name="", size=1000, arrived=1718788765.123) -> Instance:
    digest = hashlib.md5(head.sop_instance.encode("utf-8", "replace")).hexdigest()
    place = Place(names.scan_folder(head), folder, name or names.file_name(head))
    return Instance(place, digest, size, head, arrived)


def made(uid="1.2.3.4.1.1", *, series="1.2.3.4.1", number="1", sop=MR, folder="DICOM", **more):
    """An instance with just what a test wants of it."""
    values = {
        "SOPClassUID": sop,
        "SOPInstanceUID": uid,
        "StudyInstanceUID": "1.2.3.4",
        "SeriesInstanceUID": series,
        "SeriesNumber": number,
        "Modality": "MR",
    }
    return filed(header(**(values | more)), folder=folder)


def sample(name: str, **changes: str) -> Instance:
    """An instance of one of pydicom's own files."""
    data = pydicom.dcmread(get_testdata_file(name, download=False), stop_before_pixels=True)
    found = {}
    for keyword in TAGS:
        value = data.get(keyword)
        several = value if isinstance(value, pydicom.multival.MultiValue) else [value]
        found[keyword] = "\\".join("" if part is None else str(part) for part in several)
    return filed(header(**(found | changes)))


def session(**changes) -> Session:
    values = {
        "id": "20240619_091425123",
        "project": "PROJ1",
        "subject": "S001",
        "label": "S001_MR1",
        "study": "1.2.3.4",
        "status": Status.BUILDING,
        "opened": 0.0,
        "receiving_since": 0.0,
        "last_arrival": 0.0,
        "inactivity": 300.0,
    }
    return Session(**(values | changes))


def schema_faults(folder: str, name: str) -> Callable[[bytes], list[str]]:
    """Gives what the schema `name` in a folder has against a document."""
    schema = etree.XMLSchema(etree.parse(Path(folder, name)))

    def faults(data: bytes) -> list[str]:
        schema.validate(etree.fromstring(data))
        return [f"line {error.line}: {error.message}" for error in schema.error_log]

    return faults
