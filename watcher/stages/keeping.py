"""What of one drop needs nothing more: asked in the threads that look, told in the loop.

With `after = "keep"` that is every file that was ever taken: a compact table of them, filled from
the ledger at the first look (core/kept.py). Else it is the few that stay where they lie.
"""

import threading
from collections.abc import Callable, Collection, Iterator, Sequence

from watcher.core.file import Fingerprint
from watcher.core.kept import Kept
from watcher.core.policy import Drop
from watcher.io.receiving import Receiving


class Keeping:
    """The memory of one drop. `sources`: those that could not be removed, with `remove` only."""

    def __init__(self, receiving: Receiving, drop: Drop) -> None:
        self.sources: dict[bytes, Fingerprint] = {}
        self._receiving = receiving
        self._drop = drop
        self._kept = Kept()
        self._listings: dict[int, tuple[str, ...]] = {}
        """For directories in which all was known, as they were listed: the directories in them."""
        self._lock = threading.Lock()  # of the table: looks ask, and files are done meanwhile
        self._loaded = False

    def load(self, beat: Callable[[], None]) -> None:
        """What the ledger knows of the drop, once. `beat` is called now and then."""
        if self._loaded:
            return
        for page in self._receiving.pages_of_taken(self._drop.name):
            beat()
            if self._drop.after == "keep":
                with self._lock:
                    for path, seen in page:
                        self._kept.add(path, seen)
            else:
                self.sources.update(page)
        self._loaded = True

    def begin(self) -> None:
        """A full look begins that asks every file."""
        self._listings = {}
        with self._lock:
            self._kept.begin()

    def inside(self, folder: bytes, listing: int) -> Sequence[str] | None:
        """As `scan.Known`: what a look has noted since the last that asked every file."""
        return self._listings.get(hash((folder, listing)))

    def note(self, folder: bytes, listing: int, inside: tuple[str, ...]) -> None:
        """As `scan.Known`. Only of a kept drop: else next to nothing stays in a directory."""
        if self._drop.after == "keep":
            self._listings[hash((folder, listing))] = inside

    def knows(self, path: bytes) -> bool:
        """Whether a file of this name needed nothing more."""
        with self._lock:
            return self._kept.knows(path)

    def has(self, path: bytes, found: Fingerprint) -> bool:
        """Whether this very file needs nothing more."""
        with self._lock:
            return self._kept.has(path, found)

    def add(self, path: bytes, seen: Fingerprint) -> None:
        """A file that needs nothing more while it is like this."""
        with self._lock:
            self._kept.add(path, seen)

    def drop(self, path: bytes) -> None:
        """A file that is gone."""
        with self._lock:
            self._kept.drop(path)
        self.sources.pop(path, None)

    def forget_unmet(self, pending: Collection[bytes], beat: Callable[[], None]) -> list[bytes]:
        """After a complete look since `begin`: forget what it did not meet, page by page.

        `pending`: the paths it gave. In the ledger too. Gives what of `sources` is gone.
        """
        gone = [path for path in self.sources if path not in pending and not self._was_met(path)]
        for path in gone:
            del self.sources[path]
        self._receiving.forget_taken(self._drop.name, gone)
        if self._kept.unmet:
            if self._drop.after == "keep":
                for page in self._unmet(pending):
                    beat()
                    self._receiving.forget_taken(self._drop.name, page)
            with self._lock:
                self._kept.keep_met()
        return gone

    def _unmet(self, pending: Collection[bytes]) -> Iterator[list[bytes]]:
        for page in self._receiving.pages_of_taken(self._drop.name):
            paths = (path for path, _ in page if path not in pending)
            yield [path for path in paths if not self._was_met(path)]

    def _was_met(self, path: bytes) -> bool:
        with self._lock:
            return self._kept.was_met(path)
