"""The store that a device's own files lie in: while it is away, none of them is opened or made."""

import errno
import os
from dataclasses import dataclass

from watcher.core.errors import StorageError
from watcher.io.reaching import MARKER, read_if_there


@dataclass(frozen=True)
class Home:
    """A store's folder, and its marker as it was when the device was opened; empty: it had none.

    SQLite goes on with files of a mount that was taken away, but for a further connection it would
    make an empty ledger in the bare directory.
    """

    folder: str
    marker: bytes = b""

    @classmethod
    def now(cls, folder: str) -> "Home":
        """As it is. StorageError where that can't be read."""
        return cls(folder, read_if_there(os.path.join(folder, MARKER)) or b"")

    def is_away(self) -> bool:
        """Whether its mount is gone, or another there: its marker is not the same any more."""
        return self != Home(self.folder) and self != Home.now(self.folder)

    def require(self) -> None:
        """StorageError while it is away."""
        if self.is_away():
            raise StorageError("the ledger: the state store is not there", number=errno.ENOENT)
