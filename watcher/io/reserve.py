"""One batch of files finds its sessions and names, inside one transaction of the ledger."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Select, Table, func, insert, select

from watcher.core import life, names
from watcher.core.find import Bound, Fate, Known, choose, fate, fitting, follow, twin
from watcher.core.model import (
    Candidate,
    Destination,
    Examined,
    Identity,
    Instance,
    Place,
    Session,
    SessionKey,
    Status,
)
from watcher.io import tables
from watcher.io.ledger import put


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


class Desks:
    """The sessions one batch touches, each looked up once."""

    def __init__(self, tx: Connection, now: float, stamp: Callable[[], str]) -> None:
        self._tx = tx
        self._now = now
        self._stamp = stamp
        self._labels: dict[SessionKey, SessionKey] = {}
        self._ids: dict[tuple[SessionKey, str], str] = {}
        self._desks: dict[str, Desk] = {}
        self._bindings: dict[str, dict[SessionKey, Bound]] = {}
        self._new: set[str] = set()

    @property
    def opened(self) -> list[Session]:
        """Sessions this batch made."""
        return [desk.session for owner, desk in self._desks.items() if owner in self._new]

    @property
    def reopened(self) -> list[Session]:
        """Sessions that this batch brought back to RECEIVING, or whose record is another now."""
        return [desk.session for desk in self._desks.values() if desk.reopened]

    def take(self, batch: Sequence[Incoming]) -> list[Reserved]:
        """Reserve a name for each file, in order."""
        aims = [self._aim(each) for each in batch]
        theirs: dict[str, list[Incoming]] = {}
        for each, (desk, _) in zip(batch, aims, strict=True):
            theirs.setdefault(desk.session.id, []).append(each)
        own = {owner: iter(self._desks[owner].look_up(some)) for owner, some in theirs.items()}
        return [
            desk.take(each, next(own[desk.session.id]), self._now, by_decision=by_decision)
            for each, (desk, by_decision) in zip(batch, aims, strict=True)
        ]

    def _aim(self, incoming: Incoming) -> tuple["Desk", bool]:
        """Where a file goes, and whether a person's decision sends it there."""
        bindings = self._bound(incoming.identity.key.study)
        key, bound = follow(incoming.identity.key, bindings)
        if bound is None:  # it may have been made on the label that was told apart by case
            key, bound = follow(self._apart(key), bindings)
        # where a decision keeps the study in this place (split) it counts, layout or not
        wide = incoming.identity.origins.get("session") == "layout" and key not in bindings
        subject = bound.subject if bound else incoming.identity.subject
        return self._desk(self._apart(key), subject, incoming, wide=wide), bound is not None

    def settle(self) -> None:
        """Write the sessions as the batch leaves them."""
        for desk in self._desks.values():
            if desk.rows:
                self._tx.execute(insert(tables.instance), desk.rows)
            if desk.changed:
                put(self._tx, desk.session)

    def _bound(self, study: str) -> dict[SessionKey, Bound]:
        if study not in self._bindings:
            query = select(tables.binding).where(tables.binding.c.study == study)
            self._bindings[study] = {
                SessionKey(row.project or None, study, row.label): Bound(
                    row.to_project, row.to_label, row.to_subject
                )
                for row in self._tx.execute(query)
            }
        return self._bindings[study]

    def _apart(self, key: SessionKey) -> SessionKey:
        """The key, its label made to differ from one that is equal but for case (spec 6)."""
        if key not in self._labels:
            others = {
                other
                for table in (tables.session, tables.archived)
                for other in self._tx.execute(_labels_like(table, key)).scalars()
            }
            label = key.label if key.label in others else names.label(key.label, others)
            self._labels[key] = replace(key, label=label)
        return self._labels[key]

    def _desk(self, key: SessionKey, subject: str, incoming: Incoming, *, wide: bool) -> "Desk":
        name = incoming.identity.origins.get("timestamp", "")
        if (key, name) not in self._ids:
            found = self._find(key, name, any_study=wide)
            session = found or self._create(key, subject, incoming, name)
            self._ids[key, name] = session.id
            self._desks.setdefault(session.id, Desk(self._tx, session))
        return self._desks[self._ids[key, name]]

    def _find(self, key: SessionKey, name: str, *, any_study: bool) -> Session | None:
        """The session that takes files of this key; `name`: the timestamp a layout gives it."""
        row = tables.session.c
        project = row.project.is_(None) if key.project is None else row.project == key.project
        query = select(tables.session).where(project, row.label == key.label)
        if not any_study:
            query = query.where(row.study == key.study)
        found = map(tables.session_row, self._tx.execute(query).mappings())
        return choose(fitting(found, key.study, any_study=any_study, timestamp=name))

    def _create(self, key: SessionKey, subject: str, incoming: Incoming, name: str) -> Session:
        free = names.is_moment(name) and _is_free(self._tx, name)
        new = Session(
            id=name if free else unique(self._tx, self._stamp()),
            project=key.project,
            subject=subject,
            label=key.label,
            study=key.study,
            status=Status.RECEIVING,
            opened=self._now,
            receiving_since=self._now,
            last_arrival=self._now,
            inactivity=incoming.inactivity,
            auto_archive=incoming.identity.auto_archive,
            origins=incoming.identity.origins,
            dest=incoming.dest,
        )
        self._tx.execute(insert(tables.session), [tables.session_columns(new)])
        self._new.add(new.id)
        return new


