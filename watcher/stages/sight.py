"""What one look leaves out: what needs nothing more, and what would be too much for now.

A first look at a kept drop may meet a million new files; so many pending ones would be gigabytes.
Those beyond `room` are left for a later look, which comes when half of the others are taken; but
some of each top-level folder are always let in, so that few files wait for no thousands.
"""

from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence

from watcher.core.file import Fingerprint
from watcher.core.line import top_of
from watcher.stages.keeping import Keeping

SOME = 256  # files of one top-level folder that may be pending, however many others are


class Sight:
    """The files one look need not give (`scan.Known`). `later`: folders of those left for later.

    `room`: new files it may give; `pending` tells of those that are not new, and `tops` how many
    there are by top-level folder, where they may be too many; `names`: a known name will do, but
    in the `busy` folders, in which files are pending.
    """

    def __init__(
        self,
        keeping: Keeping,
        pending: Callable[[bytes], bool],
        room: float,
        tops: Mapping[bytes, int],
        *,
        names: bool = False,
        busy: Container[bytes] = (),
    ) -> None:
        self.names = names
        self.later: set[bytes] = set()
        self._keeping = keeping
        self._pending = pending
        self._room = room
        self._busy = busy
        self._tops = Counter(tops)

    def inside(self, folder: bytes, listing: int) -> Sequence[str] | None:
        """As `scan.Known`."""
        return None if folder in self._busy else self._keeping.inside(folder, listing)

    def note(self, folder: bytes, listing: int, inside: tuple[str, ...]) -> None:
        """As `scan.Known`."""
        if folder not in self.later:
            self._keeping.note(folder, listing, inside)

    def skips(self, path: bytes) -> bool:
        """As `scan.Known`."""
        return self.names and self._keeping.knows(path)

    def has(self, path: bytes, found: Fingerprint) -> bool:
        """As `scan.Known`."""
        if self._keeping.has(path, found):
            return True
        if self._pending(path) or self._lets_in(path):
            return False
        self.later.add(path.rpartition(b"/")[0])
        return True

    def _lets_in(self, path: bytes) -> bool:
        top = top_of(path)
        if self._room <= 0 and self._tops[top] >= SOME:
            return False
        self._room -= 1
        self._tops[top] += 1
        return True
