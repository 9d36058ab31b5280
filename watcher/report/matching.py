"""Whether a text is what a person looks for: in plain words, or as a coded value of the log."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

_CODED: Final = re.compile(r"~[0-9a-f]{8}", re.IGNORECASE)


def is_coded(text: str) -> bool:
    """Whether a text is a coded value, `~1a2b3c4d` (spec 12)."""
    return _CODED.fullmatch(text.strip()) is not None


class Matcher:
    """One search. `stands_for(coded, candidate)` tells for what a coded value stands."""

    def __init__(self, text: str, stands_for: Callable[[str, str], bool] | None = None) -> None:
        self.text = text.strip()
        self._wanted = self.text.casefold()
        self._stands_for = stands_for if is_coded(self.text) else None

    def same(self, value: str) -> bool:
        """Whether a UID, digest, id or path is the one, ignoring case."""
        if self._stands_for is not None:
            return bool(value) and self._stands_for(self.text, value)
        return bool(self._wanted) and self._wanted == value.casefold()

    def within(self, value: str) -> bool:
        """Whether the text occurs in a label, subject or name; a coded value stands for all."""
        if self._stands_for is not None:
            return self.same(value)
        return bool(self._wanted) and self._wanted in value.casefold()

    def path(self, path: str, root: str = "") -> str:
        """The shortest leading part of a path in which the text occurs; empty: it does not.

        A coded value may stand for that part, for it below `root`, for its last name, or for that
        without its ending: so the log codes them (core/coding.py).
        """
        for part in _leading(path):
            if self._stands_for is None:
                if self.within(part):
                    return part
            elif any(self.same(each) for each in _candidates(part, root)):
                return part
        return ""


def _leading(path: str) -> Iterator[str]:
    """`a`, `a/b`, `a/b/c` of `a/b/c`."""
    end = path.find("/", 1)
    while end > 0:
        yield path[:end]
        end = path.find("/", end + 1)
    yield path


def _candidates(part: str, root: str) -> Iterator[str]:
    name = part.rpartition("/")[2]
    yield from (part, name, name.rpartition(".")[0])
    if root:
        yield f"{root}/{part}"


def texts_of(value: object) -> Iterator[str]:
    """Every text in a value of a finding."""
    if isinstance(value, Mapping):
        for one in value.values():
            yield from texts_of(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from texts_of(one)
    elif value is not None:
        yield str(value)
