"""An installation into which patient data comes by every way there is, and all that it puts out."""

import fcntl
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import pydicom
from lines import checked_lines
from makers import MR, make_dicom
from media import medium
from packing import special_tar, typed_zip, zip_of
from planting import Planted
from pydicom import config
from pydicom.dataset import Dataset
from world import ROOM, World, until

SETTINGS = """
heartbeat = "1s"
file = "{base}/logs/watcher.jsonl"
rotate = "64KiB"
keep = 99
[session]
inactivity = "1s"
[metrics]
listen = "{listen}"
[projects.P1]
aliases = ["P-one"]
[projects.P2]
auto_archive = false
[projects.P3]
hold = ["incomplete", "maybe-incomplete", "label-shared"]
[identify]
subject = ["(0010,1000):(.+)"]
session = ["(0032,1030):Visit ([^;]+);.*", "{{AdmissionID}}_{{StudyDate}}"]
[[drop]]
path = "{base}/folders"
settle = "100ms"
layout = "{{project}}/{{subject}}/{{session}}"
[[drop]]
path = "{base}/units"
settle = "100ms"
inactivity = "200ms"
import = "transactional"
project = "P1"
[[drop]]
path = "{base}/strict"
settle = "100ms"
inactivity = "200ms"
import = "transactional"
dest = "archive"
strict = true
project = "P2"
[[drop]]
path = "{base}/late"
settle = "100ms"
dest = "archive"
project = "P1"
[[drop]]
path = "{base}/kept"
settle = "100ms"
after = "keep"
project = "P3"
"""
ROOT = "1.2.826.0.1.3680043.9.9999"
KEYWORDS = {  # attributes that name somebody, by what is planted there
    "name": ("ReferringPhysicianName", "OperatorsName", "PatientMotherBirthName"),
    "id": ("AccessionNumber", "StudyID", "OtherPatientIDs", "AdmissionID"),
    "word": ("SeriesDescription", "ProtocolName", "StationName", "InstitutionName", "Occupation"),
    "path": ("PatientAddress", "AdditionalPatientHistory", "ImageComments"),
}


