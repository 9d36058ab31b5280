"""The names that are never input (spec 5)."""

import fnmatch
import os
import re
from collections.abc import Iterable, Sequence
from typing import Final

RECEIPTS = "RECEIPTS"
"""Our own folder at the top of a drop."""
SIGN = ".complete"
"""The file by which a sender calls a unit complete (spec 7)."""

BUILT_IN: Final = (
    *(".*", "*.tmp", "*.part", "*.partial", "*.filepart", "*.crdownload", "*~", "~$*"),
    *(".nfs*", ".smb*", ".DS_Store", "._*", ".snapshot/"),
    *("__MACOSX/", "lost+found/", "@eaDir/"),
)
"""Spec 5; a pattern that ends in a slash is of directories only."""
BUILT_IN_ANY_CASE: Final = ("Thumbs.db", "desktop.ini", "$RECYCLE.BIN/")
"""The same, in whatever case a Windows writes them."""


class Ignore:
    """The built-in names and those of a drop's patterns (fnmatch, upper and lower case differ)."""

    def __init__(self, patterns: Sequence[str] = ()) -> None:
        exact = [(pattern, "{}") for pattern in (*BUILT_IN, *patterns)]
        any_case = [(pattern, "(?i:{})") for pattern in BUILT_IN_ANY_CASE]
        every = [*exact, *any_case]
        self._folder = _either((pattern.removesuffix("/"), form) for pattern, form in every)
        self._other = _either(pair for pair in every if not pair[0].endswith("/"))

    def ignored(self, name: bytes, *, is_dir: bool = False, top: bool = False) -> bool:
        """Whether a name is never input. `top`: it stands at the top of the drop."""
        return self.skips(os.fsdecode(name), is_dir=is_dir, top=top)

    def skips(self, name: str, *, is_dir: bool, top: bool) -> bool:
        """`ignored` for a name as os.fsdecode gives it."""
        if not is_dir:
            return self._other.match(name) is not None
        return (top and name == RECEIPTS) or self._folder.match(name) is not None


def _either(patterns: Iterable[tuple[str, str]]) -> re.Pattern[str]:
    """One expression for many patterns, each put into its form."""
    return re.compile("|".join(form.format(fnmatch.translate(p)) for p, form in patterns))
