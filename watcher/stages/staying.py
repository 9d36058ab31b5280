"""Sources whose content is filed and that could not be removed: tried again with the looks."""

import os
from collections.abc import Collection

from watcher.core.file import Fingerprint
from watcher.core.policy import Drop
from watcher.stages.parting import remove_source
from watcher.stages.parts import Parts


class Staying:
    """The sources that stay in one drop. Permission is the directory's: one of each is tried."""

    def __init__(self, parts: Parts, drop: Drop) -> None:
        self._parts = parts
        self._drop = drop
        self._folders: dict[bytes, dict[bytes, Fingerprint]] = {}

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._folders)

    def folders(self) -> Collection[bytes]:
        """Where they lie."""
        return self._folders.keys()

    def add(self, path: bytes, seen: Fingerprint) -> None:
        """A source that can't be removed; with `after = "keep"` it is not to be."""
        if self._drop.after != "keep":
            self._folders.setdefault(os.path.dirname(path), {})[path] = seen

    def forget(self, path: bytes) -> None:
        """A source that is gone, or another file now."""
        here = self._folders.get(os.path.dirname(path), {})
        here.pop(path, None)
        if not here:
            self._folders.pop(os.path.dirname(path), None)

    def try_again(self) -> list[bytes]:
        """Remove what can be removed by now; gives what is gone, or another file now."""
        gone: list[bytes] = []
        for folder in list(self._folders):
            here = self._folders.pop(folder)
            while here and self._remove(here, gone):
                pass
            if here:
                self._folders[folder] = here
        return gone

    def _remove(self, here: dict[bytes, Fingerprint], gone: list[bytes]) -> bool:
        """Try the first; where it can't be removed another one is the next to be tried."""
        path = next(iter(here))
        seen = here.pop(path)
        if not remove_source(self._parts, self._drop, path, seen):
            here[path] = seen
            return False
        gone.append(path)
        return True
