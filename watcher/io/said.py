"""What was said: conditions that are raised until they clear, and lines of commands on their way.

Raise and clear are edges, kept in the ledger so that a restart does not repeat them (spec 12).
"""

import json
import os
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, insert, select

from watcher.core.emit import Emit
from watcher.core.events import EVENTS
from watcher.core.flood import WITHIN, Flood, is_crowd, of_crowd
from watcher.io import tables
from watcher.io.ledger import Ledger

CHUNK: Final = 1000  # numbers in one statement; SQLite takes at most 32766


class Conditions:
    """The open conditions; `emit` hears of each once at raise and once at clear."""

    def __init__(self, ledger: Ledger, emit: Emit) -> None:
        self._ledger = ledger
        self._emit = emit
        self._lock = threading.Lock()
        self._owed: dict[str, dict[str, object] | None] = {}  # said, not yet kept; None: cleared
        self._open: dict[str, str] = {}
        self._within: dict[str, str] = {}  # the crowds of those that are in one
        self._crowds: dict[str, int] = {}  # those said: for how many each stands
        self._flood = Flood()
        self._own: set[str] = set()  # crowds that something was raised into, or cleared of, here
        self._read = -1  # the ledger's version that was read last
        self.refresh()

    def open(self) -> Mapping[str, str]:
        """Keys and events of the open conditions."""
        return dict(self._open)

    def refresh(self) -> None:
        """Read again what other processes raised or cleared, if anybody has written since."""
        with self._lock:
            version = self._ledger.version()  # first: what comes meanwhile is read next time
            if version == self._read:
                return
            with self._ledger.read() as tx:
                rows = tx.execute(select(tables.condition)).all()
            self._crowds = {row.key: _count(row) for row in rows if is_crowd(row.key)}
            self._within = _within(rows)
            found = {row.key: row.event for row in rows if not is_crowd(row.key)}
            self._add_owed(found)
            self._open, self._read = found, version
            self._add_owed(found)  # what was told between these two lines

    def _add_owed(self, found: dict[str, str]) -> None:
        for key, row in self._owed.copy().items():
            if row:
                found[key] = str(row["event"])
            else:
                found.pop(key, None)

    def raise_(self, event: str, key: str, now: float, **fields: object) -> bool:
        """Say it, unless it is said already; whether it was new.

        Of more than a hundred in a minute it is `tell_crowds` that says how many.
        """
        with self._lock:  # else a look at the ledger that began before would forget it again
            if self._open.get(key) == event:
                return False
            crowd = self._flood.takes(event, fields, now)
            with self._ledger.write() as tx:
                _put(tx, _row(event, key, now, {**fields, **({WITHIN: crowd} if crowd else {})}))
            self._open[key] = event
            if crowd:
                self._within[key] = crowd
                self._own.add(crowd)
        if not crowd:
            self._emit(event, key=key, **fields)
        return True

    def clear(self, event: str, key: str, **fields: object) -> bool:
        """Say that it is over, if it had been raised; whether it had."""
        if key not in self._open:  # of most files nothing was: they wait for nobody
            return False
        with self._lock:
            if key not in self._open:
                return False
            with self._ledger.write() as tx:
                was_there = _drop(tx, key)  # else another process has said so
            self._open.pop(key, None)
            crowd = self._within.pop(key, None)
            if crowd:
                self._own.add(crowd)
        if was_there and not crowd:
            self._emit(event, key=key, **fields)
        return True

    def tell_crowds(self, now: float, *, ending: bool = False) -> None:
        """Say for how many each crowd stands, once its minute is over, and which have dispersed.

        With `ending` the program is about to end: the minute is over.
        """
        self._tell_crowds({*self._within.copy().values(), *self._crowds}, now, ending=ending)

    def tell_own_crowds(self, now: float) -> None:
        """The same at the end of a command: of those only that it had a hand in."""
        self._tell_crowds(self._own.copy(), now, ending=True)

    def _tell_crowds(self, keys: Iterable[str], now: float, *, ending: bool) -> None:
        members = Counter(self._within.copy().values())
        for key in keys:
            count, told = members[key], self._crowds.get(key, 0)
            if count > told and (ending or self._flood.is_over(key, now)):
                self._tell_crowd(key, now, count)
            elif told and not count:
                self._end_crowd(key, told)

    def _tell_crowd(self, key: str, now: float, count: int) -> None:
        drop, event = of_crowd(key)
        text = f"so many in one minute that these {count} are not said one by one"
        fields = {"drop": drop, "count": count, "text": text, "hint": "watcher status"}
        with self._ledger.write() as tx:
            _put(tx, _row(event, key, now, fields))
        self._crowds[key] = count
        self._emit(event, key=key, **fields)

    def _end_crowd(self, key: str, count: int) -> None:
        drop, event = of_crowd(key)
        with self._ledger.write() as tx:
            was_there = _drop(tx, key)
        self._crowds.pop(key, None)
        (ended,) = EVENTS[event].cleared_by
        if was_there:
            self._emit(ended, key=key, drop=drop, count=count)

    # -- what is said of the stores: also where the ledger lies on the one that is full ----------

    def tell(self, event: str, key: str, now: float, **fields: object) -> None:
        """`raise_`, said even where the ledger can't keep it for now: `keep` does that."""
        if self._open.get(key) != event:
            self._owed[key] = _row(event, key, now, fields)
            self._open[key] = event
            self._emit(event, key=key, **fields)

    def assume(self, event: str, key: str, now: float, **fields: object) -> None:
        """A condition that was said before there was a ledger: `keep` writes it down."""
        self._owed[key] = _row(event, key, now, fields)
        self._open[key] = event

    def end(self, event: str, key: str, **fields: object) -> None:
        """`clear`, said even where the ledger can't keep it for now."""
        if key in self._open:
            self._owed[key] = None
            self._open.pop(key, None)
            self._emit(event, key=key, **fields)

    def keep(self) -> bool:
        """Write down what was told and not yet kept; whether there was anything.

        StorageError where that can't be done yet. A restart before that says it once more.
        """
        with self._lock:
            owed = self._owed.copy()
            if not owed:
                return False
            with self._ledger.write() as tx:
                for key, row in owed.items():
                    _put(tx, row) if row else _drop(tx, key)
            self._owed = {key: row for key, row in self._owed.items() if owed.get(key, ()) != row}
        return True


