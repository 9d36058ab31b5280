"""Waiting sessions laid down straight: thousands of filed files, as the daemon would have them."""

import os
from functools import cache

from pydicom.data import get_testdata_file

from watcher.core import names
from watcher.core.file import Header
from watcher.core.session import Instance, Place, Session, Status
from watcher.core.tags import TAGS, tag_of
from watcher.io import files
from watcher.io.reader import examine

STUDY = "1.2.840.113619.2.30.1.1762295590.1623.978668949.886"
DATA = b"not read by a build"  # nor by an archiving where links are to be had


@cache
def scanned():
    """What a real scanner's file says of itself, as its reader tells it."""
    folder, name = os.path.split(get_testdata_file("CT_small.dcm", download=False))
    reply = examine({"root": folder, "path": name, "incoming": None, "lease": "skip"})
    return {tag_of(tag): text for tag, text in reply["values"].items()}


def instance(number, scans):
    """The `number`-th file of a session of so many scans, as the ledger knows it."""
    scan = number % scans + 1
    own = {
        "StudyInstanceUID": STUDY,
        "SeriesInstanceUID": f"{STUDY[:-4]}.{scan}",
        "SOPInstanceUID": f"{STUDY[:-4]}.{scan}.{number}",
        "SeriesNumber": str(scan),
        "InstanceNumber": str(number // scans + 1),
    }
    header = Header({**scanned(), **{TAGS[word]: text for word, text in own.items()}})
    place = Place(str(scan), "DICOM", names.file_name(header))
    source = b"folder/IM%07d" % number
    arrived = 1718788765.25 + number
    return Instance(place, f"{number:032x}", len(DATA), header, arrived, "mri", source)


def waiting(parts, number, scans=10, label="S1"):
    """A session in RECEIVING, come to rest, with so many files in so many scans; its id."""
    now = parts.clock.now()
    session = Session(
        id=parts.clock.stamp(),
        project="P1",
        subject="ANNA",
        label=label,
        study=STUDY,
        status=Status.RECEIVING,
        opened=now,
        receiving_since=now,
        last_arrival=now,
        inactivity=0.1,
        drops=("mri",),
    )
    base = parts.storage.folder(session)
    for scan in range(1, scans + 1):
        files.make_folder(os.path.join(base, "SCANS", str(scan), "DICOM"))
    filed = [instance(each, scans) for each in range(number)]
    for each in filed:
        path = os.path.join(base, each.place.path)
        with open(path, "xb") as file:
            file.write(DATA)
    parts.ledger.add(session, filed)
    parts.publish(session.id)
    return session.id
