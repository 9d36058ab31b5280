"""Which of several named things a person means: a name, or any unambiguous part of one."""

import re
from collections.abc import Sequence
from typing import Final

_ID: Final = re.compile(r"\d{8}_\d{9}(?:_\d+)?")


def is_id(text: str) -> bool:
    """Whether it is a session's id, as its form tells."""
    return _ID.fullmatch(text) is not None


def fitting(text: str, shown: Sequence[str]) -> list[str]:
    """Those that are the text, else those with a part (between slashes) that is, else that hold it.

    Case and slashes at the ends don't matter; an empty text fits nothing.
    """
    wanted = text.casefold().strip("/")
    if not wanted:
        return []
    folded = [(each.casefold(), each) for each in shown]
    same = [each for low, each in folded if low == wanted]
    parts = [each for low, each in folded if wanted in low.split("/")]
    return same or parts or [each for low, each in folded if wanted in low]
