"""One batch of files finds its sessions and names, inside one transaction of the ledger."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Select, Table, func, insert, select

from watcher.core import names
from watcher.core.find import Bound, choose, fitting, follow
from watcher.core.session import Session, SessionKey, Status
from watcher.io import tables
from watcher.io.desk import Desk, Incoming, Reserved
from watcher.io.rows import bindings_in, put


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
            self._bindings[study] = bindings_in(self._tx, tables.binding.c.study == study)
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