def _row(event: str, key: str, now: float, fields: Mapping[str, object]) -> dict[str, object]:
    told = json.dumps(fields, default=_text)
    return {"key": key, "event": event, "raised": now, "fields": told}


def _count(row: Row[Any]) -> int:
    return int(json.loads(row.fields).get("count", 0))


def _within(rows: Iterable[Row[Any]]) -> dict[str, str]:
    """The crowds that kept conditions are in; only the few that say so are taken apart."""
    marked = (row for row in rows if f'"{WITHIN}": "' in row.fields)
    found = ((row.key, json.loads(row.fields).get(WITHIN)) for row in marked)
    return {key: crowd for key, crowd in found if crowd}


def _put(tx: Connection, row: Mapping[str, object]) -> None:
    tx.execute(insert(tables.condition).prefix_with("OR REPLACE"), [row])


def _drop(tx: Connection, key: str) -> bool:
    """Whether it was there."""
    return tx.execute(delete(tables.condition).where(tables.condition.c.key == key)).rowcount > 0


def _text(value: object) -> str:
    """What JSON has no word for: paths of drops are bytes."""
    return os.fsdecode(value) if isinstance(value, bytes) else str(value)


class Outbox:
    """Lines of the log that a command wrote for the daemon to say."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def put(self, line: str) -> None:
        """Leave a rendered line."""
        with self._ledger.write() as tx:
            tx.execute(insert(tables.outbox), [{"line": line}])

    def waiting(self) -> list[tuple[int, str]]:
        """The lines not yet said, in order."""
        row = tables.outbox.c
        with self._ledger.read() as tx:
            query = select(row.number, row.line).order_by(row.number)
            return [(number, line) for number, line in tx.execute(query)]

    def said(self, numbers: list[int]) -> None:
        """These lines are in the log."""
        with self._ledger.write() as tx:
            for start in range(0, len(numbers), CHUNK):
                some = numbers[start : start + CHUNK]
                tx.execute(delete(tables.outbox).where(tables.outbox.c.number.in_(some)))
