"""The stages' devices, real, in a directory of their own."""

import gzip
import json
import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from urllib.parse import unquote

import pytest
from lines import checked
from lxml import etree
from makers import make_dicom

from watcher.core.file import Candidate
from watcher.core.life import Event
from watcher.core.policy import Drop, Identify, Limits, Project, Projects, SessionRules, Stores
from watcher.core.route import identify
from watcher.dicom import catalog, schema
from watcher.dicom.markup import XNAT
from watcher.io import files
from watcher.io.clock import Clock
from watcher.io.desk import Incoming
from watcher.io.lease import Leases
from watcher.io.ledger import Ledger
from watcher.io.reader import examine
from watcher.io.receiving import Receiving
from watcher.io.registry import Registry
from watcher.io.said import Conditions
from watcher.io.stores import Storage
from watcher.log import Log
from watcher.stages import reading
from watcher.stages.archive import archive
from watcher.stages.filing import Filer
from watcher.stages.hop import Hop
from watcher.stages.intake import Intake
from watcher.stages.landing import Lander
from watcher.stages.outcomes import remove_copied
from watcher.stages.parts import Parts
from watcher.stages.patience import Speed
from watcher.stages.rebuild import build


class SetClock(Clock):
    """A clock that a test can put forward; `later` is the monotonic one, which can be stopped."""

    def __init__(self):
        super().__init__()
        self.ahead = self.later = 0.0
        self._stopped = None

    def now(self):
        return super().now() + self.ahead

    def monotonic(self):
        return self.later + (super().monotonic() if self._stopped is None else self._stopped)

    def stop(self):
        self._stopped = super().monotonic()

    def go(self):
        self._stopped = None


@dataclass
class Bench:
    """Parts, a drop, and what was said."""

    parts: Parts
    drop: Drop
    said: list

    def events(self, name):
        return [fields for event, fields in self.said if event == name]

    def path(self, name=""):
        """Where something lies in the drop."""
        return os.path.join(self.drop.path, name)

    def put(self, name, number=1, *, study="1.2.3", series="1", **values):
        """One file of the drop: the `number`-th instance of a series of a study."""
        given = {"series": f"{study}.{series}", "sop": f"{study}.9.{number}", "instance": number}
        return make_dicom(self.path(name), study=study, **{**given, **values})

    def candidate(self, name, drop=None):
        """A file of the drop as a look gives it."""
        drop = drop or self.drop
        seen = files.print_of(os.path.join(drop.path, name))
        return Candidate(drop.name, os.fsencode(name), seen)

    def incoming(self, name, *, drop=None, copy=False):
        """A file of the drop read by the real reader, in this process, and identified."""
        drop = drop or self.drop
        files.make_folder(self.parts.storage.incoming)
        candidate = self.candidate(name, drop)
        store = self.parts.storage.incoming
        ask = reading.request(store, drop, candidate, tags=(), copy=copy)
        whole = reading.answer(candidate, examine(ask))
        found = identify(
            whole.examined.header,
            drop=drop,
            path=candidate.path,
            identify=Identify(),
            projects=self.parts.projects,
        )
        return Incoming(candidate, whole.examined, found, self.parts.rules.inactivity)

    def file(self, *names, drop=None, copy=False):
        """File these files of the drop as one batch; gives their outcomes."""
        drop = drop or self.drop
        batch = [self.incoming(name, drop=drop, copy=copy) for name in names]
        return self.file_all(batch, drop)

    def file_all(self, batch, drop=None):
        """File a batch, and remove the sources of what was copied, as the intake does."""
        drop = drop or self.drop
        outcomes = Filer(self.parts).file(drop, batch)
        gone = set(remove_copied(self.parts, drop, outcomes, lambda: None))
        return [
            replace(one, remains=None) if one.incoming.candidate.path in gone else one
            for one in outcomes
        ]

    def filed(self, *numbers, project="P1", **values):
        """Instances of one series, dropped and filed; gives their session."""
        drop = replace(self.drop, project=project)
        names = [f"in{number}" for number in numbers or (1,)]
        for name, number in zip(names, numbers or (1,), strict=True):
            self.put(name, number, **values)
        (session,) = {outcome.session for outcome in self.file(*names, drop=drop)}
        return self.parts.ledger.session(session)

    def built(self, *numbers, **values):
        """The same, and the session built."""
        return build(self.parts, self.filed(*numbers, **values).id, Event.IDLE)

    def archived(self, *numbers, **values):
        """The same, and the session archived."""
        return archive(self.parts, self.built(*numbers, **values).id)

    def again(self, *numbers, **values):
        """Files with UIDs that came before and another data set, filed."""
        return self.filed(*numbers, **{"ImageComments": "another", **values})

    def rebuilt(self, session):
        """A session built by the machine."""
        return build(self.parts, session.id, Event.IDLE)

    def in_two_scans(self):
        """Scan 1 has one of the archived files with other bytes and a new one, scan 2 is new."""
        self.archived(1)
        self.again(1)
        self.filed(2)
        return self.rebuilt(self.filed(3, series="2", SeriesNumber=2))

    def untrue(self):
        """What is wrong with the documents in prearchive and archive: schemas, entries, counts."""
        stores = [self.parts.storage.path(kind) for kind in ("archive", "prearchive")]
        paths = [os.path.join(store, path) for store in stores for path in files.walk(store)]
        found = [fault for path in paths for fault in _faults(path)]
        return [*found, *(f for path in paths if path.endswith(".xml") for f in _miscounts(path))]

    def kept_aside(self, store="history"):
        """The files of a store, by path, without those that say why."""
        base = self.parts.storage.path(store)
        named = [path for path in self.tree(store) if not path.endswith((".json", ".jsonl"))]
        return {path: files.read(os.path.join(base, path)) for path in named}

    def reasons(self, store="history"):
        """What the entries of a store say."""
        base = self.parts.storage.path(store)
        found = [path for path in self.tree(store) if path.endswith("reason.json")]
        return [json.loads(files.read(os.path.join(base, path))) for path in found]

    def folder(self, session):
        """A prearchive session's folder."""
        return self.parts.storage.folder(session)

    def shelf(self, label="P1", project="P1"):
        """An archived session's folder."""
        return self.parts.storage.archived(project, label)

    def tree(self, kind="archive"):
        """Every file of a store but its marker, relative to it."""
        return [path for path in files.walk(self.parts.storage.path(kind)) if path[0] != "."]

    def intake(self, workers, **changes):
        filer = Filer(self.parts)
        given = {
            "parts": self.parts,
            "drop": self.drop,
            "rules": Identify(),
            "workers": workers,
            "filer": filer,
            "lander": Lander(self.parts, Identify(), Limits(), workers, filer),
            "thread": Hop(2),
            "speed": Speed(0.05, 0.1),
            "filed": lambda: None,
        }
        return Intake(**{**given, **changes})