def unique(tx: Connection, stamp: str) -> str:
    """A session id nobody has: this moment's, or the next free one."""
    row = tables.session.c.id
    while tx.execute(select(row).where(row == stamp)).first() is not None:
        stamp = names.next_timestamp(stamp)
    return stamp


def _is_free(tx: Connection, wanted: str) -> bool:
    """Whether no session has, or had, this id: staged, archived, or left unread in the tree."""
    staged, archived, said = tables.session.c, tables.archived.c, tables.condition.c
    queries = (
        select(staged.id).where(staged.id == wanted),
        select(archived.label).where(archived.session == wanted),
        select(said.key).where(said.key == f"session/{wanted}"),  # all that `adopt` keeps of it
    )
    return not any(tx.execute(query).first() for query in queries)


def _labels_like(table: Table, key: SessionKey) -> Select[Any]:
    project = table.c.project
    same = project.is_(None) if key.project is None else project == key.project
    return select(table.c.label).where(same, func.lower(table.c.label) == key.label.lower())


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
        wanted: dict[str, set[str]] = {}
        for header, name in zip(headers, own, strict=True):
            wanted.setdefault(self._folders[header.series], set()).add(name)
        for scan, some in wanted.items():
            self._look_up_names(scan, some)
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
        ).where(row.session == self.session.id, row.sop.in_(sops))
        for sop, sop_class, digest, in_hand, *where in self._tx.execute(query):
            known = self._known.setdefault((sop, sop_class), [])
            known.append(Known(digest, in_hand, Place(*where)))

    def _look_up_folders(self, series: Collection[str]) -> None:
        row = tables.instance.c
        query = select(row.series, func.min(row.scan).label("scan")).group_by(row.series)
        query = query.where(row.session == self.session.id, row.series.in_(series))
        self._folders |= {each.series: each.scan for each in self._tx.execute(query)}

    def _look_up_names(self, scan: str, wanted: Collection[str]) -> None:
        row = tables.instance.c
        query = select(row.name).where(row.session == self.session.id, row.scan == scan)
        query = query.where(row.folder.in_(names.FOLDERS), row.name.in_(wanted))
        self._names |= {(scan, name) for name in self._tx.execute(query).scalars()}
        self._asked |= {(scan, name) for name in wanted}

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
            self._look_up_names(scan, [name])
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
