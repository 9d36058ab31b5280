"""One session takes the files of a batch: names for them, and what they make of it."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import Connection, bindparam, func, select

from watcher.core import life, names
from watcher.core.file import Candidate, Examined
from watcher.core.find import Fate, Known, fate, twin
from watcher.core.session import Destination, Identity, Instance, Place, Session
from watcher.io import tables

# what is asked for goes in as one JSON text: a statement of a thousand parameters is made anew
_LIST: Final = func.json_each(bindparam("wanted")).table_valued("value")
_EACH: Final = select(_LIST.c.value).scalar_subquery()
_TAKEN: Final = (
    select(tables.instance.c.scan, tables.instance.c.name)
    .join(_LIST, tables.instance.c.session == bindparam("owner"))
    .where(tables.instance.c.scan == func.json_extract(_LIST.c.value, "$[0]"))
    .where(tables.instance.c.folder.in_(names.FOLDERS))
    .where(tables.instance.c.name == func.json_extract(_LIST.c.value, "$[1]"))
)
"""Which of some pairs of a scan's folder and a file's name are taken in a session."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A whole file on its way into a session."""

    candidate: Candidate
    examined: Examined
    identity: Identity
    inactivity: float  # seconds, for the session it goes to
    dest: Destination = "prearchive"  # of its drop
    unit: str = ""  # the transactional unit it is of, while that is landing


@dataclass(frozen=True, slots=True)
class Reserved:
    """What the ledger said to one incoming file."""

    incoming: Incoming
    session: Session  # as it was then; its folder does not change while files are in hand
    fate: Fate
    instance: Instance | None = None  # where fate is FILE
    by_decision: bool = False
    twin: Place | None = None  # where fate is DUPLICATE: the file that is filed already


@dataclass(frozen=True, slots=True)
class Hand:
    """A file that an earlier run left in hand."""

    session: Session
    instance: Instance | None


class Desk:
    """One session during one batch."""

    def __init__(self, tx: Connection, session: Session) -> None:
        self._tx = tx
        self.session = session
        self.rows: list[dict[str, object]] = []
        self.changed = False
        self.reopened = False
        self._known: dict[tuple[str, str], list[Known]] = {}
        self._names: set[tuple[str, str]] = set()  # taken
        self._asked: set[tuple[str, str]] = set()  # names of which the ledger was asked
        self._folders: dict[str, str] = dict(session.scan_ids)

    def look_up(self, batch: Sequence[Incoming]) -> list[str]:
        """Ask the ledger, in few queries, what `take` wants to know; gives the files' own names."""
        headers = [each.examined.header for each in batch]
        self._look_up_twins({header.sop_instance for header in headers})
        self._look_up_folders({header.series for header in headers} - self._folders.keys())
        for header in headers:
            self._folders.setdefault(header.series, names.scan_folder(header))
        own = [names.file_name(header) for header in headers]
        scans = (self._folders[header.series] for header in headers)
        self._look_up_names({*zip(scans, own, strict=True)})
        return own

    def take(self, incoming: Incoming, own: str, now: float, *, by_decision: bool) -> Reserved:
        """Reserve a name for one file, its own if it is free, or say why not."""
        header = incoming.examined.header
        known = self._known.setdefault((header.sop_instance, header.sop_class), [])
        verdict = fate(incoming.examined, known)
        if verdict is not Fate.FILE:
            self._renew(verdict, incoming, now)
            found = twin(incoming.examined, known)
            place = found.place if found else None
            return Reserved(incoming, self.session, verdict, None, by_decision, place)
        instance = self._instance(incoming, own, now)
        known.append(Known(instance.digest, in_hand=True))
        self.rows.append(tables.instance_columns(self.session.id, instance, in_hand=True))
        self._file(incoming, now)
        return Reserved(incoming, self.session, verdict, instance, by_decision)

    def _look_up_twins(self, sops: Collection[str]) -> None:
        row = tables.instance.c
        query = select(
            row.sop, row["class"], row.digest, row.in_hand, row.scan, row.folder, row.name
        ).where(row.session == self.session.id, row.sop.in_(_EACH))
        asked = self._tx.execute(query, {"wanted": json.dumps([*sops])})
        for sop, sop_class, digest, in_hand, *where in asked:
            known = self._known.setdefault((sop, sop_class), [])
            known.append(Known(digest, in_hand, Place(*where)))

    def _look_up_folders(self, series: Collection[str]) -> None:
        row = tables.instance.c
        query = select(row.series, func.min(row.scan).label("scan")).group_by(row.series)
        query = query.where(row.session == self.session.id, row.series.in_(_EACH))
        asked = self._tx.execute(query, {"wanted": json.dumps([*series])})
        self._folders |= {each.series: each.scan for each in asked}

    def _look_up_names(self, wanted: Collection[tuple[str, str]]) -> None:
        found = self._tx.execute(
            _TAKEN, {"owner": self.session.id, "wanted": json.dumps([*wanted])}
        )
        self._names |= {(scan, name) for scan, name in found}
        self._asked |= {*wanted}

    def _instance(self, incoming: Incoming, own: str, now: float) -> Instance:
        examined, candidate = incoming.examined, incoming.candidate
        scan = self._folders[examined.header.series]
        name = self._free(scan, own, examined.digest)
        self._names.add((scan, name))
        return Instance(
            place=Place(scan, "DICOM", name),
            digest=examined.digest,
            size=candidate.print.size,
            header=examined.header,
            arrived=now,
            drop=candidate.drop,
            source=candidate.path,
        )

    def _free(self, scan: str, name: str, digest: str) -> str:
        """A name that the ledger knows nobody to have."""
        return next(each for each in names.spare(name, digest) if not self._is_taken(scan, each))

    def _is_taken(self, scan: str, name: str) -> bool:
        if (scan, name) not in self._asked:  # a suffixed one: rare
            self._look_up_names([(scan, name)])
        return (scan, name) in self._names

    def _file(self, incoming: Incoming, now: float) -> None:
        old = self.session
        status = life.move(old.status, life.Event.FILE)
        landing = landing_too(old.landing, incoming.unit)
        both = old.dest == incoming.dest == "archive"  # while every drop that fed it says so
        dest: Destination = "archive" if both else "prearchive"
        other = (status, landing, dest) != (old.status, old.landing, old.dest)
        self.reopened |= other
        self.session = replace(
            old,
            status=status,
            landing=landing,
            dest=dest,
            receiving_since=old.receiving_since if status is old.status else now,
            revision=old.revision + other,
            last_arrival=now,
            inactivity=incoming.inactivity,
            generation=old.generation + 1,
            drops=tuple(dict.fromkeys((*old.drops, incoming.candidate.drop))),
            hold_auto=False,
            place="prearchive",  # it is not in the archive yet
        )
        self.changed = True

    def _renew(self, verdict: Fate, incoming: Incoming, now: float) -> None:
        """A duplicate renews a RECEIVING session's timer and changes no other status."""
        if verdict is Fate.DUPLICATE and self.session.status in life.RENEWED:
            rest = self.session.inactivity if incoming.unit else incoming.inactivity
            self.session = replace(self.session, last_arrival=now, inactivity=rest)
            self.changed = True


def landing_too(landing: str, unit: str) -> str:
    """The units that land in a session, and this one (empty: none more)."""
    units = landing.split()
    return landing if not unit or unit in units else " ".join([*units, unit])