class Hospital(World):
    """A coded installation; `planted` are the values, `outputs` what came out so far."""

    def __init__(self, base, listen="127.0.0.1:9"):
        self.planted, self.outputs, self.printed = Planted(), {}, ""
        self.contact = Planted()
        home = Path(base) / self.planted.path("the configuration's folder")
        home.mkdir(parents=True)
        contact = self.planted.name("a drop's contact")
        self.contact.take(contact, self.planted.values.pop(contact))
        super().__init__(
            home,
            drop_lines=['stuck_after = "1s"', f'contact = "{contact}"'],
            extra=SETTINGS.format(base=home, listen=listen),
        )
        text = self.config.read_text()
        self.config.write_text(text.replace('identifiers = "plain"', 'identifiers = "coded"'))
        for name in ("folders", "units", "strict", "late", "kept", "logs"):
            (home / name).mkdir()
        self._number = 0

    # -- what comes ------------------------------------------------------------------------------

    def uids(self, study=None):
        """The UIDs of a file, in a study of its own or in that one."""
        self._number += 1
        study = study or f"{ROOT}.{self._number}"
        series = f"{study}.{self._number}"
        return {"study": study, "series": series, "sop": f"{series}.1"}

    def person(self, where="a header"):
        """What a header says of a person."""
        plant = self.planted
        told = {
            word: getattr(plant, kind)(f"{where}: {word}")
            for kind, words in KEYWORDS.items()
            for word in words
        }
        return {
            **told,
            "patient_id": plant.id(f"{where}: PatientID"),
            "patient_name": plant.name(f"{where}: PatientName"),
            "PatientBirthDate": plant.born(f"{where}: PatientBirthDate"),
            "SpecificCharacterSet": "ISO_IR 192",
        }

    def image(self, folder, *, ending=".dcm", more=(), study=None, **values):
        """A whole file of somebody under names that tell; `more` elements go in as they are."""
        here = Path(folder) / self.planted.path("a folder")
        path = here / self.planted.path("a file name", ending)
        values = {**self.person(), **self.uids(study), **values}
        make_dicom(path, **values)
        if more:
            with config.disable_value_validation():
                dataset = pydicom.dcmread(path)
                for tag, vr, value in more:
                    dataset.add_new(tag, vr, value)
                dataset.save_as(path, enforce_file_format=True)
        return path

    def arrive(self, turns=1):
        """A first wave, into every drop."""
        for _ in range(turns):
            self.headers()
            self.names()
            self.units()
            self.labels()

    def headers(self):
        """Attributes where they belong and where they don't, broken in every way."""
        plant, drop = self.planted, self.drop
        item = Dataset()
        item.PatientID, item.PatientName = plant.id("in a sequence"), plant.name("in a sequence")
        private = [
            (0x00091001, "LO", plant.word("a private element")),
            (0x00090010, "LO", plant.word("a private creator")),
            (0x00091002, "UN", plant.ascii("a private element").encode()),
            (0x00101002, "SQ", [item]),
        ]
        self.image(drop, more=private)
        self.image(drop, more=[(0x00081030, "LO", plant.ascii("oversized") * 400)])
        for tag, what in [
            (0x00200011, "SeriesNumber"),
            (0x00200013, "InstanceNumber"),
            (0x00080020, "StudyDate"),
            (0x00080030, "StudyTime"),
            (0x00280010, "Rows"),
            (0x00101010, "PatientAge"),
            (0x00080060, "Modality"),
        ]:
            self.image(drop, more=[(tag, "LO", plant.ascii(f"{what} of another VR"))])
        for tag, what in [
            (0x0020000D, "StudyInstanceUID"),
            (0x0020000E, "SeriesInstanceUID"),
            (0x00080018, "SOPInstanceUID"),
            (0x00080016, "SOPClassUID"),
        ]:
            self.image(drop, more=[(tag, "UI", plant.ascii(f"no UID: {what}"))])
        self.image(drop, study=None, more=[(0x0020000D, "UI", "")])
        for charset in ("ISO_IR 100", "ISO 2022 IR 87", f"ISO_IR {plant.ascii('a character set')}"):
            path = self.image(drop)
            data = path.read_bytes().replace(b"ISO_IR 192", charset.encode()[:10].ljust(10))
            path.write_bytes(data)

    def names(self):
        """Files and folders of which only the names tell, or that are no files."""
        plant, drop = self.planted, self.drop
        path = self.image(drop)
        torn = path.with_name(plant.path("a torn file", ".dcm"))
        torn.write_bytes(path.read_bytes()[:-40])
        raw = plant.word("a name in another encoding").encode("utf-16-be").replace(b"/", b"_")
        raw = raw.replace(b"\0", b"")
        Path(os.fsdecode(os.fsencode(drop) + b"/" + raw + b"\xff\xe9.dcm")).write_bytes(b"no")
        folder = drop / plant.path("a folder of texts")
        folder.mkdir()
        (folder / plant.path("a text", ".txt")).write_text(plant.name("in a text"))
        (folder / plant.path("a link")).symlink_to(path)
        os.mkfifo(folder / plant.path("a pipe"))
        denied = self.image(drop)
        denied.chmod(0)
        listed = self.image(drop, ending="")
        uids = self.uids()
        missing = plant.ascii("a file of a DICOMDIR")
        found = {uids["study"]: {uids["series"]: {uids["sop"]: missing}}}
        (listed.parent / "DICOMDIR").write_bytes(medium(found))
        self.image(self.base / "kept")
        self.image(self.base / "late")

    def units(self):
        """Folders and archive files that land, wait, and are refused."""
        plant = self.planted
        for drop in (self.base / "units", self.base / "strict"):
            self.image(drop)
            bad = self.image(drop, more=[(0x0020000E, "UI", plant.ascii("no UID"))])
            stray = self.image(drop)
            (stray.parent / plant.path("a stray", ".txt")).write_text(plant.name("in a stray"))
            whole = self.image(self.base / "made", ending="").read_bytes()
            inside = f"{plant.path('a folder in a zip')}/{plant.path('a member', '.dcm')}"
            zip_of(drop / plant.path("a zip", ".zip"), [(inside, whole)])
            hostile = [(f"../{plant.path('a member that leads out')}", whole), (inside, b"no")]
            zip_of(drop / plant.path("a hostile zip", ".zip"), hostile)
            link = plant.path("a link in a zip")
            typed_zip(drop / plant.path("a zip with a link", ".zip"), link, 0o120000, b"x")
            special_tar(drop / plant.path("a tar with a device", ".tar"), "device")
            bad.with_name(".complete").touch()
        cut = zip_of(self.base / "made" / "cut.zip", [(plant.path("cut off", ".dcm"), whole)])
        torn = self.base / "units" / plant.path("a torn zip", ".zip")
        torn.write_bytes(cut.read_bytes()[:-30])

    def labels(self):
        """Projects, subjects and sessions named by folders, by rules and in comments."""
        plant, folders = self.planted, self.base / "folders"
        for project in ("P1", "P3", plant.ascii("a project's folder")):
            here = folders / project / plant.word("a subject's folder")
            self.image(here / plant.path("a session's folder"))
        loose = folders / plant.path("a folder that fits no layout")
        make_dicom(loose / plant.path("a file", ".dcm"), **self.person(), **self.uids())
        subject, session = plant.ascii("Subject:"), plant.ascii("Session:")
        told = f"Project: P-one Subject: {subject} Session: {session} {plant.name('a comment')}"
        self.image(self.base / "folders", comments=told)
        visit = plant.word("a label by a rule")
        self.image(self.drop, StudyComments=plant.name("StudyComments"))
        self.image(
            self.drop,
            more=[(0x00321030, "LO", f"Visit {visit}; {plant.name('ReasonForStudy')}")],
        )
        unknown = plant.ascii("a project nobody knows")
        self.image(self.base / "folders", comments=f"Project: {unknown}", description=unknown)

    def disagree(self, settle):
        """A second wave: every conflict there is, each with both its sides."""
        plant, drop = self.planted, self.drop
        shared = {"patient_id": plant.ascii("a shared label"), "AdmissionID": None}
        first = {**self.person("an archived side"), **shared}
        study = self.uids()
        make_dicom(drop / plant.path("a first") / "1.dcm", **first, **study)
        settle()
        other = {**self.person("the other side"), **shared, "OtherPatientIDs": None}
        make_dicom(drop / plant.path("a second") / "1.dcm", **other, **self.uids())
        differs = {**first, "PatientBirthDate": plant.born("an instance that differs")}
        make_dicom(drop / plant.path("a third") / "1.dcm", **differs, **study)
        again = {**self.person("the study again"), **study, "sop": f"{study['sop']}.9"}
        make_dicom(drop / plant.path("a fourth") / "1.dcm", **again)
        here = self.base / "folders" / "P3" / plant.word("a subject") / plant.path("two studies")
        for _ in range(2):
            make_dicom(here / plant.path("a file", ".dcm"), **self.person(), **self.uids())
        lacking = {**self.person("lacking"), "patient_id": plant.ascii("lacking")}
        series = self.uids()
        for number in (1, 2, 9):
            uids = {**series, "sop": f"{series['sop']}.{number}"}
            values = {**lacking, "number": None, "instance": number, **uids}
            make_dicom(self.base / "kept" / f"{number}.dcm", **values, sop_class=MR, modality="MR")

    def wreck(self):
        """Documents and folders that others have made, or damaged."""
        plant = self.planted
        archive, prearchive = self.root / "archive", self.root / "prearchive"
        stranger = archive / plant.ascii("a project's folder in the archive") / "arc001"
        stranger.mkdir(parents=True)
        label = plant.ascii("a label in the archive")
        (stranger / label).mkdir()
        (stranger / f"{label}.xml").write_text(f"<{plant.ascii('a root element')}>")
        moment = prearchive / plant.ascii("a project's folder") / "20200101_010101001"
        label = plant.ascii("a label in the prearchive")
        path = moment / label / "SCANS" / plant.ascii("a scan's folder") / "DICOM" / "1.dcm"
        make_dicom(path, **self.person(), **self.uids())
        broken = prearchive / "P1" / "20200101_010101002"
        label = plant.ascii("a label in the prearchive")
        (broken / label / "SCANS" / "1" / "DICOM").mkdir(parents=True)
        (broken / f"{label}.json").write_text(json.dumps({"label": plant.name("a record")}))
        images = [each for each in archive.rglob("*.dcm") if each.is_file()]
        images[0].unlink()
        images[1].write_bytes(plant.name("in a damaged file").encode())
        catalogs = sorted(archive.rglob("*_catalog.xml"))
        catalogs[0].write_text(f'<x a="{plant.ascii("in a catalog")}">')
        uri = f'URI="{plant.path("a URI")}/'.encode()
        catalogs[-1].write_bytes(catalogs[-1].read_bytes().replace(b'URI="', uri, 1))
        documents = sorted(archive.glob("P*/arc001/*.xml"))
        for path, mark in zip(
            documents, (b' ID="', b' type="', b' label="', b' URI="'), strict=False
        ):
            value = plant.ascii(f"hostile XML:{mark.decode()}").encode()
            start = path.read_bytes()
            path.write_bytes(start.replace(mark, mark + value, 2 if mark != b' ID="' else 3))
        quarantined = sorted((self.root / "quarantine").rglob("reason.json"))
        quarantined[0].write_text(f"{{{plant.name('a reason')}")
        (self.root / "quarantine" / plant.path("a folder in the quarantine")).mkdir()
        drop = self.root / "quarantine" / plant.ascii("a drop's folder in the quarantine")
        entry = drop / "2026-01-01" / plant.path("an entry's folder in the quarantine")
        entry.mkdir(parents=True)
        (entry / plant.path("a file in the quarantine")).write_text("what is it")
        (self.root / "history" / plant.path("a folder in the history")).mkdir(parents=True)

    # -- what goes out ---------------------------------------------------------------------------

    def settle(self, **environment):
        """A run that drains; its outputs are kept."""
        done = subprocess.run(
            [sys.executable, "-m", "watcher", "run", "--once", "--config", str(self.config)],
            capture_output=True,
            env={**os.environ, **environment},
        )
        assert done.returncode in {0, 3, 10}, done.stderr.decode()
        self.keep("run --once", stdout=done.stdout, stderr=done.stderr)
        self.look()
        return checked_lines(done.stdout.decode())

    def keep(self, name, **streams):
        for stream, data in streams.items():
            self.outputs[f"{len(self.outputs)} {name}: {stream}"] = data

    def look(self):
        """What lies in the status store and beside the log now."""
        for path in [*self.base.glob("logs/*"), *self.root.glob("status/*")]:
            self.keep(path.name, content=path.read_bytes())

    def type(self, *words):
        """A command as it is typed: what it says to its terminal is plain, its lines are not."""
        code, text = self.watcher(*map(str, words))
        lines = [each for each in self.errors.splitlines() if each.startswith("{")]
        self.keep(words[0], lines="\n".join(lines).encode())
        assert code in {0, 2, 3, 4}, self.errors
        self.printed += f"$ {shlex.join(map(str, words))} -> {code}\n{text}{self.errors}\n"
        return code

    def decide(self):
        """Every command that says something, on what waits."""
        plant = self.planted

        def why(command):
            return ("--reason", f"{plant.name(command)} {plant.born(command)}: {plant.id(command)}")

        found, _ = self.json("sessions")
        by_status = {}
        for each in found:
            by_status.setdefault(each["status"], []).append(each["id"])
        waiting = by_status.get("CONFLICT", [])
        for each in found:
            self.type("show", each["id"])
            self.type("validate", each["id"])
        unassigned = [each["id"] for each in found if each["project"] is None]
        for each in unassigned[:2]:
            self.type("move", each, "--project", "P1", *why("move"))
        self.type("move", waiting[0], "--project", plant.ascii("move to a project unknown"))
        rest = [each for each in waiting if each not in unassigned]
        for each, words in zip(
            rest,
            [
                (
                    "relabel",
                    "--subject",
                    plant.ascii("relabel"),
                    "--session",
                    plant.ascii("relabel"),
                ),
                ("archive", "--force"),
                ("archive", "--overwrite"),
                ("archive", "--keep"),
                ("split",),
                ("delete",),
                ("rebuild",),
            ],
            strict=False,
        ):
            more = () if words[0] == "rebuild" else why(words[0])
            self.type(words[0], each, *words[1:], *more)
        self.type("show", plant.path("show something unknown"))
        entries = [each["id"] for each in self.json("quarantine", "list")[0]]
        for each, verb in zip(entries, ("requeue", "purge", "requeue", "requeue"), strict=False):
            self.type("quarantine", verb, each, *why(f"quarantine {verb}"))
        kept = [each["id"] for each in self.json("history", "list")[0]]
        for each, verb in zip(kept, ("restore", "purge"), strict=False):
            self.type("history", verb, each, *why(f"history {verb}"))

    def examine(self):
        """The archive verified and mended."""
        self.type("verify")
        archived, _ = self.json("sessions", "--status", "ARCHIVED")
        for each in archived:
            home = f"{each['project']}/{each['label']}"
            self.type("refresh", home)
        reason = self.planted.name("refresh")
        self.type("refresh", home, "--accept-changed", "--reason", reason)

    @contextmanager
    def daemon(self, listen, program=("-m", "watcher")):
        """`watcher run` under something that listens as systemd and the journal do."""
        told, address = [], f"watcher-test-{uuid4()}"
        reading, writing = os.pipe()
        with suppress(OSError):  # a user may have so much in pipes and no more
            fcntl.fcntl(reading, fcntl.F_SETPIPE_SZ, ROOM)
        found = os.fstat(writing)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
            systemd.bind(f"\0{address}")
            process = subprocess.Popen(
                [sys.executable, *program, "run", "--config", str(self.config)],
                stdout=writing,
                stderr=subprocess.PIPE,
                env={
                    **os.environ,
                    "NOTIFY_SOCKET": f"@{address}",
                    "JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}",
                },
            )
            os.close(writing)
            pipe, said = os.fdopen(reading, "rb"), []
            threads = [
                threading.Thread(target=lambda: said.extend(pipe)),
                threading.Thread(target=_listen, args=(systemd, told)),
            ]
            for each in threads:
                each.start()
            errors = b""
            try:
                yield Seen(process, said, listen)
            finally:
                process.send_signal(signal.SIGTERM)
                _, errors = process.communicate(timeout=180)
                systemd.shutdown(socket.SHUT_RDWR)
                for each in threads:
                    each.join()
                pipe.close()
        self.keep("run", stdout=b"".join(said), stderr=errors, datagrams=b"\n".join(told))
        checked_lines(b"".join(said).decode())
        self.look()


