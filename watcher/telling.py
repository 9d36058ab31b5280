"""What the daemon writes for people beside its log: the status page and the metrics.

Only when something changed, and no oftener than `EVERY`; at least once a heartbeat. A store that
refuses is told of as any other's is, and stops nothing.
"""

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import anyio

from watcher.assembly import coder_of
from watcher.core.errors import (
    AlreadyRunningError,
    LedgerError,
    MissingPlaceError,
    StorageError,
)
from watcher.io import files
from watcher.io.serving import serving
from watcher.report import metrics, page
from watcher.report.coded import coded
from watcher.settings import Settings
from watcher.stages.hop import Hop
from watcher.stages.parts import Parts
from watcher.survey import Document, Live, count_filed, survey

EVERY: Final = 10.0  # seconds between two looks at whether something changed
MODE: Final = 0o644  # whoever collects the metrics, or shows the page, is another user
WORK: Final = "telling"  # the work of it, where a store refuses
STOPPED: Final[Mapping[str, Any]] = {
    "running": False,
    "healthy": False,
    "unhealthy": "the daemon is not running",
}

Render: TypeAlias = Callable[[Document], bytes]


@dataclass
class Published:
    """The metrics as they were written last, for whoever asks by HTTP. Outlives a ledger."""

    metrics: bytes = b""


def served(
    settings: Settings, published: Published, *, once: bool
) -> AbstractContextManager[object]:
    """The metrics by HTTP, where `[metrics] listen` says so; never of a run that only drains.

    ConfigurationError where that address can't be had.
    """
    if once or settings.listen is None:
        return nullcontext()
    return serving(settings.listen, lambda: published.metrics)


@dataclass
class Telling:
    """The files of the `status` store. `live` is called where the daemon's own tasks run."""

    settings: Settings
    parts: Parts
    published: Published
    live: Callable[[], Live]
    hop: Hop = field(default_factory=lambda: Hop(1))  # a store that hangs holds nobody else up

    def __post_init__(self) -> None:
        """Nothing was told yet."""
        self._coder = coder_of(self.settings) if self.settings.log.identifiers == "coded" else None
        self._filed = 0
        self._shown: Document = {}
        self._told = 0.0
        self._files: dict[str, Render] = {"metrics.prom": self._metrics, "index.html": self._page}

    async def run(self) -> None:
        """Tell what changed, for ever."""
        while True:
            await self.tell()
            await anyio.sleep(min(EVERY, self.settings.log.heartbeat))

    async def tell(self, *, last: bool = False) -> None:
        """Write what changed. `last`: whatever it is, and that the program has ended.

        LedgerError where the ledger failed; AlreadyRunningError where another host has the store.
        """
        await self.hop(self._tell, self.live(), last)

    def _tell(self, live: Live, last: bool) -> None:  # noqa: FBT001  Hop passes by position
        now = self.parts.clock.monotonic()
        try:
            self._write(live, now, last=last)
        except (LedgerError, AlreadyRunningError):
            raise
        except MissingPlaceError:
            self._shown = {}  # `disk` says so; written as soon as it is back
        except StorageError as error:
            self._shown = {}
            again = min(EVERY, self.settings.log.heartbeat)
            self.parts.failing.met(WORK, error, now, again, store="state")
        except Exception as error:  # its border: a page that can't be made stops no file
            self.parts.fault(error, WORK)
        else:
            self.parts.failing.over(WORK)

    def _write(self, live: Live, now: float, *, last: bool) -> None:
        self._count(live)
        document = {**survey(self.settings, self.parts, live), **(STOPPED if last else {})}
        shown = lasting(document)
        if shown == self._shown and now - self._told < self.settings.log.heartbeat:
            return
        told = coded(document, self._coder) if self._coder else document
        for name, render in self._files.items():  # the metrics first: no page holds them up
            text, folder = render(told), self.parts.storage.require("status")
            files.swap(os.path.join(folder, name), text, mode=MODE)
        self._shown, self._told = shown, now

    def _count(self, live: Live) -> None:
        """What was filed since the last time, for the rates."""
        filed = sum(each["filed"] for each in live["drops"].values())
        if filed != self._filed:
            count_filed(self.parts, filed - self._filed)
            self._filed = filed

    def _metrics(self, document: Document) -> bytes:
        self.published.metrics = metrics.text(document)
        return self.published.metrics

    def _page(self, document: Document) -> bytes:
        return page.html(document, is_coded=self._coder is not None).encode()


def lasting(document: Mapping[str, Any]) -> Document:
    """The picture without what changes by itself: moments, ages, room on a disk others use too."""
    moving = {"made", "heartbeat", "oldest"}
    return {
        **{name: value for name, value in document.items() if name not in moving},
        "drops": [_without(each, "oldest_pending") for each in document["drops"]],
        "stores": [_without(each, "free") for each in document["stores"]],
    }


def _without(row: Mapping[str, Any], name: str) -> Document:
    return {key: value for key, value in row.items() if key != name}