def _faults(path):
    """Schema and entries of one document."""
    data = files.read(path)
    if path.endswith(("_catalog.xml", "_catalog.xml.gz")):
        text = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
        yield from schema.catalog_faults(text)
        for entry in catalog.read(data)[1]:
            file = _file_of(path, entry.uri)
            if not os.path.isfile(file):
                yield f"{path}: {entry.uri} is not there"
            elif entry.digest and (entry.digest, entry.size) != (
                files.digest(file),
                os.path.getsize(file),
            ):
                yield f"{path}: {entry.uri} is other bytes"
    elif path.endswith(".xml"):
        yield from schema.session_faults(data)


def _file_of(path, uri):
    """As the tests write URIs: relative and encoded, or absolute on another machine."""
    if "/SCANS/" in uri:
        return path[: path.index("/SCANS/")] + uri[uri.index("/SCANS/") :]
    return os.path.join(os.path.dirname(path), unquote(uri))


def _miscounts(path):
    """Counts and sizes of a session XML that are not those of its catalogs."""
    if path.endswith("_catalog.xml"):
        return
    for each in etree.parse(path).iter(f"{XNAT}file"):
        name = os.path.join(path.removesuffix(".xml"), each.get("URI"))
        name = name if os.path.exists(name) else f"{name}.gz"
        entries = catalog.read(files.read(name))[1]
        told = (each.get("file_count"), each.get("file_size"))
        found = (str(len(entries)), str(sum(entry.size for entry in entries)))
        if told != found:
            yield f"{path}: {each.get('URI')} has {found}, not {told}"


@pytest.fixture
def bench(tmp_path):
    root = tmp_path / "store"
    kinds = ("prearchive", "archive", "quarantine", "history", "state", "status")
    stores = Stores(root=str(root), **{kind: str(root / kind) for kind in kinds})
    storage = Storage(stores)
    storage.prepare()
    (tmp_path / "drop").mkdir()
    ledger = Ledger.open(stores.state)
    said = []

    log = Log(
        stream=None,
        file=None,
        rotate=1,
        keep=0,
        level="debug",
        coder=None,
        clock=lambda: datetime.now(UTC),
    )

    def emit(event, /, **fields):
        said.append((event, fields))
        checked(json.loads(log.line(event, fields)))

    parts = Parts(
        storage=storage,
        ledger=ledger,
        receiving=Receiving(ledger),
        registry=Registry(ledger),
        leases=Leases(stores.state, ledger),
        conditions=Conditions(ledger, emit),
        projects=Projects({"P1": Project("P1"), "MANUAL": Project("MANUAL", auto_archive=False)}),
        rules=SessionRules(inactivity=0.2, max_open=3600.0),
        emit=emit,
        clock=SetClock(),
    )
    yield Bench(parts, Drop(name="mri", path=str(tmp_path / "drop"), project="P1"), said)
    ledger.close()
