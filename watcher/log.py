"""The log: one JSON line per event, on a stream and in a file; no patient data unless asked for.

structlog processors turn fields into a line (spec 12): values made plain, identifiers coded,
level and message from the catalogue. Saying something never raises for want of a disk or a
reader: what a sink did not take is counted, and said once it takes lines again (`log.degraded`).
"""

from __future__ import annotations

import json
import math
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime, time
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Final, TextIO

from watcher.core.coding import Coder, Json
from watcher.core.emit import Emit
from watcher.core.events import LEVELS, Event
from watcher.core.events import event as kind_of
from watcher.core.failure import explained
from watcher.core.lines import LONGEST, shortened
from watcher.io.sinks import FileSink, Sink, StreamSink, load_key

if TYPE_CHECKING:  # importing it costs each command 60 ms
    from structlog.typing import EventDict, Processor, WrappedLogger

__all__ = ["Log", "load_key", "plain"]

_DEEPEST: Final = 16  # a log line is no place for deeper trees, or for rings
_RESERVED: Final = ("event", "timestamp")


def _many(value: Iterable[object], depth: int) -> list[Json]:
    return [plain(one, depth + 1) for one in value]


def _table(value: Mapping[object, object], depth: int) -> dict[str, Json]:
    return {str(plain(key, depth + 1)): plain(one, depth + 1) for key, one in value.items()}


def _scalar(value: object) -> Json:
    if isinstance(value, (bytes, bytearray)):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no such numbers
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, (date, time)):
        return value.isoformat()
    return explained(value) if isinstance(value, BaseException) else str(value)


def plain(value: object, depth: int = 0) -> Json:
    """The value as JSON can say it. Names of files that are not UTF-8 keep their bytes escaped."""
    if depth > _DEEPEST:
        return "..."
    if isinstance(value, Enum):
        return plain(value.value, depth)
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: plain(getattr(value, one.name), depth + 1) for one in fields(value)}
    if isinstance(value, Mapping):
        return _table(value, depth)
    if isinstance(value, (set, frozenset)):
        return sorted(_many(value, depth), key=str)
    return _many(value, depth) if isinstance(value, (list, tuple)) else _scalar(value)


def _plain(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    return {name: plain(value) for name, value in line.items()}


def _coded(coder: Coder, _logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    typed = [name for name, kind in kind_of(line["event"]).fields.items() if kind == "typed"]
    return coder.whole(line, typed)


def _level(kind: Event, fields: Mapping[str, object]) -> str:
    asked = fields.get("level")
    return asked if isinstance(asked, str) and asked in LEVELS else kind.level


def _described(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    """Level, message, who, hint from the catalogue; what the caller gave of them goes first."""
    kind = kind_of(line["event"])
    head = {
        "timestamp": line["timestamp"],
        "level": _level(kind, line),
        "event": kind.name,
        "message": line.get("message", kind.message),
    }
    rest = {name: value for name, value in line.items() if name not in head}
    if head["level"] in {"warning", "error"}:
        rest.setdefault("who", kind.who or "admin")
        rest.setdefault("hint", f"watcher explain {kind.name}")
    return head | rest


class Log:
    """Says events: `log("session.opened", session=id, ...)`. Safe to call from any thread."""

    def __init__(
        self,
        *,
        stream: TextIO | None,
        journal: str = "",
        file: str | None,
        rotate: int,
        keep: int,
        level: str,
        coder: Coder | None,
        clock: Callable[[], datetime],
    ) -> None:
        self._file = FileSink(file, rotate, keep) if file else None
        sinks = (StreamSink(stream, journal) if stream else None, self._file)
        self._sinks: tuple[Sink, ...] = tuple(sink for sink in sinks if sink)
        self._least = LEVELS[level]
        self._clock = clock
        self._lock = threading.RLock()  # a finalizer may run, and say something, within a line
        self._owed: deque[str] = deque()
        self._writes = False
        coding = (partial(_coded, coder),) if coder else ()
        self._processors: Sequence[Processor] = (_plain, *coding, _described)
        self.lost = 0  # lines some sink did not take, in all: for the heartbeat

    def __call__(self, event: str, /, **fields: object) -> None:
        """Say an event of the catalogue; WatcherError for one that is not in it."""
        if LEVELS[_level(kind_of(event), fields)] >= self._least:
            self.write_line(self.line(event, fields))

    def bind(self, **fields: object) -> Emit:
        """The same log with these fields on every line."""
        return partial(self, **fields)

    def line(self, event: str, fields: Mapping[str, object], when: datetime | None = None) -> str:
        """The line as it would be written, without its newline. `when` defaults to now.

        One that is too long for the journal loses the ends of its longest fields.
        """
        stamp = (when or self._clock()).astimezone(UTC).isoformat(timespec="milliseconds")
        own = {f"{name}_" if name in _RESERVED else name: one for name, one in fields.items()}
        line: EventDict = {
            "timestamp": stamp.replace("+00:00", "Z"),
            "event": kind_of(event).name,
            **own,
        }
        for processor in self._processors:
            line = processor(None, "", line)  # type: ignore[assignment]  # ours give fields
        text = json.dumps(line)
        return text if len(text) <= LONGEST else json.dumps(shortened(line))

    def write_line(self, text: str) -> None:
        """Write a line `line` has made, here or in a command. Never raises for want of a disk."""
        with self._lock:
            self._owed.append(text.replace("\n", " "))  # from the ledger too: never more than one
            if self._writes:
                return  # said by a finalizer within a line: it comes after that
            self._writes = True
            try:
                while self._owed:
                    self._put(self._owed.popleft())
                    self._tell_losses()
            finally:
                self._writes = False

    def _tell_losses(self) -> None:
        for sink in self._sinks:
            if sink.fault and sink.works:
                self._put(self.line("log.degraded", sink.told()))

    def _put(self, text: str) -> None:
        for sink in self._sinks:
            self.lost += not sink.put(text)

    def open(self) -> None:
        """Open the file now: one that can't be opened is said at once, where others can read it."""
        with self._lock:
            if self._file and not self._file.opens():
                self._put(self.line("log.degraded", {**self._file.told(), "hint": "watcher check"}))

    def reopen(self) -> None:
        """Open the file anew, as SIGHUP asks after it was moved away."""
        self.close()
        self.open()

    def close(self) -> None:
        """Close the file. The stream belongs to the caller."""
        with self._lock:
            if self._file:
                self._file.close()
