"""Real files that provoke each finding of spec 10; for the table in daemon/test_findings.

A scene is a generator of up to three acts: what is archived; what comes; what is done by hand.
"""

import os
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count

from makers import MR, make_dicom
from world import World

PET = "1.2.840.10008.5.1.4.1.1.128"


@dataclass
class Copy:
    """One session of a scene: what is dropped for it, and where it lies."""

    world: World
    label: str
    root: str  # of its UIDs
    project: str = "P1"
    id: str = ""  # of the session that waits
    found: Mapping = field(default_factory=dict)  # its findings, as `validate --json` gives them
    numbers: Iterator[int] = field(default_factory=count)

    def put(self, series=1, *, study=1, sop=1, **values):
        """A file of its drop folder."""
        uid = f"{self.root}.{study}"
        given = {
            "study": uid,
            "series": f"{uid}.{series}",
            "sop": f"{uid}.{series}.{sop}",
            "number": series,
            "instance": sop,
            "patient_id": self.label,
            "description": self.project,
        }
        path = self.world.drop / self.label / str(next(self.numbers))
        return make_dicom(path, **{**given, **values})

    @property
    def shelf(self):
        """The archived session's folder."""
        return self.world.root / "archive" / self.project / "arc001" / self.label

    def scan(self, number):
        """A scan folder of the session that waits."""
        folder = self.world.root / "prearchive" / self.project / self.id
        return folder / self.label / "SCANS" / number / "DICOM"

    def typed(self, words):
        """A command on this session as a person types it, names put in for L and P."""
        names = {"L": f"{self.label}-L", "P": "P2"}
        verb, *rest = (names.get(word, word) for word in shlex.split(words))
        return [verb, self.id, *rest]


def session_exists(copy):
    copy.put()
    yield
    copy.put(2)


def study_elsewhere(copy):
    copy.put(patient_id=f"{copy.label}-HOME")
    yield
    copy.put(2)


def in_another_project(copy):
    copy.put(description="P2")
    yield
    copy.put(2)


def subject_changed(copy):
    copy.put()
    yield
    copy.put(2, patient_name="DOE^JANE")


def study_uid_mismatch(copy):
    copy.put()
    yield
    copy.put(2, study=2)


def mixed_studies(copy):
    """A second study reaches a session only where a layout names the session (spec 6)."""
    yield
    folder = copy.world.base / "laid" / copy.project / copy.label
    folder.mkdir(parents=True, exist_ok=True)
    for series, study in ((1, 1), (2, 1), (3, 2)):
        os.rename(copy.put(series, study=study), folder / f"{series}")


def no_project(copy):
    yield
    copy.put(description="nobody")


def schema_invalid(copy):
    copy.put()
    yield
    spoil(copy, END, LIES + END)
    copy.put(sop=2)


SIZE = f'<cat:metaFields><cat:metaField name="SIZE">{"9" * 18}</cat:metaField></cat:metaFields>'
LIES = "".join(f'<cat:entry URI="{n}" UID="1.{n}">{SIZE}</cat:entry>' for n in range(10))
END = "</cat:entries>"


def spoil(copy, old, new):
    """Edit the archived catalog by hand: ten lies in it are more bytes than an XML can say."""
    path = copy.shelf / "SCANS" / "1" / "DICOM" / "scan_1_catalog.xml"
    path.write_text(path.read_text().replace(old, new))


def modality_changed(copy):
    copy.put()
    yield
    copy.put(2, study=2, sop_class=MR, modality="MR")


def becomes_pet(copy):
    copy.put()
    yield
    copy.put(2, sop_class=PET, modality="PT")


def same_instance(copy):
    copy.put()
    yield
    copy.put()


def instance_differs(copy):
    copy.put(2)
    yield
    copy.put(2, StudyTime="101500")
    copy.put(3)


def instance_other_class(copy):
    copy.put()
    yield
    copy.put(sop_class=MR)
    copy.put(2)


def duplicate_in_session(copy):
    yield
    copy.put(1)
    copy.put(2)
    copy.put(2, StudyTime="101500")


def scan_number_taken(copy):
    copy.put()
    yield
    copy.put(7, number=1)


def scan_uid_elsewhere(copy):
    copy.put()
    yield
    copy.put(1, sop=2, number=9)


def stray_file(copy):
    yield
    copy.put()
    yield
    (copy.scan("1") / "notes.txt").write_text("by hand")


def catalog_missing(copy):
    copy.put()
    yield
    (copy.shelf / "SCANS/1/DICOM/scan_1_catalog.xml").unlink()
    copy.put(1, sop=2)


def unreadable_file(copy):
    yield
    copy.put(1)
    copy.put(2)
    yield
    (lost,) = copy.scan("2").glob("*.dcm")
    lost.unlink()


def label_shared(copy):
    yield
    copy.put(study=1)
    copy.put(study=2)


def incomplete(copy):
    yield
    copy.put()
    path = copy.put(2)
    with open(path, "r+b") as file:
        file.truncate(os.path.getsize(path) - 100)


def maybe_incomplete(copy):
    yield
    for number in (1, 2, 4):
        copy.put(sop=number)
