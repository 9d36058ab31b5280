"""DICOMDIRs as tests want them, written record by record."""

from struct import pack

from watcher.dicom.stream import UNDEFINED

CT = "1.2.840.10008.5.1.4.1.1.2"
DIRECTORY = "1.2.840.10008.1.3.10"
EXPLICIT = "1.2.840.10008.1.2.1"


def element(group, number, vr, value):
    """One element of a 16-bit length, little endian."""
    data = value if isinstance(value, bytes) else value.encode()
    data += (b"\0" if vr == "UI" else b" ") * (len(data) % 2)
    return pack("<HH2sH", group, number, vr.encode(), len(data)) + data


def item(body, *, open_end=False):
    """One item of a sequence."""
    if open_end:
        return pack("<HHL", 0xFFFE, 0xE000, UNDEFINED) + body + pack("<HHL", 0xFFFE, 0xE00D, 0)
    return pack("<HHL", 0xFFFE, 0xE000, len(body)) + body


def record(kind="IMAGE", *, following=0, lower=0, used=0xFFFF, file="", **uids):
    """The elements of one directory record; `uids`: study, series, sop."""
    body = element(4, 0x1400, "UL", pack("<L", following))
    body += element(4, 0x1410, "US", pack("<H", used)) + element(4, 0x1420, "UL", pack("<L", lower))
    body += element(4, 0x1430, "CS", kind)
    if file:
        body += element(4, 0x1500, "CS", file) + element(4, 0x1510, "UI", CT)
    if "sop" in uids:
        body += element(4, 0x1511, "UI", uids["sop"])
    if "study" in uids:
        body += element(0x20, 0x0D, "UI", uids["study"])
    if "series" in uids:
        body += element(0x20, 0x0E, "UI", uids["series"])
    return body


def dicomdir(records, *, open_end=False, syntax=EXPLICIT):
    """The bytes of a DICOMDIR with these records."""
    group = element(2, 2, "UI", DIRECTORY) + element(2, 0x10, "UI", syntax)
    group = element(2, 0, "UL", pack("<L", len(group))) + group
    body = b"".join(item(each, open_end=open_end) for each in records)
    length = UNDEFINED if open_end else len(body)
    end = pack("<HHL", 0xFFFE, 0xE0DD, 0) if open_end else b""
    head = bytes(128) + b"DICM" + group + element(4, 0x1130, "CS", "MEDIUM")
    return head + pack("<HH2sHL", 4, 0x1220, b"SQ", 0, length) + body + end


def medium(studies):
    """The bytes of a DICOMDIR of {study: {series: {sop: file}}}, the records one after another."""
    records = [record("PATIENT")]
    for study, series in studies.items():
        records.append(record("STUDY", study=study))
        for uid, files in series.items():
            records.append(record("SERIES", series=uid))
            records += [record(sop=sop, file=file) for sop, file in files.items()]
    return dicomdir(records)
