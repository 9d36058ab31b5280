"""Hostile text made fit for a terminal (spec 13)."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice


def worded(value: object) -> str:
    """A value of a document as people write it: lists with commas, yes and no, nothing for none."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {worded(each)}" for name, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(worded, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


def brief(value: object, most: int, few: int) -> object:
    """The same with texts of at most so many characters, and so few values in lists and tables."""
    if isinstance(value, str):
        return value if len(value) <= most else f"{value[: most - 1]}\N{HORIZONTAL ELLIPSIS}"
    if isinstance(value, Mapping):
        some = islice(value.items(), few)
        return {name: brief(each, most, few) for name, each in some}
    if isinstance(value, list | tuple):
        return [brief(each, most, few) for each in value[:few]]
    return value


def printable(value: object) -> str:
    r"""A value as one line without control characters: `\x1b` is shown as it is written here.

    Bytes of a name that are not UTF-8, as os.fsdecode carries them, are shown as `\xe9`.
    """
    text = str(value)
    if text.isprintable():
        return text
    return "".join(map(_shown, text))


def _shown(char: str) -> str:
    if char.isprintable():
        return char
    if "\udc80" <= char <= "\udcff":
        return f"\\x{ord(char) - 0xDC00:02x}"
    return char.encode("unicode_escape").decode()


def printable_rows(rows: Iterable[Sequence[object]]) -> list[tuple[str, ...]]:
    """The rows of a table, each cell printable; nothing is an empty cell."""
    return [tuple("" if cell is None else printable(cell) for cell in row) for row in rows]