class Seen:
    """A daemon that runs: its lines so far, and what it serves."""

    def __init__(self, process, said, listen):
        self.process, self._said, self._listen = process, said, listen

    @property
    def events(self):
        return [json.loads(each[3:]) for each in list(self._said) if each.endswith(b"\n")]

    def wait_for(self, event, **fields):
        """The first such line."""

        def found():
            return [
                each
                for each in self.events
                if each["event"] == event and fields.items() <= each.items()
            ]

        return until(found, bool)[0]

    def rest(self):
        """Wait until nothing is on its way: three heartbeats from now on, and nothing between."""
        before = len(self.events)

        def quiet():
            names = [each["event"] for each in self.events[before:]]
            return names[-3:] == ["daemon.heartbeat"] * 3

        until(quiet, bool)

    def reopen(self):
        """The log is opened anew."""
        self.process.send_signal(signal.SIGHUP)

    def scraped(self):
        """What it serves, with the heads of its answers; an error's page too."""
        answers = []
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        for path in ("/metrics", "/x"):
            try:
                with direct.open(f"http://{self._listen}{path}", timeout=180) as said:
                    answers.append(str(said.headers).encode() + said.read())
            except urllib.error.HTTPError as error:
                with error:
                    answers.append(str(error.headers).encode() + error.read())
        return b"\n".join(answers)


def _listen(systemd, told):
    while data := systemd.recv(1 << 16):
        told.append(data)
