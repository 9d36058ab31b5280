"""What the daemon writes for people beside its log: the status page and the metrics.

Only when something changed, and no oftener than `EVERY`; at least once a heartbeat. The ledger says
whether it did, unread. A store that refuses is told of as any other's is, and stops nothing.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
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
from watcher.remembered import Live, count_filed, keep_live
from watcher.report import metrics, page
from watcher.report.coded import coded
from watcher.settings import Settings
from watcher.stages.hop import Hop
from watcher.stages.parts import Parts
from watcher.survey import Document, survey

EVERY: Final = 10.0  # seconds between two looks at whether something changed
MODE: Final = 0o644  # whoever collects the metrics, or shows the page, is another user
ROWS: Final = 100  # conditions and entries of the quarantine that the page has room for
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
        self._shown: object = None  # what was told last; None: not all of it was
        self._told = 0.0
        self._files: dict[str, Render] = {"metrics.prom": self._metrics, "index.html": self._page}

    async def run(self) -> None:
        """Tell what changed, for ever."""
        while True:
            await self.tell()
            await anyio.sleep(self._every)

    @property
    def _every(self) -> float:
        return min(EVERY, self.settings.log.heartbeat)

    async def tell(self, *, last: bool = False) -> None:
        """Write what changed. `last`: whatever it is, and that the program has ended.

        LedgerError where the ledger failed; AlreadyRunningError where another host has the store.
        """
        with self._border():
            await self.hop(self._tell, self.live(), last)

    @contextmanager
    def _border(self) -> Iterator[None]:
        """Round the look, and round each file: what goes wrong in one is said, and stops nothing.

        But where the ledger failed, or the stores are another's: the daemon ends this run.
        """
        try:
            yield
        except (LedgerError, AlreadyRunningError):
            raise
        except MissingPlaceError:
            self._shown = None  # `disk` says so; written as soon as it is back
        except StorageError as error:
            self._shown = None
            now = self.parts.clock.monotonic()
            self.parts.failing.met(WORK, error, now, self._every, store="state")
        except Exception as error:
            self.parts.fault(error, WORK)

    def _tell(self, live: Live, last: bool) -> None:  # noqa: FBT001  Hop passes by position
        now = self.parts.clock.monotonic()
        self._count(live)
        is_due = now - self._told >= self.settings.log.heartbeat
        if self._shown == self._seen(live) and not (last or is_due):
            return
        keep_live(self.parts, live)
        self._shown, self._told = self._seen(live), now
        document = self._picture(live, last=last)
        for name, render in self._files.items():
            with self._border():
                self._put(name, render(document))
        if self._shown:
            self.parts.failing.over(WORK)

    def _seen(self, live: Live) -> object:
        return self.parts.ledger.version(), settled(live)

    def _picture(self, live: Live, *, last: bool) -> Document:
        document = survey(self.settings, self.parts, live, rows=ROWS)
        document |= STOPPED if last else {}
        return coded(document, self._coder) if self._coder else document

    def _put(self, name: str, text: bytes) -> None:
        path = os.path.join(self.parts.storage.require("status"), name)
        files.swap(path, text, mode=MODE)

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


def settled(live: Live) -> Live:
    """What the daemon knows, without the ages: these change by themselves."""
    drops = live["drops"].items()
    return {**live, "drops": {name: {**each, "oldest_pending": None} for name, each in drops}}
