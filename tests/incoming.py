"""Builders of what comes and what is archived, as bare values, for the tests of matching."""

from watcher.core import names
from watcher.core.archived import Archived, ArchivedResource, ArchivedScan, Entry
from watcher.core.file import Header
from watcher.core.plan import merge
from watcher.core.session import Instance, Place, Scan, ScanResource
from watcher.core.tags import TAGS

MR = "1.2.840.10008.5.1.4.1.1.4"
SC = "1.2.840.10008.5.1.4.1.1.7"


def instance(
    sop,
    digest="a" * 32,
    *,
    scan="7",
    series="1.7",
    name=None,
    folder="DICOM",
    cls=MR,
    arrived=0.0,
    number="",
):
    words = {
        "SOPInstanceUID": sop,
        "SOPClassUID": cls,
        "SeriesInstanceUID": series,
        "StudyInstanceUID": "1",
        "InstanceNumber": number,
    }
    header = Header({TAGS[word]: text for word, text in words.items() if text})
    place = Place(scan, folder, name or f"{sop}.dcm")
    return Instance(place, digest, 100, header, arrived)


def scan(*instances, scan_id="7", uid="1.7", modality="MR", xsi_type="xnat:mrScanData"):
    resources = tuple(
        ScanResource(label, held)
        for label in ("DICOM", "secondary")
        if (held := tuple(i for i in instances if i.place.folder == label))
    )
    return Scan(scan_id, uid, xsi_type, modality, resources)


def entry(uid, digest="a" * 32, *, uri=None, cls=MR, path=""):
    return Entry(uri or f"{uid}.dcm", uid, digest, 100, cls, path=path)


def resource(*entries, label="DICOM", scan="7", fault=""):
    catalog = f"SCANS/{scan}/{label}/{names.catalog_name(scan, label)}"
    return ArchivedResource(label, catalog, entries, fault=fault)


def old_scan(*resources, scan_id="7", uid="1.7"):
    return ArchivedScan(scan_id, uid, "xnat:mrScanData", "MR", resources)


def archive(*scans):
    return Archived("P", "L", "S", "W_E1", "1", (), "MRSession", scans)


def plan(scans, archived=None, compared=None, present=(), policy="", staying=()):
    """A merge where `present` paths are taken; `policy` for all, or by the newcomer's place."""

    def decided(newcomer):
        return policy if isinstance(policy, str) else policy.get(newcomer.place.path, "")

    return merge(
        scans,
        archived,
        compared=compared or {},
        taken=lambda path, _: path in set(present),
        policy=decided,
        staying=staying,
    )


def targets(result):
    return [add.target for add in result.adds]
