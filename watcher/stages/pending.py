"""What is said of files in a drop: stuck ones, those a drain leaves, unread and misplaced ones."""

import os
import shlex
from collections.abc import Collection, Iterable

from watcher.core.errors import WorkerError, told
from watcher.core.events import EVENTS
from watcher.core.policy import Drop
from watcher.core.route import NO_MATCH
from watcher.core.session import Identity
from watcher.core.settle import Waiting
from watcher.io.lookup import Lookup
from watcher.stages.parts import Parts

MACHINE = "machine"  # why a file waits that the machine failed on
OF_DROPS = ("drop.", "file.stuck")  # how the events begin that are raised of a drop
READERS = "readers"  # the key of what is said of them
FOLDERS = 10_000  # that are remembered as said to be misplaced


def tell_stuck(parts: Parts, drop: Drop, key: str, waiting: Waiting) -> None:
    """A file has been waiting for `stuck_after`."""
    path = os.fsdecode(os.path.join(os.fsencode(drop.path), waiting.path))
    parts.conditions.raise_(
        "file.stuck",
        key,
        parts.clock.now(),
        drop=drop.name,
        path=waiting.path,
        code=waiting.reason,
        text=waiting.text,
        seconds=round(parts.clock.monotonic() - waiting.since),
        hint=f"watcher explain {shlex.quote(path)}",
    )


def tell_left(parts: Parts, drop: Drop, left: Iterable[Waiting]) -> None:
    """The files a drain leaves; where no reader starts, that was said once for all of them."""
    unread = READERS in parts.conditions.open()
    for each in left:
        parts.emit(
            "file.waiting",
            drop=drop.name,
            path=each.path,
            code=each.reason,
            text=each.text,
            level="debug" if unread and each.reason == MACHINE else "info",
        )


def tell_readers(parts: Parts, error: WorkerError | None) -> None:
    """Whether headers can be read at all: said once when they can't, and once when they can."""
    if error is None:
        parts.conditions.clear("reader.available", READERS)
    else:
        parts.conditions.raise_(
            "reader.unavailable",
            READERS,
            parts.clock.now(),
            error=told(error),
            hint="watcher check",
        )


def forget_drops(parts: Parts, drops: Collection[str]) -> None:
    """End what was said of drops that the configuration has no more: nobody looks at them."""
    said = {key for key, event in parts.conditions.open().items() if event.startswith(OF_DROPS)}
    for each in Lookup(parts.ledger).raised() if said else ():
        if each.key in said and each.fields.get("drop") not in drops:
            (ended,) = EVENTS[each.event].cleared_by
            message = "Its drop is configured no more"
            drop = each.fields.get("drop")
            parts.conditions.clear(ended, each.key, drop=drop, message=message)


class Unmatched:
    """Folders of one drop that do not fit its layout: each is said once, in a run."""

    def __init__(self, parts: Parts, drop: Drop) -> None:
        self._parts = parts
        self._drop = drop
        self._said: set[bytes] = set()

    def tell(self, path: bytes, identity: Identity) -> None:
        """A file of the drop was identified: by its layout, or without."""
        folder = os.path.dirname(path) or b"."
        if identity.origins.get("layout") != NO_MATCH or folder in self._said:
            return
        if len(self._said) >= FOLDERS:  # a drop of folders without end: some are said again
            self._said.clear()
        self._said.add(folder)
        layout = "/".join(self._drop.layout)
        self._parts.emit("drop.unmatched", drop=self._drop.name, path=folder, layout=layout)
