"""What a command prints: one JSON document, or a table for people."""

import json
import sys
from collections.abc import Sequence
from typing import Final

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

GAP: Final = "  "


class _Passing(Console):
    """A console that leaves a closed pipe to the program's own border; rich would exit with 1."""

    def on_broken_pipe(self) -> None:
        """Pass it on."""
        raise BrokenPipeError


def console() -> Console:
    """Standard output; no colour and no folding when it is piped."""
    piped = not sys.stdout.isatty()
    width = 200 if piped else None
    return _Passing(file=sys.stdout, width=width, highlight=False, soft_wrap=piped)


def print_json(document: object) -> None:
    """One document on standard output."""
    print(json.dumps(document, indent=2 if sys.stdout.isatty() else None, default=str))


def print_table(head: Sequence[str], rows: Sequence[Sequence[object]], *, nothing: str) -> None:
    """Rows under their names, folded only where a terminal is too narrow; or one sentence."""
    if not rows:
        print(nothing)
        return
    cells = [["" if each is None else str(each) for each in row] for row in rows]
    widths = [max(map(_width, column)) for column in zip(head, *cells, strict=True)]
    screen = console() if sys.stdout.isatty() else None
    if screen and sum(widths) + len(GAP) * (len(widths) - 1) > screen.width:
        _fold(screen, head, cells)
        return
    first = _line(head, widths)
    screen.print(first, style="bold", markup=False) if screen else print(first)
    sys.stdout.writelines(f"{_line(row, widths)}\n" for row in cells)


def _width(text: str) -> int:
    """The columns it takes on a terminal."""
    return len(text) if text.isascii() else cell_len(text)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    padded = (text + " " * (most - _width(text)) for text, most in zip(row, widths, strict=True))
    return GAP.join(padded).rstrip()


def _fold(screen: Console, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """The same by rich, which takes most of a millisecond for each row."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in head:
        table.add_column(name, overflow="fold")  # an id that is cut short is none
    for row in rows:
        table.add_row(*row)
    screen.print(table, markup=False)
