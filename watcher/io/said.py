"""What was said: conditions that are raised until they clear, and lines of commands on their way.

Raise and clear are edges, kept in the ledger so that a restart does not repeat them (spec 12).
"""

import json
import os
from collections.abc import Mapping
from typing import Final

from sqlalchemy import delete, insert, select

from watcher.core.events import Emit
from watcher.io import tables
from watcher.io.ledger import Ledger

CHUNK: Final = 1000  # numbers in one statement; SQLite takes at most 32766


class Conditions:
    """The open conditions; `emit` hears of each once at raise and once at clear."""

    def __init__(self, ledger: Ledger, emit: Emit) -> None:
        self._ledger = ledger
        self._emit = emit
        with ledger.read() as tx:
            self._open = {row.key: row.event for row in tx.execute(select(tables.condition))}

    def open(self) -> Mapping[str, str]:
        """Keys and events of the open conditions."""
        return dict(self._open)

    def refresh(self) -> None:
        """Read again what other processes raised or cleared."""
        with self._ledger.read() as tx:
            self._open = {row.key: row.event for row in tx.execute(select(tables.condition))}

    def raise_(self, event: str, key: str, now: float, **fields: object) -> bool:
        """Say it, unless it is said already; whether it was new."""
        if self._open.get(key) == event:
            return False
        row = {
            "key": key,
            "event": event,
            "raised": now,
            "fields": json.dumps(fields, default=_text),
        }
        with self._ledger.write() as tx:
            tx.execute(insert(tables.condition).prefix_with("OR REPLACE"), [row])
        self._open[key] = event
        self._emit(event, key=key, **fields)
        return True

    def clear(self, event: str, key: str, **fields: object) -> bool:
        """Say that it is over, if it had been raised; whether it had."""
        if key not in self._open:
            return False
        with self._ledger.write() as tx:
            tx.execute(delete(tables.condition).where(tables.condition.c.key == key))
        self._open.pop(key, None)
        self._emit(event, key=key, **fields)
        return True


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
