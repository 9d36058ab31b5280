"""Archived sessions laid down straight: real files, catalogs and XML, cheaply even by thousands."""

import hashlib
import json
import os
import tempfile
from functools import cache
from pathlib import Path

from lxml import etree
from makers import make_dicom

from watcher.core import names
from watcher.core.file import Header
from watcher.core.listing import entry_of
from watcher.core.scans import arrange
from watcher.core.session import Instance, Place, Session, Status
from watcher.dicom import catalog, document
from watcher.io.reader import examine
from watcher.stages.shelves import archive_index

CAT = "{http://nrg.wustl.edu/catalog}"
XNAT = "{http://nrg.wustl.edu/xnat}"
MARK, SERIES = "100000", "1.2.3.777"


@cache
def _template():
    """One small file and its header; what tells instances and series apart is replaced in both."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "one.dcm")
        make_dicom(path, series=SERIES, sop=f"1.2.3.9.{MARK}", instance=int(MARK), number=777)
        reply = examine({"root": folder, "path": "one.dcm", "incoming": None, "lease": "skip"})
        values = {int(tag, 16): text for tag, text in reply["values"].items()}
        return Path(path).read_bytes(), values


def instance(number, scan=1):
    """The bytes of an instance, and what is known of it once it is filed."""
    data, values = _template()
    marks = {"777": f"{scan:03d}", MARK: f"{number:06d}"}
    for old, new in marks.items():
        data = data.replace(old.encode(), new.encode())
        values = {tag: text.replace(old, new) for tag, text in values.items()}
    head = Header(values)
    place = Place(str(scan), "DICOM", names.file_name(head))
    digest = hashlib.md5(data).hexdigest()
    return data, Instance(place, digest, len(data), head, 1718788765.0)


class Archive:
    """One archived session below `parts`' archive."""

    def __init__(self, parts, scans=None, *, project="P1", label="S1", subject="ANNA"):
        self.parts, self.project, self.label = parts, project, label
        self.base = Path(parts.storage.archived(project, label))
        self.xml = Path(f"{self.base}.xml")
        instances = []
        for scan, count in (scans or {1: 3}).items():
            for number in range(1, count + 1):
                data, one = instance(number, scan)
                path = self.base / "SCANS" / str(scan) / "DICOM" / one.place.name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
                instances.append(one)
        self.session = Session(
            id="20260619_091425123",
            project=project,
            subject=subject,
            label=label,
            study="1.2.3",
            status=Status.ARCHIVED,
            opened=0.0,
            receiving_since=0.0,
            last_arrival=0.0,
            inactivity=1.0,
        )
        known = {each.header.series: each.place.scan for each in instances}
        self.scans = arrange(instances, known=known)
        self._documents()
        archive_index(parts)

    def _documents(self):
        for scan in self.scans:
            entries = [entry_of(each, each.place.name) for each in scan.instances]
            text = catalog.compose(
                scan.uid,
                entries,
                catalog_id="DICOM",
                dimensions=(16, 16, len(entries)),
                project=self.project,
            )
            self.catalog(scan.id).write_bytes(text)
        experiment = names.experiment_id(self.project, self.label)
        self.xml.write_bytes(document.compose(self.session, self.scans, experiment_id=experiment))
        logs = self.base / "logs"
        logs.mkdir()
        line = {
            "event": "session.archived",
            "session": self.session.id,
            "subject": self.session.subject,
            "study": "1.2.3",
        }
        (logs / "events.jsonl").write_text(json.dumps(line) + "\n")

    def catalog(self, scan="1"):
        return self.base / "SCANS" / scan / "DICOM" / f"scan_{scan}_catalog.xml"

    def files(self, scan="1"):
        """The files of a scan, in order."""
        return sorted(self.catalog(scan).parent.glob("*.dcm"))

    def add(self, number, scan=1):
        """One more file, which nothing lists."""
        data, one = instance(number, scan)
        path = self.base / "SCANS" / str(scan) / "DICOM" / one.place.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def entries(self, scan="1"):
        """What the catalog lists: URI to entry."""
        return {each.uri: each for each in catalog.read(self.catalog(scan).read_bytes())[1]}

    def edit(self, change, scan="1"):
        """Change the catalog's elements by hand: `change` gets the list of entries."""
        tree = etree.parse(str(self.catalog(scan)))
        change(list(tree.iter(f"{CAT}entry")))
        tree.write(str(self.catalog(scan)), encoding="UTF-8", xml_declaration=True)

    def bytes(self):
        """Every file of the session and its XML, by path, but its own log."""
        found = {path: path.read_bytes() for path in self.base.rglob("*") if path.is_file()}
        found[self.xml] = self.xml.read_bytes()
        return {path: data for path, data in found.items() if path.parent.name != "logs"}

    def relative(self, path):
        return str(path.relative_to(self.base))


def flip(path):
    """Change one byte of a file, not its size or times."""
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
